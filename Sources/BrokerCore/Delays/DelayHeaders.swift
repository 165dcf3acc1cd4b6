import AMQPProtocol

/// The headers by which a message asks to wait.
///
/// `x-delay` is a number of milliseconds, of any integer type. It is turned negative when it has passed, as by the
/// delayed message exchange of RabbitMQ: a message that goes on to another such exchange does not wait again.
/// `x-deliver-at` is a point in time: milliseconds since 1970, or a timestamp.
enum DelayHeaders {
    static let delay: ShortString = "x-delay"
    static let deliverAt: ShortString = "x-deliver-at"

    /// How long a message is to wait by `x-delay`; nil when not at all.
    static func delay(_ entries: [(key: ShortString, value: FieldValue)]) -> UInt64? {
        guard let delay = MessageHeaders.find(self.delay, in: entries)?.integerValue, delay > 0 else { return nil }
        return UInt64(delay)
    }

    /// Until when a message is to wait, in milliseconds since 1970; nil when its time has come.
    static func deadline(_ entries: [(key: ShortString, value: FieldValue)], now: UInt64) -> UInt64? {
        if let delay = self.delay(entries) {
            let (deadline, overflow) = now.addingReportingOverflow(delay)
            return overflow ? .max : deadline
        }
        guard let value = MessageHeaders.find(self.deliverAt, in: entries), let time = self.milliseconds(value),
            time > now
        else { return nil }
        return time
    }

    private static func milliseconds(_ value: FieldValue) -> UInt64? {
        if case .timestamp(let seconds) = value {
            let (time, overflow) = seconds.multipliedReportingOverflow(by: 1000)
            return overflow ? .max : time
        }
        return value.integerValue.flatMap { UInt64(exactly: $0) }
    }

    /// What a message that has waited looks like: `x-delay` negative, `BCC` taken out.
    ///
    /// Nil properties are the ones that came. `extraKeys` are those of `CC` and `BCC`, which were checked when the
    /// message came.
    static func afterwards(_ properties: UnsafeRawBufferPointer) -> (properties: [UInt8]?, extraKeys: [[UInt8]]) {
        var reader = WireReader(properties)
        guard var decoded = try? BasicProperties(from: &reader), let headers = decoded.headers else { return (nil, []) }
        var extraKeys: [[UInt8]] = []
        var isChanged = false
        var kept: [(ShortString, FieldValue)] = []
        for (key, value) in headers {
            if key == "CC" || key == "BCC", case .array(let array) = value {
                extraKeys += array.compactMap { $0.stringValue.map { Array($0.prefix(255)) } }
            }
            if key == "BCC" {
                isChanged = true
            } else if key == self.delay, let delay = value.integerValue, delay > 0 {
                isChanged = true
                kept.append((key, self.negative(delay, value)))
            } else {
                kept.append((key, value))
            }
        }
        guard isChanged else { return (nil, extraKeys) }
        decoded.headers = FieldTable(kept)
        return (decoded.encoded, extraKeys)
    }

    /// The negative number in the type that it came in, if that has a sign, else in the smallest that holds it.
    private static func negative(_ delay: Int64, _ value: FieldValue) -> FieldValue {
        switch value {
        case .int8(let number): .int8(-number)
        case .int16(let number): .int16(-number)
        case .int64: .int64(-delay)
        case .int64L: .int64L(-delay)
        default: Int32(exactly: -delay).map { .int32($0) } ?? .int64(-delay)
        }
    }
}

extension BasicProperties {
    /// The octets of the properties, flags first.
    var encoded: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: self.encodedSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            self.encode(into: &writer)
            count = writer.offset
        }
    }
}
