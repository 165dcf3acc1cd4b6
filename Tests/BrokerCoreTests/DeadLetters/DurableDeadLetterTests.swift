import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What a crash leaves of times and dead letters.
@Suite struct DurableDeadLetterTests {
    @Test(arguments: [(1, 1), (2, 3)])
    func deadlinesSurviveARestart(before: Int, after: Int) throws {
        let scene = QueueScene(shards: before, isDurable: true)
        scene.declareDeadLetters(durable: true, [("x-message-ttl", .int64(10_000))])
        scene.publish("queue's", persistent: true)
        scene.publish("own", expiration: "3000", persistent: true)
        scene.publish("transient")
        scene.advance(1000)
        // Five seconds pass until the next start: one is due at once.
        let next = try scene.restarted(shards: after, afterMilliseconds: 5000)
        next.advance(1)
        #expect(next.counts("q") == "1 0")
        #expect(next.get("dead")?.deaths == ["q expired 1"])
        next.advance(3998)
        #expect(next.counts("q") == "1 0")
        next.advance(1)
        #expect(next.counts("q") == "0 0")
        #expect(next.drain("dead") == ["queue's"])
    }

    @Test func deadlinesSurviveTheTrimmingOfTheLog() throws {
        let scene = QueueScene(isDurable: true)
        scene.declareDeadLetters(durable: true, [("x-message-ttl", .int64(10_000))])
        scene.publish("1", "2", persistent: true)
        scene.publish("short", expiration: "2000", persistent: true)
        scene.advance(1000)
        _ = scene.get("q", noAck: false)
        scene.broker.trimLog()
        let next = try scene.restarted(afterMilliseconds: 0)
        next.advance(999)
        #expect(next.counts("q") == "3 0")
        next.advance(1)
        #expect(next.drain("dead") == ["short"])
        next.advance(7999)
        #expect(next.counts("q") == "2 0")
        next.advance(1)
        #expect(next.drain("dead") == ["1", "2"])
    }

    @Test(arguments: [1, 2, 3])
    func aMoveIsInTheLogBeforeItsSourceIsSettled(shards: Int) throws {
        let scene = QueueScene(shards: shards, isDurable: true)
        scene.declareDeadLetters(durable: true)
        scene.publish("x", persistent: true)
        // At every moment of the move a crash finds the message somewhere.
        scene.broker.isLogHeld = true
        scene.reject("q")
        let held = try scene.restarted()
        #expect([held.counts("q"), held.counts("dead")].contains("1 0"))
        scene.broker.isLogHeld = false
        scene.broker.run()
        let done = try scene.restarted()
        #expect(done.counts("q") == "0 0")
        #expect(done.get("dead")?.deaths == ["q rejected 1"])
    }

    @Test(arguments: [1, 2])
    func atLeastOnceWaitsUntilSomebodyTakesIt(shards: Int) throws {
        let scene = QueueScene(shards: shards, isDurable: true)
        let arguments: FieldTable = [
            "x-queue-type": .text("quorum"), "x-dead-letter-exchange": .text("dlx"),
            "x-dead-letter-strategy": .text("at-least-once"), "x-overflow": .text("reject-publish"),
        ]
        scene.declare("q", durable: true, arguments)
        scene.publish("1", "2", persistent: true)
        scene.reject("q")
        #expect(scene.counts("q") == "1 0")
        scene.advance(20_000)
        // Nowhere to go yet, and not lost.
        scene.client.call(ExchangeDeclare(exchange: "dlx", type: "fanout", durable: true))
        scene.declare("dead", durable: true, ["x-max-length": .int64(0), "x-overflow": .text("reject-publish")])
        scene.client.call(QueueBind(queue: "dead", exchange: "dlx"))
        scene.advance(20_000)
        #expect(scene.counts("dead") == "0 0")
        #expect(try scene.restarted().counts("q") == "2 0")
        // There is room at last.
        scene.client.call(QueueDelete(queue: "dead"))
        scene.declare("dead", durable: true)
        scene.client.call(QueueBind(queue: "dead", exchange: "dlx"))
        scene.advance(5000)
        #expect(scene.get("dead")?.deaths == ["q rejected 1"])
        #expect(try scene.restarted().counts("q") == "1 0")
    }

    /// Found by the simulation, which compares what a trim tells with what the log had.
    @Test func aTrimTellsNoMoreReturnsThanThereMayBe() throws {
        let scene = QueueScene(isDurable: true)
        let arguments: FieldTable = [
            "x-queue-type": .text("quorum"), "x-delivery-limit": .int64(1), "x-overflow": .text("reject-publish"),
            "x-dead-letter-exchange": .text("dlx"), "x-dead-letter-strategy": .text("at-least-once"),
        ]
        scene.declare("q", durable: true, arguments)
        scene.publish("1", persistent: true)
        for _ in 0..<2 {
            scene.client.call(BasicGet(queue: "q"))
            scene.client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        }
        // It has come back once too often, is dead, and nobody takes it.
        #expect(scene.counts("q") == "0 0")
        scene.broker.trimLog()
        let client = SimulatedClient(try scene.broker.restarted(shardCount: 1)).open()
        guard case .content(_, _, let properties, _)? = client.call(BasicGet(queue: "q")).first else {
            Issue.record("the message is lost")
            return
        }
        #expect(properties.headers?["x-delivery-count"]?.integerValue == 1)
    }

