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
    /// What the binding is.
    let definition: BindingDefinition
    /// The exchange that messages come from.
    ///
    /// Unowned: an exchange drops its bindings before it goes.
    unowned let source: Exchange
    /// Where messages go.
    let destination: Destination
    fileprivate var places = (source: 0, destination: 0, route: 0)

    /// Makes a binding that is in no list yet.
    init(_ definition: BindingDefinition, from source: Exchange, to destination: Destination) {
        self.definition = definition
        self.source = source
        self.destination = destination
    }
}

/// An unordered list of bindings with removal in constant time.
///
/// The order follows from the order of changes alone, so that all replicas agree on it.
struct BindingList {
    /// Which of a binding's three lists this is.
    enum Role {
        /// The bindings an exchange has as source.
        case source
        /// The bindings that lead to a queue or exchange.
        case destination
        /// The bindings that one step of routing finds.
        case route
    }

    /// Bindings in a row; a single one, as most queues and keys have it, without memory of its own.
    struct Items: RandomAccessCollection {
        /// The first one; the others are in ``rest``.
        fileprivate(set) var first: Binding?
        fileprivate(set) var rest: ContiguousArray<Binding> = []

        var startIndex: Int { 0 }
        var endIndex: Int { self.first == nil ? 0 : self.rest.count + 1 }

        fileprivate(set) subscript(index: Int) -> Binding {
            get {
                guard index == 0 else { return self.rest[index - 1] }
                guard let first = self.first else { preconditionFailure("an empty list has no binding") }
                return first
            }
            set {
                if index == 0 {
                    self.first = newValue
                } else {
                    self.rest[index - 1] = newValue
                }
            }
        }

        fileprivate mutating func append(_ binding: Binding) {
            if self.first == nil {
                self.first = binding
            } else {
                self.rest.append(binding)
            }
        }

        fileprivate mutating func removeLast() -> Binding {
            if let last = self.rest.popLast() { return last }
            guard let first = self.first else { preconditionFailure("an empty list has no binding") }
            self.first = nil
            return first
        }
    }

    private let role: Role
    /// The bindings.
    private(set) var items = Items()

    /// Makes an empty list.
    init(_ role: Role) {
        self.role = role
    }

    /// The number of bindings.
    var count: Int { self.items.count }
    /// Whether there are none.
    var isEmpty: Bool { self.items.isEmpty }

    /// Adds a binding that is in no other list of this role.
    mutating func insert(_ binding: Binding) {
        binding[self.role] = self.items.count
        self.items.append(binding)
    }

    /// Takes a binding out that is in this list; the last one moves to its place.
    mutating func remove(_ binding: Binding) {
        let place = binding[self.role]
        precondition(self.items[place] === binding, "a binding knows its places")
        let last = self.items.removeLast()
        guard last !== binding else { return }
        self.items[place] = last
        last[self.role] = place
    }

    /// Forgets all bindings.
    mutating func removeAll() {
        self.items = Items()
    }
}

extension Binding {
    fileprivate subscript(role: BindingList.Role) -> Int {
        get {
            switch role {
            case .source: self.places.source
            case .destination: self.places.destination
            case .route: self.places.route
            }
        }
        set {
            switch role {
            case .source: self.places.source = newValue
            case .destination: self.places.destination = newValue
            case .route: self.places.route = newValue
            }
        }
    }
}
