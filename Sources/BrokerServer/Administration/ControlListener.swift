internal import BrokerCore
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import PlainJSON

/// Serves `martlet ctl`: one line with a request, one line with the answer, then the connection ends.
struct ControlListener {
    private let channel: any Channel
    private let path: String

    /// Listens at a path.
    static func open(
        _ path: String,
        on group: MultiThreadedEventLoopGroup,
        for administration: any BrokerAdministration,
        status: @escaping @Sendable () -> JSONValue,
        logger: Logger
    ) async throws -> ControlListener {
        let descriptor = try ControlSocket.open(path)
        let service = ControlService(administration: administration, status: status)
        let channel = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 16)
            .childChannelInitializer { child in
                child.eventLoop.makeCompletedFuture {
                    let pipeline = child.pipeline.syncOperations
                    try pipeline.addHandler(
                        IdleStateHandler(allTimeout: .seconds(Int64(ServerLimits.controlIdleSeconds)))
                    )
                    try pipeline.addHandler(ControlHandler(service, logger))
                }
            }
            .withBoundSocket(descriptor)
            .get()
        logger.debug("martlet ctl finds this broker at \(path)")
        return ControlListener(channel: channel, path: path)
    }

    /// Stops listening and removes the socket.
    func close() async {
        ControlSocket.remove(self.path)
        try? await self.channel.close().get()
    }
}

/// Reads the line, has it carried out, writes the answer.
private final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let service: ControlService
    private let logger: Logger
    private var line: [UInt8] = []
    private var isAsked = false

    init(_ service: ControlService, _ logger: Logger) {
        self.service = service
        self.logger = logger
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What follows the first line is nobody's.
        guard !self.isAsked else { return }
        let buffer = Self.unwrapInboundIn(data)
        let octets = buffer.readableBytesView
        guard let end = octets.firstIndex(of: UInt8(ascii: "\n")) else {
            self.line.append(contentsOf: octets)
            if self.line.count > ServerLimits.controlRequestBytes {
                self.isAsked = true
                self.answer(ControlService.failure("too-large", "the request is too large"), context)
            }
            return
        }
        self.line.append(contentsOf: octets[..<end])
        self.isAsked = true
        guard self.line.count <= ServerLimits.controlRequestBytes else {
            self.answer(ControlService.failure("too-large", "the request is too large"), context)
            return
        }
        let service = self.service
        let line = self.line
        self.line = []
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        let handler = NIOLoopBound(self, eventLoop: context.value.eventLoop)
        context.value.eventLoop.makeFutureWithTask { await service.answer(line) }.whenSuccess { answer in
            handler.value.answer(answer, context.value)
        }
    }

    private func answer(_ answer: JSONValue, _ context: ChannelHandlerContext) {
        var octets: [UInt8] = []
        answer.write(to: &octets)
        octets.append(UInt8(ascii: "\n"))
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.value.writeAndFlush(Self.wrapOutboundOut(ByteBuffer(bytes: octets))).whenComplete { _ in
            context.value.close(promise: nil)
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent {
            context.close(promise: nil)
        } else {
            context.fireUserInboundEventTriggered(event)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.debug("martlet ctl: \(error)")
        context.close(promise: nil)
    }
}
