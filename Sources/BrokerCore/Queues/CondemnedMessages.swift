internal import AMQPProtocol

/// Messages that nobody will ask for again, because their queue was deleted or purged, and that still have to be let go.
///
/// Letting a million messages go takes longer than other connections may wait, so the rings are taken away at once and
/// emptied some thousands a turn.
final class CondemnedMessages {
    /// Whose purge is answered when all of them are gone; nil when nobody waits.
    struct Purge {
        let asker: ChannelAddress
        let messageCount: UInt32
    }

    /// The durable number of the queue when the log is told of each, otherwise 0.
    let loggedQueue: UInt64
    let purge: Purge?
    /// The ids of a queue that takes each message once.
    let unique: UniqueMessages?
    private var ready: EntryRing
    private var headSequence: UInt64
    private var requeued: OrderedEntries
    private var levels: UnsafeMutablePointer<PriorityLevels>?
    private var outstanding: SparseRing<ConsumerState.Delivery>

    /// Takes a queue's ready messages away from it.
    init(
        readyOf queue: UnsafeMutablePointer<QueueState>,
        isLogged: Bool,
        purge: Purge?,
        counting memory: MemoryCount
    ) {
        self.loggedQueue = isLogged && queue.pointee.isLogged ? queue.pointee.durableID : 0
        self.purge = purge
        self.unique = queue.pointee.unique
        self.headSequence = queue.pointee.headSequence
        self.ready = EntryRing(counting: memory)
        self.requeued = OrderedEntries(counting: memory)
        self.outstanding = SparseRing(counting: memory)
        queue.pointee.headSequence = queue.pointee.nextSequence
        swap(&self.ready, &queue.pointee.ready)
        if !queue.pointee.extra.requeued.isEmpty {
            swap(&self.requeued, &queue.pointee.extra.requeued)
        }
        self.levels = queue.pointee.takeLevels()
        queue.pointee.noteEmptied()
    }

    /// Takes away what a consumer of a queue that goes has not acknowledged.
    init(
        outstandingOf consumer: UnsafeMutablePointer<ConsumerState>,
        of queue: UnsafeMutablePointer<QueueState>,
        counting memory: MemoryCount
    ) {
        self.loggedQueue = 0
        self.purge = nil
        self.unique = queue.pointee.unique
        self.headSequence = 0
        self.ready = EntryRing(counting: memory)
        self.requeued = OrderedEntries(counting: memory)
        self.outstanding = SparseRing(counting: memory)
        swap(&self.outstanding, &consumer.pointee.outstanding)
    }

    deinit {
        self.levels?.deinitialize(count: 1)
        self.levels?.deallocate()
    }

    /// The next message to let go; nil when there is none left.
    func next() -> ConsumerState.Delivery? {
        if !self.requeued.isEmpty {
            let element = self.requeued.removeFirst()
            return ConsumerState.Delivery(sequence: element.sequence, entry: element.entry)
        }
        if let levels = self.levels, levels.pointee.count > 0 {
            return levels.pointee.removeFirst()
        }
        while !self.ready.isEmpty {
            let sequence = self.headSequence
            self.headSequence &+= 1
            let entry = self.ready.removeFirst()
            if !entry.isHole {
                return ConsumerState.Delivery(sequence: sequence, entry: entry)
            }
        }
        return self.outstanding.removeFirst()?.value
    }
}

extension Shard {
    /// Lets some of the condemned messages go.
    func releaseCondemned() {
        var budget = ShardLimits.condemnedMessages
        while budget > 0, let condemned = self.condemned.first {
            guard let delivery = condemned.next() else {
                self.condemned.removeFirst()
                if let purge = condemned.purge {
                    self.answerPurge(
                        purge.asker,
                        messageCount: purge.messageCount,
                        isLogged: condemned.loggedQueue != 0
                    )
                }
                continue
            }
            if condemned.loggedQueue != 0 && delivery.entry.flags.contains(.persistent) {
                self.noteSettled(condemned.loggedQueue, delivery.sequence)
            }
            condemned.unique?.remove(delivery.sequence)
            self.store.release(delivery.entry.slot)
            budget -= 1
        }
    }
}
