import AMQPProtocol

/// The arguments and headers of deduplication.
enum DeduplicationArguments {
    private static let isOnKey: ShortString = "x-message-deduplication"
    private static let sizeKey: ShortString = "x-cache-size"
    private static let timeKey: ShortString = "x-cache-ttl"
    /// Where the plugin keeps keys; ours are as durable as their messages.
    private static let placeKey: ShortString = "x-cache-persistence"
    private static let headerKey: ShortString = "x-deduplication-header"
    private static let publishersKey: ShortString = "x-max-publishers"

    /// Whether an exchange lets a message through once only.
    static func isOn(_ arguments: FieldTable) -> Bool { arguments[self.isOnKey]?.booleanValue == true }

    /// How many keys an exchange remembers.
    static func size(_ arguments: FieldTable) -> Int {
        max(1, Int(clamping: arguments[self.sizeKey].flatMap { self.number($0) } ?? 128))
    }

    /// How many publishers an exchange remembers.
    static func publishers(_ arguments: FieldTable) -> Int {
        max(1, Int(clamping: arguments[self.publishersKey]?.integerValue ?? Int64(ShardLimits.publishers)))
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
        guard let time = own ?? arguments[self.timeKey].flatMap({ self.number($0) }) else { return .max }
        let (deadline, overflow) = now.addingReportingOverflow(UInt64(max(time, 0)))
        return overflow ? .max : deadline
    }

    /// A number; the plugin's exchange takes text that begins with one, too.
    private static func number(_ value: FieldValue) -> Int64? {
        value.integerValue
            ?? value.stringValue.flatMap { text in
                Int64(
                    String(
                        decoding: text.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) },
                        as: UTF8.self
                    )
                )
            }
    }

    /// Why an exchange of the plugin's type cannot be declared with arguments; nil when it can.
    static func refusalOfType(_ arguments: FieldTable) -> String? {
        guard let size = arguments[self.sizeKey], self.number(size) ?? 0 > 0 else {
            return "Missing or invalid argument, '\(self.sizeKey)' must be an integer greater than 0"
        }
        if let time = arguments[self.timeKey], self.number(time) ?? 0 < 1 {
            return "Invalid argument, '\(self.timeKey)' must be an integer greater than 0"
        }
        if let place = arguments[self.placeKey],
            !["disk", "memory"].contains(place.stringValue.map { ShortString($0) })
        {
            return "Invalid argument, '\(self.placeKey)' must be either 'disk' or 'memory'"
        }
        return nil
    }

    /// Why an exchange cannot be declared with arguments; nil when it can.
    static func refusal(_ arguments: FieldTable) -> String? {
        guard let isOn = arguments[self.isOnKey] else { return nil }
        guard let isOn = isOn.booleanValue else {
            return "Invalid argument \(ErlangTerm.text(isOn)), '\(self.isOnKey)' must be a boolean"
        }
        guard isOn else { return nil }
        for key in [self.sizeKey, self.timeKey, self.publishersKey] {
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
