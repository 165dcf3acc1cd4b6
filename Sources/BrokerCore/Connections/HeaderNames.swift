internal import AMQPProtocol

/// Which headers that the broker looks at are in a table; found by walking over the entries without decoding them.
struct HeaderNames: OptionSet {
    let rawValue: UInt8

    /// `CC` or `BCC`.
    static let copies = HeaderNames(rawValue: 1)
    /// `x-delay` or `x-deliver-at`.
    static let delay = HeaderNames(rawValue: 2)
    /// `x-death`.
    static let deaths = HeaderNames(rawValue: 4)

    init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Looks at the entries of a table, without its length; they were checked when the message came.
    init(in table: UnsafeRawBufferPointer) {
        self = DelayHeaders(in: table).names
    }

    /// What the name that begins there stands for, if we look at it.
    @inline(__always)
    init(name: UnsafeRawPointer, size: Int) {
        func equals(_ other: StaticString) -> Bool {
            size == other.utf8CodeUnitCount && Bytes.areEqual(name, other.utf8Start, size)
        }
        switch size {
        case 2 where equals("CC"), 3 where equals("BCC"): self = .copies
        case 7 where equals("x-death"): self = .deaths
        case 7 where equals("x-delay"), 12 where equals("x-deliver-at"): self = .delay
        default: self = []
        }
    }

    /// Where the value of a header is in a table, without its length, its tag included; nil when there is none.
    ///
    /// Of several with one name the first counts. Nothing is decoded or allocated.
    static func place(of name: UnsafeRawBufferPointer, in table: UnsafeRawBufferPointer) -> Range<Int>? {
        guard let base = table.baseAddress, let wanted = name.baseAddress else { return nil }
        var offset = 0
        while offset < table.count {
            let size = Int(table[offset])
            let value = offset + 1 + size
            guard value < table.count, let width = self.width(of: base, table.count, at: value),
                value + width < table.count
            else {
                return nil
            }
            let end = value + 1 + width
            if size == name.count, Bytes.areEqual(base + (offset + 1), wanted, size) { return value..<end }
            offset = end
        }
        return nil
    }

    /// Octets of a value behind its tag; nil when there are not as many.
    @inline(__always)
    static func width(of table: UnsafeRawPointer, _ count: Int, at index: Int) -> Int? {
        // By its octet: making a tag of it is a search of its own.
        switch table.load(fromByteOffset: index, as: UInt8.self) {
        case FieldTag.longString.rawValue, FieldTag.byteArray.rawValue, FieldTag.table.rawValue,
            FieldTag.array.rawValue:
            index + 5 <= count
                ? 4 + Int(UInt32(bigEndian: table.loadUnaligned(fromByteOffset: index + 1, as: UInt32.self))) : nil
        case FieldTag.int32.rawValue, FieldTag.uint32.rawValue, FieldTag.float.rawValue: 4
        case FieldTag.int64.rawValue, FieldTag.int64L.rawValue, FieldTag.double.rawValue, FieldTag.timestamp.rawValue:
            8
        case FieldTag.bool.rawValue, FieldTag.int8.rawValue, FieldTag.uint8.rawValue: 1
        case FieldTag.int16.rawValue, FieldTag.uint16.rawValue: 2
        case FieldTag.decimal.rawValue: 5
        case FieldTag.void.rawValue: 0
        default: nil
        }
    }
}
