import AMQPProtocol
internal import DequeModule

/// The keys of the last messages that an exchange with `x-message-deduplication` has let through, and how far publishers
/// that number their messages have come.
///
/// 1. Bounded in count and octets; the oldest key goes first.
/// 2. A key whose time has passed counts as not there. It goes when it is the oldest, so that a window whose keys all
///    have the same time holds no more than came in that time.
/// 3. `order` holds every key at the place of its last message, and places that count for nothing any more (the key came
///    again, or a queue has refused its message): never more of those than keys, and a few.
struct DeduplicationWindow: Sendable {
    /// A key that is known.
    struct Entry: Sendable {
        /// Milliseconds since 1970; the highest number is for ever.
        let deadline: UInt64
        /// Whether the log knows the key, or will.
        let isLogged: Bool
        /// Whether its message was to last, so that one that is to last, too, is a duplicate of it.
        let isPersistent: Bool
        /// Which of several messages with the key this is.
        let stamp: UInt64
        /// The publish that other shards have not answered; 0 when all have.
        var ticket: UInt64
    }

    /// What is known of a message that comes.
    enum Knowledge {
        /// It goes through; perhaps in place of one with its key that was not to last.
        case new(former: Entry?)
        /// Another one is under way.
        case underWay(ticket: UInt64)
        /// Another one is where it belongs.
        case known(isLogged: Bool)

        /// Whether the message goes no further.
        var isDuplicate: Bool {
            if case .new = self { false } else { true }
        }
    }

    /// The most keys.
    let limit: Int
    private var entries: [[UInt8]: Entry] = [:]
    private var order: Deque<(key: [UInt8], stamp: UInt64)> = []
    /// Publishers that number their messages.
    var publishers: PublisherTable
    private var keyBytes = 0
    private var nextStamp: UInt64 = 1

    /// Makes a window without keys for an exchange with these arguments.
    init(_ arguments: FieldTable) {
        self.limit = DeduplicationArguments.size(arguments)
        self.publishers = PublisherTable(limit: DeduplicationArguments.publishers(arguments))
    }

    /// Octets that keys and publishers take.
    var bytes: Int { self.keyBytes + self.publishers.bytes }

    /// The number of keys, those with a time that has passed included.
    var count: Int { self.entries.count }
    /// The number of places, never more than twice the keys and a few.
    var places: Int { self.order.count }

    /// The entry of a key that was seen and whose time has not passed.
    func entry(of key: [UInt8], now: UInt64) -> Entry? {
        guard let entry = self.entries[key], entry.deadline > now else { return nil }
        return entry
    }

    /// What is known of a message.
    func knowledge(of identity: MessageIdentity, isPersistent: Bool, now: UInt64) -> Knowledge {
        switch identity {
        case .key(let key):
            let entry = self.entry(of: key, now: now)
            guard let entry, entry.isPersistent || !isPersistent else { return .new(former: entry) }
            return entry.ticket == 0 ? .known(isLogged: entry.isLogged) : .underWay(ticket: entry.ticket)
        case .number(let number, let name):
            return switch self.publishers.knowledge(of: number, from: name, now: now) {
            case .new: .new(former: nil)
            case .underWay(let ticket): .underWay(ticket: ticket)
            case .known: .known(isLogged: isPersistent)
            }
        }
    }

    /// The publish that other shards have not answered and that stands for a key; 0 when there is none.
    func ticket(of key: [UInt8]) -> UInt64 { self.entries[key]?.ticket ?? 0 }

    /// Adds a key as the newest; the oldest go while there is more than `most` octets, or while their time has passed.
    mutating func insert(
        _ key: [UInt8],
        deadline: UInt64,
        isLogged: Bool,
        isPersistent: Bool = true,
        ticket: UInt64 = 0,
        now: UInt64 = 0,
        most: Int = ShardLimits.windowBytes
    ) {
        let stamp = self.nextStamp
        self.nextStamp += 1
        self.remove(key)
        self.entries[key] = Entry(
            deadline: deadline,
            isLogged: isLogged,
            isPersistent: isPersistent,
            stamp: stamp,
            ticket: ticket
        )
        self.order.append((key, stamp))
        self.keyBytes += Self.size(key)
        while let oldest = self.order.first {
            if let entry = self.entries[oldest.key], entry.stamp == oldest.stamp {
                guard self.count > self.limit || self.keyBytes > most || entry.deadline <= now else { break }
                self.remove(oldest.key)
            }
            self.order.removeFirst()
        }
        if self.order.count > 2 * self.count + 16 {
            let entries = self.entries
            self.order.removeAll { entries[$0.key]?.stamp != $0.stamp }
        }
    }

    /// Adds the key of a message that has gone its way.
    mutating func insert(
        _ key: [UInt8],
        _ message: DeduplicationWindows.Pending,
        ticket: UInt64,
        now: UInt64,
        most: Int
    ) {
        self.insert(
            key,
            deadline: message.deadline,
            isLogged: message.isLogged,
            isPersistent: message.isPersistent,
            ticket: ticket,
            now: now,
            most: most - self.publishers.bytes
        )
    }

    /// A publisher has had something new; there may be `most` octets, those of keys included.
    mutating func changePublisher(
        _ name: PublisherTable.Name,
        deadline: UInt64,
        now: UInt64,
        most: Int,
        _ body: (inout PublisherSequence) -> Void
    ) {
        self.publishers.change(name, deadline: deadline, now: now, most: most - self.keyBytes, body)
    }

    private mutating func remove(_ key: [UInt8]) {
        if self.entries.removeValue(forKey: key) != nil {
            self.keyBytes -= Self.size(key)
        }
    }

    private static func size(_ key: [UInt8]) -> Int { key.count + ShardLimits.windowKeyBytes }

    /// A publish was answered: its key is known from now on; or, when a queue has refused the message, forgotten or what
    /// it was before.
    mutating func settle(_ key: [UInt8], ticket: UInt64, isRejected: Bool, former: Entry? = nil) {
        guard let entry = self.entries[key], entry.ticket == ticket else { return }
        guard isRejected else {
            self.entries[key]?.ticket = 0
            return
        }
        guard let former else {
            self.remove(key)
            return
        }
        self.entries[key] = Entry(
            deadline: former.deadline,
            isLogged: former.isLogged,
            isPersistent: former.isPersistent,
            stamp: entry.stamp,
            ticket: former.ticket
        )
    }

    /// Hands over what a start has to know, oldest first, from a place on, as long as there is budget.
    ///
    /// Returns the place to go on with; nil when all was handed over. What comes meanwhile the log is told anyway.
    func forEachLogged(
        from place: UInt64,
        _ budget: inout Int,
        _ body: (_ key: [UInt8], _ deadline: UInt64) -> Void
    ) -> UInt64? {
        // Stamps grow along the order.
        var low = 0
        var high = self.order.count
        while low < high {
            let middle = (low + high) / 2
            if self.order[middle].stamp < place { low = middle + 1 } else { high = middle }
        }
        for index in low..<self.order.count {
            let (key, stamp) = self.order[index]
            guard budget > 0 else { return stamp }
            guard let entry = self.entries[key], entry.stamp == stamp, entry.isLogged, entry.ticket == 0 else {
                continue
            }
            budget -= Self.size(key)
            body(key, entry.deadline)
        }
        return nil
    }
}
