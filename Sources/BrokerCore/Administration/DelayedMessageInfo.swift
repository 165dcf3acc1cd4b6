/// A message that waits for its time, as an operator sees it.
public struct DelayedMessageInfo: Equatable, Sendable {
    /// Unique for ever, by which it is cancelled or given another time.
    public var id: UInt64
    /// The exchange it is published to then; empty for the default one.
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
        bodyBytes: Int
    ) {
        self.id = id
        self.exchange = exchange
        self.routingKey = routingKey
        self.dueEpochMilliseconds = dueEpochMilliseconds
        self.isPersistent = isPersistent
        self.bodyBytes = bodyBytes
    }
}
