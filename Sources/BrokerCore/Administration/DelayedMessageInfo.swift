/// A message that waits for its time, as an operator sees it.
public struct DelayedMessageInfo: Equatable, Sendable {
    /// By which it is cancelled or given another time: unique for ever, or in its ``queue``.
    public var id: UInt64
    /// The queue that it waits in; nil when it waits for its way to queues.
    public var queue: String?
    /// The exchange it is published to then, or was; empty for the default one.
    public var exchange: String
    /// Its routing key.
    public var routingKey: String
    /// When its time comes, in milliseconds since 1970.
    public var dueEpochMilliseconds: UInt64
    /// Whether a restart keeps it.
    public var isPersistent: Bool
    /// Octets of its body.
    public var bodyBytes: Int

    /// Makes a description.
    public init(
        id: UInt64,
        exchange: String,
        routingKey: String,
        dueEpochMilliseconds: UInt64,
        isPersistent: Bool,
        bodyBytes: Int,
        queue: String? = nil
    ) {
        self.id = id
        self.queue = queue
        self.exchange = exchange
        self.routingKey = routingKey
        self.dueEpochMilliseconds = dueEpochMilliseconds
        self.isPersistent = isPersistent
        self.bodyBytes = bodyBytes
    }
}

extension DelayedMessageInfo {
    /// The order of lists.
    func isBefore(_ other: DelayedMessageInfo) -> Bool {
        (self.dueEpochMilliseconds, self.id, self.queue ?? "")
            < (other.dueEpochMilliseconds, other.id, other.queue ?? "")
    }
}
