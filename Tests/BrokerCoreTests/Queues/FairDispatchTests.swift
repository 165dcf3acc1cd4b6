import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-dispatch: least-loaded`.
@Suite struct FairDispatchTests {
    static let fair: FieldTable = ["x-dispatch": .text("least-loaded")]

    /// Deliveries of consumers that acknowledge at once, but for the first, which never does.
    static func shares(_ arguments: FieldTable, prefetch: [UInt16], messages: Int) -> [Int] {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: arguments))
        let consumers = prefetch.map { prefetch in
            let client = SimulatedClient(broker).open()
            client.call(BasicQos(prefetchCount: prefetch))
            client.send(BasicConsume(queue: "q", consumerTag: "c"))
            broker.run()
            return client
        }
        for number in 0..<messages {
            publisher.publish(routingKey: "q", body: Array("\(number)".utf8))
        }
        publisher.receive()
        var shares = prefetch.map { _ in 0 }
        var isBusy = true
        while isBusy {
            isBusy = false
            for (index, consumer) in consumers.enumerated() {
                let count = consumer.receive().compactMap(\.text).count
                shares[index] += count
                if count > 0 && index > 0 {
                    isBusy = true
                    consumer.send(BasicAck(deliveryTag: 0, multiple: true))
                }
            }
        }
        return shares
    }

    @Test func aSlowConsumerWithAHugePrefetchGetsLessThanTwiceItsShare() {
        let prefetch: [UInt16] = [65_535, 10, 10, 10]
        let fair = Self.shares(Self.fair, prefetch: prefetch, messages: 1000)
        #expect(fair.reduce(0, +) == 1000)
        #expect(fair[0] < 2 * 1000 / 4, "\(fair)")
        // Where it takes turns, it hoards.
        let plain = Self.shares(.empty, prefetch: prefetch, messages: 1000)
        #expect(plain[0] > 900, "\(plain)")
    }

    @Test func unlimitedConsumersShareABacklog() {
        let shares = Self.shares(Self.fair, prefetch: [0, 0, 0], messages: 3000)
        #expect(shares.reduce(0, +) == 3000)
        #expect(shares[0] <= ShardLimits.fairDeliveries, "\(shares)")
    }

    @Test func aLonelyConsumerTakesWhatItsPrefetchAllows() {
        #expect(Self.shares(Self.fair, prefetch: [0], messages: 1000) == [1000])
        #expect(Self.shares(Self.fair, prefetch: [20], messages: 1000) == [20])
    }

    @Test func whoHasLeastGetsTheNext() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.fair))
        let consumers = (0..<3).map { _ in
            let client = SimulatedClient(broker).open()
            client.call(BasicConsume(queue: "q", consumerTag: "c"))
            return client
        }
        for _ in 0..<6 {
            ReturnTests.fill(publisher, "m")
        }
        #expect(consumers.map { $0.receive().count } == [2, 2, 2])
        consumers[1].call(BasicAck(deliveryTag: 0, multiple: true))
        ReturnTests.fill(publisher, "1", "2", "3")
        #expect(consumers.map { $0.receive().count }.reduce(0, +) == 3)
        #expect(broker.shards[0].queues.compactMap { $0 }.first?.pointee.unacknowledged == 7)
        let loads = broker.shards[0].queues.compactMap { $0 }.first?.pointee.consumers
            .compactMap { $0?.pointee.outstanding.count }
        #expect(loads?.sorted() == [2, 2, 3])
    }

    @Test func whoWasLoadedEnoughGoesOnWhenTheOthersLeave() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q", arguments: Self.fair))
        let greedy = SimulatedClient(broker).open()
        greedy.call(BasicConsume(queue: "q", consumerTag: "c"))
        let other = SimulatedClient(broker).open()
        other.call(BasicQos(prefetchCount: 1))
        other.call(BasicConsume(queue: "q", consumerTag: "c"))
        for _ in 0..<10 {
            ReturnTests.fill(publisher, "m")
        }
        #expect(greedy.receive().count == 2)
        other.disconnect()
        broker.run()
        #expect(greedy.receive().count == 8)
    }
}
