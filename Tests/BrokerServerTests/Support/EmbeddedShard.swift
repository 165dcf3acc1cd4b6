import AMQPProtocol
import BrokerCore
import BrokerSimulation
import NIOCore
import NIOEmbedded

@testable import BrokerServer

/// One event loop of the broker without sockets: bytes and time are the test's.
///
/// For synchronous tests: the loop must be used on the thread that made it.
final class EmbeddedShard {
    let eventLoop = EmbeddedEventLoop()
    let loop: ShardLoop
    let log = LogRecorder()

    init(_ settings: BrokerSettings = BrokerSettings()) {
        self.loop = ShardLoop(
            index: 0,
            eventLoop: self.eventLoop,
            mailboxes: [Mailbox(eventLoop: self.eventLoop)],
            settings: settings,
            authenticator: InternalAuthenticator(users: [("guest", "guest")]),
            logger: self.log.logger
        )
    }

    /// A socket is accepted.
    func connect(from host: String = "127.0.0.1", isTLS: Bool = false) throws -> EmbeddedConnection {
        try EmbeddedConnection(self, host, isTLS: isTLS)
    }
}

/// A connection whose socket is the test.
final class EmbeddedConnection {
    /// Stands where the socket would be.
    ///
    /// `EmbeddedChannel` does not know that one side can be closed alone, and takes everything at once.
    private final class Socket: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer

        var closes: [String] = []
        var isStuck = false
        var stuck: [(data: NIOAny, promise: EventLoopPromise<Void>?)] = []

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            if self.isStuck {
                self.stuck.append((data, promise))
            } else {
                context.write(data, promise: promise)
            }
        }

        func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
            self.closes.append("\(mode)")
            switch mode {
            case .all: context.close(promise: promise)
            case .output, .input: promise?.succeed()
            }
        }
    }

    let channel: EmbeddedChannel
    private let socket: Socket

    init(_ shard: EmbeddedShard, _ host: String, isTLS: Bool) throws {
        let socket = Socket()
        self.socket = socket
        self.channel = EmbeddedChannel(
            handlers: [socket, ConnectionHandler(loop: shard.loop, isTLS: isTLS)],
            loop: shard.eventLoop
        )
        try self.channel.connect(to: SocketAddress(ipAddress: host, port: 40_000)).wait()
    }

    /// Logs in, opens channel 1 and forgets the answers.
    func open() throws -> EmbeddedConnection {
        try self.send(SimulatedClient.greeting())
        _ = try self.received()
        return self
    }

    /// Octets arrive with one read.
    func send(_ bytes: [UInt8]) throws {
        try self.channel.writeInbound(ByteBuffer(bytes: bytes))
    }

    /// A method arrives with one read.
    func send(_ method: some EncodableMethod, channel: UInt16 = 1) throws {
        try self.send(SimulatedClient.frame(method, channel: channel))
    }

    /// The octets written since the last call.
    func received() throws -> [UInt8] {
        var bytes: [UInt8] = []
        while let buffer = try self.channel.readOutbound(as: ByteBuffer.self) { bytes += buffer.readableBytesView }
        return bytes
    }

    /// The methods written since the last call, without what is no method.
    func receivedMethods() throws -> [Method] {
        Frame.all(in: try self.received()).compactMap(\.method)
    }

    /// The closes the socket has been asked for: `output`, `all`.
    var closes: [String] { self.socket.closes }

    /// Whether the broker reads from the socket.
    var isReading: Bool {
        let value = self.channel.options.first { $0.option is ChannelOptions.Types.AutoReadOption }?.value
        return value as? Bool ?? true
    }

    /// The socket takes nothing more, or everything.
    func setWritable(_ isWritable: Bool) {
        self.channel.isWritable = isWritable
        self.channel.pipeline.fireChannelWritabilityChanged()
    }

    /// From now on what is written is not sent.
    func getStuck() {
        self.socket.isStuck = true
    }

    /// What was written meanwhile is sent.
    func getUnstuck() throws {
        self.socket.isStuck = false
        let stuck = self.socket.stuck
        self.socket.stuck = []
        for (data, promise) in stuck {
            let context = try self.channel.pipeline.syncOperations.context(handlerType: Socket.self)
            context.writeAndFlush(data, promise: promise)
        }
    }

    /// The peer closes its side.
    func closeInput() {
        self.channel.pipeline.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
    }
}
