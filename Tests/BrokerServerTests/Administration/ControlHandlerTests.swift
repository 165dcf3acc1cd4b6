import BrokerCore
import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// The time that a client of the control socket has.
@Suite struct ControlHandlerTests {
    /// Never asked here.
    private struct Nobody: BrokerAdministration {
        func administer(_ request: AdministrationRequest) async -> AdministrationAnswer { .done }

        func snapshot(in directory: String) async -> AsyncStream<SnapshotProgress> { SnapshotMaker.failing("nobody") }
    }

    private func connect(_ seats: ControlSeats) throws -> EmbeddedChannel {
        let handler = ControlHandler(ControlService(administration: Nobody()), seats)
        let channel = EmbeddedChannel(handler: handler)
        try channel.connect(to: SocketAddress(unixDomainSocketPath: "/x")).wait()
        return channel
    }

    @Test func whoAsksNothingHasToGo() throws {
        let seats = ControlSeats(1)
        let channel = try self.connect(seats)
        // Now and then an octet does not help.
        for _ in 0..<9 {
            channel.embeddedEventLoop.advanceTime(by: .seconds(1))
            try channel.writeInbound(ByteBuffer(string: " "))
        }
        #expect(channel.isActive)
        #expect(!seats.take())
        channel.embeddedEventLoop.advanceTime(by: .seconds(1))
        #expect(!channel.isActive)
        #expect(seats.take())
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test func whoGoesGivesTheSeatBackAtOnce() throws {
        let seats = ControlSeats(1)
        let channel = try self.connect(seats)
        try channel.close().wait()
        #expect(seats.take())
        channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test func whoIsRefusedTakesNoSeat() throws {
        let seats = ControlSeats(0)
        let channel = try self.connect(seats)
        #expect(try channel.readOutbound(as: ByteBuffer.self).map { String(buffer: $0) }?.contains("too many") == true)
        channel.embeddedEventLoop.run()
        #expect(!channel.isActive)
        #expect(!seats.take())
        _ = try channel.finish(acceptAlreadyClosed: true)
    }
}
