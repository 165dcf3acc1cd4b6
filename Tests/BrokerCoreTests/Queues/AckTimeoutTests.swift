import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-consumer-timeout`: one delivery goes back, the channel lives.
@Suite struct AckTimeoutTests {
    static let second: FieldTable = ["x-consumer-timeout": .int32(6400)]

    @Test func isOffByDefault() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q"))
        ReturnTests.fill(client, "m")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        broker.advance(milliseconds: 100_000_000)
        #expect(client.receive().lines == [])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 0 1"])
    }

    @Test(arguments: [true, false])
    func theDeliveryGoesToSomebodyElse(isConsumersWish: Bool) {
        let broker = SimulatedBroker()
        let slow = SimulatedClient(broker).open()
        slow.call(QueueDeclare(queue: "q", arguments: isConsumersWish ? .empty : Self.second))
        ReturnTests.fill(slow, "1", "2")
        slow.call(BasicQos(prefetchCount: 2))
        slow.call(
            BasicConsume(queue: "q", consumerTag: "slow", arguments: isConsumersWish ? Self.second : .empty)
        )
        let other = SimulatedClient(broker).open()
        other.call(BasicConsume(queue: "q", consumerTag: "other"))
        broker.advance(milliseconds: 6399)
        #expect(slow.call(BasicAck(deliveryTag: 2)).isEmpty)
        #expect(other.receive().isEmpty)
        // At most a 64th late.
        broker.advance(milliseconds: 101)
        #expect(other.receive().lines == ["1 deliver other #1 redelivered 1"])
        #expect(broker.logLines.contains { $0.contains("were not acknowledged within 6400 ms") })
        // The late answer is taken and means nothing; the consumer gets messages again.
        ReturnTests.fill(other, "3")
        other.receive()
        #expect(slow.receive().isEmpty)
        other.call(BasicAck(deliveryTag: 0, multiple: true))
        #expect(slow.call(BasicNack(deliveryTag: 1, requeue: true)).lines == [])
        #expect(slow.call(BasicQos(prefetchCount: 3)).lines == ["1 basic.qos-ok"])
        ReturnTests.fill(slow, "4", "5")
        #expect(broker.shards[0].queues.compactMap { $0?.pointee.unacknowledged } == [2])
        #expect(slow.call(BasicAck(deliveryTag: 1)).lines.first?.hasPrefix("1 channel.close 406") == true)
    }

    @Test func aStuckConsumerDoesNotKeepTakingMessages() {
        let broker = SimulatedBroker()
        let stuck = SimulatedClient(broker).open()
        stuck.call(QueueDeclare(queue: "q", arguments: Self.second))
        ReturnTests.fill(stuck, "1", "2", "3")
        stuck.call(BasicConsume(queue: "q", consumerTag: "c"))
        broker.advance(milliseconds: 1_000_000)
        #expect(stuck.receive().isEmpty)
        #expect(stuck.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 3 1"])
        // It answers two of three, then the last one.
        #expect(stuck.call(BasicAck(deliveryTag: 2, multiple: true)).lines == [])
        #expect(
            stuck.call(BasicAck(deliveryTag: 3)).lines == [
                "1 deliver c #4 redelivered 1", "1 deliver c #5 redelivered 2", "1 deliver c #6 redelivered 3",
            ]
        )
        stuck.disconnect()
        broker.run()
        let other = SimulatedClient(broker).open()
        #expect(other.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 3"])
        broker.advance(milliseconds: 1_000_000)
        #expect(broker.shards[0].census.messages == 0)
    }

    @Test func aCancelledConsumerIsForgottenWhenItsLateAnswersHaveCome() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.second))
        ReturnTests.fill(client, "1")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        client.call(BasicCancel(consumerTag: "c"))
        broker.advance(milliseconds: 6500)
        let queue = broker.shards[0].queues.compactMap { $0 }.first
        // Its number must not become another's while an answer may come.
        #expect(queue?.pointee.consumers.count { $0 != nil } == 1)
        client.call(BasicConsume(queue: "q", consumerTag: "d"))
        client.call(BasicAck(deliveryTag: 1))
        #expect(queue?.pointee.consumers.count { $0 != nil } == 1)
        #expect(queue?.pointee.unacknowledged == 1)
    }

    @Test func getIsTimedToo() {
        let broker = SimulatedBroker(shardCount: 2)
        let owner = SimulatedClient(broker, shard: 0).open()
        owner.call(QueueDeclare(queue: "q", arguments: Self.second))
        ReturnTests.fill(owner, "1")
        let getter = SimulatedClient(broker, shard: 1).open()
        #expect(getter.call(BasicGet(queue: "q")).first?.text == "1")
        broker.advance(milliseconds: 6500)
        #expect(owner.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #1 redelivered left 0 1"])
        #expect(getter.call(BasicAck(deliveryTag: 1)).lines == [])
    }

    @Test func timesAreFewWhateverTheRate() {
        var times = DeliveryTimes(timeoutMilliseconds: 64_000)
        for serial in 1...100_000 as ClosedRange<UInt64> {
            times.note(serial, BrokerInstant(nanoseconds: serial * 640_000))
        }
        #expect(times.runCount <= 65)
        let start = BrokerInstant(nanoseconds: 640_000)
        #expect(times.deadline(ofOldest: 1) == start.advanced(milliseconds: 65_000))
        let oldest = times.deadline(ofOldest: 100_000)
        #expect(times.runCount == 1)
        #expect(oldest ?? start > BrokerInstant(nanoseconds: 100_000 * 640_000).advanced(milliseconds: 64_000))
    }
}
