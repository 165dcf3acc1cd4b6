import AMQPProtocol

/// Routes by patterns of words between dots, where `*` is one word and `#` any number of them.
///
/// The patterns of all bindings form one trie. A routing key is matched by walking it once, word by word, with the set of
/// nodes that the words so far can have reached. Invariants:
/// 1. A node is in the set at most once for a word (its `stamp`), so that the work is at most words × nodes, whatever the
///    patterns: trying each `#` at each place by recursion would be exponential in the number of `#`, a weapon.
/// 2. Whoever adds a node to the set adds its `#` child with it, because `#` may stand for no word.
/// 3. A node under `#` stays in the set for every further word.
/// 4. A node without bindings and without children is unlinked at once and its number used again.
///
/// Edges with ordinary words are in one hash table, keyed by the parent's number and the word.
final class TopicTrie {
    /// How a node hangs under its parent.
    private enum Edge {
        case root
        case word(ShortString)
        case star
        case hash
    }

    private struct Node {
        var edge: Edge
        var parent: UInt32
        /// 0 is none: the root is nobody's child.
        var star: UInt32 = 0
        var hash: UInt32 = 0
        var words: UInt32 = 0
        var isHash: Bool
        var stamp: UInt64 = 0
        var bindings = BindingList()

        var isUnused: Bool { self.words == 0 && self.star == 0 && self.hash == 0 && self.bindings.isEmpty }
    }

    private static let root: UInt32 = 0
    private static let dot = UInt8(ascii: ".")

    private var nodes: ContiguousArray<Node> = [Node(edge: .root, parent: 0, isHash: false)]
    private var free: [UInt32] = []
    private var edges: BytesTable<UInt32>
    private var stamp: UInt64 = 0
    // Kept between messages for their memory.
    private var current: ContiguousArray<UInt32> = []
    private var next: ContiguousArray<UInt32> = []

    /// Makes an exchange without bindings; `seed` guards the hash table.
    init(seed: UInt64) {
        self.edges = BytesTable(seed: seed)
    }

    /// The number of nodes in use, the root included; for tests of invariant 4.
    var nodeCount: Int { self.nodes.count - self.free.count }

    // MARK: Bindings

    /// Adds a binding.
    func bind(_ binding: Binding) {
        var node = Self.root
        for word in Self.words(of: binding.routingKey) {
            node = self.child(of: node, word) ?? self.addChild(to: node, word)
        }
        self.nodes[Int(node)].bindings.insert(binding, as: .route)
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        var node = Self.root
        for word in Self.words(of: binding.routingKey) {
            guard let child = self.child(of: node, word) else {
                preconditionFailure("a binding that was added has its node")
            }
            node = child
        }
        self.nodes[Int(node)].bindings.remove(binding, as: .route)
        while node != Self.root, self.nodes[Int(node)].isUnused {
            node = self.unlink(node)
        }
    }

    /// Any binding will do: every key is a pattern.
    static func validate(_ binding: BindingDefinition) -> String? { nil }

    // MARK: Routing

    /// Adds the destinations of all patterns that match; says whether there was any binding.
    func route(_ routingKey: UnsafeRawBufferPointer, into targets: inout RouteTargets) -> Bool {
        self.current.removeAll(keepingCapacity: true)
        self.stamp &+= 1
        self.reach(Self.root, &self.current)
        // The empty key has no word, not one empty word.
        var start = routingKey.isEmpty ? 1 : 0
        while start <= routingKey.count, !self.current.isEmpty {
            var end = start
            while end < routingKey.count, routingKey[end] != Self.dot {
                end &+= 1
            }
            self.step(UnsafeRawBufferPointer(rebasing: routingKey[start..<end]))
            start = end &+ 1
        }
        var isFound = false
        for node in self.current where targets.add(self.nodes[Int(node)].bindings) {
            isFound = true
        }
        return isFound
    }

    /// Moves the set of reached nodes over one word.
    private func step(_ word: UnsafeRawBufferPointer) {
        self.next.removeAll(keepingCapacity: true)
        self.stamp &+= 1
        let hash = self.edges.hash(word)
        for node in self.current {
            let index = Int(node)
            if self.nodes[index].isHash {
                self.reach(node, &self.next)
            }
            if self.nodes[index].star != 0 {
                self.reach(self.nodes[index].star, &self.next)
            }
            if self.nodes[index].words != 0, let child = self.edges.lookUp(word, hash: hash, scope: node) {
                self.reach(child, &self.next)
            }
        }
        swap(&self.current, &self.next)
    }

    private func reach(_ node: UInt32, _ set: inout ContiguousArray<UInt32>) {
        var node = node
        while self.nodes[Int(node)].stamp != self.stamp {
            self.nodes[Int(node)].stamp = self.stamp
            set.append(node)
            let hash = self.nodes[Int(node)].hash
            guard hash != 0 else { return }
            node = hash
        }
    }

    // MARK: Nodes

    private static func words(of pattern: ShortString) -> [ShortString] {
        guard !pattern.isEmpty else { return [] }
        return pattern.bytes.split(separator: Self.dot, omittingEmptySubsequences: false).compactMap { ShortString($0) }
    }

    private func child(of node: UInt32, _ word: ShortString) -> UInt32? {
        switch word {
        case "*": self.nodes[Int(node)].star == 0 ? nil : self.nodes[Int(node)].star
        case "#": self.nodes[Int(node)].hash == 0 ? nil : self.nodes[Int(node)].hash
        default: word.bytes.withUnsafeBytes { self.edges.lookUp($0, hash: self.edges.hash($0), scope: node) }
        }
    }

    private func addChild(to parent: UInt32, _ word: ShortString) -> UInt32 {
        let edge: Edge =
            switch word {
            case "*": .star
            case "#": .hash
            default: .word(word)
            }
        let isHash = word == "#"
        let child: UInt32
        if let reused = self.free.popLast() {
            child = reused
            self.nodes[Int(child)] = Node(edge: edge, parent: parent, isHash: isHash)
        } else {
            child = UInt32(self.nodes.count)
            self.nodes.append(Node(edge: edge, parent: parent, isHash: isHash))
        }
        switch edge {
        case .root: preconditionFailure("the root is nobody's child")
        case .star: self.nodes[Int(parent)].star = child
        case .hash: self.nodes[Int(parent)].hash = child
        case .word(let word):
            self.edges.insert(child, for: word, scope: parent)
            self.nodes[Int(parent)].words += 1
        }
        return child
    }

    /// Takes a node off its parent, which it gives back.
    private func unlink(_ node: UInt32) -> UInt32 {
        let parent = self.nodes[Int(node)].parent
        switch self.nodes[Int(node)].edge {
        case .root: preconditionFailure("the root stays")
        case .star: self.nodes[Int(parent)].star = 0
        case .hash: self.nodes[Int(parent)].hash = 0
        case .word(let word):
            self.edges.remove(word, scope: parent)
            self.nodes[Int(parent)].words -= 1
        }
        self.nodes[Int(node)] = Node(edge: .root, parent: 0, isHash: false)
        self.free.append(node)
        return parent
    }
}