    /// What has come back more often than a limit that was lowered since: a trim takes nothing from its count.
    @Test func aTrimTellsNoFewerReturnsThanTheLogHad() throws {
        let scene = QueueScene(isDurable: true)
        let arguments: FieldTable = [
            "x-queue-type": .text("quorum"), "x-delivery-limit": .int64(3), "x-overflow": .text("reject-publish"),
            "x-dead-letter-exchange": .text("dlx"), "x-dead-letter-strategy": .text("at-least-once"),
        ]
        scene.declare("q", durable: true, arguments)
        scene.publish("1", persistent: true)
        func giveBack() {
            scene.client.call(BasicGet(queue: "q"))
            scene.client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        }
        giveBack()
        giveBack()
        let change: FieldTable = ["x-delivery-limit": .int64(1)]
        #expect(scene.broker.administer(.alterQueue(virtualHost: "/", name: "q", changes: change)) == [.done])
        // Once more than the new limit allows: it is dead, and nobody takes it.
        giveBack()
        #expect(scene.counts("q") == "0 0")
        for isTrimmed in [false, true] {
            if isTrimmed { scene.broker.trimLog() }
            let found = try scene.restarted().get("q")
            #expect(found?.properties?.headers?["x-delivery-count"]?.integerValue == 2)
        }
    }

    /// Dead letters that wait for somebody to take them cannot grow beyond what the queue may be.
    @Test(arguments: [("x-max-length", 2), ("x-max-length-bytes", 2)])
    func whatNobodyTakesCountsForTheLimit(limit: String, most: Int64) {
        let scene = QueueScene()
        let arguments: FieldTable = FieldTable([
            ("x-queue-type", .text("quorum")), ("x-overflow", .text("reject-publish")),
            ("x-dead-letter-exchange", .text("dlx")), ("x-dead-letter-strategy", .text("at-least-once")),
            (limit.short, .int64(most)),
        ])
        scene.declare("q", durable: true, arguments)
        scene.client.call(ConfirmSelect())
        func publish(_ body: String) -> String? {
            scene.client.publish(routingKey: "q", body: Array(body.utf8))
            return scene.client.receive().lines.last
        }
        #expect(publish("1") == "1 ack 1")
        scene.reject("q")
        #expect(publish("2") == "1 ack 2")
        #expect(publish("3") == "1 nack 3")
        #expect(scene.counts("q") == "1 0")
        scene.client.call(ExchangeDeclare(exchange: "dlx", type: "fanout"))
        scene.declareDead()
        scene.advance(5000)
        #expect(publish("4") == "1 ack 4")
        #expect(publish("5") == "1 nack 5")
    }

    @Test func atMostOnceDoesNotWait() {
        let scene = QueueScene(isDurable: true)
        scene.declare(
            "q",
            durable: true,
            [
                "x-queue-type": .text("quorum"), "x-dead-letter-exchange": .text("dlx"),
                "x-dead-letter-strategy": .text("at-least-once"),
            ]
        )
        // Without reject-publish the strategy has no effect, as in RabbitMQ.
        scene.publish("1", persistent: true)
        scene.reject("q")
        scene.client.call(ExchangeDeclare(exchange: "dlx", type: "fanout"))
        scene.declareDead()
        scene.advance(20_000)
        #expect(scene.counts("dead") == "0 0")
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func crashesAtAnyMomentLoseNoDeadLetter(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        let scene = QueueScene(shards: 1 + random.below(3), isDurable: true)
        scene.declareDeadLetters(durable: true, [("x-message-ttl", .int64(50)), ("x-max-length", .int64(20))])
        scene.client.call(ConfirmSelect())
        for number in 0..<60 {
            let properties = BasicProperties(deliveryMode: 2, expiration: "\(1 + random.below(100))".short)
            scene.client.publish(routingKey: "q", properties: properties, body: Array("\(number)".utf8))
        }
        scene.client.receive()
        // Some of the moves are under way when the end comes.
        scene.broker.isLogHeld = random.oneIn(2)
        scene.broker.advance(milliseconds: UInt64(random.below(60)))
        let next = try scene.restarted(shards: 1 + random.below(3))
        next.advance(200)
        let dead = next.drain("dead").compactMap { Int($0) }
        #expect(Set(dead) == Set(0..<60))
        #expect(next.counts("q") == "0 0")
    }
}

extension QueueScene {
    /// Declares `dead` and binds it to `dlx`.
    fileprivate func declareDead() {
        self.declare("dead")
        self.client.call(QueueBind(queue: "dead", exchange: "dlx"))
    }
}
