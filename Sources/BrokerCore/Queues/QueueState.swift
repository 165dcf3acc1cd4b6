/// One queue, on its home shard, behind a pointer.
///
/// Invariants:
/// 1. Every message is in exactly one place: ``ready``, ``requeued``, ``levels``, ``withheld``, held back in ``groups``, one
///    consumer's ``ConsumerState/outstanding`` or ``dying``.
/// 2. Sequence numbers are places in the order of publishing. ``ready`` holds consecutive ones from ``headSequence``;
///    everything in ``requeued`` is older. With priorities all are in ``levels``, and ``headSequence`` is the next
///    message's place. Holes in ``ready`` are where messages left before their turn; the first entry is none, and there
///    are never many more holes than messages.
/// 3. A consumer is in ``rotation`` exactly while its ``ConsumerState/isReady`` is set.
struct QueueState: ~Copyable {
    let info: QueueInfo
    let address: QueueAddress
    let isSingleActive: Bool
    /// ``settings`` and ``returnRules``; ``QueueRules/plain`` for the queues, nearly all, that have none of their own.
    private var rules: UnsafePointer<QueueRules>
    /// The policies that had a part in ``settings``.
    var policies = MatchedPolicies()

    var ready: EntryRing
    var headSequence: UInt64 = 0
    /// Holes in ``ready``.
    private(set) var holes = 0
    var requeued: OrderedEntries
    /// All ready messages of a queue with priorities, which has no others; nil for queues without.
    var levels: UnsafeMutablePointer<PriorityLevels>?
    /// Ready messages that are not in ``ready``.
    var asideCount = 0
    /// Messages that came back and may not be delivered yet; made when there is one.
    var withheld: UnsafeMutablePointer<WithheldMessages>?
    /// Groups of messages, in a queue that tells them apart.
    var groups: UnsafeMutablePointer<MessageGroups>?
    /// The ids of its messages, in a queue that takes each once.
    let unique: UniqueMessages?
    /// Something is kept of messages until they leave: ``groups`` or ``unique``.
    var followsMessages = false
    /// How many have come back to a queue that hands them out in that order.
    var returnCount: UInt64 = 0
    /// When the shard looks for acknowledgements that are overdue.
    var ackTimer: BrokerInstant?
    /// The least loaded consumer gets the next message.
    var isFair: Bool
    /// Dead messages that have not arrived where dead letters go.
    var dying: OrderedEntries
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

    /// Whether more is asked for than handing messages on: a deadline, a limit, a delay, or each message once.
    private(set) var hasFeatures = false
    /// Octets of the bodies of ready messages; kept only while ``QueueSettings/maxLengthBytes`` is set.
    var readyBytes = 0
    /// When messages must leave.
    var expiry = ExpiryIndex()
    /// Nanoseconds of the soonest deadline in ``expiry``; a copy for those who dispatch.
    var nextExpiry = UInt64.max
    /// Nanoseconds for which a timer is set.
    var armedExpiry = UInt64.max
    /// Taking out what is due or beyond the limits is under way in pieces.
    var isTrimming = false
    /// When the queue was used last, if it may expire.
    var lastUse = BrokerInstant(nanoseconds: 0)
    /// When a timer looks whether the queue is still used.
    var armedLease = BrokerInstant(nanoseconds: .max)
    /// Dead messages that could not be handed on, to be tried again.
    var stuckDeaths: [StuckDeath] = []

    // Messages on disk.
    /// The next message is on disk: in the shard's list of queues that wait for the disk.
    var isStalled = false
    /// Reads under way.
    var loads = 0
    /// Messages of a read; 0 before the first one that was full.
    var window = 0
    /// When this place is the next to be delivered more is read ahead.
    var loadTrigger: UInt64 = .max

    /// A queue, whose memory is counted somewhere.
    init(info: QueueInfo, isLogged: Bool, counting memory: MemoryCount) {
        self.ready = EntryRing(counting: memory)
        self.requeued = OrderedEntries(counting: memory)
        self.dying = OrderedEntries(counting: memory)
        self.isLogged = isLogged
        self.info = info
        self.address = info.address
        self.isSingleActive = info.parsed.isSingleActiveConsumer
        let settings = QueueSettings(info.parsed)
        self.rules = QueueRules.make(settings)
        self.isFair = settings.dispatch == .leastLoaded
        self.unique = info.parsed.isUnique ? UniqueMessages(counting: memory) : nil
        self.makeGroups(settings.groupHeader)
        self.makeLevels(info.parsed.maxPriority)
        self.updateFeatures()
    }

