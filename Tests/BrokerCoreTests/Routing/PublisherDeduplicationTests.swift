import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Exchanges with `x-message-deduplication` and publishers that number their messages.
@Suite struct PublisherDeduplicationTests {
    /// A publish with a publisher's number; its text is the number unless `text` is another.
    private func publish(
        _ client: SimulatedClient,
        _ number: Int64,
        by publisher: String = "p",
        key: ShortString = "q",
        persistent: Bool = true,
        text: String? = nil,
        further: [(ShortString, FieldValue)] = []
    ) {
        let headers: [(ShortString, FieldValue)] = [
            ("x-publisher-id", .text(publisher)), ("x-publisher-seq", .int64(number)),
        ]
        client.publish(
            exchange: "once",
            routingKey: key,
            properties: BasicProperties(headers: FieldTable(headers + further), deliveryMode: persistent ? 2 : 1),
            body: Array((text ?? "\(number)").utf8)
        )
    }

    /// Queue `q` on the first shard and `r` on the last, each by its own name; both by `all`.
    private func open(
        _ broker: SimulatedBroker,
        shard: Int = 0,
        _ arguments: [(ShortString, FieldValue)] = [],
        queue: FieldTable = [:]
    ) -> SimulatedClient {
        let client = SimulatedClient(broker, shard: shard).open()
        let all = [("x-message-deduplication" as ShortString, FieldValue.bool(1))] + arguments
        client.call(ExchangeDeclare(exchange: "once", type: "direct", durable: true, arguments: FieldTable(all)))
        for (home, name) in [(0, "q"), (broker.shards.count - 1, "r")] as [(Int, ShortString)] {
            let owner = SimulatedClient(broker, shard: home).open()
            owner.call(QueueDeclare(queue: name, durable: true, arguments: queue))
            owner.call(QueueBind(queue: name, exchange: "once", routingKey: name))
            owner.call(QueueBind(queue: name, exchange: "once", routingKey: "all"))
        }
        client.call(ConfirmSelect())
        return client
    }

    private static let places = [(1, 0), (2, 0), (2, 1)]

    @Test(arguments: places, ["q", "r", "all"] as [ShortString])
    func aNumberThatIsNotAboveTheHighestIsAcknowledgedAndDropped(place: (Int, Int), key: ShortString) {
        let broker = RestartTests.broker(place.0)
        let client = self.open(broker, shard: place.1)
        broker.isLogHeld = true
        self.publish(client, 1, key: key)
        self.publish(client, 1, key: key, text: "again")
        #expect(client.receive().lines == [], "not before the log has the first one")
        broker.isLogHeld = false
        broker.run()
        #expect(client.receive().lines.last == "1 ack 2 multiple")
        for number in [2, 3, 7, 3, 5, 7, 8] as [Int64] {
            self.publish(client, number, key: key)
            client.receive()
        }
        self.publish(client, 1, by: "other", key: key, text: "1 of another")
        #expect(client.receive().lines == ["1 ack 10"])
        let expected = ["1", "2", "3", "7", "8", "1 of another"]
        for queue: ShortString in ["q", "r"] {
            #expect(broker.drain(queue) == (key == queue || key == "all" ? expected : []))
        }
        let counts = broker.administer(.listExchanges(virtualHost: "/"))
        guard case .exchanges(let exchanges) = AdministrationRequest.listExchanges(virtualHost: "/").gather(counts)
        else {
            Issue.record("\(counts)")
            return
        }
        #expect(exchanges.first { $0.name == "once" }?.deduplication == .init(published: 10, duplicates: 4))
        #expect(exchanges.first { $0.name == "amq.direct" }.map { $0.deduplication == nil } == true)
    }

