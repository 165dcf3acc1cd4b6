import AMQPProtocol

/// The owner's answer to a request.
enum TopologyDecision {
    /// No.
    case violation(Violation)
    /// Yes, and nothing has to change.
    case done
    /// Yes, once every shard has applied these.
    case apply([TopologyChange])
    /// The declared queue is there already; its home shard knows the counts for `declare-ok`.
    case existingQueue(QueueInfo)
    /// The queue with this name is new, and declared once every shard has applied these.
    case declaredQueue(ShortString, [TopologyChange])
    /// The queue's home shard must agree; then ``TopologyOwner/changesForRemovedQueue(_:topology:)`` says what changes.
    case deleteQueue(QueueAddress, ifUnused: Bool, ifEmpty: Bool)
}

/// Decides what becomes of the topology.
///
/// Lives on shard 0 only. Invariants:
///
/// 1. Deciding changes no topology. Changes that are decided must be applied to the `topology` passed here before the
///    next decision is asked for.
/// 2. What a channel is told is RabbitMQ's, in code, level, text and in which of several mistakes is named.
/// 3. A queue keeps its place until it is out of the topology; its name is free again in the same moment.
/// 4. Removing what a binding leads to removes the binding. A source that loses its last binding that way and is
///    auto-delete goes too, and so on; the changes spell every such exchange out, so that replicas need not think.
struct TopologyOwner {
    /// What the owner must know of a queue to find it by its place.
    private struct Place {
        let queue: QueueDefinition
        /// What an exclusive queue has besides.
        let exclusive: ExclusivePlace?
    }

    private final class ExclusivePlace {
        let owner: ConnectionAddress
        /// The index in its owner's list of exclusive queues.
        var index: Int

        init(owner: ConnectionAddress, index: Int) {
            self.owner = owner
            self.index = index
        }
    }

    private let defaultQueueType: DefaultQueueType
    private var slots = SlotAllocator()
    /// By shard and slot; of the generation that the slot is in.
    private var places: [[Place?]] = []
    private var exclusive: [ConnectionAddress: [QueueAddress]] = [:]
    /// The number of the next durable queue; after a start, one that no record in the commit log names.
    ///
    /// Numbers are never used again, so that a record of a deleted queue never meets a later one of the same name.
    var nextDurableID: UInt64 = 1

    /// What is declared otherwise than it is stays as it is, and whoever declares it goes on; otherwise it is refused.
    private let isRelaxed: Bool
    /// What was declared otherwise than it is by the last decision.
    private var redeclaration: Redeclaration?

    /// Makes the owner of a topology without queues.
    init(defaultQueueType: DefaultQueueType = .classic, isRelaxed: Bool = false) {
        self.defaultQueueType = defaultQueueType
        self.isRelaxed = isRelaxed
    }

    /// Answers a request.
    mutating func decide(_ request: TopologyRequest, topology: Topology) -> TopologyDecision {
        do throws(Violation) {
            let method = request.operation.method
            guard let host = topology.virtualHost(named: request.virtualHost) else {
                throw .connection(.notAllowed, text: "vhost '\(request.virtualHost)' not found", method: method)
            }
            // Permission checks belong here. RabbitMQ makes them after the default exchange and reserved names are
            // refused and before it looks whether anything is there.
            return try self.decide(request, in: host)
        } catch {
            return .violation(error)
        }
    }

