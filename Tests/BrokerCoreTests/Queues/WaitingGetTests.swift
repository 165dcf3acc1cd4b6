import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// A `basic.get` that cannot be answered at once, and whose channel ends meanwhile.
@Suite struct WaitingGetTests {
    /// The reader's shard; the queue lives on the last of two.
    static let readerShards = [0, 1]

    private static func broker() -> SimulatedBroker {
        var settings = BrokerSettings()
        settings.pagesMessages = true
        settings.memoryLimitBytes = 256 << 10
        return SimulatedBroker(shardCount: 2, settings: settings)
    }

    private static func queue(_ broker: SimulatedBroker) -> UnsafeMutablePointer<QueueState>? {
        broker.shards[1].queues.compactMap { $0 }.first
    }

    /// Makes a queue of which the disk must be asked for the second message, and has the first one consumed.
    private static func scene(_ shard: Int) -> (SimulatedBroker, publisher: SimulatedClient, reader: SimulatedClient) {
        let broker = Self.broker()
        let publisher = SimulatedClient(broker, shard: 1).open()
        publisher.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-delivery-limit": .int32(1)]))
        for number in 0..<1000 as Range<UInt16> {
            let body = [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)] + [UInt8](repeating: 0, count: 1000)
            publisher.publish(routingKey: "q", body: body)
            broker.run()
        }
        let reader = SimulatedClient(broker, shard: shard).open()
        reader.call(BasicQos(prefetchCount: 1))
        #expect(reader.call(BasicConsume(queue: "q", consumerTag: "c")).count == 2)
        // What was read ahead leaves memory again.
        publisher.call(QueueDeclare(queue: "other"))
        for _ in 0..<1000 {
            publisher.publish(routingKey: "other", body: [UInt8](repeating: 0, count: 1000))
            broker.run()
        }
        return (broker, publisher, reader)
    }

    /// It would get what the channel's own consumer gives back, and give it back once more.
    @Test(arguments: readerShards, [false, true])
    func whatTheConsumerHadComesBackOnce(shard: Int, noAck: Bool) throws {
        let (broker, publisher, reader) = Self.scene(shard)
        broker.pager.refusals = 2
        #expect(reader.call(BasicGet(queue: "q", noAck: noAck)).isEmpty)
        #expect(broker.shards[1].paging.gets.count == 1)
        reader.disconnect()
        broker.run()
        broker.advance(milliseconds: 10_000)
        let queue = try #require(Self.queue(broker))
        #expect(queue.pointee.unacknowledged == 0)
        #expect(queue.pointee.readyCount == 1000)
        for number in 0..<2 as Range<UInt8> {
            let received = publisher.call(BasicGet(queue: "q"))
            guard case .content(_, _, let properties, let body) = received.first else {
                Issue.record("no message \(number)")
                return
            }
            #expect(body.prefix(2) == [0, number])
            #expect(properties.headers?["x-acquired-count"] == (number == 0 ? .int64(1) : nil))
        }
        #expect(broker.shards[shard].connectionCount == (shard == 1 ? 1 : 0))
    }

    /// A getter that has had something before leaves with its channel: nothing is got for it afterwards.
    @Test(arguments: readerShards) func nothingIsHandedToAGetterThatHasLeft(shard: Int) throws {
        let broker = Self.broker()
        let publisher = SimulatedClient(broker, shard: 1).open()
        publisher.call(QueueDeclare(queue: "q", durable: true))
        for number in 0..<20_000 {
            publisher.publish(
                routingKey: "q",
                properties: BasicProperties(priority: UInt8(number % 10)),
                body: [UInt8(number % 10)]
            )
        }
        broker.run()
        let reader = SimulatedClient(broker, shard: shard).open()
        #expect(reader.call(BasicGet(queue: "q")).count == 1)
        // The queue begins to put messages where they belong; the get waits for that, and the reader leaves.
        let queue = try #require(Self.queue(broker))
        broker.shards[0].administer(
            .alterQueue(virtualHost: "/", name: "q", changes: ["x-max-priority": .int64(9)]),
            ticket: 1,
            now: broker.now
        )
        broker.drain(0)
        self.run(broker) { queue.pointee.isArranging }
        reader.send(BasicGet(queue: "q"))
        self.run(broker) { broker.shards[1].pendingWork.contains { if case .get = $0 { true } else { false } } }
        reader.disconnect()
        broker.run()
        #expect(broker.answers[1] == .done)
        #expect(queue.pointee.unacknowledged == 0)
        #expect(queue.pointee.readyCount == 20_000)
        #expect(queue.pointee.consumers.allSatisfy { $0 == nil })
    }

    /// Runs until something is so.
    private func run(_ broker: SimulatedBroker, until isSo: () -> Bool) {
        while !isSo() {
            guard let event = broker.possibleEvents.first else {
                Issue.record("it never is")
                return
            }
            broker.carryOut(event)
        }
    }
}
