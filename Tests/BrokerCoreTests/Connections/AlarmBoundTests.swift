import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What waits for memory and for the disk is bounded, whoever sends it.
@Suite struct AlarmBoundTests {
    private static let body = [UInt8](repeating: 1, count: 100_000)
    private static let persistent = BasicProperties(deliveryMode: 2)

    /// A publisher, and one that consumes as well.
    @Test(arguments: [false, true])
    func aConnectionIsReadUntilItHasParkedTooMuch(consumes: Bool) {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q"))
        if consumes {
            publisher.call(ChannelOpen(), channel: 2)
            publisher.call(QueueDeclare(queue: "r"), channel: 2)
            publisher.call(BasicConsume(queue: "r"), channel: 2)
        }
        broker.setDiskAlarm(true)
        let limit = consumes ? ShardLimits.drainingParkedBytes : ShardLimits.parkedBytes
        var sent = 0
        while publisher.socket.isReading, sent < 1_000 {
            publisher.publish(routingKey: "q", body: Self.body)
            sent += 1
            broker.run()
        }
        #expect(sent == limit / Self.body.count + 1)
        // What comes now waits outside.
        publisher.publish(routingKey: "q", body: Self.body)
        broker.run()
        #expect((limit...limit + Self.body.count).contains(broker.shards[0].parkedBytes))
        broker.setDiskAlarm(false)
        broker.run()
        #expect(publisher.socket.isReading)
        #expect(broker.shards[0].parkedBytes == 0)
        #expect(publisher.call(QueuePurge(queue: "q")).lines.last == "1 queue.purge-ok \(sent + 1)")
    }

    @Test func smallFramesAreCountedToo() {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        broker.setDiskAlarm(true)
        var sent = 0
        while publisher.socket.isReading, sent < 100_000 {
            publisher.publish(routingKey: "q", body: [1])
            sent += 1
            if sent % 100 == 0 { broker.run() }
        }
        let most = ShardLimits.parkedBytes + ShardLimits.parkedStepBytes
        #expect((ShardLimits.parkedBytes...most).contains(broker.shards[0].parkedBytes))
    }

    @Test func allConnectionsTogetherParkNoMoreThanTheyMay() {
        let broker = SimulatedBroker()
        let drainer = SimulatedClient(broker).open()
        drainer.call(QueueDeclare(queue: "q"))
        drainer.call(QueueDeclare(queue: "r"))
        drainer.call(BasicConsume(queue: "r"))
        let publishers = (0..<200).map { _ in SimulatedClient(broker).open() }
        broker.setDiskAlarm(true)
        for publisher in publishers {
            for _ in 0..<4 where publisher.socket.isReading {
                publisher.publish(routingKey: "q", body: Self.body)
                broker.run()
            }
        }
        let most = ShardLimits.parkedBytesOfAll + publishers.count * (Self.body.count + 1_000)
        #expect((ShardLimits.parkedBytesOfAll...most).contains(broker.shards[0].parkedBytes))
        #expect(publishers.allSatisfy { !$0.socket.isReading })
        // That is no reason to stop one that takes messages.
        drainer.publish(routingKey: "q", body: Self.body)
        broker.run()
        #expect(drainer.socket.isReading)
        // Who goes takes what was parked along.
        let parked = broker.shards[0].parkedBytes
        publishers[1].disconnect()
        #expect(broker.shards[0].parkedBytes < parked - 2 * Self.body.count)
        broker.setDiskAlarm(false)
        broker.run()
        #expect(publishers.filter { $0 !== publishers[1] }.allSatisfy { $0.socket.isReading })
        #expect(broker.shards[0].parkedBytes == 0)
    }

    /// Publishers on shard 0, the queue on either shard, and a disk that takes nothing.
    @Test(arguments: [0, 1])
    func aSlowDiskSlowsPublishersHoweverManyThereAre(home: Int) {
        var settings = BrokerSettings()
        settings.isDurable = true
        let broker = SimulatedBroker(shardCount: 2, settings: settings)
        let owner = SimulatedClient(broker, shard: home).open()
        owner.call(QueueDeclare(queue: "q", durable: true))
        let clients = (0..<200).map { _ in SimulatedClient(broker, shard: 0).open() }
        broker.isLogHeld = true
        var sent = 0
        for _ in 0..<20 {
            for client in clients where client.socket.isReading {
                client.publish(routingKey: "q", properties: Self.persistent, body: Self.body)
                sent += 1
            }
            broker.run()
        }
        let most = ShardLimits.publisherWindowBytesOfAll + clients.count * (Self.body.count + 1_000)
        #expect((ShardLimits.publisherWindowBytesOfAll...most).contains(broker.shards[0].outstandingBytes))
        #expect(clients.allSatisfy { !$0.socket.isReading })
        broker.isLogHeld = false
        broker.run()
        #expect(clients.allSatisfy { $0.socket.isReading })
        #expect(broker.shards[0].outstandingBytes == 0)
        #expect(owner.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok \(sent)"])
    }

    @Test func octetsOfConnectionsThatAreGoneAreCountedBack() {
        var settings = BrokerSettings()
        settings.isDurable = true
        let broker = SimulatedBroker(shardCount: 2, settings: settings)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q", durable: true))
        let client = SimulatedClient(broker, shard: 0).open()
        broker.isLogHeld = true
        client.publish(routingKey: "q", properties: Self.persistent, body: Self.body)
        broker.run()
        #expect(broker.shards[0].outstandingBytes > 0)
        client.disconnect()
        broker.isLogHeld = false
        broker.run()
        #expect(broker.shards[0].outstandingBytes == 0)
    }

    /// A full disk: the window of a publisher is used up by what the disk has not taken, and still it is read.
    @Test func acknowledgementsGetThroughWhileTheDiskIsFull() {
        var settings = BrokerSettings()
        settings.isDurable = true
        let broker = SimulatedBroker(settings: settings)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", durable: true))
        client.call(BasicQos(prefetchCount: 1))
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        broker.isLogHeld = true
        var sent = 0
        while client.socket.isReading, sent < 100 {
            client.publish(routingKey: "q", properties: Self.persistent, body: Self.body)
            sent += 1
            broker.run()
        }
        #expect(!client.socket.isReading)
        let first = client.receive().lines
        #expect(first == ["1 deliver c #1 100000"])
        broker.setDiskAlarm(true)
        #expect(client.socket.isReading)
        for tag in 1..<sent {
            #expect(client.call(BasicAck(deliveryTag: UInt64(tag))).lines == ["1 deliver c #\(tag + 1) 100000"])
        }
        client.publish(routingKey: "q", properties: Self.persistent, body: Self.body)
        #expect(client.call(BasicAck(deliveryTag: UInt64(sent))).lines == ["0 connection.blocked low on disk"])
        // The alarm ends before the disk has taken anything: the window is what it was.
        broker.setDiskAlarm(false)
        #expect(!client.socket.isReading)
        broker.isLogHeld = false
        broker.run()
        #expect(client.socket.isReading)
        #expect(client.receive().lines == ["0 connection.unblocked", "1 deliver c #\(sent + 1) 100000"])
    }
}