    private mutating func decide(
        _ request: TopologyRequest,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        let method = request.operation.method
        switch request.operation {
        case .declareExchange(
            let name,
            let type,
            let passive,
            let durable,
            let autoDelete,
            let `internal`,
            let arguments
        ):
            let name = name.withoutLineBreaks
            if passive { return try self.findExchange(name, in: host) }
            let declaration = ExchangeDeclaration(
                name: name,
                type: type,
                isDurable: durable,
                isAutoDelete: autoDelete,
                isInternal: `internal`,
                arguments: arguments
            )
            return try self.declare(declaration, in: host)
        case .deleteExchange(let name, let ifUnused):
            return try self.deleteExchange(name.withoutLineBreaks, ifUnused: ifUnused, in: host)
        case .bindQueue(let queue, let exchange, let routingKey, let arguments):
            let binding = BindingDefinition(
                source: exchange.withoutLineBreaks,
                kind: .queue,
                destination: queue.withoutLineBreaks,
                routingKey: routingKey,
                arguments: arguments
            )
            return try self.bind(binding, method, by: request.connection, in: host)
        case .unbindQueue(let queue, let exchange, let routingKey, let arguments):
            let binding = BindingDefinition(
                source: exchange.withoutLineBreaks,
                kind: .queue,
                destination: queue.withoutLineBreaks,
                routingKey: routingKey,
                arguments: arguments
            )
            return try self.unbind(binding, method, by: request.connection, in: host)
        case .bindExchange(let destination, let source, let routingKey, let arguments):
            let binding = BindingDefinition(
                source: source.withoutLineBreaks,
                kind: .exchange,
                destination: destination.withoutLineBreaks,
                routingKey: routingKey,
                arguments: arguments
            )
            return try self.bind(binding, method, by: request.connection, in: host)
        case .unbindExchange(let destination, let source, let routingKey, let arguments):
            let binding = BindingDefinition(
                source: source.withoutLineBreaks,
                kind: .exchange,
                destination: destination.withoutLineBreaks,
                routingKey: routingKey,
                arguments: arguments
            )
            return try self.unbind(binding, method, by: request.connection, in: host)
        case .declareQueue(
            let name,
            let serverNamed,
            let passive,
            let durable,
            let exclusive,
            let autoDelete,
            let arguments
        ):
            let name = name.withoutLineBreaks
            if passive { return try self.findQueue(name, by: request.connection, in: host) }
            let declaration = QueueDeclaration(
                name: name,
                isServerNamed: serverNamed,
                // An exclusive queue goes with its connection; it cannot outlive the broker.
                isDurable: durable && !exclusive,
                owner: exclusive ? request.connection : nil,
                isAutoDelete: autoDelete,
                arguments: arguments
            )
            return try self.declare(declaration, home: request.home, in: host)
        case .deleteQueue(let name, let ifUnused, let ifEmpty):
            guard let queue = host.queue(named: name.withoutLineBreaks) else { return .done }
            try queue.checkAccess(from: request.connection, method: method)
            return .deleteQueue(queue.address, ifUnused: ifUnused, ifEmpty: ifEmpty)
        }
    }

    // MARK: Declaring again

    private mutating func declare(
        _ declaration: ExchangeDeclaration,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        let type = try declaration.checkedType()
        guard let exchange = host.exchange(named: declaration.name) else {
            return try declaration.make(type, in: host)
        }
        try self.accept(try declaration.compare(type, with: exchange.definition, in: host.name))
        return .done
    }

    /// Refuses what is declared otherwise than it is, unless that may be.
    private mutating func accept(_ equivalence: Equivalence) throws(Violation) {
        guard let refusal = equivalence.refusal else { return }
        guard self.isRelaxed else {
            // Of a single one the refusal says everything.
            if equivalence.hasSeveral {
                self.redeclaration = Redeclaration(text: "\(equivalence.summary); refused", isRefused: true)
            }
            throw refusal
        }
        self.redeclaration = Redeclaration(text: "\(equivalence.summary); it stays as it is", isRefused: false)
    }

    /// What is to be logged of the last decision.
    mutating func takeRedeclaration() -> Redeclaration? {
        defer { self.redeclaration = nil }
        return self.redeclaration
    }

    // MARK: Queues

    private func findQueue(
        _ name: ShortString,
        by connection: ConnectionAddress,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        guard let queue = host.queue(named: name) else {
            let text: ReplyText = "no queue '\(name)' in vhost '\(host.name)'"
            throw .channel(.notFound, text: text, method: QueueDeclare.id)
        }
        try queue.checkAccess(from: connection, method: QueueDeclare.id)
        return .existingQueue(queue)
    }

