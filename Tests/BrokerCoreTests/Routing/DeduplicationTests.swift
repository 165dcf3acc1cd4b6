import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Exchanges with `x-message-deduplication`: a key passes once, and every publish is acknowledged.
@Suite struct DeduplicationTests {
    private func publish(
        _ client: SimulatedClient,
        _ text: String,
        _ headers: [(ShortString, FieldValue)],
        mandatory: Bool = false,
        key: ShortString = "k",
        persistent: Bool = true
    ) {
        client.publish(
            exchange: "once",
            routingKey: key,
            mandatory: mandatory,
            properties: BasicProperties(headers: FieldTable(headers), deliveryMode: persistent ? 2 : 1),
            body: Array(text.utf8)
        )
    }

    private func publish(_ client: SimulatedClient, _ text: String, _ value: FieldValue, persistent: Bool = true) {
        self.publish(client, text, [("x-deduplication-header", value)], persistent: persistent)
    }

    /// Two queues, so that with two shards one lives on each.
    private func open(
        _ broker: SimulatedBroker,
        shard: Int = 0,
        _ arguments: [(ShortString, FieldValue)] = [],
        queue: FieldTable = [:]
    ) -> SimulatedClient {
        let client = SimulatedClient(broker, shard: shard).open()
        let all = [("x-message-deduplication" as ShortString, FieldValue.bool(1))] + arguments
        client.call(ExchangeDeclare(exchange: "once", type: "direct", durable: true, arguments: FieldTable(all)))
        for name: ShortString in ["q", "r"] {
            client.call(QueueDeclare(queue: name, durable: true, arguments: queue))
            client.call(QueueBind(queue: name, exchange: "once", routingKey: "k"))
        }
        client.call(ConfirmSelect())
        return client
    }

    /// The plugin's own type: every binding, and a number of keys that must be said, as text if need be.
    @Test func anExchangeOfThePluginsType() {
        let client = SimulatedClient(SimulatedBroker()).open()
        func declare(_ arguments: FieldTable) -> String? {
            client.call(ExchangeDeclare(exchange: "once", type: "x-message-deduplication", arguments: arguments))
                .lines.last
        }
        let missing = "Missing or invalid argument, 'x-cache-size' must be an integer greater than 0"
        for arguments in [[:], ["x-cache-size": .text("foo")], ["x-cache-size": .int32(0)]] as [FieldTable] {
            #expect(declare(arguments) == "1 channel.close 406 PRECONDITION_FAILED - \(missing) (40/10)")
            client.send(ChannelCloseOk())
            client.call(ChannelOpen())
        }
        let arguments: FieldTable = [
            "x-cache-size": .text("1"), "x-cache-ttl": .text("1000"), "x-cache-persistence": .text("disk"),
        ]
        #expect(declare(arguments) == "1 exchange.declare-ok")
        client.call(QueueDeclare(queue: "q"))
        client.call(QueueBind(queue: "q", exchange: "once", routingKey: "elsewhere"))
        for key in ["a", "a", "b", "a"] {
            self.publish(client, key, .text(key))
        }
        client.receive()
        #expect(client.drain("q") == ["a", "b", "a"])
        client.broker.advance(milliseconds: 1001)
        self.publish(client, "late", .text("a"))
        client.receive()
        #expect(client.drain("q") == ["late"])
    }

