/// What few queues have, or have at times: in memory of its own, made when there is something to keep.
///
/// A queue without it reads ``none``.
struct QueueExtras: ~Copyable {
    /// The policies that had a part in the queue's settings.
    var policies = MatchedPolicies()

    /// Messages that came back, or stand where there were holes; all are older than ``QueueState/ready``.
    var requeued: OrderedEntries
    /// How many have come back to a queue that hands them out in that order.
    var returnCount: UInt64 = 0
    /// Dead messages that have not arrived where dead letters go.
    var dying: OrderedEntries
    /// Dead messages that could not be handed on, to be tried again.
    var stuckDeaths: [StuckDeath] = []
    /// Octets of the bodies of those.
    var stuckBytes = 0
    /// Ready messages that the disk refuses to read: those behind them go on.
    var setAside: OrderedEntries
    /// When the shard looks for acknowledgements that are overdue.
    var ackTimer: BrokerInstant?

    /// Octets of the bodies of ready messages; kept only while ``QueueSettings/maxLengthBytes`` is set.
    var readyBytes = 0
    /// When messages must leave.
    var expiry = ExpiryIndex()
    /// Nanoseconds for which a timer is set.
    var armedExpiry = UInt64.max
    /// When the queue was used last, if it may expire.
    var lastUse = BrokerInstant(nanoseconds: 0)
    /// When a timer looks whether the queue is still used.
    var armedLease = BrokerInstant(nanoseconds: .max)

    /// Reads of messages on disk that are under way.
    var loads = 0
    /// Messages of a read; 0 before the first one that was full.
    var window = 0

    private init(counting memory: MemoryCount?) {
        self.requeued = OrderedEntries(counting: memory)
        self.dying = OrderedEntries(counting: memory)
        self.setAside = OrderedEntries(counting: memory)
    }

    /// Nothing of all that; nobody changes it.
    nonisolated(unsafe) static let none = Self.make(counting: nil)

    /// Room for a queue's own, counted somewhere.
    static func make(counting memory: MemoryCount?) -> UnsafeMutablePointer<QueueExtras> {
        let extras = UnsafeMutablePointer<QueueExtras>.allocate(capacity: 1)
        extras.initialize(to: QueueExtras(counting: memory))
        return extras
    }

    /// The queue is gone.
    static func free(_ extras: UnsafeMutablePointer<QueueExtras>) {
        guard extras != self.none else { return }
        extras.deinitialize(count: 1)
        extras.deallocate()
    }
}
