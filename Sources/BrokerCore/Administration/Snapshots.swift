public import AMQPProtocol

/// A policy as it is.
public struct PolicySnapshot: Sendable, Equatable {
    /// The virtual host it governs.
    public var virtualHost: String
    /// Its name.
    public var name: String
    /// The regular expression.
    public var pattern: String
    /// The kinds of things it governs, in RabbitMQ's word.
    public var applyTo: String
    /// What it says, by key.
    public var definition: FieldTable
    /// Of several, the highest counts.
    public var priority: Int64
}

/// The policies of a queue or exchange.
public struct EffectivePolicy: Sendable, Equatable {
    /// The name of the policy; nil when none matches.
    public var policy: String?
    /// The name of the operator policy; nil when none matches.
    public var operatorPolicy: String?
    /// What both say together.
    public var definition: FieldTable

    init(_ policies: MatchedPolicies) {
        self.policy = policies.policy.map { "\($0.name)" }
        self.operatorPolicy = policies.operatorPolicy.map { "\($0.name)" }
        self.definition = policies.effectiveDefinition
    }
}

/// A queue as it is.
public struct QueueSnapshot: Sendable, Equatable {
    /// The virtual host it belongs to.
    public var virtualHost: String
    /// Its name.
    public var name: String
    /// `classic` or `quorum`.
    public var type: String
    /// Whether it survives a restart.
    public var isDurable: Bool
    /// Whether it goes with its last consumer.
    public var isAutoDelete: Bool
    /// Whether it belongs to one connection.
    public var isExclusive: Bool
    /// What was declared.
    public var arguments: FieldTable
    /// What governs it besides.
    public var policy: EffectivePolicy
    /// Messages that can be delivered.
    public var ready: Int
    /// Messages that are delivered and not acknowledged.
    public var unacknowledged: Int
    /// Consumers.
    public var consumers: Int
}

/// What has come to an exchange with `x-message-deduplication` since the start.
public struct DeduplicationCounts: Sendable, Equatable {
    /// Messages with a key or a publisher's number.
    public var published: UInt64
    /// Those among them that were known, acknowledged and dropped.
    public var duplicates: UInt64
}

/// An exchange as it is.
public struct ExchangeSnapshot: Sendable, Equatable {
    /// The virtual host it belongs to.
    public var virtualHost: String
    /// Its name; empty for the default exchange.
    public var name: String
    /// `direct`, `topic` and so on.
    public var type: String
    /// Whether it survives a restart.
    public var isDurable: Bool
    /// Whether it goes with its last binding.
    public var isAutoDelete: Bool
    /// Whether clients may not publish to it.
    public var isInternal: Bool
    /// What was declared.
    public var arguments: FieldTable
    /// What governs it besides.
    public var policy: EffectivePolicy
    /// What has come to it, if it lets messages through once.
    public var deduplication: DeduplicationCounts?
}

/// A binding as it is.
public struct BindingSnapshot: Sendable, Equatable {
    /// The virtual host of both ends.
    public var virtualHost: String
    /// The exchange that messages come from.
    public var source: String
    /// What they go to.
    public var destination: String
    /// Whether that is a queue, and not an exchange.
    public var isQueue: Bool
    /// The binding key.
    public var routingKey: String
    /// The arguments.
    public var arguments: FieldTable
}
