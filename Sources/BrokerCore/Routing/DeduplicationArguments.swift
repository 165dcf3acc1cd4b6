import AMQPProtocol

/// The arguments and headers of deduplication.
enum DeduplicationArguments {
    private static let isOnKey: ShortString = "x-message-deduplication"
    private static let sizeKey: ShortString = "x-cache-size"
    private static let timeKey: ShortString = "x-cache-ttl"
    private static let headerKey: ShortString = "x-deduplication-header"
    private static let publishersKey: ShortString = "x-max-publishers"

    /// Whether an exchange lets a message through once only.
    static func isOn(_ arguments: FieldTable) -> Bool { arguments[self.isOnKey]?.booleanValue == true }

    /// How many keys an exchange remembers.
    static func size(_ arguments: FieldTable) -> Int {
        max(1, Int(clamping: arguments[self.sizeKey]?.integerValue ?? 128))
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
