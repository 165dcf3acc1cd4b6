import AMQPProtocol

/// Routes to one binding, chosen by the routing key's hash modulo the number of bindings.
///
/// Bindings are ordered by what they lead to and by their keys, so that the choice is the same on every shard and after
/// a restart.
final class ModulusHashExchange {
    private var bindings: ContiguousArray<Binding> = []

    /// Makes an exchange without bindings.
    init() {}

    /// Adds a binding; cost grows with how many there are.
    func bind(_ binding: Binding) {
        let index = self.bindings.firstIndex { Self.precedes(binding.definition, $0.definition) }
        self.bindings.insert(binding, at: index ?? self.bindings.count)
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        self.bindings.removeAll { $0 === binding }
    }

    private static func precedes(_ left: BindingDefinition, _ right: BindingDefinition) -> Bool {
        let first = (left.kind.rawValue, left.destination, left.routingKey)
        let second = (right.kind.rawValue, right.destination, right.routingKey)
        guard first == second else { return first < second }
        return left.arguments.encodedBytes.lexicographicallyPrecedes(right.arguments.encodedBytes)
    }

    /// Adds the destination of a routing key; says whether there is any.
    func route(_ routingKey: UnsafeRawBufferPointer, into targets: inout RouteTargets) -> Bool {
        guard let choice = self.choice(routingKey) else { return false }
        targets.add(choice.binding)
        return true
    }

    /// The binding of a routing key and its place, counted from 0, among how many; nil without any.
    func choice(_ routingKey: UnsafeRawBufferPointer) -> (bucket: Int, count: Int, binding: Binding)? {
        guard !self.bindings.isEmpty else { return nil }
        let bucket = Int(StableHash.hash(routingKey) % UInt64(self.bindings.count))
        return (bucket, self.bindings.count, self.bindings[bucket])
    }

    /// The bindings in the order that the hash counts.
    var ordered: ContiguousArray<Binding> { self.bindings }
}
