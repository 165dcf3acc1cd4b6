import AMQPProtocol

/// Where a binding leads.
enum Destination {
    /// To a queue.
    case queue(QueueInfo)
    /// To another exchange.
    case exchange(Exchange)

    /// The name of what is there.
    var name: ShortString {
        switch self {
        case .queue(let queue): queue.name
        case .exchange(let exchange): exchange.name
        }
    }
}

/// A binding in a replica of the topology.
///
/// It stands in three lists: what its source has, what leads to its destination, and where the exchange type looks for
/// it when routing. It knows its place in each, so that it leaves all of them without a search.
final class Binding {
    /// The exchange that messages come from.
    ///
    /// Unowned: an exchange drops its bindings before it goes.
    unowned let source: Exchange
    /// Where messages go.
    let destination: Destination
    private let key: Key
    /// There are many bindings, but never four thousand million.
    fileprivate var places: (source: UInt32, destination: UInt32, route: UInt32) = (0, 0, 0)

    /// Makes a binding that is in no list yet, of what is described between the two.
    init(_ definition: BindingDefinition, from source: Exchange, to destination: Destination) {
        assert(definition.source == source.name && definition.destination == destination.name, "other ends")
        self.source = source
        self.destination = destination
        // Many keys are the name of what they lead to; each name once will do.
        let key = definition.routingKey == destination.name ? destination.name : definition.routingKey
        self.key = definition.arguments.isEmpty ? .plain(key) : .argued(ArguedKey(key, definition.arguments))
    }

    /// Routing key and arguments; most bindings have none of these.
    private enum Key {
        case plain(ShortString)
        case argued(ArguedKey)
    }

    private final class ArguedKey {
        let routingKey: ShortString
        let arguments: FieldTable

        init(_ routingKey: ShortString, _ arguments: FieldTable) {
            self.routingKey = routingKey
            self.arguments = arguments
        }
    }

    /// The binding key.
    var routingKey: ShortString {
        switch self.key {
        case .plain(let key): key
        case .argued(let argued): argued.routingKey
        }
    }

    /// The arguments, ordered by name.
    var arguments: FieldTable {
        switch self.key {
        case .plain: .empty
        case .argued(let argued): argued.arguments
        }
    }

    /// What the binding is.
    var definition: BindingDefinition {
        BindingDefinition(
            source: self.source.name,
            kind: self.kind,
            destination: self.destination.name,
            routingKey: self.routingKey,
            orderedArguments: self.arguments
        )
    }

    /// What it leads to.
    var kind: BindingDefinition.DestinationKind {
        switch self.destination {
        case .queue: .queue
        case .exchange: .exchange
        }
    }
}

/// An unordered list of bindings with removal in constant time.
///
/// The order follows from the order of changes alone, so that all replicas agree on it. A single binding, as most queues
/// and keys have it, takes no memory of its own.
enum BindingList {
    /// Which of a binding's three lists this is.
    enum Role {
        /// The bindings an exchange has as source.
        case source
        /// The bindings that lead to a queue or exchange.
        case destination
        /// The bindings that one step of routing finds.
        case route
    }

    case empty
    case one(Binding)
    case many(ContiguousArray<Binding>)

    /// Makes an empty list.
    init() { self = .empty }

    /// Adds a binding that is in no other list of this role.
    mutating func insert(_ binding: Binding, as role: Role) {
        binding[role] = self.count
        switch self {
        case .empty: self = .one(binding)
        case .one(let first): self = .many([first, binding])
        case .many(var all):
            // Ours alone while it changes, or it would be copied.
            self = .empty
            all.append(binding)
            self = .many(all)
        }
    }

    /// Takes a binding out that is in this list; the last one moves to its place.
    mutating func remove(_ binding: Binding, as role: Role) {
        let place = binding[role]
        precondition(self[place] === binding, "a binding knows its places")
        switch self {
        case .empty, .one: self = .empty
        case .many(var all):
            self = .empty
            let last = all.removeLast()
            if last !== binding {
                all[place] = last
                last[role] = place
            }
            self = all.count == 1 ? .one(all[0]) : .many(all)
        }
    }

    /// Forgets all bindings.
    mutating func removeAll() {
        self = .empty
    }
}

extension BindingList: RandomAccessCollection {
    var startIndex: Int { 0 }

    var endIndex: Int {
        switch self {
        case .empty: 0
        case .one: 1
        case .many(let all): all.count
        }
    }

    subscript(index: Int) -> Binding {
        switch self {
        case .empty: preconditionFailure("an empty list has no binding")
        case .one(let binding):
            precondition(index == 0, "a single binding is the first")
            return binding
        case .many(let all): return all[index]
        }
    }
}

extension Binding {
    fileprivate subscript(role: BindingList.Role) -> Int {
        get {
            switch role {
            case .source: Int(self.places.source)
            case .destination: Int(self.places.destination)
            case .route: Int(self.places.route)
            }
        }
        set {
            switch role {
            case .source: self.places.source = UInt32(newValue)
            case .destination: self.places.destination = UInt32(newValue)
            case .route: self.places.route = UInt32(newValue)
            }
        }
    }
}
