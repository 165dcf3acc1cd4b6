import AMQPProtocol

/// A shard's replica of everything that routing needs to know.
///
/// Confined to its event loop. Invariants:
/// 1. Replicas that have applied the same changes, in the same order, route alike and list alike.
/// 2. ``version`` grows with every change, so that a route that was kept is good as long as the version stays.
/// 3. Every binding is in its source's and its destination's list, both of which are in the same virtual host.
final class Topology {
    /// The number of changes applied; a kept route of another version must be looked for again.
    private(set) var version: UInt64 = 0
    private var virtualHosts: BytesTable<VirtualHost>
    private let seed: UInt64
    /// The exchanges that are ``Station``s, by number.
    private var stations: [UInt32: (host: VirtualHost, exchange: Exchange)] = [:]
    private var nextStation: UInt32 = 0
    private var hostNames: [UInt32: ShortString] = [0: "/"]
    private var nextHost: UInt32 = 1

    /// Makes a topology with the virtual host `/`.
    ///
    /// `seed` must be a number that peers cannot guess; replicas may have different ones.
    init(seed: UInt64) {
        self.seed = seed
        self.virtualHosts = BytesTable(seed: seed)
        self.virtualHosts.insert(VirtualHost(name: "/", seed: seed), for: "/")
    }

    /// The virtual host with a name; nil when there is none.
    func virtualHost(named name: ShortString) -> VirtualHost? {
        self.virtualHosts[name]
    }

    /// The names of all virtual hosts in order.
    var virtualHostNames: [ShortString] { self.virtualHosts.sortedKeys }

    /// Takes the next step of the owner.
    func apply(_ change: TopologyChange) {
        self.version += 1
        switch change {
        case .addVirtualHost(let name):
            // All replicas count alike.
            let host = VirtualHost(name: name, number: self.nextHost, seed: self.seed)
            self.nextHost += 1
            self.virtualHosts.insert(host, for: name)
            self.hostNames[host.number] = name
        case .limitQueues(let name, let limit):
            self.known(name).maxQueues = limit
        case .addExchange(let host, let definition):
            self.add(definition, to: self.known(host))
        case .removeExchange(let host, let name):
            if let station = self.known(host).exchange(named: name)?.station {
                self.stations[station.number] = nil
            }
            self.known(host).removeExchange(name)
        case .addQueue(let definition):
            self.known(definition.virtualHost).add(QueueInfo(definition))
        case .alterQueue(let definition):
            self.known(definition.virtualHost).alter(definition)
        case .removeQueue(let host, let name):
            self.known(host).removeQueue(name)
        case .addBinding(let host, let definition):
            self.known(host).add(definition)
        case .removeBinding(let host, let definition):
            self.known(host).remove(definition)
        case .setPolicy(let host, let policy, let isOperator):
            self.known(host).set(policy, isOperator: isOperator)
        case .removePolicy(let host, let name, let isOperator):
            self.known(host).removePolicy(name, isOperator: isOperator)
        }
    }

    private func add(_ definition: ExchangeDefinition, to host: VirtualHost) {
        guard definition.needsStation else {
            host.add(Exchange(definition, seed: self.seed))
            return
        }
        // All replicas count alike. Thirty-one bits are two thousand million declarations of such exchanges.
        let station = Station(number: self.nextStation)
        self.nextStation = (self.nextStation + 1) & (1 << 31 - 1)
        let exchange = Exchange(definition, seed: self.seed, station: station)
        host.add(exchange)
        self.stations[station.number] = (host, exchange)
    }

    /// The name of the virtual host with a number.
    func virtualHostName(_ number: UInt32) -> ShortString? { self.hostNames[number] }

    /// The exchange that is a station, if it is still there.
    func exchange(at station: Station) -> (host: VirtualHost, exchange: Exchange)? {
        self.stations[station.number]
    }

    /// The queue that a change has added to this replica; nil when it adds none.
    func queueAdded(by change: TopologyChange) -> QueueInfo? {
        guard case .addQueue(let definition) = change else { return nil }
        return self.virtualHosts[definition.virtualHost]?.queue(named: definition.name)
    }

    private func known(_ name: ShortString) -> VirtualHost {
        guard let host = self.virtualHosts[name] else {
            preconditionFailure("a change names a virtual host that is not there")
        }
        return host
    }
}
