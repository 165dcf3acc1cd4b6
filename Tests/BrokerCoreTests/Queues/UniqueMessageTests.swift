import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Queues with `x-message-deduplication`: a message is ignored while another with its id is there.
@Suite struct UniqueMessageTests {
    private static let unique: (ShortString, FieldValue) = ("x-message-deduplication", .bool(1))

    private func publish(
        _ client: SimulatedClient,
        _ text: String,
        _ id: FieldValue?,
        to queue: ShortString = "q",
        exchange: ShortString = "",
        mandatory: Bool = false,
        persistent: Bool = true,
        expiration: ShortString? = nil
    ) {
        client.publish(
            exchange: exchange,
            routingKey: queue,
            mandatory: mandatory,
            properties: BasicProperties(
                headers: id.map { ["a": .bool(0), "x-deduplication-header": $0, "z": .text("z")] },
                deliveryMode: persistent ? 2 : 1,
                expiration: expiration
            ),
            body: Array(text.utf8)
        )
    }

    private func publishAll(_ client: SimulatedClient, _ texts: String...) {
        for text in texts { self.publish(client, text, .text(String(text.prefix(1)))) }
        client.receive()
    }

    /// Queues `p` and `q`: with two shards one on each.
    private func open(
        _ broker: SimulatedBroker,
        shard: Int = 0,
        confirms: Bool = true,
        _ arguments: [(ShortString, FieldValue)] = []
    ) -> SimulatedClient {
        let client = SimulatedClient(broker, shard: shard).open()
        // A queue lives where it was declared.
        for (home, name) in [(0, "p"), (broker.shards.count - 1, "q")] as [(Int, ShortString)] {
            SimulatedClient(broker, shard: home).open().call(
                QueueDeclare(queue: name, durable: true, arguments: FieldTable([Self.unique] + arguments))
            )
        }
        if confirms { client.call(ConfirmSelect()) }
        return client
    }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)], ["p", "q"] as [ShortString])
    func duplicatesAreAcknowledgedAndIgnored(shards: (Int, Int), queue: ShortString) {
        let broker = RestartTests.broker(shards.0)
        let client = self.open(broker, shard: shards.1)
        broker.isLogHeld = true
        self.publish(client, "1", .text("1"), to: queue)
        self.publish(client, "1 again", .text("1"), to: queue, mandatory: true)
        #expect(client.receive().lines == [], "not before the log has the original")
        broker.isLogHeld = false
        broker.run()
        #expect(client.receive().lines.last == "1 ack 2 multiple")
        broker.isLogHeld = true
        self.publish(client, "1 once more", .text("1"), to: queue, mandatory: true)
        #expect(client.receive().lines == [], "like any other persistent message")
        broker.isLogHeld = false
        broker.run()
        #expect(client.receive().lines == ["1 ack 3"])
        // The type is a part of the id, and what has none is no duplicate.
        self.publish(client, "number", .int32(1), to: queue)
        self.publish(client, "none", nil, to: queue)
        self.publish(client, "none", nil, to: queue)
        self.publish(client, "void", .void, to: queue)
        self.publish(client, "void", .void, to: queue)
        self.publish(client, "transient", .text("1"), to: queue, persistent: false)
        client.receive()
        #expect(broker.drain(queue) == ["1", "number", "none", "none", "void", "void"])
        self.publish(client, "1 anew", .text("1"), to: queue)
        client.receive()
        #expect(broker.drain(queue) == ["1 anew"])
    }

    @Test(arguments: [1, 2])
    func anIDIsTakenUntilItsMessageIsAcknowledged(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        let worker = SimulatedClient(broker).open()
        self.publishAll(client, "a", "b", "c")
        #expect(worker.call(BasicConsume(queue: "q", consumerTag: "w")).compactMap(\.text) == ["a", "b", "c"])
        self.publishAll(client, "a again")
        #expect(worker.receive().compactMap(\.text) == [], "it is out")
        worker.call(BasicNack(deliveryTag: 1, requeue: true))
        self.publishAll(client, "a again")
        #expect(worker.receive().compactMap(\.text) == [], "it is out again")
        worker.call(BasicAck(deliveryTag: 4))
        self.publishAll(client, "a anew", "b again")
        #expect(worker.receive().compactMap(\.text) == ["a anew"])
        worker.call(BasicAck(deliveryTag: 0, multiple: true))
        self.publishAll(client, "a 3", "b 3", "c 3")
        #expect(worker.receive().compactMap(\.text) == ["a 3", "b 3", "c 3"])
        // A worker that dies gives back what it has; that is not the end of it.
        worker.disconnect()
        broker.run()
        self.publishAll(client, "a 4")
        #expect(broker.drain() == ["a 3", "b 3", "c 3"])
    }

    enum Way: CaseIterable {
        case got, consumed, rejected, expired, queueExpired, dropped, purged, deleted, triedTooOften
    }

    @Test(arguments: Way.allCases, [1, 2])
    func anIDIsFreeWhenItsMessageLeavesInAnyWay(way: Way, shards: Int) {
        let broker = RestartTests.broker(shards)
        var arguments: [(ShortString, FieldValue)] = [("x-dead-letter-exchange", .text("dlx"))]
        switch way {
        case .queueExpired: arguments.append(("x-message-ttl", .int32(100)))
        case .dropped: arguments.append(("x-max-length", .int32(1)))
        case .triedTooOften: arguments.append(("x-delivery-limit", .int32(0)))
        default: break
        }
        let client = self.open(broker, arguments)
        self.publish(client, "a", .text("a"), expiration: way == .expired ? "100" : nil)
        self.publish(client, "a again", .text("a"))
        client.receive()
        let worker = SimulatedClient(broker).open()
        switch way {
        case .got: worker.call(BasicGet(queue: "q", noAck: true))
        case .consumed:
            worker.call(BasicConsume(queue: "q", consumerTag: "w", noAck: true))
            worker.call(BasicCancel(consumerTag: "w"))
        case .rejected:
            worker.call(BasicGet(queue: "q"))
            worker.call(BasicReject(deliveryTag: 1, requeue: false))
        case .triedTooOften:
            worker.call(BasicGet(queue: "q"))
            worker.call(BasicReject(deliveryTag: 1, requeue: true))
        case .expired, .queueExpired: broker.advance(milliseconds: 100)
        case .dropped: self.publish(client, "b", .text("b"))
        case .purged: worker.call(QueuePurge(queue: "q"))
        case .deleted:
            worker.call(QueueDelete(queue: "q"))
            _ = self.open(broker, arguments)
        }
        broker.run()
        self.publish(client, "a anew", .text("a"))
        client.receive()
        #expect(broker.drain() == ["a anew"])
    }

    @Test func aPurgeLeavesTheIDsOfWhatIsOut() {
        let broker = RestartTests.broker(1)
        let client = self.open(broker)
        self.publishAll(client, "a", "b")
        let worker = SimulatedClient(broker).open()
        worker.call(BasicGet(queue: "q"))
        worker.call(QueuePurge(queue: "q"))
        self.publishAll(client, "a again", "b anew")
        #expect(broker.drain() == ["b anew"])
        worker.call(BasicAck(deliveryTag: 1))
        self.publishAll(client, "a anew")
        #expect(broker.drain() == ["a anew"])
    }

    @Test func whatGoesToTheEndOfAQuorumQueueKeepsItsID() {
        let broker = RestartTests.broker(1)
        let client = self.open(broker, [("x-queue-type", .text("quorum"))])
        self.publishAll(client, "a", "b")
        let worker = SimulatedClient(broker).open()
        worker.call(BasicGet(queue: "q"))
        worker.call(BasicNack(deliveryTag: 1, requeue: true))
        self.publishAll(client, "a again")
        #expect(worker.call(BasicGet(queue: "q")).first?.text == "b")
        #expect(worker.call(BasicGet(queue: "q")).first?.text == "a")
        worker.call(BasicAck(deliveryTag: 3))
        self.publishAll(client, "a anew", "b again")
        #expect(broker.drain() == ["a anew"])
    }

    @Test(arguments: [1, 2])
    func aFullQueueAcknowledgesDuplicatesAndRefusesOthers(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, [("x-max-length", .int32(1)), ("x-overflow", .text("reject-publish"))])
        self.publishAll(client, "a")
        self.publish(client, "a again", .text("a"))
        #expect(client.receive().lines == ["1 ack 2"])
        self.publish(client, "b", .text("b"))
        #expect(client.receive().lines == ["1 nack 3"])
        #expect(broker.drain() == ["a"])
        self.publish(client, "b", .text("b"))
        #expect(client.receive().lines == ["1 ack 4"])
        #expect(broker.drain() == ["b"], "what was refused has taken no id")
    }

    @Test(arguments: [1, 2])
    func whatTheLogShouldHaveIsNoDuplicateOfWhatItDoesNotHave(shards: Int) throws {
        let first = RestartTests.broker(shards)
        let client = self.open(first)
        self.publish(client, "transient", .text("a"), persistent: false)
        self.publish(client, "transient again", .text("a"), persistent: false)
        self.publish(client, "persistent", .text("a"))
        self.publish(client, "persistent again", .text("a"))
        #expect(client.receive().lines.last?.hasPrefix("1 ack 4") == true)
        #expect(try RestartTests.restarted(first, shards: 1).drain() == ["persistent"])
        let worker = SimulatedClient(first).open()
        #expect(worker.call(BasicGet(queue: "q", noAck: true)).first?.text == "transient")
        self.publish(client, "persistent again", .text("a"))
        client.receive()
        #expect(first.drain() == ["persistent"], "the last one stands for the id")
    }

    @Test(arguments: [1, 2])
    func everyQueueDecidesForItself(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        client.call(QueueDeclare(queue: "plain", durable: true, arguments: ["x-message-deduplication": .text("true")]))
        for queue: ShortString in ["p", "q", "plain"] {
            client.call(QueueBind(queue: queue, exchange: "amq.fanout"))
        }
        self.publish(client, "a", .text("a"))
        client.receive()
        self.publish(client, "to all", .text("a"), exchange: "amq.fanout")
        #expect(client.receive().lines == ["1 ack 2"])
        // Two publishes that are committed together.
        let other = SimulatedClient(broker, shard: shards - 1).open()
        other.call(TxSelect())
        self.publish(other, "b", .text("b"))
        self.publish(other, "b again", .text("b"))
        #expect(other.call(TxCommit()).lines == ["1 tx.commit-ok"])
        #expect(broker.drain("q") == ["a", "b"])
        #expect(broker.drain("p") == ["to all"])
        #expect(broker.drain("plain") == ["to all"])
    }

    @Test(arguments: RestartTests.shardCounts)
    func theIDsOutliveTheProcess(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let client = self.open(first, shard: before - 1)
        self.publishAll(client, "a", "b", "c")
        let worker = SimulatedClient(first).open()
        worker.call(BasicGet(queue: "q"))
        worker.call(BasicGet(queue: "q"))
        worker.call(BasicAck(deliveryTag: 2))
        // b is done, a is out, c waits; told again, the older files gone.
        first.trimLog {}
        let second = try first.restarted(shardCount: after)
        let other = self.open(second, shard: after - 1)
        self.publishAll(other, "a again", "b anew", "c again")
        #expect(second.drain() == ["a", "c", "b anew"])
    }

    @Test func aCrashAtAnyRecordLosesNothingAndLetsNothingThroughTwice() throws {
        let first = RestartTests.broker(1)
        let client = self.open(first)
        let declared = first.durableRecords.count
        for text in ["a", "b", "a again", "c"] { self.publishAll(client, text) }
        for count in declared...first.durableRecords.count {
            let next = RestartTests.broker(2)
            try next.restore(Array(first.durableRecords.prefix(count)))
            let retry = self.open(next)
            self.publishAll(retry, "a", "b", "c", "a again")
            #expect(next.drain() == ["a", "b", "c"], "after \(count) records")
        }
    }

    @Test func messagesOnDiskKeepTheirIDs() throws {
        var settings = BrokerSettings()
        settings.isDurable = true
        settings.pagesMessages = true
        settings.memoryLimitBytes = 1 << 20
        let broker = SimulatedBroker(settings: settings)
        let client = self.open(broker)
        func publish() {
            for number in 0..<2000 {
                self.publish(client, "\(number) " + String(repeating: "x", count: 1000), .int32(Int32(number)))
                broker.run()
            }
            client.receive()
        }
        publish()
        #expect(broker.shards[0].store.pagedCount > 1000)
        publish()
        #expect(broker.shards[0].census.messages == 2000)
        let second = try broker.restarted(shardCount: 1)
        let other = SimulatedClient(second).open()
        for number in 0..<2000 { self.publish(other, "again", .int32(Int32(number))) }
        self.publish(other, "last", .int32(2000))
        other.receive()
        second.run()
        let found = second.drain()
        #expect(found.count == 2001 && found.last == "last")
        #expect(second.shards[0].census.messages == 0)
    }

    @Test func theIDsOfMessagesThatHaveGoneTakeNoMemory() {
        let memory = MemoryCount()
        var unique: UniqueMessages? = UniqueMessages(counting: memory)
        for number in 0..<5000 as Range<UInt64> {
            unique?.insert(number, [UInt8](repeating: UInt8(number % 251), count: Int(number % 97) + 1), isLogged: true)
        }
        #expect(unique?.count == 5000)
        #expect(memory.bytes > 5000 * 160)
        for number in 0..<4990 as Range<UInt64> { unique?.remove(number) }
        unique?.remove(3)
        #expect(unique?.count == 10)
        #expect(memory.bytes < 10 * 300)
        unique = nil
        #expect(memory.bytes == 0)
        memory.deallocate()
    }
}
