internal import AMQPProtocol

/// A dead message that waits for its way to where dead letters go.
struct Death {
    /// The queue it died in.
    var queue: QueueAddress
    /// Its place there, by which it is in ``QueueState/dying``; nil when the queue never took it.
    var sequence: UInt64?
    var entry: QueueEntry
    var reason: DeathReason
    /// Where it comes from and goes, of a queue that is gone: then the message's reference is the death's own.
    var orphan: OrphanSource?
}

/// The source of dead letters whose queue is gone.
final class OrphanSource {
    let source: DeathSource

    init(_ source: DeathSource) {
        self.source = source
    }
}

/// What a dead letter needs to know of the queue that the message died in.
struct DeathSource {
    let virtualHost: ShortString
    let queue: ShortString
    let exchange: ShortString
    let routingKey: ShortString?

    /// Of a queue that has somewhere for dead letters to go.
    init?(_ queue: borrowing QueueState) {
        guard let exchange = queue.settings.deadLetterExchange else { return nil }
        self.virtualHost = queue.info.virtualHostName
        self.queue = queue.info.name
        self.exchange = exchange
        self.routingKey = queue.settings.deadLetterRoutingKey
    }
}

/// A dead message that could not be handed on.
struct StuckDeath {
    var sequence: UInt64
    var reason: DeathReason
}
