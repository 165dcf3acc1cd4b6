/// What a record of the commit log tells; the numbers are in files and never change.
public enum LogRecordType: UInt8, Sendable, CaseIterable {
    /// Changes of the topology; see ``TopologyRecord``.
    case topology = 1
    /// A message and its places; see ``PublishRecord``.
    case publish = 2
    /// Messages of a queue that are done with; see ``SettleRecord``.
    case settle = 3
    /// How far a queue has been handed out; see ``DeliveredRecord``.
    case delivered = 4
    /// A queue emptied at once; see ``PurgeRecord``.
    case purge = 5
    /// Until ``snapshotEnd``, records say again what is live.
    case snapshotBegin = 6
    /// All that was live at ``snapshotBegin`` has been said again.
    case snapshotEnd = 7
    /// How often messages of a queue have come back; see ``DeliveryCountRecord``.
    case deliveryCount = 10
    /// Messages that wait before they are delivered again; see ``RetryRecord``.
    case retry = 11
    /// A message that came back to the end of its queue; see ``MoveRecord``.
    case move = 12
    /// A message that waits for its time; see ``DelayedRecord``.
    case delayed = 13
    /// Messages that do not wait any longer, or for another time; see ``DelaysChangedRecord``.
    case delaysChanged = 14
    /// A key that an exchange with `x-message-deduplication` knows; see ``WindowRecord``.
    case window = 15
    /// How far an exchange has come with a publisher; see ``PublisherRecord``.
    case publisher = 16
}
