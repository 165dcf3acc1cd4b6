internal import DequeModule

/// The publishers that an exchange with `x-message-deduplication` remembers, and how far each has come.
///
/// 1. Bounded in count and octets. Whoever has had nothing new for the longest time leaves first; a publisher that comes
///    back then is a new one.
/// 2. ``order`` holds every publisher at the place of the last message that was new, and places that count for nothing any
///    more: never more of those than publishers, and a few.
/// 3. What changes and has to be in the log is in ``untold`` until it is told.
struct PublisherTable: Sendable {
    /// A publisher, with its persistent messages or with the others.
    ///
    /// They count apart: what is to outlive the process is no duplicate of what is not.
    struct Name: Hashable, Sendable {
        /// The header's octets.
        let id: [UInt8]
        /// Whether its messages are to last.
        let isPersistent: Bool
    }

    /// What is known of a publisher.
    struct Entry: Sendable {
        /// Its numbers.
        var sequence: PublisherSequence
        /// Until when it is remembered, in milliseconds since 1970; the highest number is for ever.
        var deadline: UInt64
        /// When its last new message came, in the order of all publishers'.
        fileprivate(set) var stamp: UInt64
        /// Whether it is among ``PublisherTable/untold``.
        fileprivate var isUntold = false
    }

    /// The most publishers.
    let limit: Int
    private var entries: [Name: Entry] = [:]
    private var order: Deque<(name: Name, stamp: UInt64)> = []
    /// Octets that the publishers take.
    private(set) var bytes = 0
    /// Later stamps are not lower.
    private(set) var nextStamp: UInt64 = 1
    /// Publishers of whom the log has to be told.
    private(set) var untold: [Name] = []

    /// Makes a table without publishers.
    init(limit: Int) {
        self.limit = limit
    }

    /// The number of publishers, those with a time that has passed included.
    var count: Int { self.entries.count }
    /// The number of places, never more than twice the publishers and a few.
    var places: Int { self.order.count }

    /// What is known of a publisher whose time has not passed.
    func entry(of name: Name, now: UInt64) -> Entry? {
        guard let entry = self.entries[name], entry.deadline > now else { return nil }
        return entry
    }

    /// What is known of a publisher's number.
    func knowledge(of number: UInt64, from name: Name, now: UInt64) -> PublisherSequence.Knowledge {
        self.entry(of: name, now: now)?.sequence.knowledge(of: number) ?? .new
    }

    /// A publisher has had something new; those who leave are gone afterwards, as long as there is more than `most` octets.
    mutating func change(
        _ name: Name,
        deadline: UInt64,
        now: UInt64,
        most: Int = ShardLimits.windowBytes,
        _ body: (inout PublisherSequence) -> Void
    ) {
        // Taken out while it changes, so that it is not copied.
        var entry = self.take(name) ?? Entry(sequence: PublisherSequence(), deadline: 0, stamp: 0)
        if entry.deadline <= now, entry.stamp != 0 { entry.sequence = PublisherSequence() }
        body(&entry.sequence)
        entry.deadline = deadline
        if entry.stamp == 0 || self.order.last?.stamp != entry.stamp {
            entry.stamp = self.nextStamp
            self.nextStamp += 1
            self.order.append((name, entry.stamp))
        }
        self.put(name, entry)
        self.keepFew(now: now, most: most)
    }

    /// All shards have answered for a message; returns whether it changed anything.
    mutating func settle(_ name: Name, _ number: UInt64, ticket: UInt64, isRejected: Bool) -> Bool {
        guard var entry = self.take(name) else { return false }
        let isChanged = entry.sequence.settle(number, ticket: ticket, isRejected: isRejected)
        self.put(name, entry)
        return isChanged
    }

    private mutating func take(_ name: Name) -> Entry? {
        guard let entry = self.entries.removeValue(forKey: name) else { return nil }
        self.bytes -= Self.size(name, entry)
        return entry
    }

    private mutating func put(_ name: Name, _ entry: Entry) {
        self.bytes += Self.size(name, entry)
        self.entries[name] = entry
    }

    private static func size(_ name: Name, _ entry: Entry) -> Int {
        let sequence = entry.sequence
        return ShardLimits.publisherBytes + name.id.count
            + MemoryLayout<PublisherSequence.Hole>.stride * sequence.holes.count
            + ShardLimits.publisherOpenBytes * sequence.openCount
    }

    private mutating func keepFew(now: UInt64, most: Int) {
        while let oldest = self.order.first {
            if let entry = self.entries[oldest.name], entry.stamp == oldest.stamp {
                guard self.count > self.limit || self.bytes > most || entry.deadline <= now else { break }
                _ = self.take(oldest.name)
            }
            self.order.removeFirst()
        }
        if self.order.count > 2 * self.count + 16 {
            let entries = self.entries
            self.order.removeAll { entries[$0.name]?.stamp != $0.stamp }
        }
    }

    // MARK: The log

    /// The log has to be told of a publisher; returns whether it is the first one.
    mutating func noteUntold(_ name: Name) -> Bool {
        guard let entry = self.entries[name], !entry.isUntold else { return false }
        self.entries[name]?.isUntold = true
        self.untold.append(name)
        return self.untold.count == 1
    }

    /// Hands over what the log has to be told.
    mutating func tellUntold(_ body: (Name, Entry) -> Void) {
        let names = self.untold
        self.untold.removeAll(keepingCapacity: true)
        for name in names {
            guard let entry = self.entries[name], entry.isUntold else { continue }
            self.entries[name]?.isUntold = false
            body(name, entry)
        }
    }

    /// Hands over the publishers of persistent messages, those first who leave first, from a stamp on up to another, as
    /// long as there is budget.
    ///
    /// Returns the stamp to go on with; nil when all were handed over.
    func forEachPersistent(
        from stamp: UInt64,
        to end: UInt64,
        _ budget: inout Int,
        _ body: (Name, Entry) -> Void
    ) -> UInt64? {
        // Stamps grow along the order.
        var low = 0
        var high = self.order.count
        while low < high {
            let middle = (low + high) / 2
            if self.order[middle].stamp < stamp { low = middle + 1 } else { high = middle }
        }
        for index in low..<self.order.count {
            let (name, stamp) = self.order[index]
            guard stamp < end else { return nil }
            guard budget > 0 else { return stamp }
            guard name.isPersistent, let entry = self.entries[name], entry.stamp == stamp else { continue }
            budget -= Self.size(name, entry)
            body(name, entry)
        }
        return nil
    }

    /// A publisher as a record of the log has it; it is the last one to leave.
    mutating func restore(_ name: Name, _ sequence: PublisherSequence, deadline: UInt64) {
        _ = self.take(name)
        self.put(name, Entry(sequence: sequence, deadline: deadline, stamp: self.nextStamp))
        self.order.append((name, self.nextStamp))
        self.nextStamp += 1
        self.keepFew(now: 0, most: ShardLimits.windowBytes)
    }
}
