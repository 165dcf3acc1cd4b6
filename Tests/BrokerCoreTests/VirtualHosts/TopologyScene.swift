import AMQPProtocol

@testable import BrokerCore

extension String {
    /// As a name.
    var short: ShortString { ShortString(truncating: self) }
}

extension FieldValue {
    /// A string as clients write it.
    static func text(_ text: String) -> FieldValue { .longString(Array(text.utf8)) }
}

/// The owner of a topology and one replica, asked as channels ask; answers are lines to compare.
final class TopologyScene {
    /// The replica, which has applied all that was decided.
    let topology = Topology(seed: 7)
    private var owner: TopologyOwner

    init(defaultQueueType: DefaultQueueType = .classic) {
        self.owner = TopologyOwner(defaultQueueType: defaultQueueType)
    }

    /// The virtual host `/`.
    var host: VirtualHost {
        guard let host = self.topology.virtualHost(named: "/") else { preconditionFailure("there from the start") }
        return host
    }

    /// Decides, applies what has to change, and tells both in a line.
    @discardableResult
    func ask(_ operation: TopologyRequest.Operation, by connection: UInt64 = 1, in host: ShortString = "/") -> String {
        let request = TopologyRequest(
            virtualHost: host,
            connection: ConnectionAddress(shard: 0, id: connection),
            home: 0,
            operation: operation
        )
        switch self.owner.decide(request, topology: self.topology) {
        case .violation(.channel(let code, let text, let method)):
            return "channel \(code.rawValue) \(method.name) \(text)"
        case .violation(.connection(let code, let text, let method)):
            return "connection \(code.rawValue) \(method.name) \(text)"
        case .done:
            return "done"
        case .apply(let changes):
            return self.apply(changes)
        case .existingQueue(let queue):
            return "there: \(queue.name)"
        case .declaredQueue(_, let changes):
            return self.apply(changes)
        case .deleteQueue(let address, let ifUnused, let ifEmpty):
            let flags = (ifUnused ? " if unused" : "") + (ifEmpty ? " if empty" : "")
            return "ask home of \(address.slot).\(address.generation)\(flags)"
        }
    }

    /// The home shard has removed a queue; tells what changes.
    @discardableResult
    func remove(_ queue: String) -> String {
        guard let info = self.host.queue(named: queue.short) else { return "no such queue" }
        return self.remove(info.address)
    }

    /// The home shard has removed whatever was at an address.
    func remove(_ address: QueueAddress) -> String {
        self.apply(self.owner.changesForRemovedQueue(address, topology: self.topology))
    }

    /// The names of the exclusive queues of a connection.
    func exclusiveQueues(of connection: UInt64) -> [String] {
        self.owner.exclusiveQueues(of: ConnectionAddress(shard: 0, id: connection)).map { address in
            let name = self.host.queueNames.first { self.host.queue(named: $0)?.address == address }
            return name.map { "\($0)" } ?? "gone"
        }
    }

    private func apply(_ changes: [TopologyChange]) -> String {
        for change in changes { self.topology.apply(change) }
        return changes.map { Self.line($0) }.joined(separator: " ")
    }

    private static func line(_ change: TopologyChange) -> String {
        switch change {
        case .addVirtualHost(let name): "+vhost:\(name)"
        case .limitQueues(let name, let limit): "limit:\(name):\(limit.map { "\($0)" } ?? "none")"
        case .addExchange(_, let exchange): "+exchange:\(exchange.name)"
        case .removeExchange(_, let name): "-exchange:\(name)"
        case .setPolicy(_, let policy, let isOperator): "+\(isOperator ? "operator-" : "")policy:\(policy.name)"
        case .removePolicy(_, let name, let isOperator): "-\(isOperator ? "operator-" : "")policy:\(name)"
        case .addQueue(let queue): "+queue:\(queue.name)"
        case .alterQueue(let queue): "~queue:\(queue.name)"
        case .removeQueue(_, let name): "-queue:\(name)"
        case .addBinding(_, let binding): "+\(binding.source)->\(binding.destination):\(binding.routingKey)"
        case .removeBinding(_, let binding): "-\(binding.source)->\(binding.destination):\(binding.routingKey)"
        }
    }

