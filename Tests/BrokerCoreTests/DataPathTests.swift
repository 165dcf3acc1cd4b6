import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Publishing, delivery and settlement, on one shard and with publisher, queue and consumer on different ones.
@Suite struct DataPathTests {
    /// Placements of publisher, queue and consumer.
    static let placements: [(shards: Int, publisher: Int, queue: Int, consumer: Int)] = [
        (1, 0, 0, 0), (3, 0, 0, 1), (3, 1, 0, 0), (3, 1, 2, 0), (3, 2, 1, 1), (3, 1, 1, 2),
    ]

    /// A broker with a queue on its shard, a publisher and a consumer connection.
    struct Scene {
        let broker: SimulatedBroker
        let owner: SimulatedClient
        let publisher: SimulatedClient
        let consumer: SimulatedClient

        init(_ placement: (shards: Int, publisher: Int, queue: Int, consumer: Int), queue: ShortString = "q") {
            self.broker = SimulatedBroker(shardCount: placement.shards)
            self.owner = SimulatedClient(self.broker, shard: placement.queue).open()
            self.publisher = SimulatedClient(self.broker, shard: placement.publisher).open()
            self.consumer = SimulatedClient(self.broker, shard: placement.consumer).open()
            self.owner.call(QueueDeclare(queue: queue))
        }
    }