    @Test(arguments: [1, 2])
    func whatSaysTooLittleIsNotCompared(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        let incomplete: [[(ShortString, FieldValue)]] = [
            [("x-publisher-id", .text("p"))], [("x-publisher-seq", .int64(1))],
            [("x-publisher-id", .text("p")), ("x-publisher-seq", .int64(-1))],
            [("x-publisher-id", .text("p")), ("x-publisher-seq", .text("1"))],
            [("x-publisher-id", .text("")), ("x-publisher-seq", .int64(1))],
            [("x-publisher-id", .int32(1)), ("x-publisher-seq", .int64(1))],
            [("x-publisher-id", .text(String(repeating: "p", count: 256))), ("x-publisher-seq", .int64(1))],
        ]
        for headers in incomplete {
            for _ in 1...2 {
                let properties = BasicProperties(headers: FieldTable(headers))
                client.publish(exchange: "once", routingKey: "q", properties: properties, body: [65])
            }
            client.receive()
        }
        #expect(broker.drain().count == 2 * incomplete.count)
        // The number counts before the key; the key where there is no number.
        let key: [(ShortString, FieldValue)] = [("x-deduplication-header", .text("k"))]
        self.publish(client, 1, further: key)
        self.publish(client, 2, further: key)
        self.publish(client, 2, further: [("x-deduplication-header", .text("another"))])
        client.receive()
        #expect(broker.drain() == ["1", "2"])
    }

    @Test(arguments: [1, 2], ["q", "r", "all"] as [ShortString])
    func whatAQueueRefusesIsNotSeen(shards: Int, key: ShortString) {
        let broker = RestartTests.broker(shards)
        let limits: FieldTable = ["x-max-length": .int32(1), "x-overflow": .text("reject-publish")]
        let client = self.open(broker, queue: limits)
        for number in 1...3 as ClosedRange<Int64> { self.publish(client, number, key: key) }
        #expect(Set(client.receive().lines) == ["1 ack 1", "1 nack 2", "1 nack 3"])
        for queue: ShortString in ["q", "r"] { _ = broker.drain(queue) }
        // A later one is through before those are repeated.
        self.publish(client, 4, key: key)
        #expect(client.receive().lines == ["1 ack 4"])
        for number in [2, 3] as [Int64] {
            for queue: ShortString in ["q", "r"] { _ = broker.drain(queue) }
            self.publish(client, number, key: key)
            #expect(client.receive().lines.last?.contains(" ack ") == true)
            let queue: ShortString = key == "all" ? "r" : key
            #expect(broker.drain(queue) == ["\(number)"])
            self.publish(client, number, key: key)
            #expect(client.receive().lines.last?.contains(" ack ") == true)
            #expect(broker.drain(queue) == [])
        }
    }

    @Test(arguments: RestartTests.shardCounts)
    func numbersOutliveTheProcess(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let limits: FieldTable = ["x-max-length": .int32(2), "x-overflow": .text("reject-publish")]
        let client = self.open(first, shard: before - 1, queue: limits)
        for number in 1...3 as ClosedRange<Int64> { self.publish(client, number, key: "all") }
        self.publish(client, 1, by: "other", key: "all")
        client.receive()
        // Told again, the older files gone.
        first.trimLog {}
        let second = try RestartTests.restarted(first, shards: after)
        #expect(second.drain() == ["1", "2"] && second.drain("r") == ["1", "2"])
        let other = self.open(second, shard: after - 1, queue: limits)
        for number in 1...4 as ClosedRange<Int64> { self.publish(other, number, key: "all") }
        #expect(other.receive().lines.allSatisfy { !$0.contains("nack") })
        #expect(second.drain() == ["3", "4"] && second.drain("r") == ["3", "4"], "3 was refused")
        // The end of the exchange is the end of what it knew.
        other.call(ExchangeDelete(exchange: "once"))
        let third = try RestartTests.restarted(second, shards: before)
        let last = self.open(third, queue: limits)
        self.publish(last, 1, text: "anew")
        last.receive()
        #expect(third.drain() == ["anew"])
    }

