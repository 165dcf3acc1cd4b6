import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Numbers are those of BEHAVIOURS.md; every field is compared with RabbitMQ's by Interop/recordings.
@Suite struct DeadLetterTests {
    private static let entryKeys: [ShortString] = ["count", "reason", "queue", "time", "exchange", "routing-keys"]

    @Test(arguments: [1, 2, 3])
    func aRejectedMessageCarriesItsStory(shards: Int) throws {
        // 185, 186, 188, 190, 191
        let scene = QueueScene(shards: shards)
        scene.declareDeadLetters()
        scene.publish("x", headers: ["zebra": .int32(1), "alpha": .text("a")])
        scene.reject("q")
        let letter = try #require(scene.get("dead"))
        guard case .content(_, .basicGetOk(let ok), let properties, let body) = letter else { return }
        #expect((ok.exchange, ok.routingKey) == ("dlx", "q"))
        #expect(ok.redelivered == false)
        #expect(body == Array("x".utf8))
        let headers = try #require(properties.headers)
        #expect(
            headers.map(\.key) == [
                "alpha", "x-death", "x-first-death-exchange", "x-first-death-queue", "x-first-death-reason",
                "x-last-death-exchange", "x-last-death-queue", "x-last-death-reason", "zebra",
            ]
        )
        guard case .array(let deaths)? = headers["x-death"],
            case .table(let death)? = deaths.first(where: { _ in true })
        else {
            Issue.record("no death")
            return
        }
        #expect(death.map(\.key) == Self.entryKeys)
        #expect(death["count"] == .int64(1))
        #expect(death["reason"] == .text("rejected"))
        #expect(death["queue"] == .text("q"))
        #expect(death["time"] == .timestamp(SimulatedBroker.startOfTime / 1000))
        #expect(death["exchange"] == .text(""))
        #expect(death["routing-keys"] == .array([.text("q")]))
        #expect(headers["x-first-death-reason"] == .text("rejected"))
    }

    @Test func anExpiredMessageLosesItsExpirationAndKeepsItInItsStory() throws {
        // 189
        let scene = QueueScene()
        scene.declareDeadLetters()
        scene.publish("x", expiration: "50")
        scene.advance(50)
        let letter = try #require(scene.get("dead"))
        #expect(letter.deaths == ["q expired 1"])
        #expect(letter.properties?.expiration == nil)
        guard case .array(let deaths)? = letter.properties?.headers?["x-death"],
            case .table(let death)? = deaths.first(where: { _ in true })
        else { return }
        #expect(death["original-expiration"] == .text("50"))
    }

    @Test(arguments: [nil, "other"] as [String?])
    func copiesGoAlongUnlessThereIsANewKey(key: String?) throws {
        // 190
        let scene = QueueScene()
        scene.declareDeadLetters(key.map { [("x-dead-letter-routing-key", .text($0))] } ?? [])
        scene.publish("x", headers: ["CC": .array([.text("one"), .text("two")])])
        scene.reject("q")
        let letter = try #require(scene.get("dead"))
        guard case .content(_, .basicGetOk(let ok), let properties, _) = letter else { return }
        #expect(ok.routingKey == (key ?? "q").short)
        #expect((properties.headers?["CC"] == nil) == (key != nil))
        guard case .array(let deaths)? = properties.headers?["x-death"],
            case .table(let death)? = deaths.first(where: { _ in true })
        else { return }
        #expect(death["routing-keys"] == .array([.text("q"), .text("one"), .text("two")]))
    }

    @Test(arguments: [1, 2])
    func theUsualRetryLoopCountsUp(shards: Int) {
        // 187, 192: with a rejection in it a circle goes on.
        let scene = QueueScene(shards: shards)
        scene.declare("work", ["x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("wait")])
        scene.declare(
            "wait",
            [
                "x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("work"),
                "x-message-ttl": .int64(80),
            ]
        )
        scene.publish("x", to: "work")
        for round in 1...5 {
            scene.reject("work")
            #expect(scene.counts("wait") == "1 0")
            scene.advance(80)
            #expect(scene.counts("work") == "1 0")
            if round == 5 {
                #expect(scene.get("work")?.deaths == ["wait expired 5", "work rejected 5"])
            }
        }
    }

    @Test func aCircleWithoutARejectionIsCutAndToldOnce() {
        // 192
        let scene = QueueScene()
        scene.declare(
            "q",
            ["x-message-ttl": .int64(10), "x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("q")]
        )
        scene.publish("1", "2")
        scene.advance(10)
        #expect(scene.counts("q") == "0 0")
        #expect(scene.broker.logLines.filter { $0.contains("dead letters without a rejection") }.count == 1)
        scene.publish("3")
        scene.reject("q")
        #expect(scene.get("q")?.deaths == ["q rejected 1"])
    }

    /// celery#9867: a task that is delayed again is published with the deaths of the first time.
    @Test(arguments: [1, 2], [false, true])
    func nativeDelaysWorkAgainAndAgain(shards: Int, isDurable: Bool) throws {
        let scene = QueueScene(shards: shards, isDurable: isDurable)
        let levels = 28
        func declare(_ name: ShortString, _ arguments: FieldTable) {
            scene.declare(name, durable: isDurable, arguments)
        }
        declare("work", [:])
        for level in 0..<levels {
            declare(
                ShortString(truncating: "delay_\(level)"),
                [
                    "x-message-ttl": .int64(1 << Int64(level)), "x-dead-letter-exchange": .text(""),
                    "x-dead-letter-routing-key": .text(level == 0 ? "work" : "delay_\(level - 1)"),
                ]
            )
        }
        var headers: FieldTable?
        for round in 1...3 {
            scene.publish("x", to: "delay_27", persistent: true, headers: headers)
            // 2^0 + … + 2^27 ms
            scene.advance((1 << 28) - 2)
            #expect(scene.counts("work") == "0 0", "round \(round)")
            scene.advance(1)
            let letter = try #require(scene.get("work"))
            #expect(letter.deaths.count == levels)
            headers = letter.properties?.headers
        }
    }

    @Test func aClientsDeathsDoNotLetACircleGoOnForever() {
        let scene = QueueScene()
        scene.declare(
            "q",
            ["x-message-ttl": .int64(10), "x-dead-letter-exchange": .text(""), "x-dead-letter-routing-key": .text("q")]
        )
        let death: FieldTable = ["queue": .text("q"), "reason": .text("expired"), "count": .int64(3)]
        scene.publish("x", headers: ["x-death": .array([.table(death)])])
        scene.advance(10)
        #expect(scene.counts("q") == "0 0")
    }

    /// A circle of many queues, entered with a history that a client has brought along.
    @Test(arguments: [1, 2, 13, 14, 15, 16, 29, 60], [false, true])
    func aCircleOfManyQueuesEnds(length: Int, isDurable: Bool) throws {
        var scene = QueueScene(isDurable: isDurable)
        for number in 0..<length {
            scene.declare(
                ShortString(truncating: "q\(number)"),
                durable: isDurable,
                [
                    "x-message-ttl": .int64(10), "x-dead-letter-exchange": .text(""),
                    "x-dead-letter-routing-key": .text("q\((number + 1) % length)"),
                ]
            )
        }
        // A count of somebody else's means nothing.
        let death: FieldTable = ["queue": .text("q0"), "reason": .text("expired"), "count": .int64(3)]
        let headers: FieldTable = [
            "x-death": .array([.table(death), .table(death), .text("death")]), "x-own-death-count": .int64(7),
        ]
        scene.publish("x", to: "q0", persistent: true, headers: headers)
        // Every queue gets it once.
        scene.advance(UInt64(10 * length - 5))
        let last = ShortString(truncating: "q\(length - 1)")
        #expect(scene.counts(last) == "1 0")
        if isDurable { scene = try scene.restarted() }
        scene.advance(20)
        for number in 0..<length { #expect(scene.counts(ShortString(truncating: "q\(number)")) == "0 0") }
        #expect(scene.broker.shards[0].store.messageCount == 0)
    }

    @Test func whatMakesNoDeadLetters() {
        // 193
        let scene = QueueScene()
        scene.declareDeadLetters()
        scene.publish("1", "2", "3")
        _ = scene.get("q")
        scene.client.call(QueuePurge(queue: "q"))
        scene.publish("4")
        scene.client.call(QueueDelete(queue: "q"))
        scene.declare("lost", ["x-dead-letter-exchange": .text("nowhere")])
        scene.publish("5", to: "lost")
        scene.reject("lost")
        #expect(scene.counts("dead") == "0 0")
        #expect(scene.counts("lost") == "0 0")
        #expect(scene.broker.shards[0].store.messageCount == 0)
    }

    @Test(arguments: [1, 3])
    func manyKeepTheirOrder(shards: Int) {
        // 194
        let scene = QueueScene(shards: shards)
        scene.declareDeadLetters()
        let bodies = (0..<3000).map { "\($0)" }
        for body in bodies { scene.client.publish(routingKey: "q", body: Array(body.utf8)) }
        scene.client.call(BasicConsume(queue: "q", consumerTag: "c"))
        scene.client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: false))
        #expect(scene.drain("dead") == bodies)
        #expect(scene.broker.shards.allSatisfy { $0.internalPublishes.count == 0 && $0.deaths.isEmpty })
    }

    @Test func chainsOfFullQueuesDoNotNest() {
        let scene = QueueScene()
        let length = 200
        for number in 0..<length {
            let next = number + 1 == length ? "end" : "q\(number + 1)"
            scene.declare(
                ShortString(truncating: "q\(number)"),
                [
                    "x-max-length": .int64(0), "x-dead-letter-exchange": .text(""),
                    "x-dead-letter-routing-key": .text(next),
                ]
            )
        }
        scene.declare("end")
        scene.publish("x", to: "q0")
        #expect(scene.counts("end") == "1 0")
    }

    @Test(arguments: [1, 2])
    func deathsBeforeADeletionAreNotLost(shards: Int) {
        let scene = QueueScene(shards: shards)
        scene.declareDeadLetters()
        scene.publish("1", "2")
        scene.client.call(BasicConsume(queue: "q", consumerTag: "c"))
        scene.client.send(BasicNack(deliveryTag: 2, multiple: true, requeue: false))
        scene.client.send(QueueDelete(queue: "q"))
        scene.client.receive()
        #expect(scene.drain("dead") == ["1", "2"])
    }

    @Test func deathsThatAreNoneDoNoHarm() {
        let scene = QueueScene()
        scene.declareDeadLetters()
        let odd: [FieldValue] = [
            .text("deaths"), .int32(5), .array([]), .array([.text("death")]), .array([.table([:])]),
            .array([.table(["queue": .text("q"), "reason": .text("rejected"), "count": .text("many")])]),
        ]
        for value in odd {
            scene.publish("x", headers: ["x-death": value])
            scene.reject("q")
            #expect(scene.get("dead")?.deaths.first?.hasPrefix("q rejected 1") == true, "\(value)")
        }
    }
}
