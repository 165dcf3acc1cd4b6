import AMQPProtocol

/// The bindings of one exchange by what they are: a hash table of nothing but references.
///
/// Open addressing with linear probing; at most 7 of 8 places are used. Removal closes the gap by moving later bindings
/// of the run back.
struct BindingIndex {
    private var places: ContiguousArray<Binding?> = []
    private var count = 0

    /// Makes an empty index.
    init() {}

    private var mask: Int { self.places.count - 1 }

    private static func hash(
        _ kind: BindingDefinition.DestinationKind,
        _ destination: ShortString,
        _ routingKey: ShortString,
        _ arguments: FieldTable
    ) -> Int {
        var hasher = Hasher()
        hasher.combine(kind)
        hasher.combine(destination.bytes.count)
        destination.bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        hasher.combine(routingKey.bytes.count)
        routingKey.bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        arguments.encodedBytes.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }

    private static func hash(_ binding: Binding) -> Int {
        self.hash(binding.kind, binding.destination.name, binding.routingKey, binding.arguments)
    }

    /// The binding that is the same as the one described; nil when there is none.
    subscript(definition: BindingDefinition) -> Binding? {
        guard self.count > 0 else { return nil }
        var place =
            Self.hash(definition.kind, definition.destination, definition.routingKey, definition.arguments) & self.mask
        while let binding = self.places[place] {
            if binding.routingKey == definition.routingKey, binding.destination.name == definition.destination,
                binding.kind == definition.kind, binding.arguments == definition.arguments
            {
                return binding
            }
            place = (place + 1) & self.mask
        }
        return nil
    }

    /// Adds a binding that is not there.
    mutating func insert(_ binding: Binding) {
        if (self.count + 1) * 8 > self.places.count * 7 {
            self.grow()
        }
        self.put(binding)
        self.count += 1
    }

    private mutating func put(_ binding: Binding) {
        var place = Self.hash(binding) & self.mask
        while self.places[place] != nil {
            place = (place + 1) & self.mask
        }
        self.places[place] = binding
    }

    private mutating func grow() {
        let old = self.places
        self.places = ContiguousArray(repeating: nil, count: max(8, old.count * 2))
        for case let binding? in old {
            self.put(binding)
        }
    }

    /// Takes a binding out that is there.
    mutating func remove(_ binding: Binding) {
        var hole = Self.hash(binding) & self.mask
        while self.places[hole] !== binding {
            precondition(self.places[hole] != nil, "a binding that was added is found")
            hole = (hole + 1) & self.mask
        }
        self.places[hole] = nil
        self.count -= 1
        var next = (hole + 1) & self.mask
        while let moved = self.places[next] {
            let home = Self.hash(moved) & self.mask
            // It may move back only if the hole is not before its home, going around.
            if (next - home) & self.mask >= (next - hole) & self.mask {
                self.places[hole] = moved
                self.places[next] = nil
                hole = next
            }
            next = (next + 1) & self.mask
        }
    }
}
