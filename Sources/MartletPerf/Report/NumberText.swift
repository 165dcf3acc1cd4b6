/// Numbers as a person reads them, the same in every locale.
enum NumberText {
    /// A whole number with commas between thousands.
    static func grouped(_ value: UInt64) -> String {
        var digits = Array(String(value))
        var index = digits.count - 3
        while index > 0 {
            digits.insert(",", at: index)
            index -= 3
        }
        return String(digits)
    }

    /// A number with so many digits after the point.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        var scale: UInt64 = 1
        for _ in 0..<digits {
            scale *= 10
        }
        let scaled = UInt64((abs(value) * Double(scale)).rounded())
        let sign = value < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        let fraction = String(scaled % scale)
        return "\(sign)\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// A number per second, with commas.
    static func rate(_ perSecond: Double) -> String {
        guard perSecond.isFinite, perSecond >= 0, perSecond < 1e15 else { return "-/s" }
        return self.grouped(UInt64(perSecond.rounded())) + "/s"
    }

    /// A stretch of time with three significant digits and the unit that fits.
    static func duration(nanoseconds: UInt64) -> String {
        let value = Double(nanoseconds)
        switch value {
        case ..<1e3: return "\(nanoseconds) ns"
        case ..<1e6: return self.significant(value / 1e3) + " µs"
        case ..<1e9: return self.significant(value / 1e6) + " ms"
        default: return self.significant(value / 1e9) + " s"
        }
    }

    /// A number of octets with the binary unit that fits.
    static func bytes(_ count: UInt64) -> String {
        switch count {
        case ..<1024: "\(count) B"
        case ..<(1 << 20): self.significant(Double(count) / 1024) + " KiB"
        case ..<(1 << 30): self.significant(Double(count) / 1_048_576) + " MiB"
        default: self.significant(Double(count) / 1_073_741_824) + " GiB"
        }
    }

    private static func significant(_ value: Double) -> String {
        // The borders leave room for rounding: 9.996 is 10.0, not 10.00.
        self.fixed(value, value < 9.995 ? 2 : value < 99.95 ? 1 : 0)
    }

    /// A count with its noun, in the plural where it takes one.
    static func count(_ count: Int, _ noun: String) -> String {
        "\(self.grouped(UInt64(max(0, count)))) \(noun)\(count == 1 ? "" : "s")"
    }
}
