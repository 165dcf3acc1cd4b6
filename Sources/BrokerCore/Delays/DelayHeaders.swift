import AMQPProtocol

/// The headers by which a message asks to wait.
///
/// `x-delay` is a number of milliseconds, of any integer type, a fraction or the number as text. It is turned negative
/// when it has passed, as by the delayed message exchange of RabbitMQ: a message that goes on to another such exchange
/// does not wait again.
/// `x-deliver-at` is a point in time: milliseconds since 1970, or a timestamp.
struct DelayHeaders {
    static let delay: ShortString = "x-delay"
    static let deliverAt: ShortString = "x-deliver-at"

    /// Which of the names that we look at are there.
    private(set) var names = HeaderNames()
    /// Offsets of the values' tags; 0 is none, since a name stands in front.
    private(set) var delayPlace = 0
    private var deliverAtPlace = 0

    /// The entries are well-formed, and none is a table or an array.
    private(set) var isPlain = false

    /// The octets of `x-delay` with its length in front, as a number whose lowest octet is the first.
    static let delayName: UInt64 = 0x7961_6C65_642D_7807

    /// When a delay that begins now has passed; saturates.
    @inline(__always)
    static func deadline(after delay: Int64, now: UInt64) -> UInt64 {
        let (deadline, overflow) = now.addingReportingOverflow(UInt64(truncatingIfNeeded: delay))
        return overflow ? .max : deadline
    }

    /// Walks over the entries of a table, without its length; they were checked when the message came, or are checked now
    /// if they are plain.
    ///
    /// Nothing is decoded or allocated.
    @inline(__always)
    init(in table: UnsafeRawBufferPointer) {
        guard let base = table.baseAddress else { return }
        var isPlain = true
        var offset = 0
        let count = table.count
        while offset < count {
            let size = Int(base.load(fromByteOffset: offset, as: UInt8.self))
            let value = offset &+ 1 &+ size
            guard value < count, let width = HeaderNames.width(of: base, count, at: value) else { return }
            let name = HeaderNames(name: base + (offset &+ 1), size: size)
            if name == .delay {
                // Of several with one name the first counts.
                if size == 7 && self.delayPlace == 0 { self.delayPlace = value }
                if size == 12 && self.deliverAtPlace == 0 { self.deliverAtPlace = value }
            }
            self.names.formUnion(name)
            let tag = base.load(fromByteOffset: value, as: UInt8.self)
            isPlain = isPlain && tag != FieldTag.table.rawValue && tag != FieldTag.array.rawValue
            offset = value &+ 1 &+ width
        }
        self.isPlain = isPlain && offset == count
    }

    /// ``deadline(_:now:)`` of the table that was walked over.
    func deadline(_ table: UnsafeRawBufferPointer, _ now: UInt64) -> UInt64? {
        if self.delayPlace != 0, let delay = Self.delay(table, self.delayPlace), delay > 0 {
            return Self.deadline(after: delay, now: now)
        }
        guard self.deliverAtPlace != 0 else { return nil }
        return Self.milliseconds(table, self.deliverAtPlace).flatMap { $0 > now ? $0 : nil }
    }

    /// The instant that a timestamp or a number of milliseconds since 1970 is, by the place of its tag.
    static func milliseconds(_ table: UnsafeRawBufferPointer, _ place: Int) -> UInt64? {
        guard FieldTag(rawValue: table[place]) == .timestamp else {
            return Self.integer(table, place).flatMap { UInt64(exactly: $0) }
        }
        let seconds = table.loadUnaligned(fromByteOffset: place + 1, as: UInt64.self)
        let (product, overflow) = UInt64(bigEndian: seconds).multipliedReportingOverflow(by: 1000)
        return overflow ? .max : product
    }

