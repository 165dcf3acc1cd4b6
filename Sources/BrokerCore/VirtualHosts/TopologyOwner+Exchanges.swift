import AMQPProtocol

/// Exchanges and bindings, for which the owner keeps nothing besides the topology.
extension TopologyOwner {
    // MARK: Exchanges

    /// `exchange.declare` with passive: only the name counts.
    func findExchange(_ name: ShortString, in host: VirtualHost) throws(Violation) -> TopologyDecision {
        try Self.checkNotDefault(name, ExchangeDeclare.id)
        guard host.exchange(named: name) != nil else {
            throw Self.noExchange(name, ExchangeDeclare.id, in: host)
        }
        return .done
    }

    /// `exchange.delete`; what is not there is deleted already.
    func deleteExchange(
        _ name: ShortString,
        ifUnused: Bool,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        let method = ExchangeDelete.id
        try Self.checkNotDefault(name, method)
        guard !name.hasPrefix("amq.") else {
            let text: ReplyText = "deletion of system exchange '\(name)' in vhost '\(host.name)' not allowed"
            throw .channel(.accessRefused, text: text, method: method)
        }
        guard let exchange = host.exchange(named: name) else { return .done }
        guard !ifUnused || exchange.outgoing.isEmpty else {
            let text: ReplyText = "exchange '\(name)' in vhost '\(host.name)' in use"
            throw .channel(.preconditionFailed, text: text, method: method)
        }
        let removal = TopologyChange.removeExchange(virtualHost: host.name, name)
        return .apply([removal] + Self.cascade(from: exchange.incoming, deleted: exchange, in: host))
    }

    /// The auto-delete exchanges that go because these bindings go, the nearest first.
    ///
    /// `deleted` is the exchange whose end takes the bindings along, if it is one.
    static func cascade(
        from bindings: some Collection<Binding>,
        deleted: Exchange?,
        in host: VirtualHost
    ) -> [TopologyChange] {
        var changes: [TopologyChange] = []
        var lost: [ObjectIdentifier: Int] = [:]
        var gone: Set<ObjectIdentifier> = []
        if let deleted { gone.insert(ObjectIdentifier(deleted)) }
        var work = Array(bindings)
        var next = 0
        while next < work.count {
            let source = work[next].source
            next += 1
            let id = ObjectIdentifier(source)
            guard source.definition.isAutoDelete, !gone.contains(id) else { continue }
            lost[id, default: 0] += 1
            guard lost[id] == source.outgoing.count else { continue }
            gone.insert(id)
            changes.append(.removeExchange(virtualHost: host.name, source.name))
            work.append(contentsOf: source.incoming)
        }
        return changes
    }

    // MARK: Bindings

    /// `queue.bind` and `exchange.bind`.
    func bind(
        _ binding: BindingDefinition,
        _ method: MethodID,
        by connection: ConnectionAddress,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        try Self.checkEnds(of: binding, method)
        guard let source = host.exchange(named: binding.source) else {
            throw Self.noExchange(binding.source, method, in: host)
        }
        guard let destination = host.destination(of: binding) else {
            switch binding.kind {
            case .exchange:
                throw Self.noExchange(binding.destination, method, in: host)
            case .queue:
                let text: ReplyText = "no queue '\(binding.destination)' in vhost '\(host.name)'"
                throw .channel(.notFound, text: text, method: method)
            }
        }
        if let refusal = source.validate(binding) {
            throw .channel(.preconditionFailed, text: ReplyText(refusal), method: method)
        }
        if case .queue(let queue) = destination {
            try queue.checkAccess(from: connection, method: method)
        }
        guard source.binding(binding) == nil else { return .done }
        return .apply([.addBinding(virtualHost: host.name, binding)])
    }

    /// `queue.unbind` and `exchange.unbind`; what is not bound is unbound already.
    func unbind(
        _ definition: BindingDefinition,
        _ method: MethodID,
        by connection: ConnectionAddress,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        try Self.checkEnds(of: definition, method)
        guard let binding = host.exchange(named: definition.source)?.binding(definition) else { return .done }
        if case .queue(let queue) = binding.destination {
            try queue.checkAccess(from: connection, method: method)
        }
        let removal = TopologyChange.removeBinding(virtualHost: host.name, definition)
        return .apply([removal] + Self.cascade(from: CollectionOfOne(binding), deleted: nil, in: host))
    }

    private static func checkEnds(of binding: BindingDefinition, _ method: MethodID) throws(Violation) {
        try self.checkNotDefault(binding.source, method)
        if binding.kind == .exchange {
            try self.checkNotDefault(binding.destination, method)
        }
    }

    // MARK: Refusals

    /// Refuses to touch the exchange without a name.
    static func checkNotDefault(_ name: ShortString, _ method: MethodID) throws(Violation) {
        guard name.isEmpty else { return }
        throw .channel(.accessRefused, text: "operation not permitted on the default exchange", method: method)
    }

    private static func noExchange(_ name: ShortString, _ method: MethodID, in host: VirtualHost) -> Violation {
        .channel(.notFound, text: "no exchange '\(name)' in vhost '\(host.name)'", method: method)
    }
}
