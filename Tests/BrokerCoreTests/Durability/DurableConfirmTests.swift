import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// What is answered when: a durable thing not before the log has it, everything else at once.
@Suite struct DurableConfirmTests {
    /// Shards, and where publisher and queue live.
    static let placements: [(shards: Int, publisher: Int, queue: Int)] = [
        (1, 0, 0), (2, 0, 1), (2, 1, 0), (2, 1, 1), (3, 1, 2),
    ]
    static let persistent = BasicProperties(deliveryMode: 2)

    struct Scene {
        let broker: SimulatedBroker
        let owner: SimulatedClient
        let publisher: SimulatedClient

        init(_ placement: (shards: Int, publisher: Int, queue: Int)) {
            var settings = BrokerSettings()
            settings.isDurable = true
            self.broker = SimulatedBroker(shardCount: placement.shards, settings: settings)
            self.owner = SimulatedClient(self.broker, shard: placement.queue).open()
            self.publisher = SimulatedClient(self.broker, shard: placement.publisher).open()
            self.owner.call(QueueDeclare(queue: "q", durable: true))
            self.owner.call(QueueDeclare(queue: "r", durable: true))
            self.owner.call(QueueDeclare(queue: "t"))
            self.owner.call(QueueBind(queue: "q", exchange: "amq.fanout"))
            self.owner.call(QueueBind(queue: "r", exchange: "amq.fanout"))
            self.owner.call(QueueBind(queue: "t", exchange: "amq.fanout"))
            self.publisher.call(ConfirmSelect())
        }
    }

    @Test(arguments: placements)
    func confirmsWaitForTheLog(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.broker.isLogHeld = true
        for number in 1...3 {
            scene.publisher.publish(routingKey: "q", properties: Self.persistent, body: [UInt8(number)])
        }
        #expect(scene.publisher.receive().lines == [])
        // Delivered already: only the confirm waits.
        #expect(scene.owner.call(QueueDeclare(queue: "t", passive: true)).lines == ["1 queue.declare-ok 0 0"])
        scene.broker.isLogHeld = false
        #expect(scene.publisher.receive().lines == ["1 ack 3 multiple"])
    }

    @Test(arguments: placements)
    func fanoutIsConfirmedOnce(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.broker.isLogHeld = true
        scene.publisher.publish(exchange: "amq.fanout", routingKey: "", properties: Self.persistent, body: [1])
        scene.publisher.publish(exchange: "amq.fanout", routingKey: "", properties: Self.persistent, body: [2])
        #expect(scene.publisher.receive().lines == [])
        scene.broker.isLogHeld = false
        #expect(scene.publisher.receive().lines == ["1 ack 2 multiple"])
    }

    @Test(arguments: placements)
    func whatIsNotDurableDoesNotWait(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.broker.isLogHeld = true
        scene.publisher.publish(routingKey: "t", properties: Self.persistent, body: [1])
        #expect(scene.publisher.receive().lines == ["1 ack 1"])
        scene.publisher.publish(routingKey: "q", body: [2])
        #expect(scene.publisher.receive().lines == ["1 ack 2"])
        #expect(scene.owner.call(QueueDeclare(queue: "s")).lines == ["1 queue.declare-ok 0 0"])
    }

    @Test(arguments: placements)
    func declarationsAndCommitsWaitForTheLog(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.broker.isLogHeld = true
        #expect(scene.owner.call(QueueDeclare(queue: "u", durable: true)).lines == [])
        scene.broker.isLogHeld = false
        #expect(scene.owner.receive().lines == ["1 queue.declare-ok 0 0"])
        scene.publisher.call(ChannelOpen(), channel: 2)
        scene.publisher.call(TxSelect(), channel: 2)
        scene.broker.isLogHeld = true
        scene.publisher.publish(routingKey: "q", properties: Self.persistent, body: [1], channel: 2)
        scene.publisher.publish(
            exchange: "amq.fanout",
            routingKey: "",
            properties: Self.persistent,
            body: [1],
            channel: 2
        )
        #expect(scene.publisher.call(TxCommit(), channel: 2).lines == [])
        scene.broker.isLogHeld = false
        #expect(scene.publisher.receive().lines == ["2 tx.commit-ok"])
    }

    @Test(arguments: placements)
    func aPurgeWaitsForTheLog(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.publisher.publish(routingKey: "q", properties: Self.persistent, body: [1])
        #expect(scene.publisher.receive().lines == ["1 ack 1"])
        scene.broker.isLogHeld = true
        #expect(scene.publisher.call(QueuePurge(queue: "q")).lines == [])
        scene.broker.isLogHeld = false
        #expect(scene.publisher.receive().lines == ["1 queue.purge-ok 1"])
        scene.broker.isLogHeld = true
        #expect(scene.publisher.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 0"])
    }

    @Test(arguments: placements)
    func aPublisherThatTheLogDoesNotKeepUpWithIsNotRead(placement: (shards: Int, publisher: Int, queue: Int)) {
        let scene = Scene(placement)
        scene.broker.isLogHeld = true
        let body = [UInt8](repeating: 1, count: 100_000)
        for _ in 0..<40 {
            scene.publisher.publish(routingKey: "q", properties: Self.persistent, body: body)
        }
        scene.publisher.receive()
        #expect(!scene.publisher.socket.isReading)
        scene.broker.isLogHeld = false
        var acknowledged: UInt64 = 0
        while case .method(_, .basicAck(let ack))? = scene.publisher.receive().last {
            acknowledged = ack.deliveryTag
        }
        #expect(acknowledged == 40)
        #expect(scene.publisher.socket.isReading)
    }
}
