import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Deliveries that come back: counts, limits, places.
@Suite struct ReturnTests {
    static let quorum: FieldTable = ["x-queue-type": .text("quorum")]

    static func quorum(_ more: (ShortString, FieldValue)...) -> FieldTable {
        FieldTable([("x-queue-type", .text("quorum"))] + more)
    }

    static func fill(_ client: SimulatedClient, _ bodies: String..., headers: FieldTable? = nil) {
        for body in bodies {
            client.publish(
                routingKey: "q",
                properties: BasicProperties(headers: headers, deliveryMode: 2),
                body: Array(body.utf8)
            )
        }
        client.receive()
    }

    /// The headers of what a get answers.
    static func headers(_ received: [SimulatedClient.Received]) -> FieldTable? {
        guard case .content(_, _, let properties, _)? = received.first else { return nil }
        return properties.headers
    }

    static func get(_ client: SimulatedClient) -> (text: String?, count: FieldValue?) {
        let received = client.call(BasicGet(queue: "q"))
        return (received.first?.text, Self.headers(received)?["x-delivery-count"])
    }

    @Test func everyWayBackIsCounted() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        Self.fill(client, "m")
        #expect(Self.get(client).count == .int64(0))
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        #expect(Self.get(client).count == .int64(1))
        client.call(BasicReject(deliveryTag: 2, requeue: true))
        #expect(Self.get(client).count == .int64(2))
        client.call(BasicRecover(requeue: true))
        #expect(Self.get(client).count == .int64(3))
        client.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
        client.call(ChannelOpen())
        #expect(Self.get(client).count == .int64(4))
        client.disconnect()
        broker.run()
        let other = SimulatedClient(broker).open()
        #expect(other.call(BasicConsume(queue: "q", consumerTag: "c")).lines.last == "1 deliver c #1 redelivered m")
        other.disconnect()
        broker.run()
        #expect(Self.get(SimulatedClient(broker).open()).count == .int64(6))
    }

    /// Without a limit of its own a quorum queue appends what is asked for again, as what is given back.
    @Test func whatIsRecoveredGoesToTheEnd() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        Self.fill(client, "1", "2", "3")
        #expect([Self.get(client).text, Self.get(client).text] == ["1", "2"])
        client.call(BasicRecover(requeue: true))
        #expect([Self.get(client).text, Self.get(client).text, Self.get(client).text] == ["3", "1", "2"])
        client.call(QueueDelete(queue: "q"))
        let limited: FieldTable = ["x-queue-type": .text("quorum"), "x-delivery-limit": .int32(9)]
        client.call(QueueDeclare(queue: "q", durable: true, arguments: limited))
        Self.fill(client, "1", "2", "3")
        #expect([Self.get(client).text, Self.get(client).text] == ["1", "2"])
        client.call(BasicRecover(requeue: true))
        #expect([Self.get(client).text, Self.get(client).text, Self.get(client).text] == ["1", "2", "3"])
    }

    @Test func theHeaderComesInOrderAndInPlaceOfTheClientsOwn() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        let own: FieldTable = ["zz": .int32(1), "x-delivery-count": .int32(77), "aa": .int32(2)]
        client.publish(
            routingKey: "q",
            properties: BasicProperties(contentType: "t", headers: own, priority: 3, messageID: "id"),
            body: [65]
        )
        client.publish(routingKey: "q", properties: BasicProperties(contentType: "t", messageID: "id"), body: [66])
        client.receive()
        // The first delivery to a consumer is as it was published.
        let first = client.call(BasicConsume(queue: "q", consumerTag: "c"))
        #expect(Self.headers(Array(first.dropFirst())) == own)
        let again = client.call(BasicNack(deliveryTag: 2, multiple: true, requeue: true))
        let properties = again.compactMap { received -> BasicProperties? in
            guard case .content(_, _, let properties, _) = received else { return nil }
            return properties
        }
        let expected: FieldTable = ["aa": .int32(2), "x-delivery-count": .int64(1), "zz": .int32(1)]
        #expect(
            properties == [
                BasicProperties(contentType: "t", headers: expected, priority: 3, messageID: "id"),
                BasicProperties(contentType: "t", headers: ["x-delivery-count": .int64(1)], messageID: "id"),
            ]
        )
    }

    /// Where RabbitMQ 3.10 sends `x-delivery-count`, that is all.
    @Test(
        arguments: [
            (["x-delivery-limit": .int32(9)], true), (["x-delayed-retry-min": .int32(0)], true), ([:], nil),
            (["x-queue-type": .text("quorum")], false),
            (["x-queue-type": .text("quorum"), "x-delayed-retry-min": .int32(0)], true),
        ] as [(FieldTable, Bool?)]
    )
    func whoeverWantsMoreThanRabbitMQHasIsToldTwice(arguments: FieldTable, isTwice: Bool?) {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        Self.fill(client, "m")
        client.call(BasicGet(queue: "q"))
        for count in 1...3 as ClosedRange<Int64> {
            client.call(BasicNack(deliveryTag: UInt64(count), requeue: true))
            broker.advance(milliseconds: 1)
            let headers = Self.headers(client.call(BasicGet(queue: "q")))
            #expect(headers?["x-delivery-count"] == (isTwice == nil ? nil : .int64(count)))
            #expect(headers?["x-acquired-count"] == (isTwice == true ? .int64(count) : nil))
        }
    }

    @Test(arguments: ["classic", "quorum"], [0, 1, 2])
    func beyondTheLimitAMessageIsGone(type: String, limit: Int32) {
        let client = SimulatedClient(SimulatedBroker()).open()
        let arguments: FieldTable = ["x-queue-type": .text(type), "x-delivery-limit": .int32(limit)]
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        Self.fill(client, "m")
        for tag in 0...UInt64(limit) {
            let (text, count) = Self.get(client)
            #expect(text == "m")
            #expect(count == (type == "classic" && tag == 0 ? nil : .int64(Int64(tag))))
            client.call(BasicNack(deliveryTag: tag + 1, requeue: true))
        }
        #expect(client.call(BasicGet(queue: "q")).lines == ["1 basic.get-empty"])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 0 0"])
    }

    @Test(arguments: [(nil, 20), (-1, nil), (70_000, nil)] as [(Int32?, Int?)])
    func quorumQueuesHaveALimitUnlessTheyWantNone(argument: Int32?, expected: Int?) {
        let client = SimulatedClient(SimulatedBroker()).open()
        let arguments = argument.map { Self.quorum(("x-delivery-limit", .int32($0))) } ?? Self.quorum
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        Self.fill(client, "m")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        var deliveries = 1
        while deliveries < 40,
            !client.call(BasicReject(deliveryTag: UInt64(deliveries), requeue: true)).isEmpty
        {
            deliveries += 1
        }
        #expect(deliveries == (expected.map { $0 + 1 } ?? 40))
    }

    @Test func aPlainQueueTellsNothingAndForgetsNothing() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q"))
        Self.fill(client, "m", headers: ["a": .int32(1)])
        for _ in 0..<30 {
            let received = client.call(BasicGet(queue: "q"))
            #expect(Self.headers(received) == ["a": .int32(1)])
            client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        }
        #expect(client.call(BasicGet(queue: "q")).lines.first?.hasSuffix("redelivered left 0 m") == true)
    }

    @Test func whatAConsumerGivesBackToAQuorumQueueGoesToItsEnd() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        Self.fill(client, "1", "2", "3", "4", "5")
        for _ in 0..<3 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 3, multiple: true, requeue: true))
        #expect((0..<5).map { _ in Self.get(client).text } == ["4", "5", "1", "2", "3"])
        // What was lost with its channel comes first, as it was handed out.
        client.disconnect()
        broker.run()
        let other = SimulatedClient(broker).open()
        #expect((0..<5).map { _ in Self.get(other).text } == ["4", "5", "1", "2", "3"])
    }

    @Test func withALimitItGoesInFrontInTheOrderInWhichItCameBack() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum(("x-delivery-limit", .int32(9)))))
        Self.fill(client, "1", "2", "3", "4", "5")
        for _ in 0..<3 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 3, requeue: true))
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        #expect((0..<4).map { _ in Self.get(client).text } == ["3", "1", "4", "5"])
    }

    @Test(arguments: [false, true])
    func countsOutliveTheProcess(isTrimmed: Bool) throws {
        let first = RestartTests.broker(2)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-delivery-limit": .int32(2)]))
        Self.fill(client, "1", "2", "3")
        for _ in 0..<2 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 2, multiple: true, requeue: true))
        client.call(BasicGet(queue: "q"))
        client.call(BasicNack(deliveryTag: 3, requeue: true))
        if isTrimmed { first.trimLog() }
        let second = try RestartTests.restarted(first, shards: 1)
        let other = SimulatedClient(second).open()
        let got = (0..<3).map { _ in Self.get(other) }
        #expect(got.map(\.text) == ["1", "2", "3"])
        #expect(got.map(\.count) == [.int64(2), .int64(1), nil])
        other.call(BasicNack(deliveryTag: 3, multiple: true, requeue: true))
        let third = try RestartTests.restarted(second, shards: 2)
        let last = SimulatedClient(third).open()
        #expect((0..<3).map { _ in Self.get(last).text } == ["2", "3", nil])
    }

    @Test(arguments: [false, true])
    func newPlacesOutliveTheProcess(isTrimmed: Bool) throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        Self.fill(client, "1", "2", "3", "4")
        for _ in 0..<3 { client.call(BasicGet(queue: "q")) }
        client.call(BasicReject(deliveryTag: 2, requeue: true))
        client.call(BasicReject(deliveryTag: 1, requeue: true))
        client.call(BasicAck(deliveryTag: 3))
        Self.fill(client, "5")
        if isTrimmed { first.trimLog() }
        let second = try RestartTests.restarted(first, shards: 2)
        let other = SimulatedClient(second).open()
        let got = (0..<5).map { _ in Self.get(other) }
        #expect(got.map(\.text) == ["4", "2", "1", "5", nil])
        #expect(got.prefix(4).map(\.count) == [.int64(0), .int64(1), .int64(1), .int64(0)])
        other.call(BasicAck(deliveryTag: 4, multiple: true))
        let third = try RestartTests.restarted(second, shards: 1)
        #expect(
            SimulatedClient(third).open().call(QueueDeclare(queue: "q", passive: true)).lines
                == ["1 queue.declare-ok 0 0"]
        )
    }

    @Test func placesThatChangeWhileTheLogIsTrimmedAreToldBehind() throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        // Enough for several steps.
        for number in 0..<60 {
            client.publish(
                routingKey: "q",
                properties: BasicProperties(deliveryMode: 2),
                body: Array("\(number) ".utf8) + [UInt8](repeating: 32, count: 100_000)
            )
        }
        client.receive()
        func number(_ received: [SimulatedClient.Received]) -> Int? {
            received.first?.text?.split(separator: " ").first.flatMap { Int($0) }
        }
        var order = Array(0..<60)
        var steps = 0
        first.trimLog {
            // The oldest is told already, or not yet.
            for _ in 0..<4 {
                guard let got = number(client.call(BasicGet(queue: "q"))) else { return }
                order.removeAll { $0 == got }
                order.append(got)
                client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
            }
            steps += 1
        }
        #expect(steps > 3)
        let second = try RestartTests.restarted(first, shards: 1)
        let other = SimulatedClient(second).open()
        let got = (0..<60).compactMap { _ in number(other.call(BasicGet(queue: "q", noAck: true))) }
        #expect(got == order)
        #expect(other.call(BasicGet(queue: "q")).lines == ["1 basic.get-empty"])
    }

    @Test func globalPrefetchIsRefusedForQuorumQueues() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.quorum))
        client.call(BasicQos(prefetchCount: 5, global: true))
        #expect(
            client.call(BasicConsume(queue: "q", noAck: true)).lines == [
                "0 connection.close 540 NOT_IMPLEMENTED - queue 'q' in vhost '/' does not support global qos (60/20)"
            ]
        )
        // Afterwards it is fine, and so is none.
        let other = SimulatedClient(broker).open()
        other.call(BasicQos(prefetchCount: 0, global: true))
        #expect(other.call(BasicConsume(queue: "q", consumerTag: "c")).lines == ["1 basic.consume-ok c"])
        #expect(other.call(BasicQos(prefetchCount: 5, global: true)).lines == ["1 basic.qos-ok"])
    }

    @Test(arguments: ["classic", "quorum"])
    func theNextActiveConsumer(type: String) {
        let broker = SimulatedBroker()
        let owner = SimulatedClient(broker).open()
        owner.call(
            QueueDeclare(
                queue: "q",
                durable: true,
                arguments: ["x-queue-type": .text(type), "x-single-active-consumer": .bool(1)]
            )
        )
        let consumers = [0, 1, 2].map { _ in SimulatedClient(broker).open() }
        for (index, consumer) in consumers.enumerated() {
            consumer.call(
                BasicConsume(
                    queue: "q",
                    consumerTag: ["c0", "c1", "c2"][index],
                    arguments: index == 2 ? ["x-priority": .int32(5)] : .empty
                )
            )
        }
        Self.fill(owner, "m")
        #expect(consumers[0].receive().lines == ["1 deliver c0 #1 m"])
        consumers[0].disconnect()
        broker.run()
        let next = type == "classic" ? 2 : 1
        #expect(consumers[next].receive().lines == ["1 deliver c\(next) #1 redelivered m"])
        #expect(consumers[3 - next].receive().lines == [])
    }
}
