import AMQPProtocol
import BrokerCore
import BrokerSimulation
import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// Sockets that take nothing, and publishers that send too much.
@Suite struct BackpressureTests {
    private static let body = [UInt8](repeating: 7, count: 60_000)

    /// A connection that consumes from `queue` without acknowledging.
    private func consumer(_ shard: EmbeddedShard) throws -> EmbeddedConnection {
        let connection = try shard.connect().open()
        try connection.send(QueueDeclare(queue: "work"))
        try connection.send(BasicConsume(queue: "work", noAck: true))
        #expect(try connection.receivedMethods().map(\.id.name) == ["queue.declare-ok", "basic.consume-ok"])
        return connection
    }

    /// The deliveries in what a connection has received.
    private func deliveries(_ bytes: [UInt8]) -> Int {
        Frame.all(in: bytes).count { frame in
            if case .basicDeliver? = frame.method { true } else { false }
        }
    }

    @Test func writesBoundedOutputToASocketThatTakesNothing() throws {
        let shard = EmbeddedShard()
        let slow = try self.consumer(shard)
        let publisher = try shard.connect().open()
        slow.setWritable(false)
        for _ in 0..<100 { try publisher.send(Frame.publish(to: "work", body: Self.body)) }
        let first = try slow.received()
        // One turn may write what the core holds for a connection; 100 messages are 6 MB.
        #expect(first.count < 1 << 20)
        let early = self.deliveries(first)

        // It is told once that there is room, and gets the rest as room comes.
        slow.setWritable(true)
        shard.eventLoop.run()
        #expect(early + self.deliveries(try slow.received()) == 100)
        #expect(try publisher.received() == [])
    }

    @Test func aSlowSocketDoesNotHoldUpOthers() throws {
        let shard = EmbeddedShard()
        let slow = try self.consumer(shard)
        let fast = try self.consumer(shard)
        let publisher = try shard.connect().open()
        slow.setWritable(false)
        for _ in 0..<200 { try publisher.send(Frame.publish(to: "work", body: Self.body)) }
        shard.eventLoop.run()
        let (toSlow, toFast) = (self.deliveries(try slow.received()), self.deliveries(try fast.received()))
        #expect(toSlow + toFast == 200)
        #expect(toSlow < 20)
    }

    @Test func pausesAPublisherWhenMemoryIsFullAndResumesItLater() throws {
        var settings = BrokerSettings()
        settings.memoryLimitBytes = 1 << 20
        let shard = EmbeddedShard(settings)
        let publisher = try shard.connect().open()
        try publisher.send(QueueDeclare(queue: "work"))
        _ = try publisher.received()
        for _ in 0..<40 where publisher.isReading {
            try publisher.send(Frame.publish(to: "work", body: Self.body))
        }
        #expect(!publisher.isReading)
        #expect(try publisher.receivedMethods().map(\.id.name) == ["connection.blocked"])

        let reader = try shard.connect().open()
        try reader.send(QueuePurge(queue: "work"))
        #expect(try reader.receivedMethods().map(\.id.name) == ["queue.purge-ok"])
        shard.eventLoop.run()
        #expect(publisher.isReading)
        #expect(try publisher.receivedMethods().map(\.id.name) == ["connection.unblocked"])
    }

    /// More connections have something to say than a turn may write for; the others follow in the next turn.
    @Test func letsOtherSocketsInBetweenManyWrites() throws {
        let shard = EmbeddedShard()
        let consumers = try (0..<100).map { number in
            let connection = try shard.connect().open()
            let queue = ShortString(truncating: "queue \(number)")
            try connection.send(QueueDeclare(queue: queue))
            try connection.send(QueueBind(queue: queue, exchange: "amq.fanout"))
            try connection.send(BasicConsume(queue: queue, noAck: true))
            _ = try connection.received()
            return connection
        }
        let publisher = try shard.connect().open()
        try publisher.send(Frame.publish(to: "", exchange: "amq.fanout", body: [1]))
        let first = try consumers.map { self.deliveries(try $0.received()) }
        #expect(first.reduce(0, +) == ServerLimits.outputsPerTurn)
        shard.eventLoop.run()
        let second = try consumers.map { self.deliveries(try $0.received()) }
        #expect(zip(first, second).allSatisfy { $0 + $1 == 1 })
    }

    @Test func saysGoodbyeAfterWhatASlowSocketHasStillToTake() throws {
        let shard = EmbeddedShard()
        let slow = try self.consumer(shard)
        let publisher = try shard.connect().open()
        slow.setWritable(false)
        for _ in 0..<20 { try publisher.send(Frame.publish(to: "work", body: Self.body)) }
        try slow.send(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
        try slow.send(ConnectionCloseOk(), channel: 0)
        shard.eventLoop.run()
        #expect(slow.closes == [])
        slow.setWritable(true)
        shard.eventLoop.run()
        #expect(try slow.receivedMethods().last == .connectionCloseOk(ConnectionCloseOk()))
        #expect(slow.closes == ["output"])
    }

    @Test func aBlockedPublisherIsToldThatTheBrokerStops() throws {
        var settings = BrokerSettings()
        settings.memoryLimitBytes = 1 << 20
        let shard = EmbeddedShard(settings)
        let publisher = try shard.connect().open()
        try publisher.send(QueueDeclare(queue: "work"))
        for _ in 0..<40 where publisher.isReading {
            try publisher.send(Frame.publish(to: "work", body: Self.body))
        }
        #expect(!publisher.isReading)
        _ = try publisher.received()
        let stopped = shard.loop.stop()
        #expect(try publisher.receivedMethods().map(\.id.name) == ["connection.close"])
        // Otherwise its answer would not be seen.
        #expect(publisher.isReading)
        try publisher.send(ConnectionCloseOk(), channel: 0)
        #expect(publisher.closes == ["output"])
        var isDone = false
        stopped.assumeIsolated().whenSuccess { isDone = true }
        shard.eventLoop.run()
        #expect(isDone)
    }

    @Test func closesASocketOnlyWhenEverythingIsSent() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect().open()
        connection.getStuck()
        try connection.send(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
        try connection.send(ConnectionCloseOk(), channel: 0)
        shard.eventLoop.run()
        #expect(connection.closes == [])
        try connection.getUnstuck()
        #expect(try connection.receivedMethods() == [.connectionCloseOk(ConnectionCloseOk())])
        #expect(connection.closes == ["output"])
    }

    @Test func givesUpOnASocketThatNeverTakesTheLastWords() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect().open()
        connection.getStuck()
        try connection.send(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
        try connection.send(ConnectionCloseOk(), channel: 0)
        shard.eventLoop.advanceTime(by: .milliseconds(Int64(ServerLimits.closeGraceMilliseconds) - 1))
        #expect(connection.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(1))
        #expect(connection.closes == ["all"])
        #expect(shard.loop.connectionCount == 0)
    }
}
