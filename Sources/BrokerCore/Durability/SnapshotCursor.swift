/// How far a shard has told again what is live.
struct SnapshotCursor {
    /// Where messages of a queue are, in the order in which they are told.
    ///
    /// Messages go from a part to a later one, with four exceptions: to consumers, back from them, from what was
    /// set aside, and out of groups that are told by another header. Those are told when they go (``Shard/tellMoving(_:_:_:)``).
    enum Part {
        /// The ring.
        case ring(from: UInt64)
        /// Levels of priority.
        case levels(from: UInt64)
        /// What came back.
        case requeued(from: UInt64)
        /// Deliveries.
        case outstanding(consumer: Int, serial: UInt64)
        /// Held back for their groups, or for a time.
        case heldBack
        /// Dead letters under way.
        case dying(from: UInt64)
        /// What the disk refuses to read.
        case setAside(from: UInt64)
    }

    /// Queues that have still to be told, the next one last.
    var queues: [QueueAddress]
    /// Messages are told; otherwise only what is known of queues, because the log has no message that is live where it is
    /// trimmed.
    let tellsMessages: Bool
    /// Batches from this one on are kept.
    let firstBatch: UInt64
    /// Where to go on in the next queue; nil at its beginning.
    var part: Part?
    /// Deadlines in the next queue, by place, as they were when its telling began.
    var deadlines: [ExpiryIndex.Run] = []
    /// Messages that were held back and have been told.
    var toldHeldBack: Set<UInt64> = []
    /// A message of the next queue that is on disk has gone to an earlier part.
    var mustRepeat = false

    /// The next queue is done with.
    mutating func endQueue() {
        self.queues.removeLast()
        self.part = nil
        self.deadlines = []
        self.toldHeldBack = []
        self.mustRepeat = false
    }
}

/// What one step of telling may still do.
struct SnapshotStep {
    /// Octets written.
    var octets = ShardLimits.snapshotBytes
    /// Messages looked at.
    var messages = ShardLimits.snapshotMessages
    /// Messages that are on disk and must be loaded first.
    let read = PageRead(for: .snapshot)
    /// Whether everything that was looked at is told, or need not be.
    var isAllTold: Bool { self.read.wanted.isEmpty }

    var isOver: Bool { self.octets <= 0 || self.messages <= 0 || self.read.octets >= ShardLimits.snapshotBytes }
}
