internal import AMQPProtocol

/// What governs a queue at the moment: what its arguments say, and what policies make of them.
///
/// Arguments are what was declared, or altered since (``Shard/queueAltered(_:)``); these are the effective values, see
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
    /// How often a message may come back before it is dead, as somebody has set it; below 0 is no limit.
    var deliveryLimit: Int64?
    /// Which messages that come back wait before they are delivered again.
    var delayedRetryType: DelayedRetryType?
    /// How long they wait the first time.
    var delayedRetryMinMilliseconds: UInt64?
    /// How long they wait at most.
    var delayedRetryMaxMilliseconds: UInt64?
    /// How long a delivery may stay unacknowledged.
    var consumerTimeoutMilliseconds: UInt64?
    /// The header whose value makes messages a group.
    var groupHeader: ShortString?
    /// The header that says until when a message waits.
    var delayHeader: ShortString?
    /// Which of several consumers gets the next message.
    var dispatch = QueueDispatch.roundRobin
    /// Whether the queue behaves as RabbitMQ's quorum queues do.
    private(set) var isQuorum = false

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
        self.delayedRetryType = arguments.delayedRetryType
        self.delayedRetryMinMilliseconds = arguments.delayedRetryMinMilliseconds
        self.delayedRetryMaxMilliseconds = arguments.delayedRetryMaxMilliseconds
        self.consumerTimeoutMilliseconds = arguments.consumerTimeoutMilliseconds
        self.groupHeader = arguments.groupHeader
        self.delayHeader = arguments.delayHeader
        self.dispatch = arguments.dispatch
        self.isQuorum = arguments.queueType == .quorum
    }

    /// How often a message may come back before it is dead; nil is any number of times.
    var effectiveDeliveryLimit: Int64? {
        guard let limit = self.deliveryLimit else { return self.isQuorum ? ReturnRules.quorumDeliveryLimit : nil }
        return limit < 0 ? nil : limit
    }

    /// Whether dead letters stay until they have arrived.
    ///
    /// As in RabbitMQ only together with `reject-publish`: a queue that drops its head cannot wait for anybody.
    var deadLettersAtLeastOnce: Bool {
        self.deadLetterStrategy == .atLeastOnce && self.overflow == .rejectPublish && self.deadLetterExchange != nil
    }

    /// Whether the queue has a limit of its length.
    var isLimited: Bool { self.maxLength != nil || self.maxLengthBytes != nil }

    /// Whether messages that come must be looked at.
    var isSpecial: Bool { self.messageTTLMilliseconds != nil || self.isLimited || self.delayHeader != nil }
}
