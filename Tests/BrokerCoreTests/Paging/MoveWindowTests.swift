import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Messages that move by themselves, many at once, take no more memory than a few of them.
@Suite struct MoveWindowTests {
    @Test func aWindowIsFullUntilItsBatchesAreDurable() {
        var window = MoveWindow()
        window.note(0, in: 1)
        #expect(window.octets == 0)
        window.note(1000, in: 2)
        window.note(ShardLimits.moveWindowBytes - 1001, in: 2)
        #expect(!window.isFull)
        window.note(1, in: 4)
        #expect(window.isFull)
        let ends = [1, 2, 3, 4].map { (number: UInt64) in window.end(upTo: number) }
        // Only once it has been full.
        #expect(ends == [false, true, false, false])
        #expect(window.octets == 0)
    }

    private static func broker(isDurable: Bool, limit: UInt64) -> SimulatedBroker {
        var settings = BrokerSettings()
        settings.isDurable = isDurable
        settings.pagesMessages = true
        settings.memoryLimitBytes = limit
        return SimulatedBroker(shardCount: 2, settings: settings)
    }

    private static func fill(_ client: SimulatedClient, _ count: Int, size: Int, headers: FieldTable? = nil) {
        for number in 0..<count {
            client.publish(
                routingKey: "q",
                properties: BasicProperties(headers: headers, deliveryMode: 2),
                body: [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: size)
            )
            client.broker.run()
        }
    }

    private static func count(_ client: SimulatedClient, _ queue: ShortString) -> Int {
        guard case .method(_, .queueDeclareOk(let found)) = client.call(QueueDeclare(queue: queue, passive: true)).first
        else { return -1 }
        return Int(found.messageCount)
    }

    /// Runs everything but the disk of the log; then that, too.
    private static func runWithoutTheLog(_ broker: SimulatedBroker) {
        while let event = broker.possibleEvents.first(where: { if case .commit = $0 { false } else { true } }) {
            broker.carryOut(event)
        }
    }

    @Test(arguments: [false, true]) func nothingMovesFarAheadOfTheLog(isDelayed: Bool) {
        let broker = Self.broker(isDurable: true, limit: 1 << 30)
        let client = SimulatedClient(broker, shard: 0).open()
        if isDelayed {
            client.call(QueueDeclare(queue: "q", durable: true))
            Self.fill(client, 80, size: 100_000, headers: ["x-delay": .int32(10_000)])
        } else {
            client.call(QueueDeclare(queue: "dead", durable: true))
            let arguments: FieldTable = [
                "x-message-ttl": .int32(10_000), "x-dead-letter-exchange": .text(""),
                "x-dead-letter-routing-key": .text("dead"),
            ]
            client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
            Self.fill(client, 80, size: 100_000)
        }
        let target: ShortString = isDelayed ? "q" : "dead"
        #expect(Self.count(client, target) == 0)
        // The time has come for all of them.
        for shard in broker.shards { shard.fireTimers(now: broker.now.advanced(milliseconds: 11_000)) }
        for index in broker.shards.indices { broker.drain(index) }
        Self.runWithoutTheLog(broker)
        let queues = broker.shards.flatMap { $0.queues.compactMap { $0 } }
        let moved = queues.first { $0.pointee.info.name == target }?.pointee.readyCount ?? 0
        #expect(moved > 0 && moved < 70)
        broker.run()
        broker.advance(milliseconds: 12_000)
        #expect(Self.count(client, target) == 80)
    }

    /// Each answer of another shard has dead messages looked at: it must not have ever more of them read.
    @Test func fewDeadMessagesAreReadAhead() {
        let broker = Self.broker(isDurable: true, limit: 256 << 10)
        // The queue lives with who declares it, its dead letters elsewhere.
        let client = SimulatedClient(broker, shard: 0).open()
        SimulatedClient(broker, shard: 1).open().call(QueueDeclare(queue: "dead", durable: true))
        let arguments: FieldTable = [
            "x-message-ttl": .int32(10_000), "x-dead-letter-exchange": .text(""),
            "x-dead-letter-routing-key": .text("dead"),
        ]
        client.call(QueueDeclare(queue: "q", durable: true, arguments: arguments))
        Self.fill(client, 1500, size: 2000)
        for shard in broker.shards { shard.fireTimers(now: broker.now.advanced(milliseconds: 11_000)) }
        for index in broker.shards.indices { broker.drain(index) }
        var most = 0
        while let event = broker.possibleEvents.first {
            broker.carryOut(event)
            most = max(most, broker.pager.awaitedOctets)
        }
        #expect(most > 0 && most < 2 * ShardLimits.pageReadBytes + 10_000)
        broker.advance(milliseconds: 30_000)
        #expect(Self.count(client, "dead") == 1500)
        #expect(Self.count(client, "q") == 0)
    }
}