    private func drainBoth(_ broker: SimulatedBroker) -> [[String]] { [broker.drain(), broker.drain("r")] }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)])
    func duplicatesAreDroppedAndAcknowledged(shards: Int, shard: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, shard: shard)
        broker.isLogHeld = true
        self.publish(client, "a", .text("1"))
        self.publish(client, "a again", .text("1"))
        #expect(client.receive().lines == [], "not before the log has the first one")
        broker.isLogHeld = false
        broker.run()
        #expect(client.receive().lines.last == "1 ack 2 multiple")
        self.publish(client, "b", .int32(1))
        #expect(client.receive().lines == ["1 ack 3"])
        self.publish(client, "none", [])
        #expect(client.receive().lines == ["1 ack 4"])
        self.publish(client, "none", [])
        #expect(client.receive().lines == ["1 ack 5"])
        self.publish(client, "late", .text("1"))
        #expect(client.receive().lines == ["1 ack 6"])
        #expect(self.drainBoth(broker) == [["a", "b", "none", "none"], ["a", "b", "none", "none"]])
    }

    @Test(arguments: [1, 2])
    func theWindowIsBoundedInCountAndTime(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(
            broker,
            [("x-cache-size", .int32(2)), ("x-cache-ttl", .int32(1000)), ("x-deduplication-header", .text("id"))]
        )
        for id in ["1", "2", "1", "3", "1"] {
            self.publish(client, id, [("id", .text(id))])
            client.receive()
        }
        #expect(broker.drain() == ["1", "2", "3", "1"])
        self.publish(client, "own", [("id", .text("own")), ("x-cache-ttl", .int32(5000))])
        client.receive()
        broker.advance(milliseconds: 999)
        self.publish(client, "early", [("id", .text("1"))])
        client.receive()
        broker.advance(milliseconds: 1)
        self.publish(client, "in time", [("id", .text("1"))])
        self.publish(client, "its own time counts", [("id", .text("own"))])
        client.receive()
        #expect(broker.drain() == ["own", "in time"])
    }

    @Test(arguments: [1, 2])
    func whatAQueueRefusesLeavesNoKey(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, queue: ["x-max-length": .int32(1), "x-overflow": .text("reject-publish")])
        self.publish(client, "1", .text("1"))
        client.receive()
        self.publish(client, "2", .text("2"))
        #expect(client.receive().lines == ["1 nack 2"])
        #expect(self.drainBoth(broker) == [["1"], ["1"]])
        self.publish(client, "2", .text("2"))
        #expect(client.receive().lines == ["1 ack 3"])
        #expect(self.drainBoth(broker) == [["2"], ["2"]])
    }

    @Test(arguments: [(1, 1), (2, 1), (1, 2), (2, 2)])
    func whatIsToLastIsNoDuplicateOfWhatIsNot(shards: Int, after: Int) throws {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, shard: shards - 1)
        self.publish(client, "transient", .text("1"), persistent: false)
        self.publish(client, "transient again", .text("1"), persistent: false)
        self.publish(client, "persistent", .text("1"))
        self.publish(client, "persistent again", .text("1"))
        self.publish(client, "transient at last", .text("1"), persistent: false)
        #expect(client.receive().lines.last == "1 ack 5 multiple")
        let next = try RestartTests.restarted(broker, shards: after)
        let retry = self.open(next)
        self.publish(retry, "after the crash", .text("1"))
        retry.receive()
        #expect(self.drainBoth(next) == [["persistent"], ["persistent"]])
        #expect(self.drainBoth(broker) == [["transient", "persistent"], ["transient", "persistent"]])
    }

    /// A refused message that was to last leaves the key to the one before, whether that was still under way or not.
    @Test(arguments: [(1, true), (1, false), (2, true), (2, false)])
    func whatARefusedMessageWasToReplaceStands(shards: Int, isUnderWay: Bool) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, queue: ["x-max-length": .int32(1), "x-overflow": .text("reject-publish")])
        self.publish(client, "transient", .text("1"), persistent: false)
        if !isUnderWay { #expect(client.receive().lines == ["1 ack 1"]) }
        self.publish(client, "persistent", .text("1"))
        #expect(client.receive().lines.contains("1 nack 2"))
        #expect(self.drainBoth(broker) == [["transient"], ["transient"]])
        self.publish(client, "transient again", .text("1"), persistent: false)
        #expect(client.receive().lines == ["1 ack 3"])
        #expect(self.drainBoth(broker) == [[], []])
        self.publish(client, "persistent again", .text("1"))
        #expect(client.receive().lines == ["1 ack 4"])
        #expect(self.drainBoth(broker) == [["persistent again"], ["persistent again"]])
    }

    @Test(arguments: [1, 2])
    func mandatoryLooksPastTheWindow(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        self.publish(client, "a", [("x-deduplication-header", .text("1"))], mandatory: true)
        #expect(client.receive().lines == ["1 ack 1"])
        self.publish(client, "a again", [("x-deduplication-header", .text("1"))], mandatory: true)
        #expect(client.receive().lines == ["1 ack 2"], "a duplicate is not unroutable")
        self.publish(client, "b", [("x-deduplication-header", .text("2"))], mandatory: true, key: "nowhere")
        let lines = client.receive().lines
        #expect(lines.count == 2 && lines.first?.contains("return") == true && lines.last == "1 ack 3")
    }

    @Test(arguments: [1, 2])
    func transactionsAndDelaysPassOnce(shards: Int) {
        let broker = RestartTests.broker(shards)
        _ = self.open(broker)
        let client = SimulatedClient(broker, shard: shards - 1).open()
        client.call(TxSelect())
        self.publish(client, "a", .text("1"))
        self.publish(client, "again", .text("1"))
        self.publish(client, "waits", [("x-deduplication-header", .text("2")), ("x-delay", .int32(100))])
        self.publish(client, "waits again", [("x-deduplication-header", .text("2")), ("x-delay", .int32(100))])
        #expect(client.call(TxCommit()).lines == ["1 tx.commit-ok"])
        #expect(self.drainBoth(broker) == [["a"], ["a"]])
        broker.advance(milliseconds: 100)
        #expect(self.drainBoth(broker) == [["waits"], ["waits"]])
    }

    @Test(arguments: RestartTests.shardCounts)
    func theWindowOutlivesTheProcess(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let client = self.open(first, shard: before - 1)
        for id in ["1", "2"] { self.publish(client, id, .text(id)) }
        client.receive()
        // Told again, the older files gone.
        first.trimLog {}
        let second = try RestartTests.restarted(first, shards: after)
        let other = self.open(second, shard: after - 1)
        for id in ["1", "2", "3"] { self.publish(other, id, .text(id)) }
        other.receive()
        #expect(self.drainBoth(second) == [["1", "2", "3"], ["1", "2", "3"]])
        // The end of the exchange is the end of its window.
        other.call(ExchangeDelete(exchange: "once"))
        let third = try RestartTests.restarted(second, shards: before)
        let last = self.open(third)
        self.publish(last, "anew", .text("1"))
        last.receive()
        #expect(third.drain().last == "anew")
    }

    @Test(arguments: [1, 2, 3])
    func aCrashAtAnyRecordLosesNothing(shards: Int) throws {
        let first = RestartTests.broker(shards)
        let client = self.open(first, shard: shards - 1)
        let declared = first.durableRecords.count
        for id in ["1", "2", "3"] { self.publish(client, id, .text(id)) }
        client.receive()
        #expect(first.durableRecords.count >= declared + 6)
        for count in declared...first.durableRecords.count {
            let next = RestartTests.broker(2)
            try next.restore(Array(first.durableRecords.prefix(count)))
            let retry = self.open(next)
            for id in ["1", "2", "3"] { self.publish(retry, id, .text(id)) }
            retry.receive()
            let found = self.drainBoth(next)
            for texts in found { #expect(Set(texts) == ["1", "2", "3"], "after \(count) records") }
            if count == first.durableRecords.count { #expect(found.map(\.count) == [3, 3]) }
        }
    }

    private static let refused: [(FieldTable, String)] = [
        (["x-message-deduplication": .int32(1)], "'x-message-deduplication' must be a boolean"),
        (
            ["x-message-deduplication": .bool(1), "x-cache-size": .int32(0)],
            "'x-cache-size' must be a positive integer"
        ),
        (
            ["x-message-deduplication": .bool(1), "x-cache-ttl": .text("1")],
            "'x-cache-ttl' must be a positive integer"
        ),
        (
            ["x-message-deduplication": .bool(1), "x-max-publishers": .int64(-1)],
            "'x-max-publishers' must be a positive integer"
        ),
        (
            ["x-message-deduplication": .bool(1), "x-deduplication-header": .int32(1)],
            "'x-deduplication-header' must be the name of a header"
        ),
    ]

    @Test(arguments: refused)
    func argumentsAreChecked(arguments: FieldTable, text: String) {
        let answer = TopologyScene().exchange("e", type: "direct", arguments)
        #expect(
            answer.hasPrefix("channel 406 exchange.declare Invalid argument") && answer.hasSuffix(text),
            "\(answer)"
        )
    }

    @Test func otherExchangesTakeAnyOfThem() {
        #expect(!TopologyScene().exchange("e", type: "direct", ["x-cache-size": .text("any")]).contains("406"))
    }
}
