import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-delayed-retry-type`, `-min`, `-max`: messages that come back wait.
@Suite struct DelayedRetryTests {
    static func arguments(_ type: String?, min: Int32? = 1000, max: Int32? = nil) -> FieldTable {
        var pairs: [(ShortString, FieldValue)] = []
        if let type { pairs.append(("x-delayed-retry-type", .text(type))) }
        if let min { pairs.append(("x-delayed-retry-min", .int32(min))) }
        if let max { pairs.append(("x-delayed-retry-max", .int32(max))) }
        return FieldTable(pairs)
    }

    static func ready(_ client: SimulatedClient) -> String? {
        client.call(QueueDeclare(queue: "q", passive: true)).lines.first
    }

    @Test func theDelayGrowsWithEveryFailureUpToTheLargest() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments("all", max: 2500)))
        ReturnTests.fill(client, "m")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        for (tag, delay) in [(1, 1000), (2, 2000), (3, 2500), (4, 2500)] as [(UInt64, UInt64)] {
            #expect(client.call(BasicNack(deliveryTag: tag, requeue: true)).lines == [])
            #expect(Self.ready(client) == "1 queue.declare-ok 0 1")
            broker.advance(milliseconds: delay - 1)
            #expect(client.receive().lines == [])
            broker.advance(milliseconds: 1)
            #expect(client.receive().lines == ["1 deliver c #\(tag + 1) redelivered m"])
        }
    }

    @Test(
        arguments: [
            ("all", true, true), ("failed", true, false), ("returned", false, true), ("disabled", false, false),
            (nil, true, true),
        ] as [(String?, Bool, Bool)]
    )
    func whatWaitsDependsOnTheType(type: String?, afterFailure: Bool, afterReturn: Bool) {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments(type)))
        ReturnTests.fill(client, "m")
        client.call(BasicGet(queue: "q"))
        client.call(BasicReject(deliveryTag: 1, requeue: true))
        #expect(Self.ready(client) == "1 queue.declare-ok \(afterFailure ? 0 : 1) 0")
        broker.advance(milliseconds: 5000)
        #expect(client.call(BasicGet(queue: "q")).lines.first?.hasSuffix("redelivered left 0 m") == true)
        client.call(BasicRecover(requeue: true))
        #expect(Self.ready(client) == "1 queue.declare-ok \(afterReturn ? 0 : 1) 0")
    }

    /// Found by the simulation (seed 36): quorum queues without a limit put what came back to their end at once.
    @Test func quorumQueuesWaitAsWell() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        let arguments = FieldTable([("x-queue-type", .text("quorum")), ("x-delayed-retry-min", .int32(1000))])
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        ReturnTests.fill(client, "m")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        #expect(client.call(BasicNack(deliveryTag: 1, requeue: true)).lines == [])
        broker.advance(milliseconds: 999)
        #expect(client.receive().lines == [])
        broker.advance(milliseconds: 1)
        #expect(client.receive().lines == ["1 deliver c #2 redelivered m"])
    }

    /// Found by the simulation (features): after a start who had waited went before an older one of its priority.
    @Test(arguments: [nil, 3] as [Int32?])
    func whoWaitedComesBackToTheOldPlaceAfterARestart(highestPriority: Int32?) throws {
        let first = RestartTests.broker(1)
        let client = SimulatedClient(first).open()
        var arguments: [(ShortString, FieldValue)] = [("x-delayed-retry-min", .int32(1000))]
        if let highestPriority { arguments.append(("x-max-priority", .int32(highestPriority))) }
        client.call(QueueDeclare(queue: "q", durable: true, arguments: FieldTable(arguments)))
        ReturnTests.fill(client, "a", "b", "c")
        for _ in 0..<2 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 2, requeue: true))
        let broker = try RestartTests.restarted(first, shards: 1)
        broker.advance(milliseconds: 2000)
        let reader = SimulatedClient(broker).open()
        #expect((0..<3).map { _ in reader.call(BasicGet(queue: "q")).first?.text } == ["a", "b", "c"])
    }

    @Test func whoWaitedComesBackToTheOldPlace() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments("all")))
        ReturnTests.fill(client, "1", "2", "3")
        client.call(BasicGet(queue: "q"))
        client.call(BasicGet(queue: "q"))
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        broker.advance(milliseconds: 500)
        client.call(BasicNack(deliveryTag: 2, requeue: true))
        #expect(client.call(BasicGet(queue: "q")).lines.first?.hasSuffix("left 0 3") == true)
        client.call(BasicAck(deliveryTag: 3))
        ReturnTests.fill(client, "4")
        broker.advance(milliseconds: 1000)
        #expect((0..<3).map { _ in ReturnTests.get(client).text } == ["1", "2", "4"])
    }

    @Test func aLimitEndsTheRetries() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        let arguments: FieldTable = ["x-delayed-retry-min": .int32(10), "x-delivery-limit": .int32(3)]
        client.call(QueueDeclare(queue: "q", arguments: arguments))
        ReturnTests.fill(client, "m")
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        var deliveries = 1
        for tag in 1...10 as ClosedRange<UInt64> where deliveries == tag {
            client.call(BasicNack(deliveryTag: tag, requeue: true))
            broker.advance(milliseconds: 10 * tag)
            deliveries += client.receive().count
        }
        #expect(deliveries == 4)
        #expect(broker.shards[0].census.messages == 0)
    }

    @Test func consumersThatCrashInALoopDoNotStorm() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments("all", min: 1000, max: 60_000)))
        ReturnTests.fill(client, "m")
        var deliveries = 0
        for _ in 0..<600 {
            let consumer = SimulatedClient(broker).open()
            consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
            broker.advance(milliseconds: 100)
            deliveries += consumer.receive().lines.filter { $0.contains("deliver c") }.count
            consumer.disconnect()
            broker.run()
        }
        // A minute of a consumer that dies ten times a second: 1 + 2 + … seconds between deliveries.
        #expect((9...12).contains(deliveries), "\(deliveries)")
    }

    @Test func manyThatAreDueAtOnceComeBackInPieces() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments("all")))
        let count = 2 * ShardLimits.retriedMessages + 10
        for number in 0..<count {
            client.publish(routingKey: "q", body: Array("\(number)".utf8))
        }
        client.receive()
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        client.call(BasicCancel(consumerTag: "c"))
        client.call(BasicNack(deliveryTag: 0, multiple: true, requeue: true))
        #expect(Self.ready(client) == "1 queue.declare-ok 0 0")
        broker.advance(milliseconds: 1000)
        #expect(Self.ready(client) == "1 queue.declare-ok \(count) 0")
        let got = client.call(BasicConsume(queue: "q", consumerTag: "d", noAck: true)).compactMap(\.text)
        #expect(got == (0..<count).map { "\($0)" })
    }

    @Test func purgeAndDeleteReachThoseThatWait() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q", arguments: Self.arguments("all")))
        ReturnTests.fill(client, "1", "2", "3")
        client.call(BasicGet(queue: "q"))
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        #expect(
            client.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 3"]
        )
        broker.advance(milliseconds: 10_000)
        #expect(Self.ready(client) == "1 queue.declare-ok 0 0")
        ReturnTests.fill(client, "4")
        client.call(BasicGet(queue: "q"))
        client.call(BasicNack(deliveryTag: 2, requeue: true))
        let other = SimulatedClient(broker).open()
        #expect(
            other.call(QueueDelete(queue: "q", ifEmpty: true)).lines.first?.contains("not empty") == true
        )
        client.call(QueueDelete(queue: "q"))
        #expect(broker.shards[0].census.messages == 0)
        broker.advance(milliseconds: 10_000)
    }

    @Test(arguments: [false, true], [0, 1500, 10_000] as [UInt64])
    func theWaitOutlivesTheProcess(isTrimmed: Bool, downMilliseconds: UInt64) throws {
        let first = RestartTests.broker(2)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true, arguments: Self.arguments("all", min: 2000)))
        ReturnTests.fill(client, "1", "2", "3", "4")
        for _ in 0..<3 { client.call(BasicGet(queue: "q")) }
        client.call(BasicNack(deliveryTag: 1, requeue: true))
        client.call(BasicNack(deliveryTag: 3, requeue: true))
        if isTrimmed { first.trimLog() }

        let second = RestartTests.broker(1)
        second.setWallClock(epochMilliseconds: SimulatedBroker.startOfTime + downMilliseconds)
        try second.restore(first.durableRecords)
        let other = SimulatedClient(second).open()
        if downMilliseconds < 2000 {
            #expect(Self.ready(other) == "1 queue.declare-ok 2 0")
            second.advance(milliseconds: 2000 - downMilliseconds - 1)
            #expect(Self.ready(other) == "1 queue.declare-ok 2 0")
            second.advance(milliseconds: 1)
        }
        let got = (0..<4).map { _ in ReturnTests.get(other) }
        #expect(got.map(\.text) == ["1", "2", "3", "4"])
        #expect(got.map(\.count) == [.int64(1), nil, .int64(1), nil])
    }
}
