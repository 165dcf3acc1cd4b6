import AMQPProtocol
import BrokerCore
import BrokerSimulation
import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// What a loop does by itself when time passes.
@Suite struct ShardLoopTests {
    private static let heartbeat: [UInt8] = [8, 0, 0, 0, 0, 0, 0, 206]

    private func connect(_ shard: EmbeddedShard, heartbeat: UInt16) throws -> EmbeddedConnection {
        let connection = try shard.connect()
        try connection.send(SimulatedClient.greeting(heartbeat: heartbeat))
        _ = try connection.received()
        return connection
    }

    @Test func sendsHeartbeatsInTime() throws {
        let shard = EmbeddedShard()
        let connection = try self.connect(shard, heartbeat: 10)
        for _ in 0..<20 {
            shard.eventLoop.advanceTime(by: .seconds(10))
            let bytes = try connection.received()
            #expect(bytes.starts(with: Self.heartbeat))
            #expect(bytes.count <= 2 * Self.heartbeat.count)
            try connection.send(Self.heartbeat)
        }
        #expect(connection.closes == [])
    }

    @Test func closesWhoMissesTwoHeartbeats() throws {
        let shard = EmbeddedShard()
        let connection = try self.connect(shard, heartbeat: 10)
        shard.eventLoop.advanceTime(by: .milliseconds(19_999))
        #expect(connection.closes == [])
        // It is looked at a few times in each interval, not at the very moment.
        shard.eventLoop.advanceTime(by: .milliseconds(2_501))
        #expect(connection.closes == ["output"])
        #expect(shard.loop.connectionCount == 0)
        #expect(shard.log.lines.contains { $0.contains("missed heartbeats from client, timeout: 10s") })
    }

    @Test func anythingThatArrivesIsASignOfLife() throws {
        let shard = EmbeddedShard()
        let connection = try self.connect(shard, heartbeat: 10)
        for number in 0..<10 {
            shard.eventLoop.advanceTime(by: .seconds(15))
            try connection.send(QueueDeclare(queue: ShortString(truncating: "queue \(number)")))
        }
        #expect(connection.closes == [])
    }

    @Test func keepsTheTimesOfManyConnectionsApart() throws {
        let shard = EmbeddedShard()
        let slow = try self.connect(shard, heartbeat: 60)
        let fast = try self.connect(shard, heartbeat: 2)
        let none = try self.connect(shard, heartbeat: 0)
        shard.eventLoop.advanceTime(by: .seconds(6))
        #expect(fast.closes == ["output"])
        #expect(slow.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(113_999))
        #expect(slow.closes == [])
        shard.eventLoop.advanceTime(by: .seconds(30))
        #expect(slow.closes == ["output", "all"])
        #expect(none.closes == [])
        #expect(try none.received() == [])
    }

    @Test func doesNothingAfterItHasLetGoOfItsTimer() throws {
        let shard = EmbeddedShard()
        let connection = try self.connect(shard, heartbeat: 10)
        shard.loop.shutdown()
        shard.eventLoop.advanceTime(by: .seconds(60))
        #expect(try connection.received() == [])
        #expect(connection.closes == [])
    }
}
