internal import AMQPProtocol

/// Messages with one value of the queue's group header, as long as some of them are out, wait, or are held back.
final class MessageGroup {
    /// Nobody: the group is free, or its messages wait.
    static let noOwner = UInt32.max

    /// What they have in common.
    let key: [UInt8]
    /// The consumer that has messages of the group, and alone may get more.
    var owner = MessageGroup.noOwner
    /// Messages out at the owner.
    var outstanding = 0
    /// Messages that came back and wait before they are delivered again; nothing of the group is delivered meanwhile.
    var waiting = 0
    /// Ready messages of the group that could not be delivered when it was their turn, in order.
    var held: OrderedEntries
    private let memory: MemoryCount?

    /// Octets of a group besides its key, about: itself, and where it is found.
    private static let overheadBytes = 192

    init(_ key: [UInt8], counting memory: MemoryCount?) {
        self.key = key
        self.held = OrderedEntries(counting: memory)
        self.memory = memory
        memory?.add(Self.overheadBytes + key.count)
    }

    deinit {
        self.memory?.remove(Self.overheadBytes + self.key.count)
    }

    /// Nothing would be forgotten with it.
    var isIdle: Bool { self.outstanding == 0 && self.waiting == 0 && self.held.isEmpty }
}

/// The groups of a queue that hands out the messages of a group in order, to one consumer at a time.
///
/// Invariants:
/// 1. A group is here exactly while a message of it is out, waits, or is held back; others cost nothing.
/// 2. While a group is here, all its ready messages that have been looked at are in its ``MessageGroup/held``. Those that
///    have not been looked at are newer, or are moved there when their turn comes.
/// 3. A group that may be served has its first held message in the index of its owner, or of nobody when it is free.
///    Entries of an index that are no longer true are passed over.
struct MessageGroups: ~Copyable {
    private struct Place {
        var order: UInt64
        let group: MessageGroup

        /// Whether the group may be served to a consumer, with this message first.
        func isTrue(_ owner: UInt32) -> Bool {
            self.group.owner == owner && self.group.waiting == 0 && self.group.held.firstOrder == self.order
        }
    }

    /// A binary heap of groups by their first held message.
    private struct Index {
        private var heap: [Place] = []

        var first: Place? { self.heap.first }

        var count: Int { self.heap.count }

        /// Keeps each place once that is still true.
        mutating func keepTrue(_ owner: UInt32) {
            var seen: Set<ObjectIdentifier> = []
            let kept = self.heap.filter { place in
                place.isTrue(owner) && seen.insert(ObjectIdentifier(place.group)).inserted
            }
            self.heap = []
            for place in kept { self.insert(place) }
        }

        mutating func insert(_ place: Place) {
            self.heap.append(place)
            var child = self.heap.count - 1
            while child > 0 {
                let parent = (child - 1) / 2
                guard self.heap[child].order < self.heap[parent].order else { return }
                self.heap.swapAt(child, parent)
                child = parent
            }
        }

        mutating func removeFirst() {
            guard let last = self.heap.popLast(), !self.heap.isEmpty else { return }
            self.heap[0] = last
            var parent = 0
            while true {
                var smallest = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count {
                    if self.heap[child].order < self.heap[smallest].order {
                        smallest = child
                    }
                }
                guard smallest != parent else { return }
                self.heap.swapAt(parent, smallest)
                parent = smallest
            }
        }
    }

    /// Entries of an index that may be untrue whatever the number of groups.
    private static let toleratedPlaces = 64

    /// The header that tells the group.
    let header: ShortString
    /// The highest priority that counts; changed only while nothing is held back.
    var highest: UInt8 = 0
    private var groups: [[UInt8]: MessageGroup] = [:]
    /// The groups of messages that are out or wait, by place.
    private var byPlace: [UInt64: MessageGroup] = [:]
    private var indices: [UInt32: Index] = [:]
    /// Messages held back.
    private(set) var heldCount = 0
    /// The groups of held messages that have a deadline, by place.
    private var timed: [UInt64: (group: MessageGroup, order: UInt64)] = [:]
    /// Places of messages that wait since before a start, whose groups have not been read from disk.
    private(set) var unknown: Set<UInt64> = []
    /// Places of all messages that wait since before a start: older ones of their groups may not have been looked at.
    private var restored: Set<UInt64> = []

