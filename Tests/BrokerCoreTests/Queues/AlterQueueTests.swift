import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// A queue gets other arguments while it is used.
@Suite struct AlterQueueTests {
    static let shardCounts = [1, 3]

    private static func priorities(_ highest: UInt8) -> FieldTable { ["x-max-priority": .int64(Int64(highest))] }

    /// A durable broker with a client whose queues live on the last shard.
    struct Scene {
        let broker: SimulatedBroker
        let client: SimulatedClient

        init(shards: Int = 1) {
            self.init(RestartTests.broker(shards))
        }

        init(_ broker: SimulatedBroker) {
            self.broker = broker
            self.client = SimulatedClient(broker, shard: broker.shards.count - 1).open()
        }

        func alter(_ changes: FieldTable, _ queue: String = "q") -> [AdministrationAnswer] {
            self.broker.administer(.alterQueue(virtualHost: "/", name: queue, changes: changes))
        }

        /// Bodies with the digit in front as priority; none without.
        func publish(_ bodies: String..., to queue: ShortString = "q") {
            for body in bodies {
                let properties = BasicProperties(
                    deliveryMode: 2,
                    priority: body.first?.wholeNumberValue.map { UInt8($0) }
                )
                self.client.publish(routingKey: queue, properties: properties, body: Array(body.utf8))
            }
            self.client.receive()
        }

        func declare(_ arguments: FieldTable) -> String? {
            let other = SimulatedClient(self.broker).open()
            return other.call(QueueDeclare(queue: "q", durable: true, arguments: arguments)).lines.first
        }

        func drain() -> [String] { self.client.drain() }

        func snapshot(_ name: String = "q") -> QueueSnapshot? {
            for case .queues(let queues, _) in self.broker.administer(.listQueues(virtualHost: "/")) {
                if let found = queues.first(where: { $0.name == name }) { return found }
            }
            return nil
        }
    }

    // MARK: Priorities

