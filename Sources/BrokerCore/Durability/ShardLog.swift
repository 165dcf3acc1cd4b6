internal import DequeModule

/// What a shard remembers of the commit log.
///
/// The shard writes records into a batch; the driver takes the batch at the end of the turn and says later that it is
/// durable. Who waits for that is remembered by the batch's number, in order: batches become durable in order.
struct ShardLog {
    /// Somebody who is told when a batch is durable.
    enum Waiter {
        /// A channel of this shard in confirm mode: its publishes from `first` on.
        case confirms(ChannelAddress, first: UInt64, count: UInt64)
        /// A channel of another shard, in confirm mode or committing.
        case accepted(ChannelAddress, sequence: UInt64, isRejected: Bool)
        /// A channel of this shard that commits.
        case commit(ChannelAddress)
        /// A channel of some shard that has purged a queue.
        case purged(ChannelAddress, messageCount: UInt32)
        /// A change of the topology.
        case topology(sequence: UInt64)
        /// An operator's request that is carried out.
        case operation(ticket: UInt64)
    }

    /// Whether there is a log; without one nothing is durable and nobody waits.
    let isOn: Bool
    /// The batch being filled.
    var batch: LogRecords?
    var nextNumber: UInt64 = 1
    /// The number of the batch being filled, if there is one.
    var batchNumber: UInt64 { self.nextNumber &- 1 }
    /// About what the last batches had in octets: the next one begins with as many.
    var lastCount = 0
    /// Who waits, by the number of the batch.
    var waiters: Deque<(number: UInt64, waiter: Waiter)> = []

    /// Connections whose publishes may take as many octets again when a batch is durable.
    var credits: Deque<(number: UInt64, connection: ConnectionAddress, bytes: Int)> = []

    /// What the broker has moved by itself.
    var moves = MoveWindow()

    /// Where batches begin in the log.
    var positions = BatchPositions()
    /// What the log has before this place may be gone soon: it counts as not there.
    var floor: UInt64 = 0

    /// Where the first message is that could not be told again; see ``Shard/neededLogPosition``.
    var needed: UInt64?
    /// How far live state has been told again; nil when that is not under way.
    var snapshot: SnapshotCursor?

    /// Settled messages of one queue that no record tells yet.
    var settledQueue: UInt64 = 0
    var settled: [SequenceRange] = []
    /// What came back and no record tells yet.
    var returns = ReturnLog()
    /// Queues that have handed out messages since the last turn.
    var deliveredQueues: [UnsafeMutablePointer<QueueState>] = []
    /// Durable queues of this shard a message goes to, with the place it gets there; kept for its memory.
    var places: [DurablePlace] = []
    /// One of ``places`` has a deadline.
    var isTimed = false

    init(isOn: Bool) {
        self.isOn = isOn
    }
}
