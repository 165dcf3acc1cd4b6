import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// What an operator has written into messages that come in.
@Suite struct StampTests {
    private func open(
        timestamp: MessageStamps.Rule? = nil,
        node: MessageStamps.Rule? = nil,
        shards: Int = 1
    ) -> SimulatedClient {
        var settings = BrokerSettings()
        settings.clusterName = "rabbit@here"
        settings.stamps.timestamp = timestamp
        settings.stamps.routingNode = node
        let broker = SimulatedBroker(shardCount: shards, settings: settings)
        let client = SimulatedClient(broker).open()
        for name: ShortString in ["p", "q"] { client.call(QueueDeclare(queue: name)) }
        return client
    }

    private func pass(
        _ client: SimulatedClient,
        _ properties: BasicProperties,
        _ body: [UInt8] = [1],
        to queue: ShortString = "q"
    ) -> BasicProperties? {
        client.publish(routingKey: queue, properties: properties, body: body)
        guard case .content(_, _, let found, let text)? = client.call(BasicGet(queue: queue, noAck: true)).first,
            text == body
        else { return nil }
        return found
    }

    private var epoch: UInt64 { SimulatedBroker.startOfTime }

    @Test func nothingIsWrittenUnlessWanted() {
        let client = self.open()
        let mine = BasicProperties(headers: ["z": .int32(1), "a": .int32(2)], messageID: "7")
        #expect(self.pass(client, mine) == mine)
        #expect(self.pass(client, BasicProperties()) == BasicProperties())
    }

    @Test(arguments: [1, 2], ["p", "q"] as [ShortString])
    func theTimeOfArrivalIsWritten(shards: Int, queue: ShortString) throws {
        let client = self.open(timestamp: .keep, shards: shards)
        client.broker.advance(milliseconds: 1_234)
        // The second one takes the way of a publisher that says the same as last time.
        for _ in 0..<2 {
            let found = try #require(self.pass(client, BasicProperties(messageID: "7"), to: queue))
            let milliseconds = try #require(found.headers?["timestamp_in_ms"]?.integerValue)
            #expect(UInt64(milliseconds) >= self.epoch + 1_234 && UInt64(milliseconds) < self.epoch + 2_000)
            #expect(found.timestamp == UInt64(milliseconds) / 1000)
            #expect(found.messageID == "7" && found.headers?.count == 1)
        }
    }

    @Test func whatAMessageBringsStaysOrNot() throws {
        let mine = BasicProperties(
            headers: ["z": .int32(1), "timestamp_in_ms": .int64(2), "x-routed-by": .text("me"), "a": .void],
            timestamp: 3
        )
        #expect(self.pass(self.open(timestamp: .keep, node: .keep), mine) == mine)
        let found = try #require(self.pass(self.open(timestamp: .overwrite, node: .overwrite), mine))
        #expect(found.timestamp ?? 0 >= self.epoch / 1000)
        #expect(found.headers?.map { "\($0.key)" } == ["a", "timestamp_in_ms", "x-routed-by", "z"])
        #expect(found.headers?["x-routed-by"] == .text("rabbit@here"))
        // Each by itself: a message with one of both gets the other.
        let half = try #require(self.pass(self.open(timestamp: .keep), BasicProperties(timestamp: 3)))
        #expect(half.timestamp == 3 && half.headers?["timestamp_in_ms"] != nil)
        let node = try #require(self.pass(self.open(node: .keep), BasicProperties(timestamp: 3)))
        #expect(node.timestamp == 3 && node.headers?.map { "\($0.key)" } == ["x-routed-by"])
    }

    @Test func everyWayInIsCovered() throws {
        let client = self.open(timestamp: .overwrite)
        // Large, so that the message comes in memory of its own, in frames of many kinds of properties.
        let large = [UInt8](repeating: 7, count: 300_000)
        #expect(try #require(self.pass(client, BasicProperties(expiration: "10000"), large)).timestamp != nil)
        #expect(
            try #require(self.pass(client, BasicProperties(headers: ["BCC": .array([.text("p")])]))).timestamp != nil
        )
        #expect(client.call(BasicGet(queue: "p", noAck: true)).first?.properties?.timestamp != nil)
        client.call(TxSelect())
        client.publish(routingKey: "q", body: [1])
        client.call(TxCommit())
        let found = try #require(client.call(BasicGet(queue: "q", noAck: true)).first?.properties)
        #expect(found.timestamp != nil && found.headers?["timestamp_in_ms"] != nil)
        // A delayed message has the time when it came, not the time when it goes on.
        let other = SimulatedClient(client.broker).open()
        other.publish(routingKey: "q", properties: BasicProperties(headers: ["x-delay": .int32(60_000)]), body: [1])
        other.receive()
        client.broker.advance(milliseconds: 60_000)
        let late = try #require(other.call(BasicGet(queue: "q", noAck: true)).first?.properties)
        #expect(late.timestamp ?? 0 < self.epoch / 1000 + 30)
    }
}
