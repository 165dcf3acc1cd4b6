/// One queue, on its home shard, behind a pointer.
///
/// Invariants:
/// 1. Every message is in exactly one place: ``ready``, ``QueueExtras/requeued``, ``levels``, ``withheld``, held back in ``groups``, one
///    consumer's ``ConsumerState/outstanding``, ``QueueExtras/setAside`` or ``QueueExtras/dying``.
/// 2. Sequence numbers are places in the order of publishing. ``ready`` holds consecutive ones from ``headSequence``;
///    everything in ``QueueExtras/requeued`` is older. With priorities all are in ``levels``, and ``headSequence`` is the next
///    message's place; while the priorities change (``isArranging``) they may be in all three. Holes in ``ready`` are where messages left before their turn; the first entry is none, and there
///    are never many more holes than messages.
/// 3. A consumer is in ``rotation`` exactly while its ``ConsumerState/isReady`` is set.
struct QueueState: ~Copyable {
    let info: QueueInfo
    /// The number by which the commit log knows it, 0 when it is not durable; copied from ``info`` like the address, because
    /// every message needs it.
    let durableID: UInt64
    let address: QueueAddress
    var isSingleActive: Bool
    /// The least loaded consumer gets the next message.
    var isFair: Bool
    /// Persistent messages of this queue go to the commit log.
    let isLogged: Bool
    /// In the shard's list of queues to dispatch.
    var isTouched = false
    /// ``settings`` and ``returnRules``; ``QueueRules/plain`` for the queues, nearly all, that have none of their own.
    private var rules: UnsafePointer<QueueRules>
    /// What few queues have; see ``QueueExtras``.
    private var extras = QueueExtras.none

    var ready: EntryRing
    var headSequence: UInt64 = 0
    /// Holes in ``ready``.
    private(set) var holes = 0
    /// Ready messages that are not in ``ready``.
    var asideCount = 0
    /// All ready messages of a queue with priorities, which has no others unless it ``isArranging``; nil for queues
    /// without.
    var levels: UnsafeMutablePointer<PriorityLevels>?
    /// Messages that came back and may not be delivered yet; made when there is one.
    var withheld: UnsafeMutablePointer<WithheldMessages>?
    /// Groups of messages, in a queue that tells them apart.
    var groups: UnsafeMutablePointer<MessageGroups>?
    /// The ids of its messages, in a queue that takes each once.
    var unique: UniqueMessages?
    /// Messages handed out and not settled.
    var unacknowledged = 0

    var consumers: [UnsafeMutablePointer<ConsumerState>?] = []
    var rotation = ConsumerRotation()
    /// Consumers that count: not getters, not cancelled ones.
    var consumerCount = 0
    var nextArrival: UInt64 = 0
    /// The consumer that gets everything, if the queue is single active.
    var activeConsumer: UInt32?
    var hadConsumer = false
    var hasExclusiveConsumer = false
    /// In the shard's list of queues that have delivered in this turn.
    var isDeliveredNoted = false
    /// Places below were handed to consumers that acknowledge, once.
    var deliveredUpTo: UInt64 = 0

    /// Nanoseconds of the soonest deadline in ``QueueExtras/expiry``; a copy for those who dispatch.
    var nextExpiry = UInt64.max
    /// When this place is the next to be delivered more is read ahead; see ``QueueExtras/loads``.
    var loadTrigger: UInt64 = .max
    /// Something is kept of messages until they leave: ``groups`` or ``unique``.
    var followsMessages = false
    /// Whether more is asked for than handing messages on: a deadline, a limit, a delay, or each message once.
    private(set) var hasFeatures = false
    /// Taking out what is due or beyond the limits is under way in pieces.
    var isTrimming = false
    /// Its messages are on their way to the levels of other priorities: nothing is delivered, new ones go to ``ready``.
    var isArranging = false
    /// The first half of that: messages are still on their way out of the old levels.
    var isEmptyingLevels = false
    /// The next message is on disk: in the shard's list of queues that wait for the disk.
    var isStalled = false

    /// A queue, whose memory is counted somewhere.
    init(info: QueueInfo, isLogged: Bool, counting memory: MemoryCount) {
        self.ready = EntryRing(counting: memory)
        self.isLogged = isLogged
        self.info = info
        self.address = info.address
        self.durableID = info.durableID
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
        QueueExtras.free(self.extras)
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

    /// What few queues have; changing it makes room for it.
    var extra: QueueExtras {
        @inline(__always) _read { yield self.extras.pointee }
        _modify {
            if self.extras == QueueExtras.none { self.extras = QueueExtras.make(counting: self.ready.memory) }
            yield &self.extras.pointee
        }
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

    /// Messages that count for limits: ready, or set aside.
    var limitedCount: Int { self.readyCount + self.extra.setAside.count }

    /// Removes the first message that was set aside; nil when there is none.
    mutating func takeFirstSetAside() -> ConsumerState.Delivery? {
        guard !self.extra.setAside.isEmpty else { return nil }
        let element = self.extra.setAside.removeFirst()
        return ConsumerState.Delivery(sequence: element.sequence, entry: element.entry)
    }

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
            var entry = self.groups?.pointee.takeHeld(at: sequence)
            if entry == nil, let levels = self.levels {
                entry = levels.pointee.remove(sequence)
            }
            if entry == nil, !self.extra.requeued.isEmpty {
                entry = self.extra.requeued.remove(sequence)
            }
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

    /// Moves what stands before the last hole to ``QueueExtras/requeued``, which needs no holes.
    ///
    /// Each message moves once, and there are fewer of them than holes.
    private mutating func closeUp() {
        while self.holes > 0 {
            let entry = self.ready.removeFirst()
            if entry.isHole {
                self.holes -= 1
            } else {
                self.extra.requeued.insert(self.headSequence, entry)
                self.asideCount &+= 1
            }
            self.headSequence += 1
        }
    }

    /// All ready messages have been taken away at once.
    mutating func noteEmptied() {
        self.asideCount = 0
        self.holes = 0
        if self.extra.readyBytes != 0 {
            self.extra.readyBytes = 0
        }
    }

    /// Calls `body` for every ready message, in no particular order.
    func forEachReady(_ body: (UInt64, QueueEntry) -> Void) {
        self.extra.requeued.forEach { body($0.sequence, $0.entry) }
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
