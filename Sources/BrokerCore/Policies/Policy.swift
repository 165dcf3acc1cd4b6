internal import AMQPProtocol

/// What kinds of things a policy governs.
public enum PolicyTarget: UInt8, Sendable, CaseIterable {
    /// Queues and exchanges.
    case all
    /// Queues of every type.
    case queues
    /// Exchanges.
    case exchanges
    /// Queues of type `classic`.
    case classicQueues
    /// Queues of type `quorum`.
    case quorumQueues
    /// Queues of type `stream`.
    case streams

    /// The word for `apply-to`.
    public var name: String {
        switch self {
        case .all: "all"
        case .queues: "queues"
        case .exchanges: "exchanges"
        case .classicQueues: "classic_queues"
        case .quorumQueues: "quorum_queues"
        case .streams: "streams"
        }
    }

    /// Finds a target by its word.
    public init?(name: String) {
        guard let target = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = target
    }

    /// Whether exchanges are meant.
    var includesExchanges: Bool { self == .all || self == .exchanges }

    /// Whether queues of a type are meant.
    func includes(_ type: QueueType) -> Bool {
        switch self {
        case .all, .queues: true
        case .exchanges: false
        case .classicQueues: type == .classic
        case .quorumQueues: type == .quorum
        case .streams: type == .stream
        }
    }
}

/// A policy or an operator policy: what it matches, and what it says.
///
/// Immutable and shared by all shards.
final class Policy: Sendable {
    /// Its name among the policies of its virtual host.
    let name: ShortString
    /// Matches the names of what it governs.
    let pattern: Pattern
    /// The kinds of things it governs.
    let target: PolicyTarget
    /// Of several that match, the highest counts.
    let priority: Int64
    /// What it says; checked and ordered by key.
    let definition: FieldTable

    /// Makes a policy whose definition has been checked.
    init(name: ShortString, pattern: Pattern, target: PolicyTarget, priority: Int64, definition: FieldTable) {
        self.name = name
        self.pattern = pattern
        self.target = target
        self.priority = priority
        self.definition = PolicyDefinition.ordered(definition)
    }
}

extension Policy: Equatable {
    static func == (left: Policy, right: Policy) -> Bool {
        left.name == right.name && left.pattern == right.pattern && left.target == right.target
            && left.priority == right.priority && left.definition == right.definition
    }
}

/// The policies that govern one queue or exchange.
struct MatchedPolicies: Equatable {
    /// The policy, if one matches.
    var policy: Policy?
    /// The operator policy, if one matches.
    var operatorPolicy: Policy?

    /// Whether neither matches.
    var isEmpty: Bool { self.policy == nil && self.operatorPolicy == nil }

    /// What both say together; of a number in both the smaller one counts, of anything else what the operator says.
    var effectiveDefinition: FieldTable {
        guard let operatorPolicy = self.operatorPolicy?.definition else { return self.policy?.definition ?? .empty }
        guard let policy = self.policy?.definition else { return operatorPolicy }
        return PolicyDefinition.merge(policy, operator: operatorPolicy)
    }

    static func == (left: MatchedPolicies, right: MatchedPolicies) -> Bool {
        left.policy === right.policy && left.operatorPolicy === right.operatorPolicy
    }
}

/// The policies of one virtual host.
///
/// Both lists are ordered by falling priority, and by name where it is the same, so that every shard and every start
/// finds the same one.
struct PolicyTable {
    /// Policies of users.
    private(set) var policies: [Policy] = []
    /// Policies of operators.
    private(set) var operatorPolicies: [Policy] = []

    /// Whether there is none.
    var isEmpty: Bool { self.policies.isEmpty && self.operatorPolicies.isEmpty }

    /// The policies of one of the two kinds.
    func list(isOperator: Bool) -> [Policy] { isOperator ? self.operatorPolicies : self.policies }

    /// Adds a policy, in place of the one with its name.
    mutating func set(_ policy: Policy, isOperator: Bool) {
        self.remove(policy.name, isOperator: isOperator)
        var list = self.list(isOperator: isOperator)
        let place =
            list.firstIndex { other in
                policy.priority > other.priority || (policy.priority == other.priority && policy.name < other.name)
            } ?? list.count
        list.insert(policy, at: place)
        self.replace(list, isOperator: isOperator)
    }

    /// Takes a policy away.
    mutating func remove(_ name: ShortString, isOperator: Bool) {
        self.replace(self.list(isOperator: isOperator).filter { $0.name != name }, isOperator: isOperator)
    }

    private mutating func replace(_ list: [Policy], isOperator: Bool) {
        if isOperator {
            self.operatorPolicies = list
        } else {
            self.policies = list
        }
    }

    // MARK: Matching

    /// The policies of a queue; adds the steps it took to find them.
    func match(queue name: ShortString, _ type: QueueType, _ steps: inout Int) -> MatchedPolicies {
        self.match(name, &steps) { $0.includes(type) }
    }

    /// The policies of an exchange.
    func match(exchange name: ShortString) -> MatchedPolicies {
        var steps = 0
        return self.match(name, &steps) { $0.includesExchanges }
    }

    private func match(
        _ name: ShortString,
        _ steps: inout Int,
        where isMeant: (PolicyTarget) -> Bool
    ) -> MatchedPolicies {
        guard !self.isEmpty else { return MatchedPolicies() }
        return name.bytes.withUnsafeBytes { octets in
            func first(of list: [Policy]) -> Policy? {
                list.first { policy in
                    guard isMeant(policy.target) else { return false }
                    let (isFound, cost) = policy.pattern.matches(octets)
                    steps += cost
                    return isFound
                }
            }
            return MatchedPolicies(policy: first(of: self.policies), operatorPolicy: first(of: self.operatorPolicies))
        }
    }
}
