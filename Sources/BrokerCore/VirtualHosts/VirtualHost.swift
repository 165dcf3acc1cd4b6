import AMQPProtocol

/// The exchanges, queues and bindings of one virtual host in a replica of the topology.
final class VirtualHost {
    /// The name, such as `/`.
    let name: ShortString
    /// The number, the same on all shards.
    let number: UInt32
    /// The most queues there may be; nil is no limit.
    var maxQueues: Int?
    /// Whether messages are traced; changed by ``Shard/setTracing(virtualHost:isOn:)`` only.
    var isTraced = false
    /// What governs queues and exchanges besides their own arguments.
    private(set) var policies = PolicyTable()
    private var exchanges: BytesTable<Exchange>
    private var queues: BytesTable<QueueInfo>
    private var routeEpoch: UInt64 = 0

    /// Makes a virtual host with the predeclared exchanges; `seed` guards its hash tables.
    init(name: ShortString, number: UInt32 = 0, seed: UInt64) {
        self.name = name
        self.number = number
        self.exchanges = BytesTable(seed: seed)
        self.queues = BytesTable(seed: seed)
        for definition in Self.predeclared where name == "/" || definition.name != Shard.eventExchange {
            self.add(Exchange(definition, seed: seed))
        }
    }

    deinit {
        // Bindings hold what they lead to, which lists them.
        for name in self.queues.sortedKeys {
            self.queues[name]?.incoming.removeAll()
        }
        for name in self.exchanges.sortedKeys {
            self.exchanges[name]?.releaseBindings()
        }
    }

    /// The exchanges that every virtual host has from the start; that of events is in `/` only.
    static let predeclared: [ExchangeDefinition] = {
        let rows: [(ShortString, ExchangeType, isInternal: Bool)] = [
            ("", .direct, false),
            ("amq.direct", .direct, false),
            ("amq.fanout", .fanout, false),
            ("amq.headers", .headers, false),
            ("amq.match", .headers, false),
            (Shard.eventExchange, .topic, true),
            (Shard.traceExchange, .topic, true),
            ("amq.topic", .topic, false),
        ]
        return rows.map { name, type, isInternal in
            ExchangeDefinition(
                name: name,
                type: type,
                isDurable: true,
                isAutoDelete: false,
                isInternal: isInternal,
                arguments: .empty
            )
        }
    }()

    // MARK: Looking up

    /// The queue with a name; nil when there is none.
    @inline(__always)
    func queue(named name: UnsafeRawBufferPointer) -> QueueInfo? { self.queues[name] }

    /// The queue with a name; nil when there is none.
    func queue(named name: ShortString) -> QueueInfo? { self.queues[name] }

    /// The exchange with a name, the default one included; nil when there is none.
    @inline(__always)
    func exchange(named name: UnsafeRawBufferPointer) -> Exchange? { self.exchanges[name] }

    /// The exchange with a name, the default one included; nil when there is none.
    func exchange(named name: ShortString) -> Exchange? { self.exchanges[name] }

    /// The number of queues.
    var queueCount: Int { self.queues.count }

    /// The names of all queues in order.
    var queueNames: [ShortString] { self.queues.sortedKeys }

    /// The names of all exchanges in order, the default one first.
    var exchangeNames: [ShortString] { self.exchanges.sortedKeys }

    // MARK: Routing

    /// Finds the queues of a message.
    ///
    /// `extraKeys` are the further routing keys of `CC` and `BCC`. `headers` are the entries of the header table as they
    /// came, without the length in front, `properties` all of them; they are decoded only if an exchange asks.
    /// `isInternal` is for what the broker publishes itself, to internal exchanges too. What `targets` held before is
    /// forgotten. Every exchange is visited once, so that circles end, and every queue is found once.
    func route(
        exchange name: UnsafeRawBufferPointer,
        routingKey: UnsafeRawBufferPointer,
        extraKeys: [[UInt8]] = [],
        headers: UnsafeRawBufferPointer? = nil,
        isInternal: Bool = false,
        properties: UnsafeRawBufferPointer? = nil,
        into targets: inout RouteTargets
    ) -> RouteOutcome {
        // 64 bits do not run out: a billion messages a second take centuries.
        self.routeEpoch &+= 1
        targets.begin(epoch: self.routeEpoch, stopsAtWindows: !isInternal)
        if name.isEmpty {
            self.routeToNamedQueues(routingKey, extraKeys, into: &targets)
            return .routed
        }
        guard let start = self.exchanges[name] else { return .noExchange }
        guard isInternal || !start.definition.isInternal else { return .internalExchange }
        var headers = MessageHeaders(encoded: headers, properties: properties)
        targets.visit(start)
        self.follow(routingKey, extraKeys, &headers, into: &targets)
        return .routed
    }