    deinit {
        QueueRules.free(self.rules)
        self.levels?.deinitialize(count: 1)
        self.levels?.deallocate()
        self.withheld?.deinitialize(count: 1)
        self.withheld?.deallocate()
        self.groups?.deinitialize(count: 1)
        self.groups?.deallocate()
    }

    /// What governs the queue.
    var settings: QueueSettings {
        @inline(__always) _read { yield self.rules.pointee.settings }
    }

    /// What is done with deliveries that come back.
    var returnRules: ReturnRules {
        @inline(__always) _read { yield self.rules.pointee.returnRules }
    }

    /// Gives the queue other settings; for ``Shard/applySettings(_:to:)`` only.
    mutating func govern(by settings: QueueSettings) {
        QueueRules.free(self.rules)
        self.rules = QueueRules.make(settings)
    }

    /// Call when the settings have changed.
    mutating func updateFeatures() {
        self.hasFeatures = self.settings.isSpecial || self.unique != nil
    }

    /// The place the next message gets.
    @inline(__always)
    var nextSequence: UInt64 { self.headSequence &+ UInt64(self.ready.count) }

    /// Messages that can be delivered.
    @inline(__always)
    var readyCount: Int { self.ready.count &+ self.asideCount &- self.holes }

    @inline(__always)
    var hasReady: Bool { !self.ready.isEmpty || self.asideCount != 0 }

    /// Removes the ready message whose turn it is; there is one.
    @inline(__always)
    mutating func takeNext() -> ConsumerState.Delivery {
        self.asideCount != 0 ? self.takeAside() : self.takeFromRing()
    }

    /// Removes the oldest message of the ring; there is one.
    @inline(__always)
    mutating func takeFromRing() -> ConsumerState.Delivery {
        let sequence = self.headSequence
        self.headSequence &+= 1
        let entry = self.ready.removeFirst()
        if self.holes != 0 {
            self.skipHoles()
        }
        return ConsumerState.Delivery(sequence: sequence, entry: entry)
    }

    @inline(never)
    private mutating func skipHoles() {
        while !self.ready.isEmpty && self.ready.entry(at: 0).isHole {
            _ = self.ready.removeFirst()
            self.headSequence += 1
            self.holes -= 1
        }
    }

    /// Removes the ready message at a place; nil when none is there.
    mutating func removeReady(_ sequence: UInt64) -> QueueEntry? {
        if sequence < self.headSequence {
            guard self.asideCount > 0 else { return nil }
            let held = self.groups?.pointee.takeHeld(at: sequence)
            let entry = held ?? (self.levels.map { $0.pointee.remove(sequence) } ?? self.requeued.remove(sequence))
            if entry != nil {
                self.asideCount &-= 1
            }
            return entry
        }
        let offset = Int(sequence - self.headSequence)
        guard offset < self.ready.count else { return nil }
        let entry = self.ready.entry(at: offset)
        guard !entry.isHole else { return nil }
        if offset == 0 {
            _ = self.ready.removeFirst()
            self.headSequence += 1
            self.skipHoles()
        } else {
            self.ready.replace(at: offset, with: .hole)
            self.holes += 1
            if self.holes > self.ready.count - self.holes + Self.keptHoles {
                self.closeUp()
            }
        }
        return entry
    }

    /// Holes that are kept whatever the number of messages.
    private static let keptHoles = 64

    /// Moves what stands before the last hole to ``requeued``, which needs no holes.
    ///
    /// Each message moves once, and there are fewer of them than holes.
    private mutating func closeUp() {
        while self.holes > 0 {
            let entry = self.ready.removeFirst()
            if entry.isHole {
                self.holes -= 1
            } else {
                self.requeued.insert(self.headSequence, entry)
                self.asideCount &+= 1
            }
            self.headSequence += 1
        }
    }

    /// All ready messages have been taken away at once.
    mutating func noteEmptied() {
        self.asideCount = 0
        self.holes = 0
        self.readyBytes = 0
    }

    /// Calls `body` for every ready message, in no particular order.
    func forEachReady(_ body: (UInt64, QueueEntry) -> Void) {
        self.requeued.forEach { body($0.sequence, $0.entry) }
        _ = self.levels?.pointee.forEach(from: 0, to: .max, body)
        self.groups?.pointee.forEachHeld { body($0.sequence, $0.entry) }
        for offset in 0..<self.ready.count {
            let entry = self.ready.entry(at: offset)
            if !entry.isHole {
                body(self.headSequence + UInt64(offset), entry)
            }
        }
    }
}
