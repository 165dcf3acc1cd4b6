import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Numbers are those of BEHAVIOURS.md.
@Suite struct LengthLimitTests {
    @Test(
        arguments: [
            (0, ["1", "2"], []), (1, ["1", "2", "3"], ["3"]), (2, ["1", "2", "3"], ["2", "3"]),
            (5, ["1", "2"], ["1", "2"]),
        ] as [(Int64, [String], [String])]
    )
    func theHeadIsDropped(limit: Int64, published: [String], left: [String]) {
        // 195
        let scene = QueueScene()
        scene.declare("q", ["x-max-length": .int64(limit)])
        for body in published { scene.publish(body) }
        #expect(scene.counts("q") == "\(left.count) 0")
        #expect(scene.drain("q") == left)
    }

    @Test(
        arguments: [
            (["12345", "67890"], ["12345", "67890"]), (["12345", "67890", "x"], ["67890", "x"]),
            (["12345", "67890", ""], ["12345", "67890", ""]), (["123", "more than ten"], []),
            (["1", "2", "3", "12345678"], ["2", "3", "12345678"]),
        ] as [([String], [String])]
    )
    func octetsOfBodiesCount(published: [String], left: [String]) {
        let scene = QueueScene()
        scene.declare("q", ["x-max-length-bytes": .int64(10)])
        for body in published { scene.publish(body) }
        #expect(scene.drain("q") == left)
        // The count is right again afterwards.
        scene.publish("1234567890")
        #expect(scene.drain("q") == ["1234567890"])
    }

    @Test(arguments: [true, false], [0, 1])
    func aConsumerThatWaitsComesBeforeTheLimit(noAck: Bool, limit: Int64) {
        // 196
        let scene = QueueScene()
        scene.declare("q", ["x-max-length": .int64(limit)])
        scene.client.call(BasicConsume(queue: "q", consumerTag: "c", noAck: noAck))
        // In one read, so that all of them come before the queue is dispatched.
        for body in ["1", "2", "3"] {
            scene.client.publish(routingKey: "q", body: Array(body.utf8))
        }
        #expect(scene.client.receive().lines == ["1 deliver c #1 1", "1 deliver c #2 2", "1 deliver c #3 3"])
    }

    @Test(arguments: [1, 2], ["reject-publish", "reject-publish-dlx"])
    func aFullQueueRefuses(shards: Int, overflow: String) {
        // 197
        let scene = QueueScene(shards: shards)
        scene.declareDeadLetters([("x-max-length", .int64(1)), ("x-overflow", .text(overflow))])
        scene.client.call(ConfirmSelect())
        var answers: [String] = []
        for shard in 0..<shards {
            let publisher = SimulatedClient(scene.broker, shard: shard).open()
            publisher.call(ConfirmSelect())
            for body in ["1", "2"] {
                publisher.publish(routingKey: "q", body: Array(body.utf8))
                answers += publisher.receive().lines
            }
        }
        #expect(answers.prefix(2) == ["1 ack 1", "1 nack 2"])
        #expect(answers.dropFirst(2).allSatisfy { $0.contains("nack") })
        scene.publish("3")
        #expect(scene.drain("q") == ["1"])
        let isDead = overflow == "reject-publish-dlx"
        #expect(scene.get("dead")?.deaths == (isDead ? ["q maxlen 1"] : nil))
        #expect(scene.drain("dead").count == (isDead ? 2 * shards - 1 : 0))
        // There is room again.
        let publisher = SimulatedClient(scene.broker).open()
        publisher.call(ConfirmSelect())
        publisher.publish(routingKey: "q", body: Array("4".utf8))
        #expect(publisher.receive().lines == ["1 ack 1"])
    }