    private let memory: MemoryCount?

    /// Makes a table without groups; the memory of those to come is counted somewhere, or nowhere.
    init(header: ShortString, counting memory: MemoryCount? = nil) {
        self.header = header
        self.memory = memory
    }

    /// The number of groups that cost memory.
    var count: Int { self.groups.count }

    /// The group a message belongs to, made if it is not there; nil for messages without the header.
    mutating func group(of message: MessageView) -> MessageGroup? {
        guard let key = self.key(of: message) else { return nil }
        if let group = self.groups[key] { return group }
        let group = MessageGroup(key, counting: self.memory)
        self.groups[key] = group
        return group
    }

    /// Strings are compared by octets, whole numbers by value, everything else as it is encoded.
    private func key(of message: MessageView) -> [UInt8]? {
        guard let headers = message.headers, let table = try? FieldTable(validating: headers),
            let value = table[self.header]
        else { return nil }
        if let octets = value.stringValue { return [0] + octets }
        if let number = value.integerValue {
            return [1] + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
        }
        return [2] + FieldTable([("", value)]).encodedBytes
    }

    /// The place of a message in the order of its group: by priority, then by age.
    private func order(_ sequence: UInt64, _ entry: QueueEntry) -> UInt64 {
        UInt64(255 - min(entry.flags.priority, self.highest)) << 56 | sequence & (1 << 56 - 1)
    }

    // MARK: Holding back

    /// Keeps a ready message until its group may be served.
    mutating func hold(_ delivery: ConsumerState.Delivery, _ group: MessageGroup) {
        let order = self.order(delivery.sequence, delivery.entry)
        group.held.insert(delivery.sequence, delivery.entry, order: order)
        self.heldCount += 1
        if delivery.entry.flags.contains(.hasDeadline) {
            self.timed[delivery.sequence] = (group, order)
        }
        if group.held.firstOrder == order {
            self.offer(group)
        }
    }

    /// Puts a group where it is looked for, if it may be served.
    private mutating func offer(_ group: MessageGroup) {
        guard group.waiting == 0, let order = group.held.firstOrder else { return }
        self.indices[group.owner, default: Index()].insert(Place(order: order, group: group))
        let count = self.indices[group.owner]?.count ?? 0
        if count > Self.toleratedPlaces && count > 2 * self.groups.count {
            self.indices[group.owner]?.keepTrue(group.owner)
        }
    }

    /// Takes the oldest held message that a consumer may get, of its own groups or of free ones.
    mutating func takeHeld(for consumer: UInt32) -> (delivery: ConsumerState.Delivery, group: MessageGroup)? {
        let own = consumer == MessageGroup.noOwner ? nil : self.first(consumer)
        let free = self.first(MessageGroup.noOwner)
        guard let place = [own, free].compactMap({ $0 }).min(by: { $0.order < $1.order }) else { return nil }
        return (self.removeHeld(place.group), place.group)
    }

    /// Takes the oldest of all held messages, wherever it may go; there is one.
    mutating func takeOldestHeld() -> ConsumerState.Delivery? {
        var oldest: MessageGroup?
        for group in self.groups.values {
            guard let order = group.held.firstOrder else { continue }
            if order < oldest?.held.firstOrder ?? .max {
                oldest = group
            }
        }
        guard let oldest else { return nil }
        let delivery = self.removeHeld(oldest)
        self.offer(oldest)
        self.forgetIfIdle(oldest)
        return delivery
    }

    /// Takes the held message at a place whose time is over; nil when none is held there.
    mutating func takeHeld(at sequence: UInt64) -> QueueEntry? {
        guard let (group, order) = self.timed.removeValue(forKey: sequence),
            let entry = group.held.remove(order: order)
        else { return nil }
        self.heldCount -= 1
        self.offer(group)
        self.forgetIfIdle(group)
        return entry
    }

    /// Takes everything that is held back, in no particular order.
    mutating func takeAllHeld(_ body: (ConsumerState.Delivery) -> Void) {
        for group in Array(self.groups.values) {
            while !group.held.isEmpty {
                body(self.removeHeld(group))
            }
            self.forgetIfIdle(group)
        }
    }

