internal import Logging
internal import NIOCore

/// Waits a second when the process or the machine has no room for another connection.
///
/// NIO's own handler for this does not stop the socket from reporting that somebody waits: without a free descriptor it
/// fails some hundred thousand times a second, and each time puts its pause off.
///
/// ```
/// accepting ──no room: autoRead off──► paused ──a second: autoRead on──► accepting
/// ```
final class AcceptPause: ChannelInboundHandler {
    typealias InboundIn = any Channel

    private let logger: Logger
    private var resumption: Scheduled<Void>?

    /// Makes the handler of one listening socket.
    init(logger: Logger) {
        self.logger = logger
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that left before it was accepted, and the like, is no reason to keep the others waiting.
        guard let error = error as? IOError, Platform.isExhausted(error.errnoCode), self.resumption == nil else {
            return
        }
        let reason = Platform.message(error.errnoCode)
        self.logger.error("cannot accept connections: \(reason); trying again in a second")
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
        let pause = TimeAmount.milliseconds(Int64(ServerLimits.acceptPauseMilliseconds))
        self.resumption = context.eventLoop.assumeIsolated().scheduleTask(in: pause) {
            self.resumption = nil
            try? context.channel.syncOptions?.setOption(.autoRead, value: true)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.resumption?.cancel()
        self.resumption = nil
        context.fireChannelInactive()
    }
}
