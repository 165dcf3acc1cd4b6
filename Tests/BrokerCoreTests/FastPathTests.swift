import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// What the shortest ways of the data path must not get wrong: content that goes out as it came in, publishers that are
/// recognised by their method frame, acknowledgements in runs.
@Suite struct FastPathTests {
    private static func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131 >> 2) }
    }

    /// Frames go from a publisher's channel to another connection's, whose number and largest frame are others.
    @Test(arguments: [4096, 131_072] as [UInt32])
    func contentFitsTheConsumersChannelAndFrames(frameMax: UInt32) {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        publisher.call(QueueDeclare(queue: "q"))
        let consumer = SimulatedClient(broker).open(frameMaxBytes: frameMax)
        consumer.call(ChannelOpen(), channel: 513)
        consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true), channel: 513)
        let properties = BasicProperties(contentType: "text/plain", deliveryMode: 2, messageID: "m")
        for size in [0, 1, 7, 15, 16, 33, 63, 64, 65, 4087, 4088, 4089, 5000, 131_064, 131_065] {
            for properties in [properties, BasicProperties()] {
                let body = Self.bytes(size)
                publisher.publish(routingKey: "q", properties: properties, body: body)
                guard case .content(let channel, _, let received, let arrived)? = consumer.receive().first else {
                    Issue.record("nothing delivered for \(size)")
                    continue
                }
                #expect(channel == 513)
                #expect(received == properties)
                #expect(arrived == body, "size \(size)")
            }
        }
    }

    /// The same names, and something else in the frame: flags, the channel, the queue behind the names.
    @Test func aPublisherIsNotTakenForWhatItWasBefore() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(ChannelOpen(), channel: 2)
        client.call(QueueDeclare(queue: "q"))
        func count() -> [String] { client.call(QueueDeclare(queue: "q", passive: true)).lines }
        for _ in 0..<3 { client.publish(routingKey: "q", body: [1]) }
        #expect(count() == ["1 queue.declare-ok 3 0"])
        // On another channel, which confirms.
        client.call(ConfirmSelect(), channel: 2)
        client.publish(routingKey: "q", body: [1], channel: 2)
        #expect(client.receive().lines == ["2 ack 1"])
        client.publish(routingKey: "q", body: [1], channel: 1)
        #expect(count() == ["1 queue.declare-ok 5 0"])
        // Mandatory, with a queue and without.
        client.publish(routingKey: "q", mandatory: true, body: [1])
        #expect(count() == ["1 queue.declare-ok 6 0"])
        client.call(QueueDelete(queue: "q"))
        client.publish(routingKey: "q", body: [1])
        #expect(client.receive().lines == [])
        client.publish(routingKey: "q", mandatory: true, body: [1])
        #expect(client.receive().lines.map { String($0.prefix(12)) } == ["1 return 312"])
        // Another queue of that name.
        client.call(QueueDeclare(queue: "q"))
        client.publish(routingKey: "q", body: [1])
        #expect(count() == ["1 queue.declare-ok 1 0"])
        // A transaction keeps it.
        client.call(TxSelect())
        client.publish(routingKey: "q", body: [1])
        #expect(client.receive().lines == [])
        client.call(TxCommit())
        client.publish(routingKey: "q", body: [1])
        client.call(TxRollback())
        #expect(count() == ["1 queue.declare-ok 2 0"])
        // The channel number is used anew.
        client.call(ChannelClose(replyCode: 200))
        client.publish(routingKey: "q", body: [1])
        #expect(client.receive().lines.first?.contains("504") == true)
    }

    /// Names of every size that is compared in another way.
    @Test func namesOfAllSizesAreToldApart() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        for size in 1...40 {
            for last in ["a", "b"] {
                let name = ShortString(Array(repeating: UInt8(ascii: "x"), count: size - 1) + Array(last.utf8)) ?? ""
                client.call(QueueDeclare(queue: name))
                client.publish(routingKey: name, body: Self.bytes(size))
                client.publish(routingKey: name, body: Self.bytes(size))
            }
        }
        for size in 1...40 {
            for last in ["a", "b"] {
                let name = ShortString(Array(repeating: UInt8(ascii: "x"), count: size - 1) + Array(last.utf8)) ?? ""
                #expect(client.call(QueueDeclare(queue: name, passive: true)).lines == ["1 queue.declare-ok 2 0"])
                let content = client.call(BasicGet(queue: name, noAck: true)).first
                guard case .content(_, .basicGetOk(let ok), _, let body)? = content else {
                    Issue.record("nothing in \(name)")
                    continue
                }
                #expect(ok.routingKey == name)
                #expect(body == Self.bytes(size))
            }
        }
    }

    /// One `multiple` over deliveries of several consumers and queues, some of them settled before.
    @Test(arguments: DataPathTests.placements)
    func acknowledgementsOfManyConsumersAtOnce(placement: (shards: Int, publisher: Int, queue: Int, consumer: Int)) {
        let scene = DataPathTests.Scene(placement)
        scene.owner.call(QueueDeclare(queue: "other"))
        func publish(_ numbers: ClosedRange<Int>) {
            for number in numbers {
                scene.publisher.publish(routingKey: number % 3 == 0 ? "other" : "q", body: Array("m\(number)".utf8))
                scene.publisher.receive()
            }
        }
        for (queue, tag) in [("q", "a"), ("q", "b"), ("other", "c")] as [(ShortString, ShortString)] {
            scene.consumer.call(BasicConsume(queue: queue, consumerTag: tag))
        }
        publish(1...30)
        #expect(scene.consumer.receive().count == 30)
        scene.consumer.call(BasicAck(deliveryTag: 2))
        scene.consumer.call(BasicReject(deliveryTag: 7, requeue: false))
        scene.consumer.call(BasicAck(deliveryTag: 20, multiple: true))
        // 21 to 30 are left: three to four of each consumer.
        #expect(scene.consumer.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true)).count == 10)
        scene.consumer.call(BasicCancel(consumerTag: "a"))
        scene.consumer.call(BasicAck(deliveryTag: 0, multiple: true))
        scene.consumer.disconnect()
        scene.broker.run()
        #expect(scene.owner.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 0 0"])
        #expect(scene.owner.call(QueueDeclare(queue: "other", passive: true)).lines == ["1 queue.declare-ok 0 0"])
    }
}
