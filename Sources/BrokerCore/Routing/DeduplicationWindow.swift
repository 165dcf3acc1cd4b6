import AMQPProtocol
internal import DequeModule

/// The keys of the last messages that an exchange with `x-message-deduplication` has let through.
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

    /// The most keys.
    let limit: Int
    private var entries: [[UInt8]: Entry] = [:]
    private var order: Deque<(key: [UInt8], stamp: UInt64)> = []
    /// Octets that the keys take.
    private(set) var bytes = 0
    private var nextStamp: UInt64 = 1

    /// Makes a window without keys for an exchange with these arguments.
    init(_ arguments: FieldTable) {
        self.limit = DeduplicationArguments.size(arguments)
    }

    /// The number of keys, those with a time that has passed included.
    var count: Int { self.entries.count }
    /// The number of places, never more than twice the keys and a few.
    var places: Int { self.order.count }

    /// The entry of a key that was seen and whose time has not passed.
    func entry(of key: [UInt8], now: UInt64) -> Entry? {
        guard let entry = self.entries[key], entry.deadline > now else { return nil }
        return entry
    }

    /// Whether a message with a key is a duplicate.
    func standsFor(_ key: [UInt8], isPersistent: Bool, now: UInt64) -> Bool {
        self.entry(of: key, now: now).map { $0.isPersistent || !isPersistent } ?? false
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
        self.bytes += Self.size(key)
        while let oldest = self.order.first {
            if let entry = self.entries[oldest.key], entry.stamp == oldest.stamp {
                guard self.count > self.limit || self.bytes > most || entry.deadline <= now else { break }
                self.remove(oldest.key)
            }
            self.order.removeFirst()
        }
        if self.order.count > 2 * self.count + 16 {
            let entries = self.entries
            self.order.removeAll { entries[$0.key]?.stamp != $0.stamp }
        }
    }

    private mutating func remove(_ key: [UInt8]) {
        if self.entries.removeValue(forKey: key) != nil {
            self.bytes -= Self.size(key)
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

/// The arguments and headers of deduplication.
enum DeduplicationArguments {
    private static let isOnKey: ShortString = "x-message-deduplication"
    private static let sizeKey: ShortString = "x-cache-size"
    private static let timeKey: ShortString = "x-cache-ttl"
    private static let headerKey: ShortString = "x-deduplication-header"

    /// Whether an exchange lets a message through once only.
    static func isOn(_ arguments: FieldTable) -> Bool { arguments[self.isOnKey]?.booleanValue == true }

    /// How many keys an exchange remembers.
    static func size(_ arguments: FieldTable) -> Int {
        max(1, Int(clamping: arguments[self.sizeKey]?.integerValue ?? 128))
    }

    /// The header that holds the key.
    static func header(_ arguments: FieldTable) -> ShortString {
        arguments[self.headerKey]?.stringValue.flatMap { ShortString($0) } ?? self.headerKey
    }

    /// The octets of a message's key, its type among them; nil without one.
    static func key(
        _ entries: [(key: ShortString, value: FieldValue)],
        _ arguments: FieldTable
    ) -> [UInt8]? {
        MessageHeaders.find(self.header(arguments), in: entries).map { FieldTable([("", $0)]).encodedBytes }
    }

    /// Until when a message's key is known, in milliseconds since 1970: its own header counts before the exchange's.
    static func deadline(
        _ entries: [(key: ShortString, value: FieldValue)],
        _ arguments: FieldTable,
        now: UInt64
    ) -> UInt64 {
        let own = MessageHeaders.find(self.timeKey, in: entries)?.integerValue.flatMap { $0 > 0 ? $0 : nil }
        guard let time = own ?? arguments[self.timeKey]?.integerValue else { return .max }
        let (deadline, overflow) = now.addingReportingOverflow(UInt64(max(time, 0)))
        return overflow ? .max : deadline
    }

    /// Why an exchange cannot be declared with arguments; nil when it can.
    static func refusal(_ arguments: FieldTable) -> String? {
        guard let isOn = arguments[self.isOnKey] else { return nil }
        guard let isOn = isOn.booleanValue else {
            return "Invalid argument \(ErlangTerm.text(isOn)), '\(self.isOnKey)' must be a boolean"
        }
        guard isOn else { return nil }
        for key in [self.sizeKey, self.timeKey] {
            if let value = arguments[key], (value.integerValue ?? 0) < 1 {
                return "Invalid argument \(ErlangTerm.text(value)), '\(key)' must be a positive integer"
            }
        }
        if let name = arguments[self.headerKey], name.stringValue.flatMap({ ShortString($0) })?.isEmpty ?? true {
            return "Invalid argument \(ErlangTerm.text(name)), '\(self.headerKey)' must be the name of a header"
        }
        return nil
    }
}