    /// Messages for queues on two shards, so that later ones arrive before earlier ones: whatever the log has when the
    /// broker crashes, what is published again is there.
    @Test(arguments: [1, 2, 3], 1...6 as ClosedRange<UInt64>)
    func aCrashAtAnyRecordLosesNothing(shards: Int, seed: UInt64) throws {
        let first = RestartTests.broker(shards)
        let client = self.open(first, shard: shards - 1)
        let declared = first.durableRecords.count
        let random = SeededRandom(seed: seed)
        let numbers = 1...12 as ClosedRange<Int64>
        for number in numbers {
            self.publish(client, number, key: number % 2 == 0 ? "q" : "r")
            if random.oneIn(2) { first.run(random, maxEvents: Int(random.next() % 6)) }
        }
        client.receive()
        let evens = Set(numbers.filter { $0 % 2 == 0 }.map { "\($0)" })
        let odds = Set(numbers.filter { $0 % 2 != 0 }.map { "\($0)" })
        let records = first.durableRecords
        #expect(records.count > declared + numbers.count)
        for count in declared...records.count {
            let next = RestartTests.broker(2)
            try next.restore(Array(records.prefix(count)))
            let retry = self.open(next)
            for number in numbers { self.publish(retry, number, key: number % 2 == 0 ? "q" : "r") }
            retry.receive()
            let found = [next.drain(), next.drain("r")]
            #expect(Set(found[0]) == evens && Set(found[1]) == odds, "seed \(seed), after \(count) records")
            if count == records.count { #expect(found.map(\.count) == [6, 6], "each of them once") }
        }
    }

    @Test(arguments: [1, 2])
    func whatIsToLastIsNoDuplicateOfWhatIsNot(shards: Int) throws {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, shard: shards - 1)
        self.publish(client, 1, persistent: false, text: "transient")
        self.publish(client, 1, persistent: false, text: "transient again")
        self.publish(client, 1, text: "persistent")
        self.publish(client, 1, text: "persistent again")
        #expect(client.receive().lines.last == "1 ack 4 multiple")
        let next = try RestartTests.restarted(broker, shards: 1)
        let retry = self.open(next)
        self.publish(retry, 1, text: "after the crash")
        retry.receive()
        #expect(next.drain() == ["persistent"])
        #expect(broker.drain() == ["transient", "persistent"])
    }

    @Test(arguments: [1, 2])
    func publishersAreBoundedInCountAndTime(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, [("x-max-publishers", .int32(2)), ("x-cache-ttl", .int32(1000))])
        for publisher in ["a", "b", "a", "c", "a", "b"] {
            self.publish(client, 1, by: publisher, text: publisher)
            client.receive()
        }
        // A duplicate is nothing new: a left for c, c for a, ...
        #expect(broker.drain() == ["a", "b", "c", "a", "b"])
        broker.advance(milliseconds: 999)
        self.publish(client, 1, by: "b", text: "early")
        client.receive()
        broker.advance(milliseconds: 1)
        self.publish(client, 1, by: "b", text: "in time")
        client.receive()
        #expect(broker.drain() == ["in time"])
    }

    /// Whatever a publisher has published, a turn is one record of it, and so is a snapshot.
    @Test(arguments: [1, 2])
    func aPublisherCostsOneRecord(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        let type = LogRecordType.publisher.rawValue
        for number in 1...500 as ClosedRange<Int64> { self.publish(client, number) }
        client.receive()
        let told = broker.durableRecords.count { $0.type == type }
        #expect(told >= 1 && told <= 50, "of 500 messages")
        broker.trimLog {}
        #expect(broker.durableRecords.count { $0.type == type } <= told + 1)
        #expect(broker.shards.reduce(0) { $0 + $1.windows.bytes } < 1000)
    }

    @Test(arguments: [1, 2])
    func transactionsAndDelaysPassOnce(shards: Int) {
        let broker = RestartTests.broker(shards)
        _ = self.open(broker)
        let client = SimulatedClient(broker, shard: shards - 1).open()
        client.call(TxSelect())
        for _ in 1...2 {
            self.publish(client, 1, key: "all")
            self.publish(client, 2, key: "all", further: [("x-delay", .int32(100))])
        }
        #expect(client.call(TxCommit()).lines == ["1 tx.commit-ok"])
        #expect(broker.drain() == ["1"] && broker.drain("r") == ["1"])
        broker.advance(milliseconds: 100)
        #expect(broker.drain() == ["2"] && broker.drain("r") == ["2"])
    }
}
