import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-group-header`: one key to one consumer at a time, in order.
@Suite struct MessageGroupTests {
    static let arguments: FieldTable = ["x-group-header": .text("key")]

    static func publish(_ client: SimulatedClient, _ body: String, _ key: FieldValue?) {
        client.publish(
            routingKey: "q",
            properties: BasicProperties(headers: key.map { ["other": .int32(1), "key": $0] }, deliveryMode: 2),
            body: Array(body.utf8)
        )
    }

    /// `key number` for each.
    static func publish(_ client: SimulatedClient, _ messages: String...) {
        for message in messages {
            let key = message.split(separator: " ").first.map { FieldValue.text(String($0)) }
            Self.publish(client, message, message.hasPrefix("-") ? nil : key)
        }
        client.receive()
    }

    static func consumer(_ broker: SimulatedBroker, prefetch: UInt16, tag: ShortString = "c") -> SimulatedClient {
        let client = SimulatedClient(broker).open()
        client.call(BasicQos(prefetchCount: prefetch))
        // What is delivered at once is read later.
        client.send(BasicConsume(queue: "q", consumerTag: tag))
        broker.run()
        return client
    }

    static func texts(_ client: SimulatedClient) -> [String] { client.receive().compactMap(\.text) }

    @Test func aGroupStaysWithItsConsumerWhileSomethingIsOut() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        let first = Self.consumer(broker, prefetch: 2)
        let second = Self.consumer(broker, prefetch: 2)
        Self.publish(publisher, "a 1", "a 2", "a 3", "b 1", "b 2", "- 1")
        // a is the first consumer's, which is full then; b and the rest go on.
        #expect(Self.texts(first) == ["a 1", "a 2"])
        #expect(Self.texts(second) == ["b 1", "b 2"])
        #expect(publisher.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 2 2"])
        // Its own group goes on before what came later.
        #expect(first.call(BasicAck(deliveryTag: 1)).compactMap(\.text) == ["a 3"])
        #expect(second.call(BasicAck(deliveryTag: 1)).compactMap(\.text) == ["- 1"])
        // Both of a are done: the key is free, and the next may go to anybody.
        first.call(BasicAck(deliveryTag: 3, multiple: true))
        first.call(BasicCancel(consumerTag: "c"))
        second.call(BasicAck(deliveryTag: 3))
        Self.publish(publisher, "a 4")
        #expect(Self.texts(second) == ["a 4"])
    }

    @Test func groupsOfAConsumerThatLeavesMoveInOrder() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        let first = Self.consumer(broker, prefetch: 2)
        Self.publish(publisher, "a 1", "a 2", "a 3", "a 4")
        #expect(Self.texts(first) == ["a 1", "a 2"])
        let second = Self.consumer(broker, prefetch: 10)
        // Cancelled, it still has them.
        first.call(BasicCancel(consumerTag: "c"))
        #expect(Self.texts(second) == [])
        first.disconnect()
        broker.run()
        #expect(Self.texts(second) == ["a 1", "a 2", "a 3", "a 4"])
    }

    @Test func whatIsGivenBackGoesOutAgainFirst() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        Self.publish(publisher, "a 1", "a 2", "a 3", "b 1")
        let consumer = Self.consumer(broker, prefetch: 1)
        #expect(Self.texts(consumer) == ["a 1"])
        #expect(consumer.call(BasicNack(deliveryTag: 1, requeue: true)).compactMap(\.text) == ["a 1"])
        #expect(consumer.call(BasicAck(deliveryTag: 2)).compactMap(\.text) == ["a 2"])
        #expect(consumer.call(BasicReject(deliveryTag: 3)).compactMap(\.text) == ["a 3"])
        #expect(consumer.call(BasicAck(deliveryTag: 4)).compactMap(\.text) == ["b 1"])
    }

    @Test func aGroupWaitsWhileItsMessageWaits() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        let arguments: FieldTable = ["x-group-header": .text("key"), "x-delayed-retry-min": .int32(1000)]
        publisher.call(QueueDeclare(queue: "q", arguments: arguments))
        Self.publish(publisher, "a 1", "a 2", "b 1", "- 1")
        let consumer = Self.consumer(broker, prefetch: 1)
        #expect(Self.texts(consumer) == ["a 1"])
        #expect(consumer.call(BasicNack(deliveryTag: 1, requeue: true)).compactMap(\.text) == ["b 1"])
        #expect(consumer.call(BasicAck(deliveryTag: 2)).compactMap(\.text) == ["- 1"])
        #expect(consumer.call(BasicAck(deliveryTag: 3)).compactMap(\.text) == [])
        Self.publish(publisher, "a 3")
        broker.advance(milliseconds: 1000)
        #expect(Self.texts(consumer) == ["a 1"])
        #expect(consumer.call(BasicAck(deliveryTag: 4)).compactMap(\.text) == ["a 2"])
        #expect(consumer.call(BasicAck(deliveryTag: 5)).compactMap(\.text) == ["a 3"])
    }

    @Test func keysAreComparedByWhatTheyMean() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        for (body, key) in [
            ("1", .int32(7)), ("2", .int64(7)), ("3", .text("7")), ("4", .double(7)), ("5", nil),
        ] as [(String, FieldValue?)] {
            Self.publish(publisher, body, key)
        }
        publisher.receive()
        let first = Self.consumer(broker, prefetch: 1)
        let others = (0..<3).map { _ in Self.consumer(broker, prefetch: 1) }
        #expect(broker.shards[0].queues.compactMap { $0?.pointee.readyCount } == [1])
        #expect(first.receive().compactMap(\.text) == ["1"])
        #expect(others.map { Self.texts($0) } == [["3"], ["4"], ["5"]])
        #expect(first.call(BasicAck(deliveryTag: 1)).compactMap(\.text) == ["2"])
    }

    @Test func getTakesOnlyWhatIsFree() {
        let broker = SimulatedBroker()
        let first = SimulatedClient(broker).open()
        first.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        Self.publish(first, "a 1", "a 2", "b 1")
        let second = SimulatedClient(broker).open()
        #expect(first.call(BasicGet(queue: "q")).first?.text == "a 1")
        #expect(second.call(BasicGet(queue: "q", noAck: true)).first?.text == "b 1")
        #expect(second.call(BasicGet(queue: "q")).lines == ["1 basic.get-empty"])
        #expect(first.call(BasicGet(queue: "q")).first?.text == "a 2")
        first.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        #expect(second.call(BasicGet(queue: "q")).first?.text == "a 1")
        #expect(first.call(BasicGet(queue: "q", noAck: true)).lines == ["1 basic.get-empty"])
        #expect(second.call(BasicGet(queue: "q", noAck: true)).lines == ["1 basic.get-empty"])
        #expect(second.call(BasicGet(queue: "q")).first?.text == "a 2")
    }

    @Test func stateIsKeptForGroupsInUseOnly() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments))
        let slow = Self.consumer(broker, prefetch: 1)
        Self.publish(client, "slow 0")
        #expect(Self.texts(slow) == ["slow 0"])
        let fast = Self.consumer(broker, prefetch: 10)
        for number in 0..<500 {
            Self.publish(client, "slow \(number)", "k\(number) 1", "k\(number) 2")
            fast.receive()
            fast.call(BasicAck(deliveryTag: 0, multiple: true))
        }
        let queue = broker.shards[0].queues.compactMap { $0 }.first
        #expect(queue?.pointee.groups?.pointee.count == 1)
        #expect(queue?.pointee.groups?.pointee.heldCount == 500)
        fast.disconnect()
        broker.run()
        // A message that is given back for ever leaves nothing behind either.
        for tag in 1...1000 as ClosedRange<UInt64> {
            #expect(slow.call(BasicNack(deliveryTag: tag, requeue: true)).compactMap(\.text) == ["slow 0"])
        }
        #expect(client.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 500"])
        slow.call(BasicAck(deliveryTag: 1001))
        #expect(queue?.pointee.groups?.pointee.count == 0)
        #expect(broker.shards[0].census.messages == 0)
    }

    @Test(arguments: [false, true])
    func groupsAreFoundAgainAfterARestart(isTrimmed: Bool) throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.arguments))
        Self.publish(client, "a 1", "a 2", "b 1", "a 3")
        let consumer = Self.consumer(first, prefetch: 1)
        #expect(Self.texts(consumer) == ["a 1"])
        #expect(client.call(BasicGet(queue: "q")).first?.text == "b 1")
        if isTrimmed { first.trimLog() }
        let second = try RestartTests.restarted(first, shards: 1)
        let one = Self.consumer(second, prefetch: 1)
        let two = SimulatedClient(second).open()
        two.call(BasicQos(prefetchCount: 1))
        #expect(two.call(BasicConsume(queue: "q", consumerTag: "c")).compactMap(\.text) == ["b 1"])
        #expect(Self.texts(one) == ["a 1"])
        #expect(one.call(BasicAck(deliveryTag: 1)).compactMap(\.text) == ["a 2"])
        #expect(one.call(BasicAck(deliveryTag: 2)).compactMap(\.text) == ["a 3"])
    }

    /// Found by the simulation (features, seed 53): after a start priorities counted in groups of every queue.
    @Test(arguments: [nil, 2] as [Int32?], [false, true])
    func prioritiesCountInGroupsOnlyAsTheQueueTellsThemApart(highest: Int32?, isRestarted: Bool) throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        var arguments: [(ShortString, FieldValue)] = [("x-group-header", .text("key"))]
        if let highest { arguments.append(("x-max-priority", .int32(highest))) }
        client.call(QueueDeclare(queue: "q", durable: true, arguments: FieldTable(arguments)))
        for priority in [2, 1, 9] as [UInt8] {
            client.publish(
                routingKey: "q",
                properties: BasicProperties(headers: ["key": .text("a")], deliveryMode: 2, priority: priority),
                body: Array("\(priority)".utf8)
            )
        }
        client.receive()
        let broker = isRestarted ? try RestartTests.restarted(first, shards: 1) : first
        let reader = SimulatedClient(broker).open()
        let expected = highest == nil ? ["2", "1", "9"] : ["2", "9", "1"]
        for _ in 0..<2 {
            #expect((0..<3).map { _ in reader.call(BasicGet(queue: "q")).first?.text } == expected)
            reader.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        }
    }

    /// Found by the simulation (features, seed 427): after a start who had waited went before an older one of its group.
    @Test(arguments: [false, true])
    func whoWaitedTakesItsPlaceInItsGroupAfterARestart(isLookedAt: Bool) throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        let arguments: FieldTable = ["x-group-header": .text("key"), "x-delayed-retry-min": .int32(1000)]
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        Self.publish(client, "a 1", "a 2", "a 3", "a 4")
        for _ in 0..<2 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 2, requeue: true))
        let broker = try RestartTests.restarted(first, shards: 1)
        let reader = SimulatedClient(broker).open()
        // Who asks while one of a group waits has the others looked at.
        if isLookedAt { #expect(reader.call(BasicGet(queue: "q")).first?.text == nil) }
        broker.advance(milliseconds: 2000)
        #expect((0..<4).map { _ in reader.call(BasicGet(queue: "q")).first?.text } == ["a 1", "a 2", "a 3", "a 4"])
    }

    /// Whatever consumers do: nobody gets a message of a key while an older one is with somebody else or undone.
    @Test(arguments: UInt64(1)...12)
    func orderHoldsWhileConsumersCrash(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let broker = SimulatedBroker(shardCount: seed % 3 == 0 ? 2 : 1)
        let publisher = SimulatedClient(broker).open()
        var pairs: [(ShortString, FieldValue)] = [("x-group-header", .text("key"))]
        if seed % 2 == 0 { pairs.append(("x-delayed-retry-min", .int32(20))) }
        if seed % 4 == 1 { pairs.append(("x-dispatch", .text("least-loaded"))) }
        publisher.call(QueueDeclare(queue: "q", arguments: FieldTable(pairs)))
        var consumers: [SimulatedClient] = []
        var open: [(client: Int, tag: UInt64, key: String, number: Int)] = []
        var done: [String: Set<Int>] = [:]
        var published: [String: Int] = [:]
        var serial = 0
        var names: [ObjectIdentifier: Int] = [:]
        func look() {
            for client in consumers {
                let name = names[ObjectIdentifier(client)] ?? -1
                for case .content(_, .basicDeliver(let deliver), _, let body) in client.receive() {
                    let parts = String(decoding: body, as: UTF8.self).split(separator: " ")
                    guard parts.count == 2, let number = Int(parts[1]) else { continue }
                    let key = String(parts[0])
                    let elsewhere = open.contains { $0.key == key && $0.client != name }
                    #expect(!elsewhere, "seed \(seed): \(key) is with two consumers")
                    for older in 0..<number where done[key]?.contains(older) != true {
                        #expect(
                            open.contains { $0.key == key && $0.number == older },
                            "seed \(seed): \(key) \(number) before \(older)"
                        )
                    }
                    open.append((name, deliver.deliveryTag, key, number))
                }
            }
        }
        for _ in 0..<400 {
            switch random.below(10) {
            case 0...3:
                let key = "k\(random.below(4))"
                let number = published[key, default: 0]
                published[key] = number + 1
                Self.publish(publisher, "\(key) \(number)")
            case 4 where consumers.count < 4:
                let client = Self.consumer(broker, prefetch: UInt16(random.below(3) + 1))
                names[ObjectIdentifier(client)] = serial
                serial += 1
                consumers.append(client)
            case 5 where !consumers.isEmpty:
                let client = consumers.remove(at: random.below(consumers.count))
                let name = names.removeValue(forKey: ObjectIdentifier(client))
                open.removeAll { $0.client == name }
                client.disconnect()
                broker.run()
            case 6:
                broker.advance(milliseconds: 10)
            default:
                guard !open.isEmpty else { continue }
                let delivery = open[random.below(open.count)]
                guard let client = consumers.first(where: { names[ObjectIdentifier($0)] == delivery.client }) else {
                    continue
                }
                open.removeAll { $0.client == delivery.client && $0.tag == delivery.tag }
                if random.oneIn(4) {
                    client.send(BasicNack(deliveryTag: delivery.tag, requeue: true))
                } else {
                    done[delivery.key, default: []].insert(delivery.number)
                    client.send(BasicAck(deliveryTag: delivery.tag))
                }
            }
            look()
        }
        // In the end everything gets done.
        for client in consumers {
            client.disconnect()
        }
        broker.run()
        consumers = [Self.consumer(broker, prefetch: 3)]
        names = [ObjectIdentifier(consumers[0]): 1000]
        open = []
        var rounds = 0
        while done.values.reduce(0, { $0 + $1.count }) < published.values.reduce(0, +), rounds < 2000 {
            look()
            broker.advance(milliseconds: 50)
            for delivery in open {
                done[delivery.key, default: []].insert(delivery.number)
                consumers[0].send(BasicAck(deliveryTag: delivery.tag))
            }
            open = []
            broker.run()
            rounds += 1
        }
        #expect(done.values.reduce(0) { $0 + $1.count } == published.values.reduce(0, +), "seed \(seed)")
        for shard in broker.shards {
            #expect(shard.census.messages == 0)
            #expect(shard.queues.allSatisfy { $0?.pointee.groups?.pointee.count ?? 0 == 0 })
        }
    }
}
