import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// What queues know and do is the same when octets are on disk.
@Suite struct PagedOrderTests {
    private typealias Scene = PagingTests.Scene

    private func headers(_ group: Int) -> BasicProperties {
        BasicProperties(headers: ["key": .int32(Int32(group))], deliveryMode: 2)
    }

    /// Fills another queue, so that what came before leaves memory.
    private func pushOut(_ scene: Scene) {
        scene.client.call(ChannelOpen(), channel: 9)
        scene.client.call(QueueDeclare(queue: "other"), channel: 9)
        for number in 0..<700 {
            scene.client.publish(routingKey: "other", body: Scene.body(number, size: 1000), channel: 9)
            scene.broker.run()
        }
    }

    /// Messages that were dead before the queue was deleted arrive, though they had to be read first.
    @Test(arguments: [false, true]) func whatWasDeadWhenItsQueueWentArrives(isDurable: Bool) throws {
        let scene = Scene(isDurable: isDurable)
        scene.client.call(QueueDeclare(queue: "dead", durable: true))
        let arguments: FieldTable = [
            "x-dead-letter-exchange": .longString([]), "x-dead-letter-routing-key": .longString(Array("dead".utf8)),
        ]
        scene.client.call(QueueDeclare(queue: "d", durable: true, arguments: arguments))
        scene.publish(0..<300, isPersistent: isDurable, to: "d")
        #expect(scene.consume("d", noAck: false).count == 300)
        self.pushOut(scene)
        let onDisk = scene.shard.store.pagedCount
        #expect(onDisk > 500)
        // One read brings both.
        scene.client.send(BasicNack(deliveryTag: 0, multiple: true, requeue: false))
        scene.client.call(QueueDelete(queue: "d"))
        #expect(scene.shard.paging.orphanCount == 0)
        if isDurable { scene.broker.trimLog() }
        let bodies = scene.consume("dead")
        #expect(bodies == (0..<300).map { Scene.body($0, size: 1000) })
        scene.client.call(QueueDelete(queue: "other"))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    /// What could not be read from disk is not settled: the next start may find it.
    @Test func deadMessagesThatCannotBeReadComeBackWithAStart() throws {
        let scene = Scene(isDurable: true)
        scene.client.call(QueueDeclare(queue: "dead", durable: true))
        let arguments: FieldTable = ["x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("dead")]
        scene.client.call(QueueDeclare(queue: "d", durable: true, arguments: arguments))
        scene.publish(0..<300, isPersistent: true, to: "d")
        #expect(scene.consume("d", noAck: false).count == 300)
        self.pushOut(scene)
        scene.broker.pager.isDamaged = true
        scene.client.send(BasicNack(deliveryTag: 0, multiple: true, requeue: false))
        scene.broker.run()
        let arrived = scene.consume("dead")
        #expect(arrived.count < 200)
        let restarted = try scene.restarted()
        let left = restarted.consume("d")
        #expect((arrived + left).count == 300)
        #expect(Set(arrived + left) == Set((0..<300).map { Scene.body($0, size: 1000) }))
    }

    /// Without somewhere to go they are just gone.
    @Test func deadMessagesOfADeletedVirtualHostsExchangeAreLetGo() {
        let scene = Scene()
        scene.client.call(ExchangeDeclare(exchange: "dlx", type: "fanout"))
        scene.client.call(QueueDeclare(queue: "d", arguments: ["x-dead-letter-exchange": .text("dlx")]))
        scene.publish(0..<300, to: "d")
        #expect(scene.consume("d", noAck: false).count == 300)
        self.pushOut(scene)
        scene.client.send(BasicNack(deliveryTag: 0, multiple: true, requeue: false))
        scene.client.call(QueueDelete(queue: "d"))
        scene.client.call(QueueDelete(queue: "other"))
        #expect(scene.shard.paging.orphanCount == 0)
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    /// What comes back to the end of a quorum queue while the log is trimmed does so, here and at the next start.
    @Test(arguments: [false, true]) func theEndOfAQueueIsTheEndWhileTheLogIsTrimmed(isTimed: Bool) throws {
        let scene = Scene(isDurable: true)
        var arguments: [(ShortString, FieldValue)] = [("x-queue-type", .text("quorum"))]
        if isTimed { arguments.append(("x-message-ttl", .int32(3_600_000))) }
        scene.client.call(QueueDeclare(queue: "u", durable: true, arguments: FieldTable(arguments)))
        scene.publish(0..<300, isPersistent: true, to: "u")
        let received = scene.client.call(BasicConsume(queue: "u", consumerTag: "c"))
        #expect(received.count == 301)
        scene.client.call(BasicCancel(consumerTag: "c"))
        self.pushOut(scene)
        var moved: [Int] = []
        var steps = 0
        scene.broker.trimLog(.whole) {
            steps += 1
            for number in [7 * steps, 300 - 11 * steps] where number > 0 && number <= 300 && !moved.contains(number) {
                moved.append(number)
                scene.client.send(BasicNack(deliveryTag: UInt64(number), requeue: true))
                scene.client.receive()
            }
        }
        #expect(moved.count > 4)
        let restarted = try scene.restarted()
        scene.client.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
        scene.client.call(ChannelOpen(), channel: 1)
        let rest = (1...300).filter { !moved.contains($0) }
        let expected = (rest + moved).map { Scene.body($0 - 1, size: 1000) }
        let here = scene.consume("u")
        // A channel that closes gives its messages back to the end, too.
        #expect(here == (moved + rest).map { Scene.body($0 - 1, size: 1000) } || here == expected)
        #expect(restarted.consume("u") == expected)
    }

    /// A message that waits keeps its group from being delivered at the next start, too, whoever says what a group is.
    @Test(arguments: [false, true]) func groupsThatWaitWaitAfterAStart(isByPolicy: Bool) throws {
        let scene = Scene(isDurable: true)
        var arguments: [(ShortString, FieldValue)] = [("x-delayed-retry-min", .int32(60_000))]
        if isByPolicy {
            let policy = PolicyRequest(
                virtualHost: "/",
                name: "p",
                pattern: "^g$",
                applyTo: "queues",
                priority: 0,
                definition: ["group-header": .text("key")]
            )
            #expect(scene.broker.administer(.setPolicy(policy, isOperator: false)) == [.done])
        } else {
            arguments.append(("x-group-header", .text("key")))
        }
        scene.client.call(QueueDeclare(queue: "g", durable: true, arguments: FieldTable(arguments)))
        for number in 0..<6 {
            scene.client.publish(
                routingKey: "g",
                properties: self.headers(number % 2),
                body: Array("\(number)".utf8)
            )
        }
        // The first of group 0 fails, and waits.
        scene.client.call(BasicGet(queue: "g"))
        scene.client.call(BasicReject(deliveryTag: 1, requeue: true))
        scene.broker.run()
        let restarted = try scene.restarted()
        let queue = restarted.shard.queues.compactMap { $0 }.first { $0.pointee.info.name == "g" }
        // Nothing was read for it to memory.
        #expect(restarted.shard.store.liveBytes == 0)
        #expect(restarted.consume("g") == [[49], [51], [53]])
        #expect(queue?.pointee.groups?.pointee.unknown.isEmpty == true)
        restarted.broker.advance(milliseconds: 60_000)
        let late = restarted.client.receive().compactMap { $0.text }
        #expect(late == ["0", "2", "4"])
    }

    /// `basic.get` waits for what the disk knows as well.
    @Test func aGetWaitsForTheGroups() throws {
        let scene = Scene(isDurable: true)
        let arguments: FieldTable = ["x-delayed-retry-min": .int32(60_000), "x-group-header": .text("key")]
        scene.client.call(QueueDeclare(queue: "g", durable: true, arguments: arguments))
        for number in 0..<3 {
            scene.client.publish(routingKey: "g", properties: self.headers(number / 2), body: Array("\(number)".utf8))
        }
        scene.client.call(BasicGet(queue: "g"))
        scene.client.call(BasicReject(deliveryTag: 1, requeue: true))
        scene.broker.run()
        let restarted = try scene.restarted()
        #expect(restarted.client.call(BasicGet(queue: "g", noAck: true)).first?.text == "2")
        #expect(restarted.client.call(BasicGet(queue: "g", noAck: true)).lines == ["1 basic.get-empty"])
    }
}
