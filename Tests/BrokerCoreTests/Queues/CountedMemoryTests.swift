import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What a queue keeps of its messages beside the ring counts for the memory alarm, and is counted off again.
@Suite struct CountedMemoryTests {
    private let broker = SimulatedBroker()
    private let client: SimulatedClient

    init() {
        self.client = SimulatedClient(self.broker).open()
    }

    private var bytes: Int { self.broker.shards[0].ringMemory.bytes }

    private func publish(_ count: Int, _ properties: (Int) -> BasicProperties) {
        for number in 0..<count {
            self.client.publish(routingKey: "q", properties: properties(number), body: [1])
        }
        self.client.receive()
    }

    private func deleteQueue() {
        self.client.call(QueueDelete(queue: "q"))
        self.client.disconnect()
        self.broker.run()
        #expect(self.bytes == 0)
    }

    @Test func levelsCount() {
        self.client.call(QueueDeclare(queue: "q", arguments: ["x-max-priority": .int32(3)]))
        self.publish(2000) { BasicProperties(priority: UInt8($0 % 4)) }
        #expect(self.bytes >= 2000 * MemoryLayout<ConsumerState.Delivery>.stride)
        self.deleteQueue()
    }

    @Test func messagesThatWaitCount() {
        self.client.call(QueueDeclare(queue: "q", arguments: DelayedRetryTests.arguments("all")))
        self.publish(2000) { _ in BasicProperties() }
        for _ in 0..<2000 { self.client.call(BasicGet(queue: "q")) }
        let before = self.bytes
        self.client.call(BasicNack(deliveryTag: 2000, multiple: true, requeue: true))
        #expect(before >= 2000 * MemoryLayout<ConsumerState.Delivery>.stride)
        #expect(self.bytes >= 2000 * MemoryLayout<WithheldMessages.Element>.stride)
        self.deleteQueue()
    }

    @Test func groupsCount() {
        self.client.call(QueueDeclare(queue: "q", arguments: MessageGroupTests.arguments))
        let consumer = MessageGroupTests.consumer(self.broker, prefetch: 2000)
        let before = self.bytes
        for number in 0..<500 { MessageGroupTests.publish(self.client, "k", .text("key \(number)")) }
        self.broker.run()
        #expect(self.bytes - before >= 500 * 192)
        consumer.disconnect()
        self.broker.run()
        self.deleteQueue()
    }
}
