import AMQPProtocol
internal import DequeModule

/// The keys of the last messages that an exchange with `x-message-deduplication` has let through.
///
/// Bounded in count and octets; the oldest key goes first. A key whose time has passed counts as not there.
struct DeduplicationWindow: Sendable {
    /// A key that is known.
    struct Entry: Sendable {
        /// Milliseconds since 1970; the highest number is for ever.
        let deadline: UInt64
        /// Whether the log knows the key, or will.
        let isLogged: Bool
        /// Which of several messages with the key this is.
        let stamp: UInt64
        /// The publish that other shards have not answered; 0 when all have.
        var ticket: UInt64
    }

    /// The most keys.
    let limit: Int
    private var entries: [[UInt8]: Entry] = [:]
    private var order: Deque<(key: [UInt8], stamp: UInt64)> = []
    private var bytes = 0
    private var nextStamp: UInt64 = 0

    /// Makes a window without keys for an exchange with these arguments.
    init(_ arguments: FieldTable) {
        self.limit = DeduplicationArguments.size(arguments)
    }

    /// The number of keys, those with a time that has passed included.
    var count: Int { self.entries.count }

    /// The entry of a key that was seen and whose time has not passed.
    func entry(of key: [UInt8], now: UInt64) -> Entry? {
        guard let entry = self.entries[key], entry.deadline > now else { return nil }
        return entry
    }

    /// Adds a key as the newest.
    mutating func insert(_ key: [UInt8], deadline: UInt64, isLogged: Bool, ticket: UInt64 = 0) {
        self.nextStamp += 1
        let stamp = self.nextStamp
        self.entries[key] = Entry(deadline: deadline, isLogged: isLogged, stamp: stamp, ticket: ticket)
        self.order.append((key, stamp))
        self.bytes += key.count + ShardLimits.windowKeyBytes
        while self.order.count > self.limit || self.bytes > ShardLimits.windowBytes,
            let oldest = self.order.popFirst()
        {
            self.bytes -= oldest.key.count + ShardLimits.windowKeyBytes
            if self.entries[oldest.key]?.stamp == oldest.stamp {
                self.entries[oldest.key] = nil
            }
        }
    }

    /// A publish was answered: its key is known from now on, or forgotten when a queue has refused the message.
    mutating func settle(_ key: [UInt8], ticket: UInt64, isRejected: Bool) {
        guard self.entries[key]?.ticket == ticket else { return }
        if isRejected {
            // Its place in the order counts until it is the oldest.
            self.entries[key] = nil
        } else {
            self.entries[key]?.ticket = 0
        }
    }

    /// Hands over what a start has to know, oldest first.
    func forEachLogged(_ body: (_ key: [UInt8], _ deadline: UInt64) -> Void) {
        for (key, stamp) in self.order {
            guard let entry = self.entries[key], entry.stamp == stamp, entry.isLogged, entry.ticket == 0 else {
                continue
            }
            body(key, entry.deadline)
        }
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
