/// Instants as text: ISO 8601 as Python's `isoformat` and the profile of the internet (RFC 3339) write them.
///
/// `2026-11-26T01:02:03.456789+01:00`: date, `T` or a space, time, perhaps a fraction of up to nine digits, and `Z` or an
/// offset from UTC, with seconds if somebody needs them. A text without an offset says no instant, and so is none.
enum DateTimeText {
    /// Milliseconds since 1970, rounded up; nil for what is no instant, or before 1970.
    static func milliseconds(_ octets: some RandomAccessCollection<UInt8>) -> UInt64? {
        var reader = Reader(rest: Array(octets)[...])
        guard let days = self.days(&reader), reader.skip(anyOf: "Tt "), let seconds = self.seconds(&reader) else {
            return nil
        }
        guard let fraction = reader.fraction(), let offset = self.offset(&reader), reader.rest.isEmpty else {
            return nil
        }
        // At most 9999 years: far from any overflow.
        let total = (days * 86_400 + seconds - offset) * 1000 + fraction
        return UInt64(exactly: total)
    }

    private static func days(_ reader: inout Reader) -> Int64? {
        guard let year = reader.number(digits: 4), reader.skip(anyOf: "-"),
            let month = reader.number(digits: 2), reader.skip(anyOf: "-"),
            let day = reader.number(digits: 2), (1...12).contains(month), day >= 1,
            day <= self.days(in: month, of: year)
        else { return nil }
        // Years begin in March, so that the day that some have more is the last one.
        let shifted = month > 2 ? year : year - 1
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        let leapDays = shifted >= 0 ? shifted / 4 - shifted / 100 + shifted / 400 : -1
        return 365 * shifted + leapDays + dayOfYear - 719_468
    }

    private static func days(in month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Seconds of the day; the last one of a day may be a leap second.
    private static func seconds(_ reader: inout Reader) -> Int64? {
        guard let hour = reader.number(digits: 2), reader.skip(anyOf: ":"),
            let minute = reader.number(digits: 2), reader.skip(anyOf: ":"),
            let second = reader.number(digits: 2), hour < 24, minute < 60, second <= 60
        else { return nil }
        return hour * 3600 + minute * 60 + second
    }

    /// Seconds that the time is ahead of UTC.
    private static func offset(_ reader: inout Reader) -> Int64? {
        if reader.skip(anyOf: "Zz") { return 0 }
        let isAhead = reader.rest.first == UInt8(ascii: "+")
        guard reader.skip(anyOf: "+-"), let hours = reader.number(digits: 2), reader.skip(anyOf: ":"),
            let minutes = reader.number(digits: 2), hours < 24, minutes < 60
        else { return nil }
        var seconds = hours * 3600 + minutes * 60
        if reader.skip(anyOf: ":") {
            guard let rest = reader.number(digits: 2), rest < 60 else { return nil }
            seconds += rest
        }
        return isAhead ? seconds : -seconds
    }

    /// What has not been read.
    private struct Reader {
        var rest: ArraySlice<UInt8>

        mutating func skip(anyOf octets: StaticString) -> Bool {
            guard let next = self.rest.first,
                UnsafeBufferPointer(start: octets.utf8Start, count: octets.utf8CodeUnitCount).contains(next)
            else { return false }
            self.rest.removeFirst()
            return true
        }

        mutating func digit() -> Int64? {
            guard let next = self.rest.first, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) else { return nil }
            self.rest.removeFirst()
            return Int64(next - UInt8(ascii: "0"))
        }

        mutating func number(digits: Int) -> Int64? {
            var value: Int64 = 0
            for _ in 0..<digits {
                guard let digit = self.digit() else { return nil }
                value = value * 10 + digit
            }
            return value
        }

        /// Milliseconds of a fraction of a second, rounded up; 0 without one, nil when there are no digits, or too many.
        mutating func fraction() -> Int64? {
            guard self.skip(anyOf: ".,") else { return 0 }
            var nanoseconds: Int64 = 0
            var unit: Int64 = 100_000_000
            guard self.rest.first.map({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) == true else {
                return nil
            }
            while let digit = self.digit() {
                guard unit > 0 else { return nil }
                nanoseconds += digit * unit
                unit /= 10
            }
            return (nanoseconds + 999_999) / 1_000_000
        }
    }
}
