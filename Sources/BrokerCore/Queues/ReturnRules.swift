/// Why a delivery comes back to its queue.
enum ReturnCause {
    /// The consumer has given it back: `basic.nack` or `basic.reject` with requeue.
    case failed
    /// The consumer has asked for it again: `basic.recover`. It takes the place of one that was given back, and has not
    /// failed.
    case recovered
    /// It came back without a word about it: the channel or the connection ended, no acknowledgement in time.
    case returned
}

/// What a queue does with deliveries that come back; computed from its settings when those change.
///
/// RabbitMQ 3.10 has these rules for quorum queues only; here every queue can have them.
struct ReturnRules: Equatable {
    /// Waiting before the next delivery.
    struct Delay: Equatable {
        var afterFailure: Bool
        var afterReturn: Bool
        var minMilliseconds: UInt64
        var maxMilliseconds: UInt64
    }

    /// The delivery limit of quorum queues that were declared without one, as in RabbitMQ 4.
    static let quorumDeliveryLimit: Int64 = 20
    /// The first wait where none was given.
    static let delayMilliseconds: UInt64 = 1000

    /// Nothing but going back to the old place.
    private(set) var isPlain = true
    /// A message that has come back more often than this is dead.
    private(set) var limit: UInt16?
    /// Deliveries tell how often the message has come back.
    private(set) var showsCount = false
    /// They tell it as `x-acquired-count`, too, as RabbitMQ 4.3 does: not where 3.10 has the other header alone.
    private(set) var showsAcquired = false
    /// `basic.get` tells it from the first delivery on.
    private(set) var showsCountAlways = false
    private(set) var delay: Delay?
    /// What a consumer gives back, or asks for again, goes to the end of the queue.
    private(set) var goesToTail = false
    /// Of those that came back the one that did so first goes first, wherever its old place is.
    private(set) var isFirstInFirstOut = false

    /// Rules of a queue without arguments.
    init() {}

    /// What follows from settings.
    init(_ settings: QueueSettings) {
        self.limit = settings.effectiveDeliveryLimit.flatMap { UInt16(exactly: $0) }
        self.delay = Self.delay(settings)
        self.showsCountAlways = settings.isQuorum
        self.showsCount = settings.isQuorum || self.limit != nil || self.delay != nil
        // RabbitMQ 3.10's quorum queues, which append what comes back as long as they need not count for a limit.
        // What waits before it is tried again does that instead.
        self.goesToTail =
            settings.isQuorum && settings.deliveryLimit == nil && settings.groupHeader == nil
            && self.delay?.afterFailure != true
        self.isFirstInFirstOut = settings.isQuorum && settings.groupHeader == nil
        self.showsAcquired = self.showsCount && !(settings.isQuorum && self.delay == nil)
        self.isPlain = !self.showsCount
    }

    private static func delay(_ settings: QueueSettings) -> Delay? {
        // Whoever gives a delay wants one, though RabbitMQ 4.3 asks for the type as well.
        let isWanted = settings.delayedRetryMinMilliseconds != nil || settings.delayedRetryMaxMilliseconds != nil
        let type = settings.delayedRetryType ?? (isWanted ? .all : .disabled)
        guard type != .disabled else { return nil }
        let min = settings.delayedRetryMinMilliseconds ?? self.delayMilliseconds
        return Delay(
            afterFailure: type == .all || type == .failed,
            afterReturn: type == .all || type == .returned,
            minMilliseconds: min,
            maxMilliseconds: settings.delayedRetryMaxMilliseconds ?? .max
        )
    }

    /// How long a message waits that has come back so often; nil when it does not.
    func wait(_ cause: ReturnCause, count: UInt16) -> UInt64? {
        guard let delay = self.delay else { return nil }
        guard cause == .failed ? delay.afterFailure : delay.afterReturn else { return nil }
        let (product, overflow) = delay.minMilliseconds.multipliedReportingOverflow(by: UInt64(count))
        let wait = min(overflow ? .max : product, delay.maxMilliseconds)
        return wait == 0 ? nil : wait
    }
}
