import AMQPProtocol
import BrokerCore
import BrokerSimulation
import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// The end of connections: the last words arrive, and no socket stays for long.
@Suite struct LingeringTests {
    /// A connection that the broker has closed its side of.
    private func makeLingering(_ shard: EmbeddedShard) throws -> EmbeddedConnection {
        let connection = try shard.connect().open()
        try connection.send(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
        #expect(try connection.receivedMethods() == [.connectionCloseOk(ConnectionCloseOk())])
        // That is left to the client, which asks for it here.
        #expect(connection.closes == [])
        try connection.send(ConnectionCloseOk(), channel: 0)
        #expect(connection.closes == ["output"])
        #expect(shard.loop.connectionCount == 0)
        return connection
    }

    @Test func throwsInputAwayWhileItLingers() throws {
        let shard = EmbeddedShard()
        let connection = try self.makeLingering(shard)
        for _ in 0..<100 { try connection.send(Frame.publish(to: "nowhere", body: [1, 2, 3])) }
        #expect(try connection.received() == [])
        #expect(connection.isReading)
        #expect(connection.closes == ["output"])
    }

    @Test func lingersThreeSecondsAtMost() throws {
        let shard = EmbeddedShard()
        let connection = try self.makeLingering(shard)
        shard.eventLoop.advanceTime(by: .milliseconds(2_999))
        #expect(connection.closes == ["output"])
        shard.eventLoop.advanceTime(by: .milliseconds(1))
        #expect(connection.closes == ["output", "all"])
        #expect(!connection.channel.isActive)
    }

    @Test func endsWhenThePeerClosesFirst() throws {
        let shard = EmbeddedShard()
        let connection = try self.makeLingering(shard)
        try connection.channel.close().wait()
        shard.eventLoop.advanceTime(by: .seconds(10))
        #expect(connection.closes == ["output", "all"])
    }

    @Test func overTLSClosesTheWholeSocket() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect(isTLS: true).open()
        try connection.send(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
        #expect(try connection.receivedMethods() == [.connectionCloseOk(ConnectionCloseOk())])
        try connection.send(ConnectionCloseOk(), channel: 0)
        #expect(connection.closes == ["all"])
        #expect(shard.loop.connectionCount == 0)
    }

    @Test func aPeerThatSaysNothingMoreIsForgotten() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect().open()
        try connection.send(QueueDeclare(queue: "mine", exclusive: true))
        _ = try connection.received()
        connection.closeInput()
        #expect(shard.loop.connectionCount == 0)
        #expect(connection.closes == ["output"])

        let other = try shard.connect().open()
        try other.send(QueueDeclare(queue: "mine", passive: true))
        guard case .channelClose(let close)? = try other.receivedMethods().first else {
            Issue.record("the exclusive queue is still there")
            return
        }
        #expect(close.replyCode == 404)
    }

    @Test func aLostSocketGivesBackWhatItHad() throws {
        let shard = EmbeddedShard()
        let owner = try shard.connect().open()
        try owner.send(QueueDeclare(queue: "work"))
        try owner.send(Frame.publish(to: "work", body: [1]))
        let taker = try shard.connect().open()
        try taker.send(BasicGet(queue: "work"))
        #expect(try taker.receivedMethods().map(\.id.name) == ["basic.get-ok"])
        try taker.channel.close().wait()
        _ = try owner.received()
        try owner.send(BasicGet(queue: "work"))
        guard case .basicGetOk(let answer)? = try owner.receivedMethods().first else {
            Issue.record("the message is gone")
            return
        }
        #expect(answer.redelivered)
    }

    // MARK: The broker stops

    @Test func tellsEveryClientWhenItStops() throws {
        let shard = EmbeddedShard()
        let running = [try shard.connect().open(), try shard.connect().open()]
        let greeting = try shard.connect()
        let stopped = shard.loop.stop()
        for connection in running {
            guard case .connectionClose(let close)? = try connection.receivedMethods().first else {
                Issue.record("not told")
                continue
            }
            #expect(close.replyCode == 320)
            #expect(close.replyText == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
            #expect(connection.closes == [])
            try connection.send(ConnectionCloseOk(), channel: 0)
            #expect(connection.closes == ["output"])
        }
        #expect(greeting.closes == ["output"])
        var isDone = false
        stopped.assumeIsolated().whenSuccess { isDone = true }
        shard.eventLoop.run()
        #expect(isDone)
    }

    @Test func stopsWithoutClientsAtOnce() throws {
        let shard = EmbeddedShard()
        var isDone = false
        shard.loop.stop().assumeIsolated().whenSuccess { isDone = true }
        shard.eventLoop.run()
        #expect(isDone)
    }

    @Test func doesNotWaitLongForClientsThatDoNotAnswer() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect().open()
        var isDone = false
        shard.loop.stop().assumeIsolated().whenSuccess { isDone = true }
        shard.eventLoop.advanceTime(by: .milliseconds(Int64(ServerLimits.stopGraceMilliseconds) - 1))
        #expect(!isDone)
        #expect(connection.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(1))
        #expect(isDone)
        #expect(connection.closes == ["all"])
    }
}
