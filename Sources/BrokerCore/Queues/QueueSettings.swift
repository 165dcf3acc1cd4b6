internal import AMQPProtocol

/// What governs a queue at the moment: what its arguments say, and what policies make of them.
///
/// Arguments are what was declared and never change; these are the effective values and may, see
/// ``Shard/applySettings(_:to:)``.
struct QueueSettings: Equatable, Sendable {
    /// How long a message may stay, from the moment it was enqueued.
    var messageTTLMilliseconds: UInt64?
    /// Unused for this long, the queue goes.
    var expiresMilliseconds: UInt64?
    /// The most ready messages.
    var maxLength: UInt64?
    /// The most octets of ready messages' bodies.
    var maxLengthBytes: UInt64?
    /// What happens to messages beyond the length limit.
    var overflow = QueueOverflow.dropHead
    /// Where dead messages go; empty is the default exchange, nil nowhere.
    var deadLetterExchange: ShortString?
    /// The routing key of dead messages instead of their own.
    var deadLetterRoutingKey: ShortString?
    /// How safely dead messages travel.
    var deadLetterStrategy = DeadLetterStrategy.atMostOnce
    /// The highest message priority that counts.
    var maxPriority: UInt8?
    /// How often a message is tried before it is dead; below 0 is no limit.
    var deliveryLimit: Int64?

    /// Settings of a queue without arguments.
    init() {}

    /// What the arguments alone say.
    init(_ arguments: QueueArguments) {
        self.messageTTLMilliseconds = arguments.messageTTLMilliseconds
        self.expiresMilliseconds = arguments.expiresMilliseconds
        self.maxLength = arguments.maxLength
        self.maxLengthBytes = arguments.maxLengthBytes
        self.overflow = arguments.overflow
        self.deadLetterExchange = arguments.deadLetterExchange
        self.deadLetterRoutingKey = arguments.deadLetterRoutingKey
        self.deadLetterStrategy = arguments.deadLetterStrategy ?? .atMostOnce
        self.maxPriority = arguments.maxPriority
        self.deliveryLimit = arguments.deliveryLimit
    }

    /// Whether the queue has a limit of its length.
    var isLimited: Bool { self.maxLength != nil || self.maxLengthBytes != nil }
}
