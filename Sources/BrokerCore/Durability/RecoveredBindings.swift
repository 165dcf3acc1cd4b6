import AMQPProtocol

/// The durable bindings while records are read back, found by either end.
struct RecoveredBindings {
    /// An exchange or a queue.
    struct End: Hashable {
        let virtualHost: ShortString
        let kind: BindingDefinition.DestinationKind
        let name: ShortString
    }

    /// Every binding stands under its source and under its destination.
    private var byEnd: [End: Set<BindingDefinition>] = [:]

    /// Makes a collection without bindings.
    init() {}

    /// The bindings of a virtual host and its name, by name of the host, source, destination, key and arguments.
    var ordered: [(virtualHost: ShortString, binding: BindingDefinition)] {
        var all: [(virtualHost: ShortString, binding: BindingDefinition)] = []
        for (end, bindings) in self.byEnd where end.kind == .exchange {
            for binding in bindings where binding.source == end.name {
                all.append((end.virtualHost, binding))
            }
        }
        return all.sorted { Self.precedes($0, $1) }
    }

    private static func precedes(
        _ left: (virtualHost: ShortString, binding: BindingDefinition),
        _ right: (virtualHost: ShortString, binding: BindingDefinition)
    ) -> Bool {
        let (first, second) = (left.binding, right.binding)
        let names = (left.virtualHost, first.source, first.kind.rawValue, first.destination, first.routingKey)
        let others = (right.virtualHost, second.source, second.kind.rawValue, second.destination, second.routingKey)
        guard names == others else { return names < others }
        return first.arguments.encodedBytes.lexicographicallyPrecedes(second.arguments.encodedBytes)
    }

    /// Adds a binding unless it is there.
    mutating func insert(_ binding: BindingDefinition, in host: ShortString) {
        for end in Self.ends(of: binding, in: host) {
            self.byEnd[end, default: []].insert(binding)
        }
    }

    /// Takes a binding out if it is there.
    mutating func remove(_ binding: BindingDefinition, in host: ShortString) {
        for end in Self.ends(of: binding, in: host) {
            self.byEnd[end]?.remove(binding)
            if self.byEnd[end]?.isEmpty == true {
                self.byEnd[end] = nil
            }
        }
    }

    /// Takes out every binding from or to something that goes.
    mutating func removeAll(of end: End) {
        for binding in self.byEnd[end] ?? [] {
            self.remove(binding, in: end.virtualHost)
        }
    }

    private static func ends(of binding: BindingDefinition, in host: ShortString) -> [End] {
        [
            End(virtualHost: host, kind: .exchange, name: binding.source),
            End(virtualHost: host, kind: binding.kind, name: binding.destination),
        ]
    }
}
