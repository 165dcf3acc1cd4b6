import AMQPProtocol

/// Routes to the bindings whose key is the routing key.
final class DirectExchange {
    private var bindings: BytesTable<BindingList>

    /// Makes an exchange without bindings; `seed` guards the hash table.
    init(seed: UInt64) {
        self.bindings = BytesTable(seed: seed)
    }

    /// Adds a binding.
    func bind(_ binding: Binding) {
        self.bindings.update(binding.routingKey, initial: BindingList()) { $0.insert(binding, as: .route) }
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        let key = binding.routingKey
        let isLast = self.bindings.update(key, initial: BindingList()) { list in
            list.remove(binding, as: .route)
            return list.isEmpty
        }
        if isLast {
            self.bindings.remove(key)
        }
    }

    /// Adds the destinations of a routing key; says whether there was any binding.
    @inline(__always)
    func route(_ routingKey: UnsafeRawBufferPointer, into targets: inout RouteTargets) -> Bool {
        guard let list = self.bindings[routingKey] else { return false }
        return targets.add(list)
    }

    /// The bindings of a routing key.
    func bindings(of routingKey: UnsafeRawBufferPointer) -> BindingList {
        self.bindings[routingKey] ?? BindingList()
    }

    /// Any binding will do: arguments are stored and mean nothing here.
    static func validate(_ binding: BindingDefinition) -> String? { nil }
}