    @Test(arguments: placements)
    func deliversInOrderWithoutAcknowledgement(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        #expect(
            scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true)).lines
                == ["1 basic.consume-ok c"]
        )
        for number in 1...5 {
            scene.publisher.publish(routingKey: "q", body: Array("m\(number)".utf8))
        }
        #expect(
            scene.consumer.receive().lines
                == [
                    "1 deliver c #1 m1", "1 deliver c #2 m2", "1 deliver c #3 m3", "1 deliver c #4 m4",
                    "1 deliver c #5 m5",
                ]
        )
        #expect(scene.owner.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 0 1"])
    }

    @Test(arguments: placements)
    func keepsPrefetchAndRequeuesInOldPlaces(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        for number in 1...5 {
            scene.publisher.publish(routingKey: "q", body: Array("m\(number)".utf8))
        }
        scene.publisher.receive()
        scene.consumer.call(BasicQos(prefetchCount: 2))
        #expect(
            scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c")).lines
                == ["1 basic.consume-ok c", "1 deliver c #1 m1", "1 deliver c #2 m2"]
        )
        #expect(scene.consumer.call(BasicAck(deliveryTag: 2)).lines == ["1 deliver c #3 m3"])
        #expect(
            scene.consumer.call(BasicNack(deliveryTag: 3, multiple: true, requeue: true)).lines
                == ["1 deliver c #4 redelivered m1", "1 deliver c #5 redelivered m3"]
        )
        #expect(scene.owner.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 2 1"])
        // A connection that breaks gives everything back.
        scene.consumer.disconnect()
        scene.broker.run()
        #expect(scene.owner.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 4 0"])
        #expect(scene.owner.call(BasicGet(queue: "q")).lines == ["1 get-ok #1 redelivered left 3 m1"])
        #expect(scene.owner.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #2 redelivered left 2 m3"])
        #expect(scene.owner.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #3 left 1 m4"])
        #expect(scene.owner.call(BasicReject(deliveryTag: 1, requeue: true)).lines == [])
        #expect(scene.owner.call(BasicGet(queue: "q")).lines == ["1 get-ok #4 redelivered left 1 m1"])
        #expect(scene.owner.call(BasicAck(deliveryTag: 9)).lines.first?.hasPrefix("1 channel.close 406") == true)
    }

    @Test(arguments: placements)
    func confirmsCumulativelyAfterReturns(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        #expect(scene.publisher.call(ConfirmSelect()).lines == ["1 confirm.select-ok"])
        for number in 1...10 {
            scene.publisher.publish(routingKey: "q", body: Array("m\(number)".utf8))
        }
        let acks = scene.publisher.receive().lines
        #expect(acks.last?.hasPrefix("1 ack 10") == true)
        scene.publisher.publish(routingKey: "nowhere", mandatory: true, body: [1])
        #expect(scene.publisher.receive().lines.map { String($0.prefix(16)) } == ["1 return 312 NO_", "1 ack 11"])
    }

    @Test(arguments: placements)
    func largeBodiesArriveWhole(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true))
        var body = [UInt8](repeating: 0, count: 1_000_000)
        for index in body.indices { body[index] = UInt8(truncatingIfNeeded: index &* 31 >> 3) }
        for size in [0, 1, 16_000, 17_000, 131_064, 131_065, 300_000, 1_000_000] {
            scene.publisher.publish(routingKey: "q", body: Array(body.prefix(size)))
            guard case .content(_, _, _, let received)? = scene.consumer.receive().first else {
                Issue.record("nothing delivered for \(size)")
                continue
            }
            #expect(received == Array(body.prefix(size)), "size \(size)")
        }
    }

    @Test func framesCutAtEveryByteMeanTheSame() {
        let publisher = SimulatedClient(SimulatedBroker())
        let session =
            SimulatedClient.greeting() + SimulatedClient.frame(QueueDeclare(queue: "q"), channel: 1)
            + publisher.encodePublish(BasicPublish(routingKey: "q"), body: Array("hello".utf8))
            + SimulatedClient.frame(BasicGet(queue: "q", noAck: true), channel: 1)
        let expected = Self.transcript([session])
        #expect(expected.suffix(2) == ["1 queue.declare-ok 0 0", "1 get-ok #1 left 0 hello"])
        for cut in 1..<session.count {
            #expect(Self.transcript([Array(session[..<cut]), Array(session[cut...])]) == expected, "cut at \(cut)")
        }
        #expect(Self.transcript(session.map { [$0] }) == expected)
    }

    private static func transcript(_ pieces: [[UInt8]]) -> [String] {
        let client = SimulatedClient(SimulatedBroker())
        var lines: [String] = []
        for piece in pieces {
            client.sendBytes(piece)
            lines += client.receive().lines
        }
        return lines
    }

    @Test(arguments: placements)
    func aConsumerThatDoesNotReadCostsAWindow(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        scene.consumer.socket.capacity = 64 * 1024
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true))
        let body = [UInt8](repeating: 7, count: 1000)
        for _ in 0..<3000 {
            scene.publisher.publish(routingKey: "q", body: body)
        }
        scene.broker.run()
        #expect(scene.consumer.socket.outbound.count < 1 << 20)
        var received = 0
        for _ in 0..<1000 where received < 3000 {
            received += scene.consumer.receive().count
        }
        #expect(received == 3000)
        #expect(scene.broker.lentBlocks == 0)
    }

    @Test(arguments: placements)
    func globalPrefetchIsShared(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = Scene(placement)
        scene.owner.call(QueueDeclare(queue: "r"))
        scene.consumer.call(BasicQos(prefetchCount: 3, global: true))
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "a"))
        scene.consumer.call(BasicConsume(queue: "r", consumerTag: "b"))
        for number in 1...4 {
            scene.publisher.publish(routingKey: "q", body: Array("q\(number)".utf8))
            scene.publisher.publish(routingKey: "r", body: Array("r\(number)".utf8))
        }
        var received = scene.consumer.receive()
        #expect(received.count == 3)
        for tag in 1...8 {
            received += scene.consumer.call(BasicAck(deliveryTag: UInt64(tag)))
            #expect(received.count == min(8, tag + 3))
        }
        #expect(Set(received.compactMap(\.text)).count == 8)
    }

    /// As the PHP extension's test of `basic.recover` counts on.
    @Test(arguments: placements)
    func acknowledgementsMakeRoomBeforeTheCancelBehindThem(
        placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)
    ) {
        let scene = Scene(placement)
        scene.consumer.call(BasicQos(prefetchCount: 2))
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        for number in 1...5 {
            scene.publisher.publish(routingKey: "q", body: Array("m\(number)".utf8))
        }
        #expect(scene.consumer.receive().compactMap(\.text) == ["m1", "m2"])
        scene.consumer.sendBytes(
            SimulatedClient.frame(BasicAck(deliveryTag: 1), channel: 1)
                + SimulatedClient.frame(BasicAck(deliveryTag: 2), channel: 1)
                + SimulatedClient.frame(BasicCancel(consumerTag: "c"), channel: 1)
        )
        let received = scene.consumer.receive()
        #expect(received.compactMap(\.text) == ["m3", "m4"])
        #expect(received.lines.last == "1 basic.cancel-ok")
    }

    /// As `QosTests.noAckObeysLimit` of the Java client has it.
    @Test(arguments: placements)
    func whoNeedNotAcknowledgeWaitsForTheChannelsLimit(
        placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)
    ) {
        let scene = Scene(placement)
        scene.owner.call(QueueDeclare(queue: "r"))
        scene.consumer.call(BasicQos(prefetchCount: 1, global: true))
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "a"))
        scene.publisher.publish(routingKey: "q", body: Array("q1".utf8))
        #expect(scene.consumer.receive().compactMap(\.text) == ["q1"])
        scene.consumer.call(BasicConsume(queue: "r", consumerTag: "b", noAck: true))
        for number in 1...100 {
            scene.publisher.publish(routingKey: "r", body: Array("r\(number)".utf8))
        }
        #expect(scene.consumer.receive().isEmpty)
        // What it gets does not count: it gets all there is.
        #expect(
            scene.consumer.call(BasicAck(deliveryTag: 1)).compactMap(\.text) == (1...100).map { "r\($0)" }
        )
        scene.publisher.publish(routingKey: "q", body: Array("q2".utf8))
        #expect(scene.consumer.receive().compactMap(\.text) == ["q2"])
    }

    @Test(arguments: placements)
    func qosIsForConsumersToComeButForOnesOfPyAMQP(
        placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)
    ) {
        let scene = Scene(placement)
        let pyAMQP = SimulatedClient(scene.broker, shard: placement.consumer).open(product: "py-amqp")
        scene.owner.call(QueueDeclare(queue: "r"))
        for (client, queue, delivered) in [(scene.consumer, ShortString("q"), 1), (pyAMQP, "r", 3)] {
            for number in 1...4 {
                scene.publisher.publish(routingKey: queue, body: Array("m\(number)".utf8))
            }
            client.call(BasicQos(prefetchCount: 1))
            client.call(BasicConsume(queue: queue, consumerTag: "c"))
            let more = client.call(BasicQos(prefetchCount: 3))
            #expect(more.compactMap(\.text).count == delivered - 1)
        }
    }

    @Test func whoFeedsAQueueThatFallsBehindIsKnown() {
        let scene = Scene((1, 0, 0, 0))
        func isFeeding() -> Bool { scene.broker.shards[0].feedsBacklog(scene.publisher.socket.id) }
        func publish(_ count: Int) {
            for _ in 0..<count { scene.publisher.publish(routingKey: "q", body: [1]) }
            scene.publisher.receive()
        }
        publish(5000)
        #expect(!isFeeding(), "nobody waits for these messages")
        scene.consumer.call(BasicQos(prefetchCount: 1))
        scene.consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        publish(1)
        #expect(isFeeding())
        scene.consumer.call(QueuePurge(queue: "q"))
        publish(1)
        #expect(!isFeeding())
    }
}