    /// The delay behind a tag; nil when there is none.
    private static func delay(_ table: UnsafeRawBufferPointer, _ place: Int) -> Int64? {
        if let integer = self.integer(table, place) { return integer }
        let value = table.baseAddress.map { $0 + (place + 1) }
        switch (FieldTag(rawValue: table[place]), value) {
        case (.float, let value?):
            return self.whole(Double(Float(bitPattern: UInt32(bigEndian: value.loadUnaligned(as: UInt32.self)))))
        case (.double, let value?):
            return self.whole(Double(bitPattern: UInt64(bigEndian: value.loadUnaligned(as: UInt64.self))))
        case (.longString, let value?):
            let size = Int(UInt32(bigEndian: value.loadUnaligned(as: UInt32.self)))
            return self.number(UnsafeRawBufferPointer(start: value + 4, count: size))
        default:
            return nil
        }
    }

    /// A delay as a value of a table; nil when it is none.
    private static func delay(_ value: FieldValue) -> Int64? {
        switch value {
        case .float(let number): self.whole(Double(number))
        case .double(let number): self.whole(number)
        case .longString(let text): text.withUnsafeBytes { self.number($0) }
        default: value.integerValue
        }
    }

    private static func whole(_ number: Double) -> Int64? { Int64(exactly: number.rounded(.towardZero)) }

    /// Text that is nothing but a number.
    private static func number(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard (1...19).contains(text.count) else { return nil }
        return Int64(String(decoding: text, as: UTF8.self))
    }

    /// The integer behind a tag; nil when there is something else.
    private static func integer(_ table: UnsafeRawBufferPointer, _ place: Int) -> Int64? {
        func read<Number: FixedWidthInteger & BitwiseCopyable>(_ type: Number.Type) -> Int64? {
            Int64(truncatingIfNeeded: Number(bigEndian: table.loadUnaligned(fromByteOffset: place + 1, as: type)))
        }
        switch table[place] {
        case FieldTag.int8.rawValue: return read(Int8.self)
        case FieldTag.uint8.rawValue: return read(UInt8.self)
        case FieldTag.int16.rawValue: return read(Int16.self)
        case FieldTag.uint16.rawValue: return read(UInt16.self)
        case FieldTag.int32.rawValue: return read(Int32.self)
        case FieldTag.uint32.rawValue: return read(UInt32.self)
        case FieldTag.int64.rawValue, FieldTag.int64L.rawValue: return read(Int64.self)
        default: return nil
        }
    }

    /// Makes the table what ``afterwards(_:)`` would, in place; false when that takes other octets or another size, and
    /// then nothing has changed.
    func negateDelay(in table: UnsafeMutableRawBufferPointer) -> Bool {
        guard !self.names.contains(.copies) else { return false }
        guard self.delayPlace != 0, let base = table.baseAddress else { return true }
        return Self.negate(in: base, at: self.delayPlace)
    }

    /// Negates the delay whose type stands at a place, if it is above 0; false when that takes another type.
    @inline(__always)
    static func negate(in table: UnsafeMutableRawPointer, at place: Int) -> Bool {
        let value = table + (place &+ 1)
        func negate<Number: FixedWidthInteger & SignedInteger & BitwiseCopyable>(_ type: Number.Type) -> Bool {
            let number = Number(bigEndian: value.loadUnaligned(as: type))
            // Not above 0 is no delay, or one that has passed.
            if number > 0 { value.storeBytes(of: (0 &- number).bigEndian, as: type) }
            return true
        }
        switch table.load(fromByteOffset: place, as: UInt8.self) {
        case FieldTag.int64.rawValue, FieldTag.int64L.rawValue: return negate(Int64.self)
        case FieldTag.int32.rawValue: return negate(Int32.self)
        case FieldTag.int16.rawValue: return negate(Int16.self)
        case FieldTag.int8.rawValue: return negate(Int8.self)
        case FieldTag.uint8.rawValue, FieldTag.uint16.rawValue, FieldTag.uint32.rawValue, FieldTag.float.rawValue,
            FieldTag.double.rawValue, FieldTag.longString.rawValue:
            return false
        default: return true
        }
    }

    /// How long a message is to wait by `x-delay`; nil when not at all.
    static func delay(_ entries: [(key: ShortString, value: FieldValue)]) -> UInt64? {
        guard let delay = MessageHeaders.find(self.delay, in: entries).flatMap({ self.delay($0) }), delay > 0 else {
            return nil
        }
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
            } else if key == self.delay, let delay = self.delay(value), delay > 0 {
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