    /// Finds the queues of a message from an exchange on, internal or not.
    func route(
        from start: Exchange,
        routingKey: UnsafeRawBufferPointer,
        extraKeys: [[UInt8]] = [],
        headers: UnsafeRawBufferPointer? = nil,
        properties: UnsafeRawBufferPointer? = nil,
        into targets: inout RouteTargets
    ) {
        self.routeEpoch &+= 1
        targets.begin(epoch: self.routeEpoch)
        var headers = MessageHeaders(encoded: headers, properties: properties)
        targets.visit(start)
        self.follow(routingKey, extraKeys, &headers, into: &targets)
    }

    /// Routes through every exchange that is to be visited.
    private func follow(
        _ routingKey: UnsafeRawBufferPointer,
        _ extraKeys: [[UInt8]],
        _ headers: inout MessageHeaders,
        into targets: inout RouteTargets
    ) {
        while let exchange = targets.nextExchange() {
            if exchange.looksAtProperties { targets.dependOnHeaders() }
            if exchange.station != nil, exchange.stop(&headers, into: &targets) { continue }
            var isFound = exchange.route(routingKey, &headers, into: &targets)
            if !extraKeys.isEmpty, exchange.usesRoutingKey {
                for key in extraKeys where key.withUnsafeBytes({ exchange.route($0, &headers, into: &targets) }) {
                    isFound = true
                }
            }
            if !isFound, let name = exchange.alternate, let alternate = self.exchanges[name] {
                targets.visit(alternate)
            }
        }
    }

    /// What the default exchange does: the key is the queue's name.
    private func routeToNamedQueues(
        _ routingKey: UnsafeRawBufferPointer,
        _ extraKeys: [[UInt8]],
        into targets: inout RouteTargets
    ) {
        if let queue = self.queues[routingKey] {
            targets.add(queue)
        }
        for key in extraKeys {
            if let queue = key.withUnsafeBytes({ self.queues[$0] }) {
                targets.add(queue)
            }
        }
    }

    // MARK: Changing

    /// Adds a policy, in place of the one with its name; exchanges follow at once.
    func set(_ policy: Policy, isOperator: Bool) {
        self.policies.set(policy, isOperator: isOperator)
        self.matchExchanges()
    }

    /// Takes a policy away; exchanges follow at once.
    func removePolicy(_ name: ShortString, isOperator: Bool) {
        self.policies.remove(name, isOperator: isOperator)
        self.matchExchanges()
    }

    private func matchExchanges() {
        for name in self.exchanges.sortedKeys {
            self.exchanges[name]?.policies = self.policies.match(exchange: name)
        }
    }

    /// Adds an exchange that is not there.
    func add(_ exchange: Exchange) {
        exchange.policies = self.policies.match(exchange: exchange.name)
        let old = self.exchanges.insert(exchange, for: exchange.name)
        precondition(old == nil, "an exchange is added once")
    }

    /// Removes an exchange that is there, with its bindings.
    func removeExchange(_ name: ShortString) {
        guard let exchange = self.exchanges.remove(name) else {
            preconditionFailure("only an exchange that is there is removed")
        }
        exchange.unbindAll()
    }

    /// Adds a queue that is not there.
    func add(_ queue: QueueInfo) {
        let old = self.queues.insert(queue, for: queue.name)
        precondition(old == nil, "a queue is added once")
    }

    /// Gives a queue that is there other arguments.
    func alter(_ definition: QueueDefinition) {
        guard let queue = self.queues[definition.name] else {
            preconditionFailure("only a queue that is there is altered")
        }
        queue.alter(to: definition)
    }

    /// Removes a queue that is there, with its bindings.
    func removeQueue(_ name: ShortString) {
        guard let queue = self.queues.remove(name) else {
            preconditionFailure("only a queue that is there is removed")
        }
        while let binding = queue.incoming.last {
            binding.source.unbind(binding)
        }
    }

    /// Adds a binding between what is there.
    func add(_ definition: BindingDefinition) {
        guard let source = self.exchanges[definition.source], let destination = self.destination(of: definition) else {
            preconditionFailure("both ends of a new binding are there")
        }
        source.bind(definition, to: destination)
    }

    /// Removes a binding that is there.
    func remove(_ definition: BindingDefinition) {
        guard let source = self.exchanges[definition.source], let binding = source.binding(definition) else {
            preconditionFailure("only a binding that is there is removed")
        }
        source.unbind(binding)
    }

    /// What a binding leads to; nil when it is not there.
    func destination(of definition: BindingDefinition) -> Destination? {
        switch definition.kind {
        case .queue: self.queues[definition.destination].map { .queue($0) }
        case .exchange: self.exchanges[definition.destination].map { .exchange($0) }
        }
    }
}
