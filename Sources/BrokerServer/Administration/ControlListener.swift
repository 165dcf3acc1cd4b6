internal import BrokerCore
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import Synchronization
#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Serves `martlet ctl`: one line with a request, lines with the answer, then the connection ends.
///
/// A client that is slow, or sends what makes no sense, costs a connection of few, for a limited time, and no more memory
/// than ``ServerLimits`` says; the loops that serve messages only hand octets on.
struct ControlListener {
    private let channel: any Channel
    private let socket: ControlSocket

    /// Listens at a path.
    static func open(
        _ path: String,
        on group: MultiThreadedEventLoopGroup,
        for administration: any BrokerAdministration,
        logger: Logger
    ) async throws(StartFailure) -> ControlListener {
        let socket = try ControlSocket.open(path)
        let service = ControlService(administration: administration)
        let seats = ControlSeats(ServerLimits.controlConnections)
        do {
            let channel = try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: ServerLimits.controlBacklog)
                .childChannelOption(.maxMessagesPerRead, value: 1)
                .childChannelOption(
                    .recvAllocator,
                    value: FixedSizeRecvByteBufferAllocator(capacity: ServerLimits.controlReadBytes)
                )
                .childChannelInitializer { child in
                    ControlPeer.check(child).flatMapThrowing {
                        let pipeline = child.pipeline.syncOperations
                        try pipeline.addHandler(IdleStateHandler(allTimeout: ServerLimits.controlIdle))
                        try pipeline.addHandler(ControlHandler(service, seats))
                    }
                }
                .withBoundSocket(socket.descriptor)
                .get()
            logger.debug("martlet ctl finds this broker at \(path)")
            return ControlListener(channel: channel, socket: socket)
        } catch {
            socket.remove()
            throw StartFailure("\(path): \(error)")
        }
    }

    /// Stops listening and removes the socket.
    func close() async {
        self.socket.remove()
        try? await self.channel.close().get()
    }
}

/// Who is at the other end, as the system says.
enum ControlPeer {
    #if os(Linux)
    /// What Linux answers to `SO_PEERCRED`.
    private struct Credentials: Sendable {
        var process: Int32
        var user: UInt32
        var group: UInt32
    }

    /// Fails unless the peer is the broker's user, or root.
    static func check(_ channel: any Channel) -> EventLoopFuture<Void> {
        guard let socket = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededVoidFuture()
        }
        let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
            level: .socket,
            name: NIOBSDSocket.Option(rawValue: SO_PEERCRED)
        )
        return credentials.flatMapThrowing { peer in
            guard peer.user == 0 || peer.user == geteuid() else { throw StartFailure("not the broker's user") }
        }
    }
    #else
    /// The socket's mode says who may connect.
    static func check(_ channel: any Channel) -> EventLoopFuture<Void> {
        channel.eventLoop.makeSucceededVoidFuture()
    }
    #endif
}

/// How many clients may be served at once.
final class ControlSeats: Sendable {
    private let free: Mutex<Int>

    /// So many.
    init(_ count: Int) {
        self.free = Mutex(count)
    }

    /// Takes a seat; false when there is none.
    func take() -> Bool {
        self.free.withLock { free in
            guard free > 0 else { return false }
            free -= 1
            return true
        }
    }

    /// Gives a seat back.
    func giveBack() {
        self.free.withLock { $0 += 1 }
    }
}

/// Reads the line, has it carried out, writes the answer.
final class ControlHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let service: ControlService
    private let seats: ControlSeats
    private var line: [UInt8] = []
    private var isSeated = false
    /// Ends the patience with who asks nothing.
    private var deadline: Scheduled<Void>?
    private var isAsked = false

    init(_ service: ControlService, _ seats: ControlSeats) {
        self.service = service
        self.seats = seats
    }

    func channelActive(context: ChannelHandlerContext) {
        self.isSeated = self.seats.take()
        guard self.isSeated else {
            self.refuse("unavailable", "too many clients ask at once", context)
            return
        }
        self.deadline = context.eventLoop.assumeIsolated().scheduleTask(in: ServerLimits.controlRequestTime) {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.deadline?.cancel()
        guard self.isSeated else { return }
        self.isSeated = false
        self.seats.giveBack()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What follows the line is nobody's.
        guard !self.isAsked else { return }
        let octets = Self.unwrapInboundIn(data).readableBytesView
        let end = octets.firstIndex(of: UInt8(ascii: "\n"))
        self.line.append(contentsOf: octets[..<(end ?? octets.endIndex)])
        guard self.line.count <= ServerLimits.controlRequestBytes else {
            self.refuse("too-large", "the request is larger than \(ServerLimits.controlRequestBytes) octets", context)
            return
        }
        guard end != nil else { return }
        let line = self.line
        self.endReading(context)
        let service = self.service
        let channel = context.channel
        // Not on the loop, which serves messages.
        Task {
            do {
                try await service.answer(line) { octets in
                    try await channel.writeAndFlush(ByteBuffer(bytes: octets)).get()
                }
            } catch {
                // The client has gone, or did not read.
            }
            try? await channel.close().get()
        }
    }

    private func endReading(_ context: ChannelHandlerContext) {
        self.isAsked = true
        self.deadline?.cancel()
        self.line = []
        try? context.channel.syncOptions?.setOption(.autoRead, value: false)
    }

    private func refuse(_ kind: String, _ text: String, _ context: ChannelHandlerContext) {
        self.endReading(context)
        let answer = ByteBuffer(bytes: ControlService.failure(kind, text).octets)
        let channel = context.channel
        context.writeAndFlush(Self.wrapOutboundOut(answer)).whenComplete { _ in
            channel.close(promise: nil)
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
        context.close(promise: nil)
    }
}
