import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-delayed-message` exchanges, and `x-delay` and `x-deliver-at` on any exchange, in virtual time.
@Suite struct DelayedMessageTests {
    static let placements = [(1, 0, 0), (3, 0, 1), (3, 2, 0), (3, 1, 1)]

    /// A client that publishes, and one whose queue `q` is bound to what the former declares.
    struct Scene {
        let broker: SimulatedBroker
        let client: SimulatedClient
        let owner: SimulatedClient

        init(_ placement: (Int, Int, Int) = (1, 0, 0), type: String? = "direct") {
            self.broker = SimulatedBroker(shardCount: placement.0)
            self.client = SimulatedClient(self.broker, shard: placement.1).open()
            self.owner = SimulatedClient(self.broker, shard: placement.2).open()
            self.owner.call(QueueDeclare(queue: "q"))
            guard let type else { return }
            self.client.call(
                ExchangeDeclare(
                    exchange: "d",
                    type: "x-delayed-message",
                    durable: true,
                    arguments: ["x-delayed-type": .text(type)]
                )
            )
            self.client.call(QueueBind(queue: "q", exchange: "d", routingKey: type == "topic" ? "#" : "k"))
        }

        func publish(_ text: String, exchange: ShortString = "d", key: ShortString = "k", _ headers: FieldTable?) {
            self.client.publish(
                exchange: exchange,
                routingKey: key,
                properties: BasicProperties(headers: headers),
                body: Array(text.utf8)
            )
            self.client.receive()
        }

        func drain(_ queue: ShortString = "q") -> [String] {
            self.broker.run()
            return self.owner.drain(queue)
        }
    }

    @Test(arguments: placements)
    func waitsAsLongAsItSays(shards: Int, publisher: Int, home: Int) {
        let scene = Scene((shards, publisher, home))
        scene.publish("later", ["x-delay": .int32(5000)])
        scene.publish("sooner", ["x-delay": .int64(1000)])
        scene.publish("at once", [:])
        #expect(scene.drain() == ["at once"])
        scene.broker.advance(milliseconds: 999)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["sooner"])
        scene.broker.advance(milliseconds: 3999)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["later"])
        #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 && $0.delayedMessageCount == 0 })
    }

    @Test(arguments: [
        FieldValue.int8(100), .uint8(100), .int16(100), .uint16(100), .int32(100), .uint32(100), .int64(100),
        .int64L(100),
    ])
    func everyIntegerTypeWaits(delay: FieldValue) {
        let scene = Scene()
        scene.publish("m", ["a": .text("x"), "x-delay": delay, "z": .void])
        scene.broker.advance(milliseconds: 99)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        guard
            case .content(_, .basicGetOk(let ok), let properties, _)? =
                scene.owner.call(BasicGet(queue: "q", noAck: true)).first
        else {
            Issue.record("nothing came")
            return
        }
        #expect(ok.exchange == "d")
        #expect(ok.routingKey == "k")
        #expect(properties.headers?["x-delay"]?.integerValue == -100)
        #expect(properties.headers?.map(\.key) == ["a", "x-delay", "z"])
    }

    @Test(arguments: [
        FieldValue.int32(0), .int32(-5), .text("10x"), .double(-100), .boolean(true), .void,
    ])
    func whatIsNoPositiveIntegerDoesNotWait(delay: FieldValue) {
        let scene = Scene()
        scene.publish("m", ["x-delay": delay])
        guard
            case .content(_, _, let properties, _)? = scene.owner.call(BasicGet(queue: "q", noAck: true)).first
        else {
            Issue.record("it waits")
            return
        }
        #expect(properties.headers?["x-delay"] == delay)
    }

    @Test func centuriesAreFine() {
        let scene = Scene()
        // 28 days, Celery's longest step, and all the time there is.
        scene.publish("long", ["x-delay": .int64(134_217_728_000)])
        scene.publish("for ever", ["x-delay": .int64(.max)])
        scene.broker.advance(milliseconds: 134_217_727_999)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["long"])
        #expect(scene.broker.shards[0].delayedMessageCount == 1)
    }

    @Test(arguments: [(1, 0, 0), (3, 2, 1)], ["", "amq.direct", "amq.topic", "d"] as [ShortString])
    func anyExchangeLetsWait(placement: (Int, Int, Int), exchange: ShortString) {
        let scene = Scene(placement)
        scene.client.call(QueueBind(queue: "q", exchange: "amq.direct", routingKey: "q"))
        scene.client.call(QueueBind(queue: "q", exchange: "amq.topic", routingKey: "*"))
        scene.client.call(QueueBind(queue: "q", exchange: "d", routingKey: "q"))
        let start = SimulatedBroker.startOfTime
        scene.publish("delay", exchange: exchange, key: "q", ["x-delay": .int32(3000)])
        scene.publish("at", exchange: exchange, key: "q", ["x-deliver-at": .int64(Int64(start) + 2000)])
        scene.publish("second", exchange: exchange, key: "q", ["x-deliver-at": .timestamp(start / 1000 + 4)])
        scene.publish("past", exchange: exchange, key: "q", ["x-deliver-at": .int64(1)])
        #expect(scene.drain() == ["past"])
        scene.broker.advance(milliseconds: 1999)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["at"])
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.drain() == ["delay"])
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.drain() == ["second"])
    }

    @Test func theTopologyOfThatDayCounts() {
        let scene = Scene(type: "topic")
        scene.publish("m", key: "a.b", ["x-delay": .int32(1000)])
        scene.owner.call(QueueUnbind(queue: "q", exchange: "d", routingKey: "#"))
        scene.owner.call(QueueDeclare(queue: "r"))
        scene.owner.call(QueueBind(queue: "r", exchange: "d", routingKey: "a.*"))
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.drain() == [])
        #expect(scene.drain("r") == ["m"])
        // Nobody is told of an exchange that is not there any more.
        scene.publish("lost", key: "a.b", ["x-delay": .int32(1000)])
        scene.client.call(ExchangeDelete(exchange: "d"))
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.drain("r") == [])
        #expect(scene.broker.shards[0].census.messages == 0)
    }

    @Test func mandatoryLooksAtTheRoutesOfNow() {
        let scene = Scene()
        func publish(_ exchange: ShortString, _ key: ShortString, _ delay: Int32) -> [String] {
            scene.client.publish(
                exchange: exchange,
                routingKey: key,
                mandatory: true,
                properties: BasicProperties(headers: ["x-delay": .int32(delay)]),
                body: Array("m".utf8)
            )
            return scene.client.receive().lines
        }
        scene.client.call(ConfirmSelect())
        // The delayed exchange returns what waits, as the plugin does, and delivers it later.
        #expect(publish("d", "k", 100) == ["1 return 312 NO_ROUTE m", "1 ack 1"])
        #expect(publish("d", "k", 0) == ["1 ack 2"])
        #expect(publish("", "q", 100) == ["1 ack 3"])
        #expect(publish("", "nowhere", 100) == ["1 return 312 NO_ROUTE m", "1 ack 4"])
        #expect(scene.drain() == ["m"])
        scene.broker.advance(milliseconds: 100)
        #expect(scene.drain() == ["m", "m"])
    }

    @Test func copiesAreMadeThen() {
        let scene = Scene()
        for queue in ["cc", "bcc"] as [ShortString] { scene.owner.call(QueueDeclare(queue: queue)) }
        func list(_ name: String) -> FieldValue { .array(FieldArray([.text(name)])) }
        scene.publish("m", exchange: "", key: "q", ["CC": list("cc"), "BCC": list("bcc"), "x-delay": .int32(10)])
        #expect(scene.drain("bcc") == [])
        scene.broker.advance(milliseconds: 10)
        #expect(scene.drain("q") == ["m"])
        #expect(scene.drain("cc") == ["m"])
        guard case .content(_, _, let properties, _)? = scene.owner.call(BasicGet(queue: "bcc", noAck: true)).first
        else {
            Issue.record("no blind copy")
            return
        }
        #expect(properties.headers?.map(\.key) == ["CC", "x-delay"])
    }

    @Test func exchangesBehindOthersLetWait() {
        let scene = Scene()
        scene.client.call(ExchangeDeclare(exchange: "front", type: "fanout"))
        scene.client.call(ExchangeBind(destination: "d", source: "front"))
        scene.publish("m", exchange: "front", ["x-delay": .int32(100)])
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 100)
        #expect(scene.drain() == ["m"])
    }

    @Test func transactionsWaitFromTheirCommit() {
        let scene = Scene((3, 1, 2))
        scene.client.call(TxSelect())
        scene.publish("undone", ["x-delay": .int32(100)])
        scene.client.call(TxRollback())
        scene.publish("done", ["x-delay": .int32(100)])
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.drain() == [])
        #expect(scene.client.call(TxCommit()).lines == ["1 tx.commit-ok"])
        scene.broker.advance(milliseconds: 99)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["done"])
    }

    @Test func manyAtOnceComeInOrder() {
        let scene = Scene((2, 0, 1))
        for number in 0..<1000 { scene.publish("\(number)", ["x-delay": .int32(50)]) }
        scene.broker.advance(milliseconds: 50)
        #expect(scene.drain() == (0..<1000).map { "\($0)" })
    }

    @Test(arguments: ["fanout", "headers", "x-random", "x-consistent-hash", "x-modulus-hash"])
    func everyTypeMayBeBehindIt(type: String) {
        let scene = Scene(type: type == "x-consistent-hash" ? nil : type)
        if type == "x-consistent-hash" {
            scene.client.call(
                ExchangeDeclare(
                    exchange: "d",
                    type: "x-delayed-message",
                    arguments: ["x-delayed-type": .text(type)]
                )
            )
            #expect(
                scene.client.call(QueueBind(queue: "q", exchange: "d", routingKey: "5")).lines == ["1 queue.bind-ok"]
            )
        }
        scene.publish("m", ["x-delay": .int32(10)])
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 10)
        #expect(scene.drain() == ["m"])
    }

    private static let refused: [(FieldTable, String)] = [
        ([:], "channel 406 exchange.declare Invalid argument, 'x-delayed-type' must be an existing exchange type"),
        (
            ["x-delayed-type": .int32(1)],
            "channel 406 exchange.declare Invalid argument, 'x-delayed-type' must be an existing exchange type"
        ),
        (
            ["x-delayed-type": .text("x-delayed-message")],
            "channel 406 exchange.declare Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
        ),
        (["x-delayed-type": .text("no")], "connection 503 exchange.declare unknown exchange type 'no'"),
        (
            ["x-delayed-type": .text("x-consistent-hash"), "hash-property": .text("no")],
            "channel 406 exchange.declare Unsupported property: no"
        ),
        (["x-delayed-type": .text("topic")], "+exchange:e"),
    ]

    @Test(arguments: refused)
    func theTypeBehindItIsChecked(arguments: FieldTable, answer: String) {
        #expect(TopologyScene().exchange("e", type: "x-delayed-message", arguments) == answer)
    }

    // MARK: Administration

    @Test func whatWaitsIsListedCancelledAndMoved() {
        let scene = Scene((3, 1, 2))
        let shard = scene.broker.shards[1]
        let start = SimulatedBroker.startOfTime
        for number in [5, 1, 3] { scene.publish("m\(number)", ["x-delay": .int32(Int32(number) * 1000)]) }
        scene.publish("default", exchange: "", key: "q", ["x-delay": .int32(4000)])
        let listed = shard.delayedMessages(virtualHost: "/", limit: 10)
        #expect(listed.map(\.dueEpochMilliseconds) == [1000, 3000, 4000, 5000].map { start + $0 })
        #expect(listed.map(\.exchange) == ["d", "d", "", "d"])
        #expect(listed.map(\.routingKey) == ["k", "k", "q", "k"])
        #expect(listed.map(\.bodyBytes) == [2, 2, 7, 2])
        #expect(Set(listed.map(\.id)).count == 4)
        #expect(shard.delayedMessages(virtualHost: "/", limit: 2) == Array(listed.prefix(2)))
        #expect(shard.delayedMessages(virtualHost: "/", after: listed[1].id, limit: 10) == Array(listed.suffix(2)))
        #expect(shard.delayedMessages(virtualHost: "other", limit: 10) == [])
        #expect(shard.delayedMessages(virtualHost: "/", limit: 0) == [])
        #expect(scene.broker.shards[0].delayedMessages(virtualHost: "/", limit: 10) == [])
        // The first goes, the last comes first.
        #expect(shard.cancelDelayedMessage(id: listed[0].id))
        #expect(!shard.cancelDelayedMessage(id: listed[0].id))
        #expect(shard.rescheduleDelayedMessage(id: listed[3].id, toEpochMilliseconds: start + 500))
        #expect(!shard.rescheduleDelayedMessage(id: 9999, toEpochMilliseconds: start))
        scene.broker.advance(milliseconds: 500)
        #expect(scene.drain() == ["m5"])
        scene.broker.advance(milliseconds: 4000)
        #expect(scene.drain() == ["m3", "default"])
        #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 })
    }

    @Test func aClockThatIsSetMovesWhatWaits() {
        let scene = Scene()
        scene.publish("m", ["x-delay": .int32(10_000)])
        scene.broker.setWallClock(epochMilliseconds: SimulatedBroker.startOfTime + 9_000)
        scene.broker.advance(milliseconds: 999)
        #expect(scene.drain() == [])
        scene.broker.advance(milliseconds: 1)
        #expect(scene.drain() == ["m"])
    }
}
