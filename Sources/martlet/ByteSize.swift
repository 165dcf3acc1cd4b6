/// Amounts of memory as people write them.
enum ByteSize {
    private static let units: [(suffix: String, factor: UInt64)] = [
        ("kib", 1 << 10), ("mib", 1 << 20), ("gib", 1 << 30), ("tib", 1 << 40),
        ("kb", 1_000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("tb", 1_000_000_000_000),
        ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("b", 1),
    ]

    /// Octets of `512MiB`, `2GB`, `1048576` or, as a part of `total`, `40%`; nil for anything else.
    static func parse(_ text: String, total: UInt64) -> UInt64? {
        let text = text.filter { $0 != " " }.lowercased()
        if text.hasSuffix("%") {
            guard let percent = self.digits(text.dropLast()), (1...100).contains(percent) else { return nil }
            return total / 100 * percent
        }
        for unit in self.units where text.hasSuffix(unit.suffix) {
            guard let count = self.digits(text.dropLast(unit.suffix.count)) else { return nil }
            let (size, overflow) = count.multipliedReportingOverflow(by: unit.factor)
            return overflow ? nil : size
        }
        return self.digits(text[...])
    }

    private static func digits(_ text: Substring) -> UInt64? {
        text.allSatisfy { ("0"..."9").contains($0) } ? UInt64(text) : nil
    }
}
