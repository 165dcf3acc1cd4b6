import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// A broker ends without a word, and another one goes on with what the log holds.
@Suite struct RestartTests {
    static let persistent = BasicProperties(deliveryMode: 2)
    static let shardCounts = [(1, 1), (2, 2), (1, 3), (3, 1)]

    static func broker(_ shards: Int) -> SimulatedBroker {
        var settings = BrokerSettings()
        settings.isDurable = true
        return SimulatedBroker(shardCount: shards, settings: settings)
    }

    /// Another process with the same log.
    static func restarted(_ broker: SimulatedBroker, shards: Int) throws -> SimulatedBroker {
        let next = Self.broker(shards)
        try next.restore(broker.durableRecords)
        return next
    }

    @Test(arguments: shardCounts)
    func whatWasConfirmedIsThere(before: Int, after: Int) throws {
        let first = Self.broker(before)
        let client = SimulatedClient(first).open()
        client.call(ExchangeDeclare(exchange: "e", type: "topic", durable: true))
        client.call(ExchangeDeclare(exchange: "gone", type: "fanout"))
        for queue in ["q", "r", "s"] as [ShortString] {
            client.call(QueueDeclare(queue: queue, durable: true))
            client.call(QueueBind(queue: queue, exchange: "e", routingKey: "a.#"))
        }
        client.call(QueueDeclare(queue: "transient"))
        client.call(ConfirmSelect())
        client.publish(exchange: "e", routingKey: "a.b", properties: Self.persistent, body: Array("m1".utf8))
        client.publish(exchange: "e", routingKey: "a.c", body: Array("transient".utf8))
        client.publish(routingKey: "q", properties: Self.persistent, body: Array("m2".utf8))
        #expect(client.receive().lines.last == "1 ack 3 multiple")

        let second = try Self.restarted(first, shards: after)
        let other = SimulatedClient(second).open()
        #expect(other.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 2 0"])
        #expect(other.call(QueueDeclare(queue: "r", durable: true)).lines == ["1 queue.declare-ok 1 0"])
        #expect(other.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #1 left 1 m1"])
        #expect(other.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #2 left 0 m2"])
        other.publish(exchange: "e", routingKey: "a.d", properties: Self.persistent, body: Array("m3".utf8))
        #expect(other.call(BasicGet(queue: "s", noAck: true)).lines == ["1 get-ok #3 left 1 m1"])
        #expect(other.call(BasicGet(queue: "s", noAck: true)).lines == ["1 get-ok #4 left 0 m3"])
        #expect(
            other.call(ExchangeDeclare(exchange: "e", type: "topic", passive: true)).lines == ["1 exchange.declare-ok"]
        )
        #expect(
            other.call(QueueDeclare(queue: "transient", passive: true)).lines.first?.hasPrefix("1 channel.close 404")
                == true
        )
    }

    @Test(arguments: shardCounts)
    func whatWasSettledStaysSettledAndTheRestComesBackInOrder(before: Int, after: Int) throws {
        let first = Self.broker(before)
        let publisher = SimulatedClient(first).open()
        let consumer = SimulatedClient(first).open()
        publisher.call(QueueDeclare(queue: "q", durable: true))
        for number in 1...6 {
            publisher.publish(routingKey: "q", properties: Self.persistent, body: Array("m\(number)".utf8))
        }
        publisher.receive()
        consumer.call(BasicQos(prefetchCount: 4))
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        consumer.call(BasicAck(deliveryTag: 2))
        consumer.call(BasicCancel(consumerTag: "c"))
        // m1, m3, m4, m5 are with the consumer, m6 waits.
        let second = try Self.restarted(first, shards: after)
        let other = SimulatedClient(second).open()
        #expect(
            other.call(BasicConsume(queue: "q", consumerTag: "d")).lines == [
                "1 basic.consume-ok d", "1 deliver d #1 redelivered m1", "1 deliver d #2 redelivered m3",
                "1 deliver d #3 redelivered m4", "1 deliver d #4 redelivered m5", "1 deliver d #5 m6",
            ]
        )
        #expect(other.call(BasicAck(deliveryTag: 0, multiple: true)).lines == [])
        let third = try Self.restarted(second, shards: before)
        let last = SimulatedClient(third).open()
        #expect(last.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 0 0"])
        last.publish(routingKey: "q", properties: Self.persistent, body: Array("m7".utf8))
        last.receive()
        #expect(last.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 1"])
        let fourth = try Self.restarted(third, shards: after)
        let end = SimulatedClient(fourth).open()
        #expect(end.call(QueueDelete(queue: "q")).lines == ["1 queue.delete-ok 0"])
        let fifth = try Self.restarted(fourth, shards: 1)
        #expect(
            SimulatedClient(fifth).open().call(QueueDeclare(queue: "q", passive: true)).lines.first?
                .hasPrefix("1 channel.close 404") == true
        )
    }

    @Test(arguments: shardCounts)
    func aTrimmedLogTellsTheSame(before: Int, after: Int) throws {
        let first = Self.broker(before)
        let publisher = SimulatedClient(first).open()
        let consumer = SimulatedClient(first).open()
        publisher.call(ExchangeDeclare(exchange: "e", type: "topic", durable: true))
        publisher.call(ExchangeBind(destination: "e", source: "amq.topic", routingKey: "#"))
        for queue in ["q", "r"] as [ShortString] {
            publisher.call(QueueDeclare(queue: queue, durable: true))
            publisher.call(QueueBind(queue: queue, exchange: "e", routingKey: "#"))
        }
        publisher.call(QueueDeclare(queue: "gone", durable: true))
        publisher.call(QueueDelete(queue: "gone"))
        // Enough for more than one step.
        let body = [UInt8](repeating: 7, count: 100_000)
        func publish(_ number: Int) {
            publisher.publish(
                exchange: "amq.topic",
                routingKey: "k",
                properties: Self.persistent,
                body: Array("m\(number) ".utf8) + body
            )
        }
        for number in 1...30 { publish(number) }
        publisher.receive()
        consumer.call(BasicQos(prefetchCount: 5))
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        var tag: UInt64 = 0
        var number = 30
        first.trimLog {
            // Meanwhile messages come and go, and some are under way.
            guard number < 34 else { return }
            number += 1
            publish(number)
            tag += 1
            consumer.call(BasicAck(deliveryTag: tag))
        }
        #expect(number > 30)
        let second = try Self.restarted(first, shards: after)
        let other = SimulatedClient(second).open()
        for (queue, settled) in [(ShortString("q"), Int(tag)), ("r", 0)] {
            #expect(
                other.call(QueueDeclare(queue: queue, durable: true)).lines
                    == ["1 queue.declare-ok \(number - settled) 0"]
            )
            for expected in (settled + 1)...number {
                let text = other.call(BasicGet(queue: queue, noAck: true)).first?.text
                #expect(text?.hasPrefix("m\(expected) ") == true, "\(queue) \(expected)")
            }
        }
        other.publish(exchange: "amq.topic", routingKey: "k", properties: Self.persistent, body: [1])
        #expect(other.call(QueueDeclare(queue: "r", passive: true)).lines == ["1 queue.declare-ok 1 0"])
    }
}
