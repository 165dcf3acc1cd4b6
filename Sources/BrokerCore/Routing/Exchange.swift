import AMQPProtocol

/// An exchange as it travels between shards.
struct ExchangeDefinition: Equatable, Sendable {
    /// The name; empty for the default exchange only.
    var name: ShortString
    /// How it routes.
    var type: ExchangeType
    /// Whether it survives a restart.
    var isDurable: Bool
    /// Whether it goes with the last binding that has it as source.
    var isAutoDelete: Bool
    /// Whether clients may not publish to it.
    var isInternal: Bool
    /// The arguments as declared.
    var arguments: FieldTable

    /// The type by which messages find their bindings.
    var routedType: ExchangeType {
        guard self.type == .delayedMessage else { return self.type }
        // It was declared, so that the name is a type's.
        return ExchangeArguments.delayedType(self.arguments).flatMap { ExchangeType(name: $0) } ?? .direct
    }

    /// Whether messages stop at the exchange; see ``Station``.
    var needsStation: Bool { self.type == .recentHistory || self.type == .delayedMessage || self.isDeduplicating }

    /// Whether a message with a key that is known goes no further.
    var isDeduplicating: Bool {
        self.type == .messageDeduplication || DeduplicationArguments.isOn(self.arguments)
    }
}

/// An exchange in a replica of the topology.
final class Exchange {
    /// What finds the bindings of a message, one kind for each exchange type.
    enum Router {
        case direct(DirectExchange)
        case fanout(FanoutExchange)
        case topic(TopicTrie)
        case headers(HeadersExchange)
        case consistentHash(ConsistentHashExchange)
        case modulusHash(ModulusHashExchange)
        case chance(RandomExchange)
    }

    /// What was declared.
    let definition: ExchangeDefinition
    /// Where messages go that find no binding here; nil when nothing was declared.
    private(set) var alternate: ShortString?
    /// The policies that govern it.
    var policies = MatchedPolicies() {
        didSet { self.alternate = Self.alternate(of: self.definition, self.policies) }
    }
    /// Finds the bindings of a message.
    let router: Router
    private var index = BindingIndex()
    /// The bindings with this exchange as source.
    private(set) var outgoing = BindingList()
    /// The bindings that lead here.
    private(set) var incoming = BindingList()
    /// The look for a message's queues that came here last; see ``RouteTargets``.
    var routeStamp: UInt64 = 0
    /// Where messages stop on their way through; nil for an exchange that only hands them on.
    let station: Station?
    /// Whether the station has a window of keys.
    let isDeduplicating: Bool

    /// Whether headers or other properties may have a say in where a message goes; not `x-delay`, which is looked at
    /// before.
    let looksAtProperties: Bool

    /// Makes an exchange without bindings; `seed` guards its hash tables, `station` is its number if it needs one.
    init(_ definition: ExchangeDefinition, seed: UInt64, station: Station? = nil) {
        self.definition = definition
        self.isDeduplicating = definition.isDeduplicating
        self.looksAtProperties = Self.looksAtProperties(definition)
        self.station = definition.needsStation ? station : nil
        self.alternate = Self.alternate(of: definition, MatchedPolicies())
        self.router = Self.makeRouter(definition, seed)
    }

    private static func looksAtProperties(_ definition: ExchangeDefinition) -> Bool {
        if definition.isDeduplicating || definition.type == .recentHistory { return true }
        return definition.routedType == .headers || definition.routedType == .consistentHash
    }

    private static func makeRouter(_ definition: ExchangeDefinition, _ seed: UInt64) -> Router {
        switch definition.routedType {
        case .direct: .direct(DirectExchange(seed: seed))
        case .fanout, .recentHistory, .delayedMessage, .messageDeduplication: .fanout(FanoutExchange())
        case .topic: .topic(TopicTrie(seed: seed))
        case .headers: .headers(HeadersExchange())
        case .consistentHash: .consistentHash(ConsistentHashExchange(definition.arguments))
        case .modulusHash: .modulusHash(ModulusHashExchange())
        case .random: .chance(RandomExchange(prefersLocal: false))
        case .localRandom: .chance(RandomExchange(prefersLocal: true))
        }
    }

