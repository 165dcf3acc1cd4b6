import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Publishes that come from the broker itself.
@Suite struct InternalPublishTests {
    /// Publishes on a shard as dead letters and events do.
    private static func publish(
        _ broker: SimulatedBroker,
        shard: Int,
        exchange: [UInt8] = Array("e".utf8),
        key: [UInt8] = Array("k".utf8),
        extraKeys: [[UInt8]] = [],
        flags: QueueEntry.Flags = []
    ) -> InternalPublishOutcome? {
        let names = [UInt8(exchange.count)] + exchange + [UInt8(key.count)] + key
        let properties: [UInt8] = flags.contains(.persistent) ? [0x10, 0, 2] : [0, 0]
        let bytes = names + properties + Array("body".utf8)
        return bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, let host = broker.shards[shard].topology.virtualHost(named: "/") else {
                return nil
            }
            let view = MessageView(
                names: base,
                namesSize: names.count,
                properties: base + names.count,
                propertiesSize: properties.count,
                body: base + (names.count + properties.count),
                bodySize: 4
            )
            return broker.shards[shard].publishInternally(
                view,
                flags,
                extraKeys: extraKeys,
                in: host,
                then: .nothing
            )
        }
    }

    private static func declare(_ broker: SimulatedBroker, durable: Bool = false) -> SimulatedClient {
        let client = SimulatedClient(broker).open()
        client.call(ExchangeDeclare(exchange: "e", type: "direct", durable: durable, internal: true))
        for queue in ["q", "r", "s"] as [ShortString] {
            client.call(QueueDeclare(queue: queue, durable: durable))
            client.call(QueueBind(queue: queue, exchange: "e", routingKey: queue == "s" ? "other" : "k"))
        }
        return client
    }

    @Test(arguments: [1, 2, 3])
    func reachesQueuesOfAllShardsThroughInternalExchanges(shards: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = Self.declare(broker)
        for shard in 0..<shards {
            _ = Self.publish(broker, shard: shard, extraKeys: [Array("other".utf8)])
        }
        broker.settle()
        for queue in ["q", "r", "s"] as [ShortString] {
            #expect(
                client.call(QueueDeclare(queue: queue, passive: true)).lines == ["1 queue.declare-ok \(shards) 0"]
            )
        }
        #expect(broker.shards.allSatisfy { $0.internalPublishes.count == 0 && $0.internalPublishes.bytes == 0 })
    }

    @Test func hasNoRouteWithoutExchangeOrBinding() {
        let broker = SimulatedBroker()
        _ = Self.declare(broker)
        #expect(Self.publish(broker, shard: 0, exchange: Array("nowhere".utf8)) == nil)
        #expect(Self.publish(broker, shard: 0, key: Array("nobody".utf8)) == nil)
        #expect(Self.publish(broker, shard: 0) == .taken(isRejected: false))
    }

    @Test(arguments: [1, 3])
    func isLoggedWherePersistentMeetsDurable(shards: Int) throws {
        var settings = BrokerSettings()
        settings.isDurable = true
        let broker = SimulatedBroker(shardCount: shards, settings: settings)
        _ = Self.declare(broker, durable: true)
        _ = Self.publish(broker, shard: 0, flags: .persistent)
        _ = Self.publish(broker, shard: 0)
        broker.settle()
        let next = SimulatedBroker(settings: settings)
        try next.restore(broker.durableRecords)
        let client = SimulatedClient(next).open()
        for (queue, count) in [("q", 1), ("r", 1), ("s", 0)] as [(ShortString, Int)] {
            #expect(client.call(QueueDeclare(queue: queue, passive: true)).lines == ["1 queue.declare-ok \(count) 0"])
        }
    }
}
