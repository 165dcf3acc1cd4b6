/// What the message path must know of a message's properties, found in one pass without allocating.
///
/// The octets themselves travel on untouched; ranges are offsets into the scanned octets and cover a value's contents
/// without its length prefix.
public struct PropertyScan: Hashable, Sendable {
    /// The flags word; see ``PropertyFlags``.
    public var flags: UInt16 = 0
    /// `delivery-mode`, 0 when absent; 2 means persistent.
    public var deliveryMode: UInt8 = 0
    /// `priority`.
    public var priority: UInt8?
    /// `timestamp`, in seconds since 1970.
    public var timestamp: UInt64?

    // Ranges are kept as pairs of 32 bits: what is handed around for every message should be small. Properties fill a
    // frame at most, whose size has 32 bits.
    private var contentTypePlace = Place()
    private var headersPlace = Place()
    private var correlationIDPlace = Place()
    private var replyToPlace = Place()
    private var expirationPlace = Place()
    private var messageIDPlace = Place()
    private var userIDPlace = Place()

    private struct Place: Hashable, Sendable {
        var lower: UInt32 = 0
        /// 0 is nowhere: the flags stand in front of all values.
        var upper: UInt32 = 0

        var range: Range<Int>? { self.upper == 0 ? nil : Int(self.lower)..<Int(self.upper) }
    }

    /// `content-type`.
    public var contentType: Range<Int>? { self.contentTypePlace.range }
    /// The entries of `headers`, checked at every level.
    public var headers: Range<Int>? { self.headersPlace.range }
    /// `correlation-id`.
    public var correlationID: Range<Int>? { self.correlationIDPlace.range }
    /// `reply-to`.
    public var replyTo: Range<Int>? { self.replyToPlace.range }
    /// `expiration`.
    public var expiration: Range<Int>? { self.expirationPlace.range }
    /// `message-id`.
    public var messageID: Range<Int>? { self.messageIDPlace.range }
    /// `user-id`.
    public var userID: Range<Int>? { self.userIDPlace.range }

    /// The result for a message without properties.
    public init() {}

    /// Reads flags and values, which must fill the octets exactly.
    ///
    /// Ignores a flag that no property has, as RabbitMQ does. Throws for a second flags word, for values that are cut
    /// short, for octets left over and for a header table that ``FieldTable`` would refuse. Linear in the octets.
    public static func scan(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> PropertyScan {
        guard bytes.count >= 2, let base = bytes.baseAddress, bytes.count <= UInt32.max else { throw .truncated }
        var scan = PropertyScan()
        scan.flags = UInt16(bigEndian: base.loadUnaligned(as: UInt16.self))
        guard scan.flags & PropertyFlags.continuation == 0 else { throw .malformedProperties }
        let end = try scan.readValues(base, bytes.count)
        guard end == bytes.count else { throw .trailingBytes }
        return scan
    }

    /// Reads the values that the flags announce, in wire order; returns the offset behind the last one.
    ///
    /// Offsets never pass `count`, which every step compares with what is left; so the loads stay inside.
    private mutating func readValues(_ base: UnsafeRawPointer, _ count: Int) throws(DecodeError) -> Int {
        var offset = 2
        // The highest flag is the first value.
        var remaining = self.flags & PropertyFlags.all
        while remaining != 0 {
            let flag: UInt16 = 0x8000 >> UInt16(truncatingIfNeeded: remaining.leadingZeroBitCount)
            remaining &= ~flag
            switch flag {
            case PropertyFlags.headers:
                guard count &- offset >= 4 else { throw .truncated }
                let size = Int(UInt32(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
                offset &+= 4
                guard count &- offset >= size else { throw .truncated }
                let entries = UnsafeRawBufferPointer(start: base + offset, count: size)
                try FieldStructure.check(RawSpan(_unsafeBytes: entries), isTable: true, depth: 1)
                self.headersPlace = Self.place(offset, size)
                offset &+= size
            case PropertyFlags.deliveryMode:
                guard count &- offset >= 1 else { throw .truncated }
                self.deliveryMode = base.load(fromByteOffset: offset, as: UInt8.self)
                offset &+= 1
            case PropertyFlags.priority:
                guard count &- offset >= 1 else { throw .truncated }
                self.priority = base.load(fromByteOffset: offset, as: UInt8.self)
                offset &+= 1
            case PropertyFlags.timestamp:
                guard count &- offset >= 8 else { throw .truncated }
                self.timestamp = UInt64(bigEndian: base.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                offset &+= 8
            default:
                guard count &- offset >= 1 else { throw .truncated }
                let size = Int(base.load(fromByteOffset: offset, as: UInt8.self))
                offset &+= 1
                guard count &- offset >= size else { throw .truncated }
                self.note(flag, Self.place(offset, size))
                offset &+= size
            }
        }
        return offset
    }

    private static func place(_ offset: Int, _ size: Int) -> Place {
        Place(lower: UInt32(truncatingIfNeeded: offset), upper: UInt32(truncatingIfNeeded: offset &+ size))
    }

    private mutating func note(_ flag: UInt16, _ place: Place) {
        switch flag {
        case PropertyFlags.contentType: self.contentTypePlace = place
        case PropertyFlags.correlationID: self.correlationIDPlace = place
        case PropertyFlags.replyTo: self.replyToPlace = place
        case PropertyFlags.expiration: self.expirationPlace = place
        case PropertyFlags.messageID: self.messageIDPlace = place
        case PropertyFlags.userID: self.userIDPlace = place
        default: break
        }
    }

    /// Whether there is a `delivery-mode` that is neither 1 nor 2, which RabbitMQ refuses.
    @inlinable
    public var isOfUnknownMode: Bool {
        self.has(PropertyFlags.deliveryMode) && self.deliveryMode &- 1 > 1
    }

    /// Whether a property is present.
    @inlinable
    public func has(_ flag: UInt16) -> Bool { self.flags & flag != 0 }
}
