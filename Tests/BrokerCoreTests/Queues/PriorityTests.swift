import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-max-priority`: strict between levels, first in first out inside.
@Suite struct PriorityTests {
    static func publish(_ client: SimulatedClient, _ body: String, priority: UInt8?, isPersistent: Bool = false) {
        client.publish(
            routingKey: "q",
            properties: BasicProperties(deliveryMode: isPersistent ? 2 : nil, priority: priority),
            body: Array(body.utf8)
        )
    }

    @Test func higherOnesGoFirstAndTheHighestIsTheLimit() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", arguments: ["x-max-priority": .int32(5)]))
        let messages: [(String, UInt8?)] = [
            ("none", nil), ("0", 0), ("3", 3), ("9", 9), ("5", 5), ("3 again", 3), ("255", 255),
        ]
        for (body, priority) in messages {
            Self.publish(client, body, priority: priority)
        }
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 7 0"])
        #expect(client.drain() == ["9", "5", "255", "3", "3 again", "none", "0"])
    }

    @Test(arguments: [nil, 0] as [Int32?])
    func withoutLevelsTheOrderIsThatOfPublishing(highest: Int32?) {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", arguments: highest.map { ["x-max-priority": .int32($0)] } ?? .empty))
        for priority in [1, 9, 5] as [UInt8] {
            Self.publish(client, "\(priority)", priority: priority)
        }
        #expect(client.drain() == ["1", "9", "5"])
    }

    @Test func thePriorityIsFoundBehindOtherProperties() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", arguments: ["x-max-priority": .int32(255)]))
        Self.publish(client, "low", priority: 1)
        client.publish(
            routingKey: "q",
            properties: BasicProperties(
                contentType: "text/plain",
                contentEncoding: "utf-8",
                headers: ["a": .text("b")],
                deliveryMode: 1,
                priority: 200,
                messageID: "m"
            ),
            body: Array("high".utf8)
        )
        #expect(client.drain() == ["high", "low"])
    }

    @Test(arguments: DataPathTests.placements)
    func whatComesBackTakesItsPlaceInItsLevel(
        placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)
    ) {
        let broker = SimulatedBroker(shardCount: placement.shards)
        let owner = SimulatedClient(broker, shard: placement.queue).open()
        let publisher = SimulatedClient(broker, shard: placement.publisher).open()
        let consumer = SimulatedClient(broker, shard: placement.consumer).open()
        owner.call(QueueDeclare(queue: "q", arguments: ["x-max-priority": .int32(9)]))
        for (body, priority) in [("low", 1), ("high", 8), ("high too", 8), ("middle", 4)] as [(String, UInt8)] {
            Self.publish(publisher, body, priority: priority)
        }
        publisher.receive()
        consumer.call(BasicQos(prefetchCount: 3))
        #expect(
            consumer.call(BasicConsume(queue: "q", consumerTag: "c")).lines == [
                "1 basic.consume-ok c", "1 deliver c #1 high", "1 deliver c #2 high too", "1 deliver c #3 middle",
            ]
        )
        // A newer message of a higher level overtakes, an older one of the same level does not wait behind newer ones.
        Self.publish(publisher, "highest", priority: 9)
        publisher.receive()
        #expect(
            consumer.call(BasicNack(deliveryTag: 3, multiple: true, requeue: true)).lines == [
                "1 deliver c #4 highest", "1 deliver c #5 redelivered high", "1 deliver c #6 redelivered high too",
            ]
        )
        consumer.disconnect()
        broker.run()
        #expect(owner.drain() == ["highest", "high", "high too", "middle", "low"])
    }

    @Test func purgeDropsEveryLevelAndLeavesWhatIsOut() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", arguments: ["x-max-priority": .int32(9)]))
        for priority in 0...9 as ClosedRange<UInt8> {
            Self.publish(client, "\(priority)", priority: priority)
        }
        #expect(client.call(BasicGet(queue: "q")).lines == ["1 get-ok #1 left 9 9"])
        #expect(client.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 9"])
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        #expect(client.drain() == ["9"])
    }

    @Test(arguments: [false, true])
    func levelsOutliveTheProcess(isTrimmed: Bool) throws {
        let first = RestartTests.broker(2)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-priority": .int32(3)]))
        // More than the snapshot tells at once.
        for number in 0..<3000 {
            Self.publish(client, "\(number)", priority: UInt8(number % 5), isPersistent: true)
        }
        Self.publish(client, "gone", priority: 3)
        #expect(client.call(BasicGet(queue: "q")).first?.text == "3")
        #expect(client.call(BasicGet(queue: "q")).first?.text == "4")
        client.call(BasicAck(deliveryTag: 2))
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        if isTrimmed {
            first.trimLog()
        }
        let second = try RestartTests.restarted(first, shards: 1)
        let other = SimulatedClient(second).open()
        let numbers = other.drain().compactMap { Int($0) }
        let levels = [[3, 4], [2], [1], [0]]
        let expected = levels.flatMap { remainders in
            (0..<3000).filter { $0 != 4 && remainders.contains($0 % 5) }
        }
        #expect(numbers == expected)
    }

    @Test func levelsKeepOrderAndCountInRandomUse() {
        let random = SeededRandom(seed: 20_260_107)
        var levels = PriorityLevels(highest: 200)
        var model: [(priority: UInt8, sequence: UInt64)] = []
        var out: [ConsumerState.Delivery] = []
        var sequence: UInt64 = 0
        for _ in 0..<20_000 {
            switch random.next() % 4 {
            case 0, 1:
                var entry = QueueEntry(slot: UInt32(truncatingIfNeeded: sequence), flags: [])
                entry.flags.priority = UInt8(random.next() % 201)
                levels.append(sequence, entry)
                model.append((entry.flags.priority, sequence))
                sequence += 1
            case 2 where !model.isEmpty:
                let best = model.indices.max { left, right in
                    (model[left].priority, model[right].sequence) < (model[right].priority, model[left].sequence)
                }
                guard let best else { return }
                let expected = model.remove(at: best)
                let delivery = levels.removeFirst()
                #expect(delivery.sequence == expected.sequence && delivery.entry.flags.priority == expected.priority)
                out.append(delivery)
            default:
                guard !out.isEmpty else { continue }
                let delivery = out.remove(at: Int(random.next() % UInt64(out.count)))
                levels.putBack(delivery.sequence, delivery.entry)
                model.append((delivery.entry.flags.priority, delivery.sequence))
            }
            #expect(levels.count == model.count)
        }
        var told: Set<UInt64> = []
        var next: UInt64? = 0
        while let start = next {
            next = levels.forEach(from: start, to: start + 100) { sequence, _ in
                #expect(told.insert(sequence).inserted, "told once")
            }
        }
        #expect(told == Set(model.map(\.sequence)))
    }
}
