import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// The end of channels and connections, from either side, at any moment.
@Suite struct ClosingTests {
    /// Where the connection with the exclusive queue and the one that asks for it live.
    static let placements: [(shards: Int, owner: Int, other: Int)] = [(1, 0, 0), (2, 0, 1), (2, 1, 0), (3, 1, 2)]

    static let notFound = "1 channel.close 404 NOT_FOUND - no queue 'mine' in vhost '/' (50/10)"

    @Test(arguments: placements)
    func exclusiveQueuesGoWithALostConnection(placement: (shards: Int, owner: Int, other: Int)) {
        let broker = SimulatedBroker(shardCount: placement.shards)
        let owner = SimulatedClient(broker, shard: placement.owner).open()
        let other = SimulatedClient(broker, shard: placement.other).open()
        owner.call(QueueDeclare(queue: "mine", exclusive: true))
        owner.disconnect()
        broker.run()
        #expect(other.call(QueueDeclare(queue: "mine", passive: true)).lines == [Self.notFound])
    }

    @Test(arguments: placements)
    func exclusiveQueuesAreGoneAtCloseOk(placement: (shards: Int, owner: Int, other: Int)) {
        let broker = SimulatedBroker(shardCount: placement.shards)
        let owner = SimulatedClient(broker, shard: placement.owner).open()
        let other = SimulatedClient(broker, shard: placement.other).open()
        owner.call(QueueDeclare(queue: "mine", exclusive: true))
        owner.send(ConnectionClose(replyCode: 200, replyText: "", classID: 0, methodID: 0), channel: 0)
        var random = SeededRandom(seed: 1)
        // Only as many events as it takes until close-ok is on its way: the queue must be gone by then.
        while owner.socket.outbound.isEmpty {
            broker.run(random, maxEvents: 1)
            random = SeededRandom(seed: 2)
        }
        #expect(owner.receive().lines == ["0 connection.close-ok"])
        #expect(other.call(QueueDeclare(queue: "mine", passive: true)).lines == [Self.notFound])
    }

    /// A producer closes its channel, or its connection, and tells somebody elsewhere: the message must be in the queue.
    @Test(arguments: placements, [UInt16(0), 1])
    func publishesAreInTheirQueueAtCloseOk(placement: (shards: Int, owner: Int, other: Int), channel: UInt16) {
        for seed in UInt64(1)...20 {
            let broker = SimulatedBroker(shardCount: placement.shards)
            let home = SimulatedClient(broker, shard: placement.owner).open()
            home.call(QueueDeclare(queue: "mine"))
            let producer = SimulatedClient(broker, shard: placement.other).open()
            producer.publish(routingKey: "mine", body: [1])
            if channel == 0 {
                producer.send(ConnectionClose(replyCode: 200), channel: 0)
            } else {
                producer.send(ChannelClose(replyCode: 200), channel: channel)
            }
            var random = seed
            while producer.socket.outbound.isEmpty {
                broker.run(SeededRandom(seed: random), maxEvents: 1)
                random += 100
            }
            let queue = broker.shards.first { $0.census.queues == 1 }
            #expect(queue?.census.messages == 1, "seed \(seed)")
        }
    }

    /// The Go client closes from several threads at once, and takes the end of the stream right behind `close-ok` for an
    /// accident: its own `TestConcurrentClose`.
    @Test(arguments: [1, 2])
    func everyCloseIsAnsweredAndTheClientClosesTheSocket(shards: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: shards - 1).open()
        let close = SimulatedClient.frame(ConnectionClose(replyCode: 200), channel: 0)
        client.sendBytes(close + SimulatedClient.frame(BasicQos(), channel: 1) + close + close)
        let closeOk = "0 connection.close-ok"
        #expect(client.receive().lines == [closeOk, closeOk, closeOk])
        broker.advance(milliseconds: 29_000)
        #expect(client.call(ConnectionClose(replyCode: 200), channel: 0).lines == [closeOk])
        #expect(!client.socket.isClosed)
        broker.advance(milliseconds: 1_000)
        #expect(client.socket.isClosed)
        #expect(broker.shards.allSatisfy { $0.census.connections == 0 })
    }

    @Test func theHeartbeatBoundsHowLongTheSocketStays() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open(heartbeat: 5)
        #expect(client.call(ConnectionClose(replyCode: 200), channel: 0).lines == ["0 connection.close-ok"])
        broker.advance(milliseconds: 4_999)
        #expect(!client.socket.isClosed)
        broker.advance(milliseconds: 1)
        #expect(client.socket.isClosed)
    }

    @Test(arguments: [1, 2])
    func whatIsMalformedBehindCloseIsIgnored(shards: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: shards - 1).open()
        client.send(QueueDeclare(queue: "mine", exclusive: true))
        client.sendBytes(
            SimulatedClient.frame(ConnectionClose(replyCode: 200), channel: 0) + Array("junk, junk, junk".utf8)
        )
        #expect(client.receive().lines == ["1 queue.declare-ok 0 0", "0 connection.close-ok"])
        broker.advance(milliseconds: 30_000)
        #expect(client.socket.isClosed)
    }

    @Test(arguments: [1, 2])
    func bothSidesClose(shards: Int) {
        let client = SimulatedClient(SimulatedBroker(shardCount: shards), shard: shards - 1).open()
        // The second frame is there before the first has its answer.
        client.sendBytes(
            SimulatedClient.frame(QueueDeclare(queue: "mine", passive: true), channel: 1)
                + SimulatedClient.frame(BasicQos(prefetchCount: 1), channel: 1)
                + SimulatedClient.frame(
                    ChannelClose(replyCode: 200, replyText: "me too", classID: 0, methodID: 0),
                    channel: 1
                )
        )
        #expect(client.receive().lines == [Self.notFound, "1 channel.close-ok"])
        client.send(ChannelCloseOk())
        #expect(client.call(ChannelOpen()).lines == ["1 channel.open-ok"])
    }

    @Test func namesInReplyTextsAreTheClientsOctets() throws {
        let client = SimulatedClient(SimulatedBroker()).open()
        let name = try #require(ShortString([0x72, 0xff, 0xfe] as [UInt8]))
        client.publish(exchange: name, routingKey: "", body: [])
        guard case .method(1, .channelClose(let close))? = client.receive().first else {
            Issue.record("no channel.close")
            return
        }
        #expect(
            close.replyText.bytes == Array("NOT_FOUND - no exchange 'r".utf8) + [0xff, 0xfe]
                + Array("' in vhost '/'".utf8)
        )
    }

    @Test func longReplyTextsEndInDots() {
        let text = ReplyTextFixture.longestName
        let client = SimulatedClient(SimulatedBroker()).open()
        client.publish(exchange: text, routingKey: "", body: [])
        guard case .method(1, .channelClose(let close))? = client.receive().first else {
            Issue.record("no channel.close")
            return
        }
        #expect(close.replyText.bytes.count == 255)
        #expect(close.replyText.description.hasSuffix("xxx..."))
    }
}

private enum ReplyTextFixture {
    static let longestName = ShortString(truncating: String(repeating: "x", count: 255))
}