    private mutating func removeHeld(_ group: MessageGroup) -> ConsumerState.Delivery {
        let element = group.held.removeFirst()
        self.heldCount -= 1
        if element.entry.flags.contains(.hasDeadline) {
            self.timed[element.sequence] = nil
        }
        return ConsumerState.Delivery(sequence: element.sequence, entry: element.entry)
    }

    /// The first entry of an index that is still true.
    private mutating func first(_ owner: UInt32) -> Place? {
        while let place = self.indices[owner]?.first {
            if place.isTrue(owner) { return place }
            self.indices[owner]?.removeFirst()
        }
        self.indices[owner] = nil
        return nil
    }

    // MARK: What becomes of messages

    /// Whether a message that has not been looked at before may go to a consumer.
    func mayGo(_ group: MessageGroup, to consumer: UInt32) -> Bool {
        guard group.waiting == 0, group.held.isEmpty else { return false }
        return group.outstanding == 0 || group.owner == consumer
    }

    /// A message goes to a consumer, which acknowledges it later.
    mutating func deliver(_ sequence: UInt64, _ group: MessageGroup, to consumer: UInt32) {
        group.owner = consumer
        group.outstanding += 1
        self.byPlace[sequence] = group
        self.offer(group)
    }

    /// A message has gone and is done with at once.
    mutating func pass(_ group: MessageGroup) {
        self.offer(group)
        self.forgetIfIdle(group)
    }

    /// A message that was out is done with.
    mutating func settle(_ sequence: UInt64) {
        guard let group = self.byPlace.removeValue(forKey: sequence) else { return }
        self.release(group)
    }

    /// A message that was out, or waited, is ready again; returns whether it is held back.
    mutating func takeBack(_ delivery: ConsumerState.Delivery, wasWaiting: Bool) -> Bool {
        if wasWaiting {
            self.unknown.remove(delivery.sequence)
        }
        guard let group = self.byPlace.removeValue(forKey: delivery.sequence) else { return false }
        self.hold(delivery, group)
        if wasWaiting {
            group.waiting -= 1
            self.offer(group)
        } else {
            self.release(group)
        }
        return true
    }

    /// A message that was out waits before it is ready again.
    mutating func wait(_ sequence: UInt64) {
        guard let group = self.byPlace[sequence] else { return }
        group.waiting += 1
        self.release(group)
    }

    /// A message waits since before a restart.
    mutating func restoreWaiting(_ sequence: UInt64, _ message: MessageView) {
        self.unknown.remove(sequence)
        self.restored.insert(sequence)
        guard let group = self.group(of: message) else { return }
        group.waiting += 1
        self.byPlace[sequence] = group
    }

    /// A message waits since before a restart, and the disk must be asked for its group.
    mutating func restoreUnknown(_ sequence: UInt64) {
        self.unknown.insert(sequence)
        self.restored.insert(sequence)
    }

    /// Whether a message waits since before a restart.
    func isRestored(_ sequence: UInt64) -> Bool { self.restored.contains(sequence) }

    /// Takes what is held back of the group of a message that waits, in order.
    mutating func takeHeld(behind sequence: UInt64, _ body: (ConsumerState.Delivery) -> Void) {
        guard let group = self.byPlace[sequence] else { return }
        while !group.held.isEmpty {
            body(self.removeHeld(group))
        }
    }

    /// A message that waited is gone.
    mutating func forgetWaiting(_ sequence: UInt64) {
        self.unknown.remove(sequence)
        self.restored.remove(sequence)
        guard let group = self.byPlace.removeValue(forKey: sequence) else { return }
        group.waiting -= 1
        self.offer(group)
        self.forgetIfIdle(group)
    }

    private mutating func release(_ group: MessageGroup) {
        group.outstanding -= 1
        guard group.outstanding == 0 else { return }
        group.owner = MessageGroup.noOwner
        self.offer(group)
        self.forgetIfIdle(group)
    }

    /// Forgets a group that nothing is known of.
    mutating func forgetIfIdle(_ group: MessageGroup) {
        if group.isIdle {
            self.groups[group.key] = nil
        }
    }

    /// A consumer's number may be another one's next.
    mutating func forgetConsumer(_ consumer: UInt32) {
        self.indices[consumer] = nil
    }

    /// Hands over every message that is held back.
    func forEachHeld(_ body: (OrderedEntries.Element) -> Void) {
        for group in self.groups.values {
            group.held.forEach(body)
        }
    }
}
