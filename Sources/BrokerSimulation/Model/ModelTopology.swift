/// What the model knows about whether something is there, seen from outside of the broker.
///
/// ```
/// starting ──answered──► certain ──deletion possible──► doubtful ──looked at──► certain
///    │                                                     │
///    └──────────────────── gone ◄──────────────────────────┘
/// ```
package enum Existence: Sendable {
    /// Asked for, not answered.
    case starting
    /// There, at every shard.
    case certain
    /// Something under way may have taken it away, or brought it.
    case doubtful
    /// Not there, never again: names are used once.
    case gone

    /// There, as far as anybody can know.
    package var isPossible: Bool { self != .gone }
}

/// An exchange of the model.
package struct ModelExchange {
    /// What it does with a message.
    package enum Kind: String, CaseIterable, Sendable {
        case direct, fanout, topic, headers
    }

    /// Its name.
    package let name: String
    /// What it does.
    package let kind: Kind
    /// It goes with the last binding from it.
    package let isAutoDelete: Bool
    /// It survives the broker.
    package let isDurable: Bool
    /// Whether it is there.
    package var existence: Existence
    /// The log has it, as far as it is there.
    package var isLogged = false

    /// Makes an exchange.
    package init(
        name: String,
        kind: Kind,
        isAutoDelete: Bool = false,
        isDurable: Bool = true,
        existence: Existence
    ) {
        self.name = name
        self.kind = kind
        self.isAutoDelete = isAutoDelete
        self.isDurable = isDurable
        self.existence = existence
        self.isLogged = existence == .certain
    }
}

/// A binding of the model.
package struct ModelBinding {
    /// Where it leads.
    package enum Target: Hashable, Sendable {
        case queue(Int)
        case exchange(Int)
    }

    /// The exchange it comes from.
    package let source: Int
    /// Where it leads.
    package let target: Target
    /// Its routing key.
    package let key: String
    /// The headers it asks for; only a headers exchange looks.
    package let headers: [String: Int]
    /// All of ``headers`` must be there, not just any.
    package let needsAll: Bool
    /// Whether it is there.
    package var existence: Existence
    /// Requests about it that have not been answered; more than one at a time have no known order.
    package var openRequests = 0
    /// Those of them that take it away.
    package var openUnbinds = 0
    /// Somebody has asked for it.
    package var wasRequested = false
    /// It has been there for certain.
    package var wasCertain = false
    /// The log has it, as far as it is there.
    package var isLogged = false

    /// Makes a binding that nobody has asked for yet.
    package init(
        source: Int,
        target: Target,
        key: String,
        headers: [String: Int] = [:],
        needsAll: Bool = true,
        existence: Existence = .starting
    ) {
        self.source = source
        self.target = target
        self.key = key
        self.headers = headers
        self.needsAll = needsAll
        self.existence = existence
    }
}

/// Exchanges and bindings as a broker should have them: arrays, and routing by looking at every one of them.
///
/// Routing is asked for twice: through what is certainly there, which is where a message must go, and through what is
/// possibly there, which is where it may go. There are no alternate exchanges here, so that more bindings never mean
/// fewer queues and the truth lies between the two.
package struct ModelTopology {
    /// The exchanges; the first are those that every broker has.
    package var exchanges: [ModelExchange] = [
        ModelExchange(name: "amq.direct", kind: .direct, existence: .certain),
        ModelExchange(name: "amq.fanout", kind: .fanout, existence: .certain),
        ModelExchange(name: "amq.topic", kind: .topic, existence: .certain),
        ModelExchange(name: "amq.headers", kind: .headers, existence: .certain),
    ]
    /// The bindings.
    package var bindings: [ModelBinding] = []

    /// Makes the topology of a new broker.
    package init() {}

    /// The queues that bindings lead a message to from an exchange, through what `isThere` accepts.
    package func route(
        from exchange: Int,
        keys: [String],
        headers: [String: Int],
        isThere: (Existence) -> Bool
    ) -> Set<Int> {
        guard isThere(self.exchanges[exchange].existence) else { return [] }
        var queues: Set<Int> = []
        var seen: Set<Int> = [exchange]
        var work = [exchange]
        while let source = work.popLast() {
            let kind = self.exchanges[source].kind
            for binding in self.bindings where binding.source == source && isThere(binding.existence) {
                guard Self.matches(binding, kind, keys, headers) else { continue }
                switch binding.target {
                case .queue(let queue):
                    queues.insert(queue)
                case .exchange(let next):
                    if isThere(self.exchanges[next].existence) && seen.insert(next).inserted {
                        work.append(next)
                    }
                }
            }
        }
        return queues
    }

    private static func matches(
        _ binding: ModelBinding,
        _ kind: ModelExchange.Kind,
        _ keys: [String],
        _ headers: [String: Int]
    ) -> Bool {
        switch kind {
        case .direct: return keys.contains(binding.key)
        case .fanout: return true
        case .topic:
            let pattern = self.words(binding.key)
            return keys.contains { self.matches(pattern[...], self.words($0)[...]) }
        case .headers:
            let met = binding.headers.count { headers[$0.key] == $0.value }
            return binding.needsAll ? met == binding.headers.count : met > 0
        }
    }

    /// The words of a routing key; the empty key has none.
    private static func words(_ key: String) -> [Substring] {
        key.isEmpty ? [] : key.split(separator: ".", omittingEmptySubsequences: false)
    }

    /// Whether a topic pattern matches: `*` is one word, `#` any number of words.
    private static func matches(_ pattern: ArraySlice<Substring>, _ key: ArraySlice<Substring>) -> Bool {
        guard let first = pattern.first else { return key.isEmpty }
        if first == "#" {
            return self.matches(pattern.dropFirst(), key)
                || (!key.isEmpty && self.matches(pattern, key.dropFirst()))
        }
        guard let word = key.first else { return false }
        return (first == "*" || first == word) && self.matches(pattern.dropFirst(), key.dropFirst())
    }
}
