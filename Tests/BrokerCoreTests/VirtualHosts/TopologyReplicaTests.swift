import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Replicas that apply the same changes are the same, whatever the seeds of their hash tables.
@Suite struct TopologyReplicaTests {
    /// Everything that a replica of `/` lists, in its own order.
    private func listing(_ topology: Topology) -> [String] {
        guard let host = topology.virtualHost(named: "/") else { return [] }
        var lines = host.queueNames.map { "queue \($0)" }
        for name in host.exchangeNames {
            lines.append("exchange \(name)")
            for binding in host.exchange(named: name)?.outgoing ?? BindingList() {
                lines.append("\(name) -> \(binding.definition.destination) \(binding.definition.routingKey)")
            }
        }
        return lines
    }

    private func route(_ topology: Topology, _ exchange: String, _ key: String) -> [ShortString] {
        var targets = RouteTargets()
        _ = Array(exchange.utf8).withUnsafeBytes { exchange in
            Array(key.utf8).withUnsafeBytes { key in
                topology.virtualHost(named: "/")?.route(exchange: exchange, routingKey: key, into: &targets)
            }
        }
        return targets.infos.map(\.name)
    }

    @Test(arguments: UInt64(1)...10)
    func routeAlikeAndListAlike(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let first = Topology(seed: 1)
        let second = Topology(seed: 2)
        var owner = TopologyOwner()
        func name(_ letter: String) -> ShortString { "\(letter)\(random.below(5))".short }
        let types: [ShortString] = ["direct", "fanout", "topic"]
        let keys = ["a", "a.b", "*", "#", ""]
        for _ in 0..<400 {
            let key = keys[random.below(keys.count)].short
            let operation: TopologyRequest.Operation =
                switch random.below(9) {
                case 0, 1:
                    .declareExchange(
                        name: name("e"),
                        type: types[random.below(3)],
                        passive: false,
                        durable: false,
                        autoDelete: random.oneIn(2),
                        internal: false,
                        arguments: .empty
                    )
                case 2, 3:
                    .declareQueue(
                        name: name("q"),
                        serverNamed: false,
                        passive: false,
                        durable: false,
                        exclusive: false,
                        autoDelete: false,
                        arguments: .empty
                    )
                case 4: .bindQueue(queue: name("q"), exchange: name("e"), routingKey: key, arguments: .empty)
                case 5: .bindExchange(destination: name("e"), source: name("e"), routingKey: key, arguments: .empty)
                case 6: .unbindQueue(queue: name("q"), exchange: name("e"), routingKey: key, arguments: .empty)
                case 7: .deleteExchange(name: name("e"), ifUnused: random.oneIn(2))
                default: .deleteQueue(name: name("q"), ifUnused: false, ifEmpty: false)
                }
            let request = TopologyRequest(
                virtualHost: "/",
                connection: ConnectionAddress(shard: 0, id: 1),
                home: UInt16(random.below(3)),
                operation: operation
            )
            let changes: [TopologyChange]
            switch owner.decide(request, topology: first) {
            case .apply(let decided), .declaredQueue(_, let decided): changes = decided
            case .deleteQueue(let address, _, _): changes = owner.changesForRemovedQueue(address, topology: first)
            case .violation, .done, .existingQueue: changes = []
            }
            let version = first.version
            for change in changes {
                first.apply(change)
                second.apply(change)
            }
            #expect(first.version == version + UInt64(changes.count))
        }
        #expect(first.version == second.version)
        #expect(self.listing(first) == self.listing(second), "seed \(seed)")
        for number in 0..<5 {
            for key in ["a", "a.b", "", "x"] {
                #expect(self.route(first, "e\(number)", key) == self.route(second, "e\(number)", key), "seed \(seed)")
            }
        }
        self.checkLists(first)
    }

    /// Every binding is in the lists of both its ends, and no list holds a binding of what is gone.
    private func checkLists(_ topology: Topology) {
        guard let host = topology.virtualHost(named: "/") else { return }
        var outgoing = 0
        var incoming = 0
        for name in host.exchangeNames {
            guard let exchange = host.exchange(named: name) else { continue }
            outgoing += exchange.outgoing.count
            incoming += exchange.incoming.count
            for binding in exchange.outgoing {
                #expect(binding.source === exchange)
                #expect(host.destination(of: binding.definition) != nil)
                #expect(exchange.binding(binding.definition) === binding)
            }
        }
        incoming += host.queueNames.reduce(0) { $0 + (host.queue(named: $1)?.incoming.count ?? 0) }
        #expect(outgoing == incoming)
    }

    @Test func placesAreUsedAgainByTheNextGeneration() {
        var slots = SlotAllocator()
        let first = slots.allocate(on: 2)
        let second = slots.allocate(on: 2)
        let elsewhere = slots.allocate(on: 0)
        #expect(first == QueueAddress(shard: 2, slot: 0, generation: 0))
        #expect(second == QueueAddress(shard: 2, slot: 1, generation: 0))
        #expect(elsewhere == QueueAddress(shard: 0, slot: 0, generation: 0))
        slots.release(first)
        #expect(slots.allocate(on: 2) == QueueAddress(shard: 2, slot: 0, generation: 1))
        #expect(slots.allocate(on: 2) == QueueAddress(shard: 2, slot: 2, generation: 0))
    }
}