    /// What was declared counts, and what policies say where nothing was.
    private static func alternate(of definition: ExchangeDefinition, _ policies: MatchedPolicies) -> ShortString? {
        let key: ShortString = "alternate-exchange"
        let value = definition.arguments[key] ?? (policies.isEmpty ? nil : policies.effectiveDefinition[key])
        return value?.stringValue.flatMap { ShortString($0) }
    }

    /// The name; empty for the default exchange.
    var name: ShortString { self.definition.name }

    /// The binding that is the same as the one described; nil when there is none.
    func binding(_ definition: BindingDefinition) -> Binding? {
        self.index[definition]
    }

    /// Why a binding from an exchange of this type cannot be, in RabbitMQ's words; nil when it can.
    func validate(_ definition: BindingDefinition) -> String? {
        switch self.router {
        case .direct: DirectExchange.validate(definition)
        case .fanout: FanoutExchange.validate(definition)
        case .topic: TopicTrie.validate(definition)
        case .headers: HeadersExchange.validate(definition)
        case .consistentHash: ConsistentHashExchange.validate(definition)
        case .modulusHash, .chance: nil
        }
    }

    /// Adds a binding unless it is there; says whether it was new.
    @discardableResult
    func bind(_ definition: BindingDefinition, to destination: Destination) -> Bool {
        guard self.index[definition] == nil else { return false }
        let binding = Binding(definition, from: self, to: destination)
        self.index.insert(binding)
        self.outgoing.insert(binding, as: .source)
        switch destination {
        case .queue(let queue): queue.incoming.insert(binding, as: .destination)
        case .exchange(let exchange): exchange.incoming.insert(binding, as: .destination)
        }
        switch self.router {
        case .direct(let router): router.bind(binding)
        case .fanout(let router): router.bind(binding)
        case .topic(let router): router.bind(binding)
        case .headers(let router): router.bind(binding)
        case .consistentHash(let router): router.bind(binding)
        case .modulusHash(let router): router.bind(binding)
        case .chance(let router): router.bind(binding)
        }
        return true
    }

    /// Takes a binding of this exchange out of every list; cost does not depend on how many there are.
    func unbind(_ binding: Binding) {
        self.index.remove(binding)
        self.outgoing.remove(binding, as: .source)
        switch binding.destination {
        case .queue(let queue): queue.incoming.remove(binding, as: .destination)
        case .exchange(let exchange): exchange.incoming.remove(binding, as: .destination)
        }
        switch self.router {
        case .direct(let router): router.unbind(binding)
        case .fanout(let router): router.unbind(binding)
        case .topic(let router): router.unbind(binding)
        case .headers(let router): router.unbind(binding)
        case .consistentHash(let router): router.unbind(binding)
        case .modulusHash(let router): router.unbind(binding)
        case .chance(let router): router.unbind(binding)
        }
    }

    /// Takes out every binding from and to this exchange.
    func unbindAll() {
        while let binding = self.outgoing.last {
            self.unbind(binding)
        }
        while let binding = self.incoming.last {
            binding.source.unbind(binding)
        }
    }

    /// Breaks the reference cycles between bindings and what they lead to; the exchange is of no use afterwards.
    func releaseBindings() {
        self.incoming.removeAll()
    }

    /// Adds the destinations of a message with one routing key; says whether there was any binding.
    @inline(__always)
    func route(
        _ routingKey: UnsafeRawBufferPointer,
        _ headers: inout MessageHeaders,
        into targets: inout RouteTargets
    ) -> Bool {
        switch self.router {
        case .direct(let router): router.route(routingKey, into: &targets)
        case .fanout(let router): router.route(into: &targets)
        case .topic(let router): router.route(routingKey, into: &targets)
        case .headers(let router): router.route(&headers, into: &targets)
        case .consistentHash(let router): router.route(routingKey, &headers, into: &targets)
        case .modulusHash(let router): router.route(routingKey, into: &targets)
        case .chance(let router): router.route(into: &targets)
        }
    }

    /// Whether a further routing key (`CC`, `BCC`) can lead to other queues.
    var usesRoutingKey: Bool {
        switch self.router {
        case .direct, .topic: true
        case .fanout, .headers, .consistentHash, .modulusHash, .chance: false
        }
    }
}
