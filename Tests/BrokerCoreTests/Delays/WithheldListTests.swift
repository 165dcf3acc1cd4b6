import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Messages that wait in queues are listed, cancelled and given another time.
@Suite struct WithheldListTests {
    private static let arguments: FieldTable = ["x-delay-header": .text("eta")]
    private static let start = Int64(SimulatedBroker.startOfTime)

    private func publish(_ scene: QueueScene, _ body: String, in milliseconds: Int64, to queue: ShortString = "q") {
        scene.publish(body, to: queue, persistent: true, headers: ["eta": .int64(Self.start + milliseconds)])
    }

    private func list(_ broker: SimulatedBroker, limit: Int = 100) -> [DelayedMessageInfo] {
        let request = AdministrationRequest.listDelayedMessages(virtualHost: "/", limit: limit)
        guard case .delayedMessages(let rows) = request.gather(broker.administer(request)) else { return [] }
        return rows
    }

    private func ask(_ broker: SimulatedBroker, _ request: AdministrationRequest) -> AdministrationAnswer {
        request.gather(broker.administer(request))
    }

    private static let q = QueueName(virtualHost: "/", name: "q")

    @Test(arguments: [1, 3])
    func theyAreListedByTheirTimeAmongThoseOfExchanges(shards: Int) {
        let scene = QueueScene(shards: shards, isDurable: true)
        for name in ["p", "q", "r"] as [ShortString] { scene.declare(name, durable: true, Self.arguments) }
        self.publish(scene, "3", in: 30_000)
        self.publish(scene, "11", in: 10_000, to: "r")
        self.publish(scene, "2", in: 20_000)
        scene.publish("25", persistent: true, headers: ["x-delay": .int32(25_000)])
        self.publish(scene, "ready", in: -1)
        let rows = self.list(scene.broker)
        #expect(rows.map(\.queue) == ["r", "q", nil, "q"])
        #expect(rows.map(\.bodyBytes) == [2, 1, 2, 1])
        #expect(rows.map { Int64($0.dueEpochMilliseconds) - Self.start }.map { $0 / 1_000 } == [10, 20, 25, 30])
        #expect(rows.allSatisfy { $0.isPersistent && $0.exchange == "" })
        #expect(rows.map(\.routingKey) == ["r", "q", "q", "q"])
        #expect(self.list(scene.broker, limit: 2) == Array(rows.prefix(2)))
        #expect(self.list(scene.broker, limit: 0).isEmpty)
        // A number alone names none of them.
        for row in rows where row.queue != nil && row.id != rows[2].id {
            #expect(
                self.ask(scene.broker, .cancelDelayedMessage(id: row.id))
                    == .failed(.notFound("Delayed message does not exist"))
            )
        }
        #expect(self.list(scene.broker) == rows)
    }

    @Test(arguments: [(1, 2), (3, 1)])
    func whatIsCancelledOrMovedIsSoAfterARestart(before: Int, after: Int) throws {
        let scene = QueueScene(shards: before, isDurable: true)
        for name in ["p", "q"] as [ShortString] { scene.declare(name, durable: true, Self.arguments) }
        for seconds in 1...4 { self.publish(scene, "\(seconds)", in: Int64(seconds) * 10_000) }
        let rows = self.list(scene.broker)
        #expect(self.ask(scene.broker, .cancelDelayedMessage(id: rows[1].id, in: Self.q)) == .done)
        let again = self.ask(scene.broker, .cancelDelayedMessage(id: rows[1].id, in: Self.q))
        #expect(again == .failed(.notFound("Delayed message does not exist")))
        let later = UInt64(Self.start) + 60_000
        #expect(
            self.ask(scene.broker, .rescheduleDelayedMessage(id: rows[0].id, dueEpochMilliseconds: later, in: Self.q))
                == .done
        )
        #expect(
            self.ask(scene.broker, .rescheduleDelayedMessage(id: rows[3].id, dueEpochMilliseconds: 0, in: Self.q))
                == .done
        )
        for name in ["nobody", "p"] {
            let other = QueueName(virtualHost: "/", name: name)
            #expect(
                self.ask(scene.broker, .cancelDelayedMessage(id: rows[0].id, in: other))
                    == .failed(.notFound("Delayed message does not exist"))
            )
        }
        let elsewhere = QueueName(virtualHost: "v", name: "q")
        #expect(
            self.ask(scene.broker, .cancelDelayedMessage(id: rows[0].id, in: elsewhere)) == .failed(.noVirtualHost("v"))
        )
        scene.broker.trimLog {}
        for scene in [try scene.restarted(shards: after), scene] {
            scene.advance(1)
            #expect(scene.drain("q") == ["4"])
            #expect(self.list(scene.broker).map(\.id) == [rows[2].id, rows[0].id])
            scene.advance(31_000)
            #expect(scene.drain("q") == ["3"])
            scene.advance(30_000)
            #expect(scene.drain("q") == ["1"])
            #expect(self.list(scene.broker).isEmpty)
            #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 })
        }
    }

    @Test func aChangeIsAnsweredWhenTheLogHasIt() throws {
        let scene = QueueScene(isDurable: true)
        scene.declare("q", durable: true, Self.arguments)
        self.publish(scene, "a", in: 10_000)
        scene.publish("b", headers: ["eta": .int64(Self.start + 20_000)])
        let rows = self.list(scene.broker)
        #expect(rows.map(\.isPersistent) == [true, false])
        scene.broker.isLogHeld = true
        #expect(scene.broker.administer(.cancelDelayedMessage(id: rows[0].id, in: Self.q)) == [])
        #expect(try self.list(scene.restarted().broker).map(\.id) == [rows[0].id])
        // The log never had the other one.
        #expect(scene.broker.administer(.cancelDelayedMessage(id: rows[1].id, in: Self.q)) == [.done])
        scene.broker.isLogHeld = false
        scene.broker.settle()
        #expect(scene.broker.answers.values.contains(.done))
        #expect(try self.list(scene.restarted().broker).isEmpty)
    }

    @Test func whatWaitsBeforeItIsTriedAgainIsListedToo() {
        let scene = QueueScene()
        scene.declare(
            "q",
            ["x-delayed-retry-min": .int32(10_000), "x-group-header": .text("key"), "x-max-length": .int32(9)]
        )
        scene.publish("first", "second", headers: ["key": .text("k")])
        #expect(scene.get("q", noAck: false)?.text == "first")
        scene.client.call(BasicNack(deliveryTag: 1, requeue: true))
        // Nothing of the group goes before it.
        #expect(scene.get("q") == nil)
        let rows = self.list(scene.broker)
        #expect(rows.map(\.queue) == ["q"])
        let consumer = SimulatedClient(scene.broker).open()
        consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true))
        #expect(self.ask(scene.broker, .cancelDelayedMessage(id: rows[0].id, in: Self.q)) == .done)
        #expect(consumer.receive().compactMap(\.text) == ["second"])
    }

    @Test func namesOnDiskAreRead() {
        let scene = PagingTests.Scene()
        scene.client.call(QueueDeclare(queue: "later", arguments: Self.arguments))
        scene.client.call(ExchangeDeclare(exchange: "x", type: "fanout"))
        scene.client.call(QueueBind(queue: "later", exchange: "x"))
        for number in 0..<900 {
            scene.client.publish(
                exchange: "x",
                routingKey: "k.\(number)".short,
                properties: BasicProperties(headers: ["eta": .int64(Self.start + 50_000 + Int64(number))]),
                body: PagingTests.Scene.body(number, size: 1_000)
            )
            scene.broker.run()
        }
        let onDisk = scene.shard.store.pagedCount
        #expect(onDisk > 400)
        let rows = self.list(scene.broker, limit: 800)
        #expect(rows.map(\.routingKey) == (0..<800).map { "k.\($0)" })
        #expect(rows.allSatisfy { $0.exchange == "x" && $0.queue == "later" && $0.bodyBytes == 1_000 })
        #expect(scene.shard.store.pagedCount == onDisk)
    }

    @Test func theHeapGivesInOrderAndLosesAny() {
        let random = SeededRandom(seed: 2_026)
        var heap = WithheldMessages()
        var model: [(due: UInt64, sequence: UInt64)] = []
        for sequence in 0..<3_000 as Range<UInt64> {
            if random.oneIn(3), !model.isEmpty {
                let gone = model.remove(at: random.below(model.count))
                #expect(heap.remove(gone.sequence)?.due == BrokerInstant(nanoseconds: gone.due))
                #expect(heap.remove(gone.sequence)?.sequence == nil)
            } else {
                let due = UInt64(random.below(500))
                model.append((due, sequence))
                heap.insert(
                    .init(
                        due: BrokerInstant(nanoseconds: due),
                        sequence: sequence,
                        entry: QueueEntry(slot: 0, flags: [])
                    )
                )
            }
            guard sequence % 100 == 0 else { continue }
            let limit = random.below(model.count + 2)
            var seen: [UInt64] = []
            heap.forEachInOrder { element in
                seen.append(element.sequence)
                return seen.count < max(limit, 1)
            }
            let ordered = model.sorted { ($0.due, $0.sequence) < ($1.due, $1.sequence) }.map(\.sequence)
            #expect(seen == Array(ordered.prefix(max(limit, 1))))
        }
        var last = BrokerInstant(nanoseconds: 0)
        while let element = heap.popFirst() {
            #expect(element.due >= last)
            last = element.due
        }
    }
}
