import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Queues with many messages go, and nobody waits for it.
@Suite struct CondemnedTests {
    private static let count = 20_000

    private struct Scene {
        let broker: SimulatedBroker
        let client: SimulatedClient

        init(isDurable: Bool = false) {
            var settings = BrokerSettings()
            settings.isDurable = isDurable
            self.broker = SimulatedBroker(settings: settings)
            self.client = SimulatedClient(self.broker).open()
            self.client.call(QueueDeclare(queue: "q", durable: true))
        }

        func fill() {
            for _ in 0..<CondemnedTests.count {
                self.client.publish(routingKey: "q", properties: BasicProperties(deliveryMode: 2), body: [1])
            }
            _ = self.client.receive()
        }

        /// What the client gets after some turns.
        func receive() -> [String] { self.client.receive().lines }

        /// The shard as it is right after an input, before any later turn.
        func input(_ method: some EncodableMethod) {
            let bytes = SimulatedClient.frame(method, channel: 1)
            let shard = self.broker.shards[0]
            bytes.withUnsafeBytes { shard.receive($0, on: self.client.socket.id, now: self.broker.now) }
        }
    }

    @Test func purgedMessagesAreGoneAtOnceAndLetGoInSeveralTurns() {
        let scene = Scene()
        scene.fill()
        let shard = scene.broker.shards[0]
        scene.input(QueuePurge(queue: "q"))
        #expect(shard.hasPendingWork)
        let left = shard.store.messageCount
        #expect(left >= Self.count - 2 * ShardLimits.condemnedMessages)
        #expect(shard.queues.compactMap { $0?.pointee.readyCount } == [0])
        shard.endTurn(now: scene.broker.now)
        let after = shard.store.messageCount
        #expect(after < left && after >= left - ShardLimits.condemnedMessages)
        scene.client.publish(routingKey: "q", body: [2])
        #expect(scene.receive() == ["1 queue.purge-ok 20000"])
        #expect(!shard.hasPendingWork)
        #expect(scene.client.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #1 left 0 \u{2}"])
        #expect(shard.census.messages == 0)
    }

    @Test func purgeTakesEveryPriority() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "p", arguments: ["x-max-priority": .int32(3)]))
        for number in 0..<Self.count {
            let properties = BasicProperties(priority: UInt8(number % 5))
            scene.client.publish(routingKey: "p", properties: properties, body: [1])
        }
        _ = scene.client.receive()
        scene.input(QueuePurge(queue: "p"))
        #expect(scene.broker.shards[0].hasPendingWork)
        scene.client.publish(routingKey: "p", body: [2])
        #expect(scene.receive() == ["1 queue.purge-ok 20000"])
        #expect(scene.client.call(BasicGet(queue: "p", noAck: true)).lines == ["1 get-ok #1 left 0 \u{2}"])
        #expect(scene.broker.shards[0].census.messages == 0)
    }

    @Test func purgeOfADurableQueueLeavesNothingInTheLog() throws {
        let scene = Scene(isDurable: true)
        scene.fill()
        scene.input(QueuePurge(queue: "q"))
        #expect(scene.receive() == ["1 queue.purge-ok 20000"])
        var state = RecoveredState()
        for record in scene.broker.durableRecords {
            try record.payload.withUnsafeBytes { payload throws in try state.apply(record.type, payload) }
        }
        #expect(state.queues.map(\.count) == [0])
        #expect(scene.broker.shards[0].census.messages == 0)
    }

    @Test func unacknowledgedMessagesOfADeletedQueueAreLetGoInSeveralTurns() {
        let scene = Scene()
        scene.fill()
        scene.client.call(BasicConsume(queue: "q", consumerTag: "c"))
        let shard = scene.broker.shards[0]
        #expect(shard.queues.compactMap { $0?.pointee.unacknowledged } == [Self.count])
        scene.input(QueueDelete(queue: "q"))
        #expect(shard.store.messageCount >= Self.count - 2 * ShardLimits.condemnedMessages)
        #expect(shard.hasPendingWork)
        #expect(Array(scene.receive().suffix(2)) == ["1 queue.delete-ok 0", "1 cancel c"])
        #expect(!shard.hasPendingWork)
        #expect(shard.census.messages == 0)
        // The channel still has its tags in its ledger; the queue's rings are gone.
        #expect(shard.ringMemory.bytes <= 24 * (Self.count + 2 * 1024))
        scene.client.disconnect()
        #expect(shard.ringMemory.bytes == 0)
    }
}
