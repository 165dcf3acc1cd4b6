import AMQPProtocol
import BrokerSimulation
import NIOCore
import NIOPosix
import NIOSSL

/// A client with a real socket.
final class TestClient: Sendable {
    /// What a test expected and did not get.
    struct Surprise: Error, CustomStringConvertible {
        var description: String
    }

    /// What the socket has received and nobody has asked for.
    private struct Inbox {
        var bytes: [UInt8] = []
        var isEnded = false
        var failure: String?
    }

    private final class Receiver: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer

        let inbox: Watched<Inbox>

        init(_ inbox: Watched<Inbox>) {
            self.inbox = inbox
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let buffer = Self.unwrapInboundIn(data)
            self.inbox.update { $0.bytes += buffer.readableBytesView }
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if let event = event as? ChannelEvent, event == .inputClosed {
                self.inbox.update { $0.isEnded = true }
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.inbox.update { $0.isEnded = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            self.inbox.update { $0.failure = "\(error)" }
            context.close(promise: nil)
        }
    }

    /// The socket.
    let channel: any Channel
    private let inbox: Watched<Inbox>

    private init(_ channel: any Channel, _ inbox: Watched<Inbox>) {
        self.channel = channel
        self.inbox = inbox
    }

    /// Connects; with `tls` the handshake is under way when this returns.
    ///
    /// With `keepsOutput` the socket stays open for writing when the peer has closed its side.
    static func connect(
        host: String = "127.0.0.1",
        port: Int,
        tls: NIOSSLContext? = nil,
        serverName: String = "localhost",
        keepsOutput: Bool = false
    ) async throws -> TestClient {
        let inbox = Watched(Inbox())
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: keepsOutput)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: serverName))
                    }
                    try pipeline.addHandler(Receiver(inbox))
                }
            }
            .connect(host: host, port: port)
            .get()
        return TestClient(channel, inbox)
    }

    /// Why the socket broke; nil when it did not.
    var failure: String? { self.inbox.value.failure }

    // MARK: Sending

    /// Sends octets.
    func send(_ bytes: [UInt8]) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
    }

    /// Sends a method.
    func send(_ method: some EncodableMethod, channel: UInt16 = 1) async throws {
        try await self.send(SimulatedClient.frame(method, channel: channel))
    }

    /// Logs in, opens channel 1, and waits until that is done.
    func open(user: String = "guest", password: String = "guest", heartbeat: UInt16 = 0) async throws {
        try await self.send(SimulatedClient.greeting(user: user, password: password, heartbeat: heartbeat))
        while true {
            if case .channelOpenOk = try await self.receiveMethod() { return }
        }
    }

    /// Sends a method and returns the next one that arrives.
    func call(_ method: some EncodableMethod, channel: UInt16 = 1) async throws -> Method {
        try await self.send(method, channel: channel)
        return try await self.receiveMethod()
    }

    /// Closes the socket without a word.
    func close() async {
        try? await self.channel.close().get()
    }

    // MARK: Receiving

    /// The next `count` octets.
    func receive(_ count: Int) async throws -> [UInt8] {
        try await self.take { bytes in
            guard bytes.count >= count else { return nil }
            defer { bytes.removeFirst(count) }
            return Array(bytes.prefix(count))
        }
    }

    /// The next frame.
    func receiveFrame() async throws -> Frame {
        try await self.take { Frame(takenFrom: &$0) }
    }

    /// The next frame, which must be a method.
    func receiveMethod() async throws -> Method {
        let frame = try await self.receiveFrame()
        guard let method = frame.method else { throw Surprise(description: "no method: \(frame)") }
        return method
    }

    /// The next delivery, answer to `basic.get` or returned message.
    func receiveContent() async throws -> (method: Method, body: [UInt8]) {
        let method = try await self.receiveMethod()
        let header = try await self.receiveFrame()
        guard header.type == FrameType.header else { throw Surprise(description: "\(method), then \(header)") }
        let size = header.payload[4..<12].reduce(0) { $0 << 8 | Int($1) }
        var body: [UInt8] = []
        while body.count < size { body += try await self.receiveFrame().payload }
        return (method, body)
    }

    /// Waits until the peer has closed; returns what came before that and was not asked for.
    func end() async throws -> [UInt8] {
        try await self.inbox.wait { inbox in inbox.isEnded ? inbox.bytes : nil }
    }

    private func take<Result: Sendable>(_ look: (inout [UInt8]) -> Result?) async throws -> Result {
        let result: Result? = try await self.inbox.wait { inbox in
            if let result = look(&inbox.bytes) { return .some(result) }
            return inbox.isEnded ? .some(nil) : nil
        }
        guard let result else {
            throw Surprise(description: "closed (\(self.failure ?? "cleanly")) with \(self.inbox.value.bytes) left")
        }
        return result
    }
}