    @Test(arguments: shardCounts)
    func messagesTakeTheirPlacesWhenPrioritiesComeChangeAndGo(shards: Int) {
        let scene = Scene(shards: shards)
        let consumer = SimulatedClient(scene.broker).open()
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        scene.publish("1 a", "out", "9 a", "4 a", "0 a", "4 b", "9 b", "1 b")
        consumer.call(BasicQos(prefetchCount: 2))
        #expect(
            consumer.call(BasicConsume(queue: "q", consumerTag: "c")).lines == [
                "1 basic.consume-ok c", "1 deliver c #1 1 a", "1 deliver c #2 out",
            ]
        )
        #expect(scene.alter(Self.priorities(4)) == [.done])
        scene.publish("2 c", "5 c")
        // The consumer is the same one; of 4 and more the oldest comes first.
        #expect(consumer.call(BasicAck(deliveryTag: 2)).lines == ["1 deliver c #3 9 a"])
        #expect(scene.alter(Self.priorities(9)) == [.done])
        #expect(consumer.call(BasicAck(deliveryTag: 3)).lines == ["1 deliver c #4 9 b"])
        // What comes back finds its new place, too.
        #expect(consumer.call(BasicNack(deliveryTag: 4, requeue: true)).lines == ["1 deliver c #5 redelivered 9 b"])
        #expect(consumer.call(BasicAck(deliveryTag: 5)).lines == ["1 deliver c #6 5 c"])
        #expect(scene.alter(["x-max-priority": .void]) == [.done])
        scene.publish("9 d")
        consumer.call(BasicNack(deliveryTag: 6, requeue: true))
        consumer.disconnect()
        scene.broker.run()
        #expect(scene.drain() == ["1 a", "4 a", "0 a", "4 b", "1 b", "2 c", "5 c", "9 d"])
        #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 })
    }

    /// More than one turn's worth: nothing is delivered before all are in their places, whatever happens meanwhile.
    @Test func aLongQueueIsArrangedInPiecesThatNobodySees() throws {
        let scene = Scene()
        let shard = scene.broker.shards[0]
        let count = 3 * ShardLimits.arrangedMessages
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        var bytes: [UInt8] = []
        for number in 0..<count {
            bytes += scene.client.encodePublish(
                BasicPublish(routingKey: "q"),
                properties: BasicProperties(priority: UInt8(number % 3), expiration: number % 1000 == 7 ? "500" : nil),
                body: Array("\(number)".utf8)
            )
        }
        scene.client.sendBytes(bytes)
        scene.client.receive()
        let address = try #require(shard.topology.virtualHost(named: "/")?.queue(named: "q")?.address)
        let queue = try #require(shard.queue(address))
        let changes: [(Int64?, first: String)] = [(2, "2"), (1, "1"), (nil, "0"), (2, "5")]
        for (target, first) in changes {
            shard.administer(
                .alterQueue(
                    virtualHost: "/",
                    name: "q",
                    changes: ["x-max-priority": target.map { .int64($0) } ?? .void]
                ),
                ticket: 1,
                now: scene.broker.now
            )
            var pieces = 1
            while queue.pointee.isArranging {
                // Somebody asks for a message in the middle, and one comes.
                if pieces == 2 {
                    scene.client.send(BasicGet(queue: "q", noAck: true))
                    scene.broker.readAll(scene.client.socket)
                    scene.client.collect()
                    #expect(scene.client.takeInbox().isEmpty)
                    scene.client.publish(
                        routingKey: "q",
                        properties: BasicProperties(priority: 2),
                        body: Array("new \(target ?? -1)".utf8)
                    )
                    scene.broker.readAll(scene.client.socket)
                }
                scene.broker.carryOut(.work(shard: 0))
                pieces += 1
                #expect(pieces < 20)
            }
            // Twice as many when there were levels before.
            #expect((3...14).contains(pieces))
            #expect(scene.client.receive().first?.text == first)
        }
        // What is due leaves wherever it stands.
        scene.broker.advance(milliseconds: 501)
        let bodies = scene.client.call(BasicConsume(queue: "q", noAck: true)).compactMap(\.text)
        let numbers = bodies.compactMap { Int($0) }
        let expired = (0..<count).filter { $0 % 1000 == 7 }
        #expect(Set(numbers).isDisjoint(with: expired))
        #expect(bodies.filter { $0.hasPrefix("new") } == ["new 2", "new 1", "new -1", "new 2"])
        for level in [2, 1, 0] {
            let ofLevel = numbers.filter { $0 % 3 == level }
            #expect(ofLevel == ofLevel.sorted())
        }
        #expect(numbers.map { $0 % 3 } == numbers.map { $0 % 3 }.sorted(by: >))
        #expect(numbers.count + expired.count + 4 == count)
        #expect(shard.census.messages == 0)
    }

    /// Everything that can happen to a queue, between any two of a few messages that are moved.
    @Test(arguments: 0..<40 as Range<UInt64>)
    func piecesKeepEveryMessageAtItsPlace(seed: UInt64) {
        let random = SeededRandom(seed: 7_000 + seed)
        let definition = QueueDefinition(
            virtualHost: "/",
            name: "q",
            address: QueueAddress(shard: 0, slot: 0, generation: 0),
            isDurable: false,
            isAutoDelete: false,
            exclusiveOwner: nil,
            arguments: .empty,
            parsedArguments: QueueArguments(),
            durableID: 0
        )
        var queue = QueueState(info: QueueInfo(definition), isLogged: false, counting: MemoryCount())
        var model: [(sequence: UInt64, priority: UInt8)] = []
        var out: [ConsumerState.Delivery] = []
        var highest: UInt8 = 0
        func level(_ priority: UInt8) -> UInt8 { min(priority, highest) }
        for step in 0..<3_000 {
            switch random.below(10) {
            case 0...3:
                var entry = QueueEntry(slot: UInt32(step), flags: [])
                entry.flags.priority = UInt8(random.below(12))
                model.append((queue.nextSequence, entry.flags.priority))
                if queue.levels == nil || queue.isArranging {
                    queue.ready.append(entry)
                } else {
                    queue.appendToLevel(entry)
                }
            case 4...5 where !queue.isArranging && queue.hasReady:
                let delivery = queue.takeNext()
                let expected = model.indices.max { left, right in
                    (level(model[left].priority), model[right].sequence)
                        < (level(model[right].priority), model[left].sequence)
                }
                guard let expected else {
                    Issue.record("seed \(seed): a message too many")
                    return
                }
                #expect(delivery.sequence == model[expected].sequence, "seed \(seed), step \(step)")
                #expect(delivery.entry.flags.priority == model[expected].priority)
                model.remove(at: expected)
                out.append(delivery)
            case 6 where !out.isEmpty:
                let delivery = out.remove(at: random.below(out.count))
                queue.putBack(delivery.sequence, delivery.entry)
                model.append((delivery.sequence, delivery.entry.flags.priority))
            case 7 where !model.isEmpty:
                let gone = model.remove(at: random.below(model.count))
                #expect(queue.removeReady(gone.sequence)?.flags.priority == gone.priority, "seed \(seed), step \(step)")
            case 8 where random.oneIn(4):
                var settings = QueueSettings()
                settings.maxPriority = random.oneIn(3) ? nil : UInt8(random.below(12))
                highest = settings.maxPriority ?? 0
                queue.govern(by: settings)
                queue.beginArranging()
            default:
                if queue.isArranging, queue.arrange(1 + random.below(5)) { queue.isArranging = false }
            }
            #expect(queue.readyCount == model.count)
        }
        while queue.isArranging {
            if queue.arrange(3) { queue.isArranging = false }
        }
        var seen: [UInt64] = []
        queue.forEachReady { sequence, _ in seen.append(sequence) }
        #expect(seen.sorted() == model.map(\.sequence).sorted())
    }

    @Test func groupsFollow() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "q", durable: true, arguments: MessageGroupTests.arguments))
        let consumer = MessageGroupTests.consumer(scene.broker, prefetch: 1)
        func publish(_ body: String, _ priority: UInt8) {
            scene.client.publish(
                routingKey: "q",
                properties: BasicProperties(headers: ["key": .text("k")], deliveryMode: 2, priority: priority),
                body: Array(body.utf8)
            )
            scene.client.receive()
        }
        publish("first", 0)
        let other = MessageGroupTests.consumer(scene.broker, prefetch: 1)
        // Held back for its group: the other consumer may have none of them.
        publish("low", 1)
        publish("high", 5)
        #expect(scene.alter(Self.priorities(9)) == [.done])
        #expect(MessageGroupTests.texts(consumer) == ["first"])
        #expect(MessageGroupTests.texts(other).isEmpty)
        consumer.send(BasicAck(deliveryTag: 1))
        scene.broker.run()
        #expect(MessageGroupTests.texts(consumer) + MessageGroupTests.texts(other) == ["high"])
    }

    @Test func aPolicySaysItToo() {
        let scene = Scene()
        let policy = { (definition: FieldTable) in
            scene.broker.administer(
                .setPolicy(
                    PolicyRequest(virtualHost: "/", name: "p", pattern: "^q$", definition: definition),
                    isOperator: false
                )
            )
        }
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        scene.publish("1 a", "3 a", "2 a")
        #expect(policy(["max-priority": .int64(2)]) == [.done])
        scene.publish("3 b")
        #expect(scene.drain() == ["3 a", "2 a", "3 b", "1 a"])
        // The argument counts where there is one, and quorum queues have no priorities.
        #expect(scene.alter(Self.priorities(1)) == [.done])
        scene.publish("1 c", "2 c", "0 c")
        #expect(scene.drain() == ["1 c", "2 c", "0 c"])
        #expect(scene.alter(["x-max-priority": .void, "x-queue-type": .text("quorum")]) == [.done])
        scene.publish("1 d", "2 d")
        #expect(scene.drain() == ["1 d", "2 d"])
        #expect(policy(["max-priority": .int64(256)]) != [.done])
    }

    /// The priorities of messages on disk are known without reading them.
    @Test func messagesOnDiskTakeTheirPlaces() {
        let scene = PagingTests.Scene()
        for number in 0..<1_000 {
            scene.client.publish(
                routingKey: "q",
                properties: BasicProperties(priority: UInt8(number % 4)),
                body: PagingTests.Scene.body(number, size: 1_000)
            )
            scene.broker.run()
        }
        let onDisk = scene.shard.store.pagedCount
        #expect(onDisk > 500)
        #expect(
            scene.broker.administer(.alterQueue(virtualHost: "/", name: "q", changes: Self.priorities(3))) == [.done]
        )
        #expect(scene.shard.store.pagedCount == onDisk)
        let expected = [3, 2, 1, 0].flatMap { level in (0..<1_000).filter { $0 % 4 == level } }
        #expect(scene.consume() == expected.map { PagingTests.Scene.body($0, size: 1_000) })
    }

    // MARK: Type

    @Test(arguments: shardCounts)
    func aClassicQueueBecomesAQuorumQueueAndBack(shards: Int) {
        let scene = Scene(shards: shards)
        scene.client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-queue-mode": .text("lazy")]))
        scene.publish("1", "2", "3")
        let lazy = scene.alter(["x-queue-type": .text("quorum")])
        #expect(
            lazy == [
                .failed(
                    .invalid(
                        "invalid arg 'x-queue-mode' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"
                    )
                )
            ]
        )
        #expect(scene.alter(["x-queue-type": .text("quorum"), "x-queue-mode": .void]) == [.done])
        #expect(scene.snapshot()?.type == "quorum")
        #expect(scene.snapshot()?.arguments == ["x-queue-type": .text("quorum")])
        #expect(scene.declare(["x-queue-type": .text("quorum")]) == "1 queue.declare-ok 3 0")
        #expect(
            scene.declare(["x-queue-mode": .text("lazy")])
                == "1 channel.close 406 PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': "
                + "received none but current is the value 'quorum' of type 'longstr' (50/10)"
        )
        // The usual limit of quorum queues, and their header.
        for round in 0...20 {
            let received = scene.client.call(BasicGet(queue: "q"))
            #expect(received.first?.text == "1")
            #expect(ReturnTests.headers(received)?["x-delivery-count"] == .int64(Int64(round)))
            // Not given back or asked for again, which puts it last without a limit of its own.
            scene.client.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
            scene.client.call(ChannelOpen())
        }
        #expect(scene.drain() == ["2", "3"])
        scene.publish("4", "5")
        #expect(scene.client.call(BasicGet(queue: "q")).first?.text == "4")
        #expect(scene.alter(["x-queue-type": .text("classic")]) == [.done])
        // What is out comes back by the rules of now: to its old place.
        scene.client.call(BasicRecover(requeue: true))
        #expect(scene.snapshot()?.type == "classic")
        #expect(scene.drain() == ["4", "5"])
        #expect(scene.declare([:]) == "1 queue.declare-ok 0 0")
    }

    @Test func whatCannotBeIsRefusedInOneLineAndNothingChanges() {
        let scene = Scene()
        let client = scene.client
        client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-priority": .int32(3)]))
        client.call(QueueDeclare(queue: "passing"))
        client.call(QueueDeclare(queue: "going", durable: true, autoDelete: true))
        client.call(QueueDeclare(queue: "mine", exclusive: true))
        let quorum: FieldTable = ["x-queue-type": .text("quorum")]
        let cases: [(String, FieldTable, String)] = [
            ("passing", quorum, "invalid property 'non-durable' for queue 'passing' in vhost '/'"),
            ("going", quorum, "invalid property 'auto-delete' for queue 'going' in vhost '/'"),
            ("mine", quorum, "invalid property 'exclusive-owner' for queue 'mine' in vhost '/'"),
            ("q", quorum, "invalid arg 'x-max-priority' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue"),
            (
                "q", ["x-queue-type": .text("stream"), "x-max-priority": .void],
                "streams are not supported: queue 'q' in vhost '/'"
            ),
            (
                "q", ["x-queue-type": .text("lasting")],
                "invalid arg 'x-queue-type' for queue 'q' in vhost '/': \"unsupported queue type 'lasting'\""
            ),
            (
                "q", ["x-max-priority": .int64(256)],
                "invalid arg 'x-max-priority' for queue 'q' in vhost '/': {max_value_exceeded,256}"
            ),
            (
                "q", ["x-max-length": .text("10")],
                "invalid arg 'x-max-length' for queue 'q' in vhost '/': \"expected integer, got longstr\""
            ),
            ("q", ["x-max-prioritiy": .int64(3)], "unknown arg 'x-max-prioritiy' for queue 'q' in vhost '/'"),
        ]
        for (queue, changes, text) in cases {
            #expect(scene.alter(changes, queue) == [.failed(.invalid(text))])
        }
        #expect(scene.alter(quorum, "nobody") == [.failed(.notFound("no queue 'nobody' in vhost '/'"))])
        let elsewhere = scene.broker.administer(.alterQueue(virtualHost: "v", name: "q", changes: quorum))
        #expect(elsewhere == [.failed(.noVirtualHost("v"))])
        #expect(scene.snapshot()?.arguments == ["x-max-priority": .int32(3)])
        // What is so already, or is not there, is no change, and queues that go with somebody can be altered otherwise.
        #expect(scene.alter(["x-max-priority": .int64(3), "x-other": .void]) == [.done])
        #expect(scene.snapshot()?.arguments == ["x-max-priority": .int32(3)])
        #expect(scene.alter(["x-max-length": .int64(1)], "mine") == [.done])
        scene.publish("a", "b", to: "mine")
        #expect(client.call(BasicGet(queue: "mine", noAck: true)).first?.text == "b")
    }

    // MARK: Everything else

    @Test func limitsTimesAndDeadLettersHoldAtOnce() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "dead", durable: true))
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        scene.publish("1", "2", "3", "4")
        let deadLetters: FieldTable = [
            "x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("dead"),
            "x-max-length": .int64(3), "x-message-ttl": .int64(1_000), "x-delivery-limit": .int64(0),
        ]
        #expect(scene.alter(deadLetters) == [.done])
        func dead() -> String? { scene.client.call(BasicGet(queue: "dead", noAck: true)).first?.text }
        #expect(dead() == "1")
        scene.client.call(BasicGet(queue: "q"))
        scene.client.call(BasicRecover(requeue: true))
        #expect(dead() == "2")
        scene.publish("5")
        scene.broker.advance(milliseconds: 1_001)
        #expect(dead() == "5")
        // Those that were there keep the time they had, as with a policy.
        #expect(scene.snapshot()?.ready == 2)
        #expect(scene.declare(deadLetters) == "1 queue.declare-ok 2 0")
        #expect(scene.alter(FieldTable(deadLetters.map { ($0.key, .void) })) == [.done])
        scene.publish("6", "7")
        scene.broker.advance(milliseconds: 2_000)
        #expect(scene.drain() == ["3", "4", "6", "7"])
        #expect(dead() == nil)
    }

    @Test func oneConsumerBecomesTheActiveOneAndAllHaveTheirTurnAgain() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        let consumers = (0..<2).map { _ in SimulatedClient(scene.broker).open() }
        for consumer in consumers { consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true)) }
        func took(_ bodies: String...) -> [[String]] {
            for body in bodies { scene.publish(body) }
            return consumers.map { $0.receive().compactMap(\.text) }
        }
        #expect(took("1", "2") == [["1"], ["2"]])
        #expect(scene.alter(["x-single-active-consumer": .boolean(true)]) == [.done])
        #expect(took("3", "4") == [["3", "4"], []])
        consumers[0].call(BasicCancel(consumerTag: "c"))
        #expect(took("5") == [[], ["5"]])
        consumers[0].call(BasicConsume(queue: "q", consumerTag: "c", noAck: true))
        #expect(scene.alter(["x-single-active-consumer": .void]) == [.done])
        let both = took("6", "7")
        #expect(both.map(\.count) == [1, 1] && Set(both.flatMap { $0 }) == ["6", "7"])
    }

    @Test func eachMessageIsTakenOnceFromThenOn() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        func publish(_ body: String) {
            scene.client.publish(
                routingKey: "q",
                properties: BasicProperties(headers: ["x-deduplication-header": .text("id")], deliveryMode: 2),
                body: Array(body.utf8)
            )
            scene.client.receive()
        }
        publish("before")
        #expect(scene.alter(["x-message-deduplication": .boolean(true)]) == [.done])
        publish("first")
        publish("again")
        #expect(scene.drain() == ["before", "first"])
        publish("second")
        #expect(scene.alter(["x-message-deduplication": .void]) == [.done])
        publish("third")
        #expect(scene.drain() == ["second", "third"])
    }
}
