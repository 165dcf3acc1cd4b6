import AMQPProtocol

/// Routes to one destination, chosen by a hash of the message; the binding key is the destination's weight.
///
/// Every destination draws a number from the message's hash and its own name, and the lowest in proportion to its
/// weight wins (rendezvous hashing). So shares are as the weights say; a destination that comes takes keys from the
/// others and none moves between them; and the choice depends on names and weights alone, not on the order of bindings
/// or on what was there before: it is the same on every shard and after a restart. One message costs a few nanoseconds
/// for each destination.
///
/// Of several bindings to one destination the highest weight counts. (RabbitMQ counts the first one, which depends on
/// the order.)
final class ConsistentHashExchange {
    /// Something that bindings lead to.
    private struct Node {
        let hash: UInt64
        var weight: Double
        var bindings: ContiguousArray<Binding>
    }

    /// A queue or exchange by its name.
    private struct Place: Hashable {
        let kind: BindingDefinition.DestinationKind
        let name: ShortString
    }

    private let source: HashSource
    private var nodes: ContiguousArray<Node> = []
    private var index: [Place: Int] = [:]

    /// Makes an exchange without bindings.
    init(_ arguments: FieldTable) {
        self.source = HashSource(arguments)
    }

    /// Whether the same exchange and routing key lead to the same destination, whatever else the message is.
    var dependsOnKeyAlone: Bool { self.source == .routingKey }

    /// Adds a binding.
    func bind(_ binding: Binding) {
        let place = Place(kind: binding.kind, name: binding.destination.name)
        if let index = self.index[place] {
            self.nodes[index].bindings.append(binding)
            self.nodes[index].weight = Self.weight(of: self.nodes[index].bindings)
            return
        }
        let name = [place.kind.rawValue] + place.name.bytes
        self.index[place] = self.nodes.count
        self.nodes.append(
            Node(
                hash: StableHash.hash(name),
                weight: Self.weight(of: [binding]),
                bindings: [binding]
            )
        )
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        let place = Place(kind: binding.kind, name: binding.destination.name)
        guard let index = self.index[place] else { preconditionFailure("a binding that was added is taken away") }
        self.nodes[index].bindings.removeAll { $0 === binding }
        guard self.nodes[index].bindings.isEmpty else {
            self.nodes[index].weight = Self.weight(of: self.nodes[index].bindings)
            return
        }
        self.index[place] = nil
        let last = self.nodes.removeLast()
        guard index < self.nodes.count else { return }
        self.nodes[index] = last
        if let moved = last.bindings.first?.definition {
            self.index[Place(kind: moved.kind, name: moved.destination)] = index
        }
    }

    private static func weight(of bindings: ContiguousArray<Binding>) -> Double {
        bindings.reduce(0) { max($0, Double(self.weight($1.routingKey) ?? 0)) }
    }

    /// The weight that a binding key stands for; nil when it is no integer.
    private static func weight(_ key: ShortString) -> Int64? {
        var digits = key.bytes[...]
        let isNegative = digits.first == UInt8(ascii: "-")
        if isNegative || digits.first == UInt8(ascii: "+") { digits.removeFirst() }
        guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) else {
            return nil
        }
        // Beyond 2^53 weights are all the same to us.
        let value = digits.reduce(Int64(0)) { min($0 * 10 + Int64($1 - UInt8(ascii: "0")), 1 << 53) }
        return isNegative ? -value : value
    }

    /// Adds the destination of a message; says whether there is any.
    func route(
        _ routingKey: UnsafeRawBufferPointer,
        _ message: inout MessageHeaders,
        into targets: inout RouteTargets
    ) -> Bool {
        guard !self.nodes.isEmpty else { return false }
        if !self.dependsOnKeyAlone {
            targets.doNotKeep()
        }
        if let binding = self.nodes[self.choose(routingKey, &message)].bindings.first {
            targets.add(binding)
        }
        return true
    }

    /// The destination of a message, counted from 0, of how many, and the binding that leads there; nil without any.
    func choice(
        _ routingKey: UnsafeRawBufferPointer,
        _ message: inout MessageHeaders
    ) -> (bucket: Int, count: Int, binding: Binding)? {
        guard !self.nodes.isEmpty else { return nil }
        let bucket = self.choose(routingKey, &message)
        return self.nodes[bucket].bindings.first.map { (bucket, self.nodes.count, $0) }
    }

    /// Which destination a binding leads to, counted from 0.
    func bucket(of binding: Binding) -> Int {
        self.index[Place(kind: binding.kind, name: binding.destination.name)] ?? 0
    }

    /// The number of the destination of a message; there is one.
    @inline(__always)
    private func choose(_ routingKey: UnsafeRawBufferPointer, _ message: inout MessageHeaders) -> Int {
        let key = self.source.hash(routingKey, &message)
        var best = 0
        var bestScore = Double.infinity
        for index in self.nodes.indices where self.nodes.count > 1 {
            let drawn = StableHash.mix(key, self.nodes[index].hash)
            // In (0, 1): 53 bits and a half.
            let fraction = (Double(drawn >> 11) + 0.5) * 0x1p-53
            let score = -Self.logarithm(fraction) / self.nodes[index].weight
            if score < bestScore {
                best = index
                bestScore = score
            }
        }
        return best
    }

    /// The natural logarithm of a number in (0, 1), to nine digits; the core has no mathematical library.
    private static func logarithm(_ value: Double) -> Double {
        var exponent = Double(value.exponent)
        var significand = value.significand
        if significand > 1.414_213_562_373_095_1 {
            significand /= 2
            exponent += 1
        }
        let ratio = (significand - 1) / (significand + 1)
        let square = ratio * ratio
        let series =
            1 + square * (1 / 3.0 + square * (1 / 5.0 + square * (1 / 7.0 + square * (1 / 9.0 + square * (1 / 11.0)))))
        return exponent * 0.693_147_180_559_945_3 + 2 * ratio * series
    }

    /// Why a binding cannot be, in RabbitMQ's words; nil when it can.
    static func validate(_ binding: BindingDefinition) -> String? {
        guard let weight = self.weight(binding.routingKey) else {
            let key = binding.routingKey.bytes.withUnsafeBytes { ErlangTerm.binary($0) }
            return "The binding key must be an integer: \(key)"
        }
        return weight > 0 ? nil : "The binding key must be greater than 0"
    }
}
