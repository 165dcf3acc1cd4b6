/// One queue, on its home shard, behind a pointer.
///
/// Invariants:
/// 1. Every message is in exactly one place: ``ready``, ``requeued``, ``levels``, ``withheld``, held back in ``groups`` or
///    one consumer's ``ConsumerState/outstanding``.
/// 2. Sequence numbers are places in the order of publishing. ``ready`` holds consecutive ones from ``headSequence``;
///    everything in ``requeued`` is older. With priorities all are in ``levels``, and ``headSequence`` is the next
///    message's place.
/// 3. A consumer is in ``rotation`` exactly while its ``ConsumerState/isReady`` is set.
struct QueueState: ~Copyable {
    let info: QueueInfo
    let address: QueueAddress
    let isSingleActive: Bool
    /// What governs the queue; changed by ``Shard/applySettings(_:to:)`` only.
    var settings: QueueSettings

    var ready = EntryRing()
    var headSequence: UInt64 = 0
    var requeued = RequeueHeap()
    /// All ready messages of a queue with priorities, which has no others; nil for queues without.
    var levels: UnsafeMutablePointer<PriorityLevels>?
    /// Ready messages that are not in ``ready``.
    var asideCount = 0
    /// What is done with deliveries that come back.
    var returnRules: ReturnRules
    /// Messages that came back and may not be delivered yet; made when there is one.
    var withheld: UnsafeMutablePointer<WithheldMessages>?
    /// Groups of messages, in a queue that tells them apart.
    var groups: UnsafeMutablePointer<MessageGroups>?
    /// How many have come back to a queue that hands them out in that order.
    var returnCount: UInt64 = 0
    /// When the shard looks for acknowledgements that are overdue.
    var ackTimer: BrokerInstant?
    /// The least loaded consumer gets the next message.
    var isFair: Bool
    /// Messages handed out and not settled.
    var unacknowledged = 0

    var consumers: [UnsafeMutablePointer<ConsumerState>?] = []
    var rotation = ConsumerRotation()
    /// Consumers that count: not getters, not cancelled ones.
    var consumerCount = 0
    var hadConsumer = false
    var hasExclusiveConsumer = false
    /// The consumer that gets everything, if the queue is single active.
    var activeConsumer: UInt32?
    var nextArrival: UInt64 = 0
    /// Persistent messages of this queue go to the commit log.
    let isLogged: Bool
    /// Places below were handed to consumers that acknowledge, once.
    var deliveredUpTo: UInt64 = 0
    /// In the shard's list of queues that have delivered in this turn.
    var isDeliveredNoted = false

    /// In the shard's list of queues to dispatch.
    var isTouched = false

    // Messages on disk.
    /// The next message is on disk: in the shard's list of queues that wait for the disk.
    var isStalled = false
    /// Reads under way.
    var loads = 0
    /// Messages of a read; 0 before the first one that was full.
    var window = 0
    /// When this place is the next to be delivered more is read ahead.
    var loadTrigger: UInt64 = .max

    init(info: QueueInfo, isLogged: Bool) {
        self.isLogged = isLogged
        self.info = info
        self.address = info.address
        self.isSingleActive = info.parsed.isSingleActiveConsumer
        self.settings = QueueSettings(info.parsed)
        self.returnRules = ReturnRules(self.settings)
        self.isFair = self.settings.dispatch == .leastLoaded
        self.makeGroups(self.settings.groupHeader)
        self.makeLevels(info.parsed.maxPriority)
    }

    deinit {
        self.levels?.deinitialize(count: 1)
        self.levels?.deallocate()
        self.withheld?.deinitialize(count: 1)
        self.withheld?.deallocate()
        self.groups?.deinitialize(count: 1)
        self.groups?.deallocate()
    }

    /// The place the next message gets.
    @inline(__always)
    var nextSequence: UInt64 { self.headSequence &+ UInt64(self.ready.count) }

    /// Messages that can be delivered.
    @inline(__always)
    var readyCount: Int { self.ready.count &+ self.asideCount }

    @inline(__always)
    var hasReady: Bool { !self.ready.isEmpty || self.asideCount != 0 }

    /// Removes the ready message whose turn it is; there is one.
    @inline(__always)
    mutating func takeNext() -> ConsumerState.Delivery {
        if self.asideCount != 0 {
            return self.takeAside()
        }
        let sequence = self.headSequence
        self.headSequence &+= 1
        return ConsumerState.Delivery(sequence: sequence, entry: self.ready.removeFirst())
    }
}