    @Test func aQueueOfLengthZeroThatRefusesTakesNothingEvenForAConsumer() {
        let scene = QueueScene()
        scene.declare("q", ["x-max-length": .int64(0), "x-overflow": .text("reject-publish")])
        scene.client.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true))
        scene.client.call(ConfirmSelect())
        scene.client.publish(routingKey: "q", body: [1])
        #expect(scene.client.receive().lines == ["1 nack 1"])
    }

    /// RabbitMQ takes one more, or as many as are under way.
    @Test(arguments: [0, 2] as [Int64]) func aQuorumQueueTakesWhatItsLengthSays(limit: Int64) {
        let scene = QueueScene()
        let arguments: FieldTable = [
            "x-queue-type": .text("quorum"), "x-max-length": .int64(limit), "x-overflow": .text("reject-publish"),
        ]
        scene.client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        scene.client.call(ConfirmSelect())
        for _ in 0..<4 { scene.client.publish(routingKey: "q", body: [1]) }
        let acks = scene.client.receive().lines.filter { $0.contains(" ack ") }
        #expect(acks.isEmpty == (limit == 0))
        #expect(
            scene.client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok \(limit) 0"]
        )
    }

    @Test(arguments: [1, 2, 3], [false, true])
    func onePublishToManyQueuesIsRefusedIfOneRefuses(shards: Int, isDurable: Bool) {
        let scene = QueueScene(shards: shards, isDurable: isDurable)
        scene.client.call(ExchangeDeclare(exchange: "e", type: "fanout"))
        for number in 0..<6 {
            let limit: FieldTable =
                number == 3 ? ["x-max-length": .int64(1), "x-overflow": .text("reject-publish")] : [:]
            scene.declare(ShortString(truncating: "q\(number)"), durable: isDurable, limit)
            scene.client.call(QueueBind(queue: ShortString(truncating: "q\(number)"), exchange: "e"))
        }
        scene.client.call(ConfirmSelect())
        for number in 1...3 {
            scene.client.publish(
                exchange: "e",
                routingKey: "",
                properties: BasicProperties(deliveryMode: 2),
                body: [UInt8(number)]
            )
            #expect(scene.client.receive().lines == [number == 1 ? "1 ack 1" : "1 nack \(number)"])
        }
        #expect(scene.counts("q3") == "1 0")
        #expect(scene.counts("q0") == "3 0")
        #expect(scene.counts("q5") == "3 0")
    }

    @Test func aTransactionWithARefusedPublishFails() {
        let scene = QueueScene()
        scene.declare("q", ["x-max-length": .int64(1), "x-overflow": .text("reject-publish")])
        scene.client.call(TxSelect())
        scene.publish("1", "2")
        #expect(
            scene.client.call(TxCommit()).lines
                == ["1 channel.close 406 PRECONDITION_FAILED - partial tx completion (90/20)"]
        )
        #expect(scene.counts("q") == "1 0")
    }

    @Test func messagesThatComeBackCountAndTheOldestGo() {
        let scene = QueueScene()
        scene.declareDeadLetters([("x-max-length", .int64(2))])
        scene.publish("1", "2")
        _ = scene.get("q", noAck: false)
        _ = scene.get("q", noAck: false)
        scene.publish("3", "4")
        #expect(scene.counts("q") == "2 0")
        scene.client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        #expect(scene.drain("dead") == ["1", "2"])
        #expect(scene.drain("q") == ["3", "4"])
    }

    @Test func thousandsAreDroppedInPieces() {
        let scene = QueueScene()
        scene.declare("q", ["x-max-length-bytes": .int64(20_000)])
        let bodies = (0..<20_000).map { _ in [UInt8(ascii: "x")] }
        for body in bodies { scene.client.publish(routingKey: "q", body: body) }
        scene.client.receive()
        #expect(scene.counts("q") == "20000 0")
        scene.client.publish(routingKey: "q", body: [UInt8](repeating: 1, count: 20_000))
        scene.broker.readAll(scene.client.socket)
        #expect(scene.broker.shards[0].hasPendingWork)
        scene.broker.run()
        #expect(scene.counts("q") == "1 0")
    }

    @Test func aLimitThatComesLaterIsObeyed() throws {
        let scene = QueueScene()
        scene.declareDeadLetters()
        for number in 1...5 { scene.publish("\(number)") }
        let shard = scene.broker.shards[0]
        let queue = try #require(shard.queues.compactMap { $0 }.first { $0.pointee.info.name == "q" })
        var settings = queue.pointee.settings
        settings.maxLengthBytes = 3
        shard.applySettings(settings, to: queue)
        scene.broker.settle()
        #expect(scene.drain("dead") == ["1", "2"])
        settings.maxLengthBytes = nil
        settings.maxLength = 1
        shard.applySettings(settings, to: queue)
        scene.broker.settle()
        #expect(scene.drain("dead") == ["3", "4"])
        #expect(scene.drain("q") == ["5"])
    }
}
