/// The names in a log's directory.
enum LogFileName {
    /// What is being made; worthless after a crash.
    static let unfinished = "log-new"

    private static let logPrefix = "log-"
    private static let sparePrefix = "spare-"

    /// A file with records.
    static func log(_ sequence: UInt64) -> String { self.logPrefix + self.digits(sequence) }

    /// A file of the full size that holds nothing of use, ready to be used again.
    static func spare(_ sequence: UInt64) -> String { self.sparePrefix + self.digits(sequence) }

    /// Where a damaged file is kept for whoever wants to look at it.
    static func damaged(_ name: String) -> String { "damaged-" + name }

    /// The number of a file with records, or nil when the name is another's.
    static func logSequence(_ name: String) -> UInt64? { self.sequence(name, self.logPrefix) }

    /// The number of a spare file, or nil when the name is another's.
    static func spareSequence(_ name: String) -> UInt64? { self.sequence(name, self.sparePrefix) }

    /// A number as sixteen hexadecimal digits, so that names sort as the numbers do.
    static func digits(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The number in a name made of a prefix and `digits`, or nil when the name is another's.
    static func sequence(_ name: String, _ prefix: String) -> UInt64? {
        guard name.hasPrefix(prefix) else { return nil }
        let digits = name.dropFirst(prefix.count)
        guard digits.utf8.count == 16, let number = UInt64(digits, radix: 16), self.digits(number) == digits else {
            return nil
        }
        return number
    }
}
