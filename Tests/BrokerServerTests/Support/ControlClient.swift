import Foundation
import NIOCore
import NIOPosix
import PlainJSON

@testable import BrokerServer

/// A client of the control socket that can say anything.
final class ControlClient: Sendable {
    private let channel: any Channel
    private let received: Watched<[UInt8]>
    private let isOver: Watched<Bool>

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        let received: Watched<[UInt8]>
        let isOver: Watched<Bool>

        init(_ received: Watched<[UInt8]>, _ isOver: Watched<Bool>) {
            self.received = received
            self.isOver = isOver
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let octets = Self.unwrapInboundIn(data).readableBytesView
            self.received.update { $0 += octets }
        }

        func channelInactive(context: ChannelHandlerContext) {
            self.isOver.update { $0 = true }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            context.close(promise: nil)
        }
    }

    private init(_ channel: any Channel, _ received: Watched<[UInt8]>, _ isOver: Watched<Bool>) {
        self.channel = channel
        self.received = received
        self.isOver = isOver
    }

    /// Connects; with `reads` false nothing is ever read.
    ///
    /// What is to be sent at once goes out on the event loop: a busy machine may take longer to come back here than the
    /// broker waits for a request.
    static func connect(_ path: String, reads: Bool = true, sending text: String? = nil) async throws -> ControlClient {
        let received = Watched<[UInt8]>([])
        let isOver = Watched(false)
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: reads)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(received, isOver))
                }
            }
            .connect(unixDomainSocketPath: path)
            .flatMap { channel in
                guard let text else { return channel.eventLoop.makeSucceededFuture(channel) }
                return channel.writeAndFlush(ByteBuffer(string: text)).map { channel }
            }
            .get()
        return ControlClient(channel, received, isOver)
    }

    /// Sends octets.
    func send(_ text: String) async throws {
        try await self.channel.writeAndFlush(ByteBuffer(string: text)).get()
    }

    /// Everything that comes until the broker ends the connection.
    func answer() async throws -> [JSONValue] {
        _ = try await self.isOver.wait { $0 ? true : nil }
        return try self.received.value.split(separator: UInt8(ascii: "\n")).map { try JSONValue(parsing: $0) }
    }

    /// Whether the broker has ended the connection.
    var hasEnded: Bool { self.isOver.value }

    /// Goes away.
    func close() async {
        try? await self.channel.close().get()
    }

    /// Asks one thing.
    static func ask(_ path: String, _ line: String) async throws -> [JSONValue] {
        try await self.connect(path, sending: line + "\n").answer()
    }
}