    // MARK: Requests with the usual defaults

    @discardableResult
    func exchange(
        _ name: String,
        type: String = "direct",
        passive: Bool = false,
        durable: Bool = false,
        autoDelete: Bool = false,
        isInternal: Bool = false,
        _ arguments: FieldTable = .empty
    ) -> String {
        self.ask(
            .declareExchange(
                name: name.short,
                type: type.short,
                passive: passive,
                durable: durable,
                autoDelete: autoDelete,
                internal: isInternal,
                arguments: arguments
            )
        )
    }

    @discardableResult
    func queue(
        _ name: String,
        serverNamed: Bool = false,
        passive: Bool = false,
        durable: Bool = false,
        exclusive: Bool = false,
        autoDelete: Bool = false,
        by connection: UInt64 = 1,
        _ arguments: FieldTable = .empty
    ) -> String {
        self.ask(
            .declareQueue(
                name: name.short,
                serverNamed: serverNamed,
                passive: passive,
                durable: durable,
                exclusive: exclusive,
                autoDelete: autoDelete,
                arguments: arguments
            ),
            by: connection
        )
    }

    @discardableResult
    func bind(
        _ queue: String,
        to exchange: String,
        _ key: String = "",
        by connection: UInt64 = 1,
        with arguments: FieldTable = .empty
    ) -> String {
        self.ask(
            .bindQueue(queue: queue.short, exchange: exchange.short, routingKey: key.short, arguments: arguments),
            by: connection
        )
    }

    @discardableResult
    func unbind(
        _ queue: String,
        from exchange: String,
        _ key: String = "",
        by connection: UInt64 = 1,
        with arguments: FieldTable = .empty
    ) -> String {
        self.ask(
            .unbindQueue(queue: queue.short, exchange: exchange.short, routingKey: key.short, arguments: arguments),
            by: connection
        )
    }

    /// `exchange.bind`: messages go from `source` to `destination`.
    @discardableResult
    func bind(exchange destination: String, toExchange source: String, _ key: String = "") -> String {
        self.ask(
            .bindExchange(
                destination: destination.short,
                source: source.short,
                routingKey: key.short,
                arguments: .empty
            )
        )
    }

    @discardableResult
    func unbind(exchange destination: String, fromExchange source: String, _ key: String = "") -> String {
        self.ask(
            .unbindExchange(
                destination: destination.short,
                source: source.short,
                routingKey: key.short,
                arguments: .empty
            )
        )
    }

    @discardableResult
    func deleteExchange(_ name: String, ifUnused: Bool = false) -> String {
        self.ask(.deleteExchange(name: name.short, ifUnused: ifUnused))
    }

    @discardableResult
    func deleteQueue(_ name: String, ifUnused: Bool = false, ifEmpty: Bool = false, by connection: UInt64 = 1) -> String
    {
        self.ask(.deleteQueue(name: name.short, ifUnused: ifUnused, ifEmpty: ifEmpty), by: connection)
    }

    // MARK: Routing

    /// The names of the queues that a message goes to, in order; the outcome when it is not routed.
    func route(
        _ key: String,
        through exchange: String,
        extraKeys: [String] = [],
        headers: [(ShortString, FieldValue)]? = nil
    ) -> [String] {
        var targets = RouteTargets()
        let table = headers.map { FieldTable($0).encodedBytes }
        let outcome = Array(exchange.utf8).withUnsafeBytes { exchange in
            Array(key.utf8).withUnsafeBytes { key in
                (table ?? []).withUnsafeBytes { entries in
                    self.host.route(
                        exchange: exchange,
                        routingKey: key,
                        extraKeys: extraKeys.map { Array($0.utf8) },
                        headers: table == nil ? nil : entries,
                        into: &targets
                    )
                }
            }
        }
        guard outcome == .routed else { return ["\(outcome)"] }
        return targets.infos.map { "\($0.name)" }.sorted()
    }
}
