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
        self = []
        var offset = 0
        while offset < table.count {
            let size = Int(table[offset])
            let value = offset + 1 + size
            guard value < table.count else { return }
            self.note(UnsafeRawBufferPointer(rebasing: table[(offset + 1)..<value]))
            guard let width = Self.width(of: table, at: value) else { return }
            offset = value + 1 + width
        }
    }

    private mutating func note(_ name: UnsafeRawBufferPointer) {
        switch name.count {
        case 2 where name.elementsEqual("CC".utf8), 3 where name.elementsEqual("BCC".utf8):
            self.insert(.copies)
        case 7 where name.elementsEqual("x-death".utf8):
            self.insert(.deaths)
        case 7 where name.elementsEqual(DelayHeaders.delay.bytes),
            12 where name.elementsEqual(DelayHeaders.deliverAt.bytes):
            self.insert(.delay)
        default:
            break
        }
    }

    /// Octets of a value behind its tag; nil when there are not as many.
    private static func width(of table: UnsafeRawBufferPointer, at index: Int) -> Int? {
        switch FieldTag(rawValue: table[index]) {
        case .void: 0
        case .bool, .int8, .uint8: 1
        case .int16, .uint16: 2
        case .int32, .uint32, .float: 4
        case .decimal: 5
        case .int64, .int64L, .double, .timestamp: 8
        case .longString, .byteArray, .table, .array:
            index + 5 <= table.count
                ? 4 + Int(UInt32(bigEndian: table.loadUnaligned(fromByteOffset: index + 1, as: UInt32.self))) : nil
        case nil: nil
        }
    }
}
