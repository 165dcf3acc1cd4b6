import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-recent-history`: a new binding gets the last messages.
@Suite struct RecentHistoryTests {
    static let placements = [(1, 0, 0), (3, 0, 1), (3, 2, 2), (3, 1, 0), (3, 1, 2)]

    @Test(arguments: placements)
    func newQueuesGetTheLastMessagesInOrder(shards: Int, publisher: Int, home: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: publisher).open()
        let owner = SimulatedClient(broker, shard: home).open()
        client.call(
            ExchangeDeclare(
                exchange: "e",
                type: "x-recent-history",
                arguments: ["x-recent-history-length": .int32(3)]
            )
        )
        client.call(ConfirmSelect())
        for number in 0..<5 {
            client.publish(exchange: "e", routingKey: "r\(number)".short, body: Array("\(number)".utf8))
        }
        let noStore: ShortString = "x-recent-history-no-store"
        client.publish(
            exchange: "e",
            routingKey: "",
            properties: BasicProperties(headers: [noStore: .boolean(true)]),
            body: [88]
        )
        // Only a truth value counts.
        client.publish(
            exchange: "e",
            routingKey: "",
            properties: BasicProperties(headers: [noStore: .int32(1)]),
            body: Array("one".utf8)
        )
        client.publish(exchange: "e", routingKey: "m", mandatory: true, body: Array("mandatory".utf8))
        let answers = client.receive().lines
        #expect(answers.contains("1 return 312 NO_ROUTE mandatory"))
        #expect(answers.contains { $0.hasPrefix("1 ack 8") })
        for queue in ["q", "r"] as [ShortString] {
            owner.call(QueueDeclare(queue: queue))
            #expect(owner.call(QueueBind(queue: queue, exchange: "e", routingKey: "z")).lines == ["1 queue.bind-ok"])
            #expect(owner.drain(queue) == ["4", "one", "mandatory"])
        }
        // What is bound already gets nothing again, another binding does.
        owner.call(QueueBind(queue: "q", exchange: "e", routingKey: "z"))
        #expect(owner.drain("q") == [])
        owner.call(QueueBind(queue: "q", exchange: "e", routingKey: "y"))
        #expect(owner.drain("q") == ["4", "one", "mandatory"])
        // Live ones go to all; the key is the original one.
        client.publish(exchange: "e", routingKey: "live", body: Array("live".utf8))
        client.receive()
        #expect(owner.drain("q") == ["live"])
        guard case .content(_, .basicGetOk(let ok), _, _)? = owner.call(BasicGet(queue: "r", noAck: true)).first else {
            Issue.record("nothing there")
            return
        }
        #expect(ok.routingKey == "live")
        #expect(ok.exchange == "e")
    }

    @Test(arguments: placements)
    func exchangesGetThemToo(shards: Int, publisher: Int, home: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: publisher).open()
        let owner = SimulatedClient(broker, shard: home).open()
        client.call(ExchangeDeclare(exchange: "e", type: "x-recent-history"))
        client.call(ExchangeDeclare(exchange: "t", type: "topic"))
        client.call(ExchangeDeclare(exchange: "nowhere", type: "topic"))
        owner.call(QueueDeclare(queue: "q"))
        owner.call(QueueBind(queue: "q", exchange: "t", routingKey: "a.*"))
        for key in ["a.b", "b.b", "a.c"] as [ShortString] {
            client.publish(exchange: "e", routingKey: key, body: key.bytes)
        }
        client.receive()
        // One that leads nowhere is fine.
        #expect(client.call(ExchangeBind(destination: "nowhere", source: "e")).lines == ["1 exchange.bind-ok"])
        client.call(ExchangeBind(destination: "t", source: "e"))
        broker.run()
        #expect(owner.drain("q") == ["a.b", "a.c"])
    }

    /// What comes back to the history while it is told pushes out what is being told.
    @Test(arguments: placements, [4, 100_000])
    func circlesGetWhatIsForgottenOnTheWay(placement: (Int, Int, Int), size: Int) {
        let broker = SimulatedBroker(shardCount: placement.0)
        let client = SimulatedClient(broker, shard: placement.1).open()
        let owner = SimulatedClient(broker, shard: placement.2).open()
        let two: FieldTable = ["x-recent-history-length": .int32(2)]
        client.call(ExchangeDeclare(exchange: "e", type: "x-recent-history", arguments: two))
        client.call(ExchangeDeclare(exchange: "t", type: "fanout"))
        client.call(ExchangeBind(destination: "e", source: "t"))
        for queue in ["q", "r", "s"] as [ShortString] {
            owner.call(QueueDeclare(queue: queue))
            owner.call(QueueBind(queue: queue, exchange: "t"))
        }
        let bodies = ["a", "b"].map { String(repeating: $0, count: size) }
        for body in bodies {
            client.publish(exchange: "e", routingKey: "key", body: Array(body.utf8))
        }
        client.receive()
        client.call(ExchangeBind(destination: "t", source: "e"))
        broker.run()
        for queue in ["q", "r", "s"] as [ShortString] {
            guard case .content(_, .basicGetOk(let ok), _, _)? = owner.call(BasicGet(queue: queue)).first else {
                Issue.record("nothing in \(queue)")
                continue
            }
            #expect(ok.exchange == "e" && ok.routingKey == "key")
            owner.call(BasicRecover(requeue: true))
            #expect(owner.drain(queue) == bodies)
        }
        #expect(broker.shards.map(\.census.messages).reduce(0, +) == 2)
    }

    @Test func memoryIsBoundedAndFreed() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        for (name, length) in [("e", 4), ("huge", 1 << 40)] as [(ShortString, Int64)] {
            client.call(
                ExchangeDeclare(
                    exchange: name,
                    type: "x-recent-history",
                    arguments: ["x-recent-history-length": .int64(length)]
                )
            )
        }
        for _ in 0..<20 { client.publish(exchange: "e", routingKey: "", body: [1, 2, 3]) }
        client.receive()
        #expect(broker.shards[0].census.messages == 4)
        let body = [UInt8](repeating: 1, count: 1 << 20)
        for _ in 0..<80 { client.publish(exchange: "huge", routingKey: "", body: body) }
        client.receive()
        #expect((60...64).contains(broker.shards[0].census.messages - 4))
        client.call(ExchangeDelete(exchange: "e"))
        client.call(ExchangeDelete(exchange: "huge"))
        #expect(broker.shards[0].census.messages == 0)
        // A new one of the same name remembers nothing.
        client.call(ExchangeDeclare(exchange: "e", type: "x-recent-history"))
        client.call(QueueDeclare(queue: "q"))
        client.call(QueueBind(queue: "q", exchange: "e"))
        #expect(client.drain("q") == [])
    }

    @Test func transactionsAreRememberedAtTheirCommit() {
        let client = SimulatedClient(SimulatedBroker(shardCount: 2), shard: 1).open()
        client.call(ExchangeDeclare(exchange: "e", type: "x-recent-history"))
        client.call(TxSelect())
        client.publish(exchange: "e", routingKey: "", body: Array("undone".utf8))
        client.call(TxRollback())
        client.publish(exchange: "e", routingKey: "", mandatory: true, body: Array("done".utf8))
        #expect(client.call(TxCommit()).lines == ["1 return 312 NO_ROUTE done", "1 tx.commit-ok"])
        client.call(QueueDeclare(queue: "q"))
        client.call(QueueBind(queue: "q", exchange: "e"))
        #expect(client.drain("q") == ["done"])
    }

    @Test func durableQueuesKeepWhatTheyGot() throws {
        let first = RestartTests.broker(2)
        let client = SimulatedClient(first, shard: 1).open()
        client.call(ExchangeDeclare(exchange: "e", type: "x-recent-history", durable: true))
        client.publish(exchange: "e", routingKey: "", properties: RestartTests.persistent, body: Array("kept".utf8))
        client.receive()
        client.call(QueueDeclare(queue: "q", durable: true))
        client.call(QueueBind(queue: "q", exchange: "e"))
        first.run()
        let second = try RestartTests.restarted(first, shards: 1)
        let other = SimulatedClient(second).open()
        #expect(other.drain("q") == ["kept"])
        // The history itself is gone, as after RabbitMQ's restart.
        other.call(QueueDeclare(queue: "r"))
        other.call(QueueBind(queue: "r", exchange: "e"))
        #expect(other.drain("r") == [])
    }

    @Test(arguments: [
        (FieldValue.int32(-1), "-1"), (.int32(0), "0"), (.text("10"), "<<\"10\">>"), (.boolean(true), "true"),
    ])
    func theLengthIsPositive(value: FieldValue, text: String) {
        #expect(
            TopologyScene().exchange("e", type: "x-recent-history", ["x-recent-history-length": value])
                == "channel 406 exchange.declare Invalid argument \(text), 'x-recent-history-length' must be a "
                + "positive integer"
        )
    }
}