    private mutating func declare(
        _ declaration: QueueDeclaration,
        home: UInt16,
        in host: VirtualHost
    ) throws(Violation) -> TopologyDecision {
        try declaration.checkName()
        if let queue = host.queue(named: declaration.name) {
            try self.accept(try declaration.compare(with: queue, defaultType: self.defaultQueueType))
            return .existingQueue(queue)
        }
        let declaration = declaration.typed(by: self.defaultQueueType)
        let parsed = try declaration.checkNew(in: host)
        let address = self.slots.allocate(on: home)
        let definition = QueueDefinition(
            virtualHost: host.name,
            name: declaration.name,
            address: address,
            isDurable: declaration.isDurable,
            isAutoDelete: declaration.isAutoDelete,
            exclusiveOwner: declaration.owner,
            arguments: declaration.arguments,
            parsedArguments: parsed,
            durableID: declaration.isDurable ? self.takeDurableID() : 0
        )
        self.remember(definition)
        return .declaredQueue(definition.name, [.addQueue(definition)])
    }

    /// Gives a queue of the last process its place.
    mutating func restore(_ queue: DurableQueue, home: UInt16) throws(Violation) -> QueueDefinition {
        let address = self.slots.allocate(on: home)
        do throws(Violation) {
            let definition = try queue.definition(at: address)
            self.remember(definition)
            return definition
        } catch {
            self.slots.release(address)
            throw error
        }
    }

    /// What changes when the home shard has removed a queue, by request or because its time had come.
    ///
    /// Nothing when the queue is not there any more, because somebody else was first.
    mutating func changesForRemovedQueue(_ address: QueueAddress, topology: Topology) -> [TopologyChange] {
        guard let place = self.place(of: address), let host = topology.virtualHost(named: place.queue.virtualHost),
            let queue = host.queue(named: place.queue.name)
        else { return [] }
        self.forget(address, place)
        let removal = TopologyChange.removeQueue(virtualHost: host.name, queue.name)
        return [removal] + Self.cascade(from: queue.incoming, deleted: nil, in: host)
    }

    /// The queues that go with a connection, in an order that depends on nothing but earlier requests.
    func exclusiveQueues(of connection: ConnectionAddress) -> [QueueAddress] {
        self.exclusive[connection] ?? []
    }

    private mutating func takeDurableID() -> UInt64 {
        defer { self.nextDurableID += 1 }
        return self.nextDurableID
    }

    private func place(of address: QueueAddress) -> Place? {
        guard self.slots.isTaken(address) else { return nil }
        return self.places[Int(address.shard)][Int(address.slot)]
    }

    private mutating func remember(_ definition: QueueDefinition) {
        var exclusive: ExclusivePlace?
        if let owner = definition.exclusiveOwner {
            exclusive = ExclusivePlace(owner: owner, index: self.exclusive[owner]?.count ?? 0)
            self.exclusive[owner, default: []].append(definition.address)
        }
        let shard = Int(definition.address.shard)
        let slot = Int(definition.address.slot)
        while self.places.count <= shard { self.places.append([]) }
        while self.places[shard].count <= slot { self.places[shard].append(nil) }
        self.places[shard][slot] = Place(queue: definition, exclusive: exclusive)
    }

    private mutating func forget(_ address: QueueAddress, _ place: Place) {
        self.slots.release(address)
        self.places[Int(address.shard)][Int(address.slot)] = nil
        guard let exclusive = place.exclusive, let last = self.exclusive[exclusive.owner]?.popLast() else { return }
        if last != address {
            self.exclusive[exclusive.owner]?[exclusive.index] = last
            self.place(of: last)?.exclusive?.index = exclusive.index
        }
        if self.exclusive[exclusive.owner]?.isEmpty == true {
            self.exclusive[exclusive.owner] = nil
        }
    }
}
