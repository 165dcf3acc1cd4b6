/// A dead message that waits for its way to where dead letters go.
struct Death {
    /// The queue it died in.
    var queue: QueueAddress
    /// Its place there, by which it is in ``QueueState/dying``; nil when the queue never took it.
    var sequence: UInt64?
    var entry: QueueEntry
    var reason: DeathReason
}

/// A dead message that could not be handed on.
struct StuckDeath {
    var sequence: UInt64
    var reason: DeathReason
}
