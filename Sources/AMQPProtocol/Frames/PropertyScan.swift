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
    /// `content-type`.
    public var contentType: Range<Int>?
    /// The entries of `headers`, checked at every level.
    public var headers: Range<Int>?
    /// `correlation-id`.
    public var correlationID: Range<Int>?
    /// `reply-to`.
    public var replyTo: Range<Int>?
    /// `expiration`.
    public var expiration: Range<Int>?
    /// `message-id`.
    public var messageID: Range<Int>?
    /// `user-id`.
    public var userID: Range<Int>?

    /// The result for a message without properties.
    @inlinable
    public init() {}

    /// Reads flags and values, which must fill the octets exactly.
    ///
    /// Ignores a flag that no property has, as RabbitMQ does. Throws for a second flags word, for values that are cut short, for octets left over and for a header table that
    /// ``FieldTable`` would refuse. Linear in the octets.
    @inlinable
    public static func scan(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> PropertyScan {
        var reader = WireReader(bytes)
        var scan = PropertyScan()
        scan.flags = try reader.readUInt16()
        guard scan.flags & PropertyFlags.continuation == 0 else { throw .malformedProperties }
        if scan.flags & ~PropertyFlags.deliveryMode == 0 {
            // Nothing, or only what marks a message persistent: what most publishers send.
            if scan.flags != 0 { scan.deliveryMode = try reader.readUInt8() }
        } else {
            try scan.readValues(&reader, bytes)
        }
        guard reader.isAtEnd else { throw .trailingBytes }
        return scan
    }

    /// Reads the values that the flags announce, in wire order.
    @usableFromInline
    mutating func readValues(_ reader: inout WireReader, _ bytes: UnsafeRawBufferPointer) throws(DecodeError) {
        self.contentType = try self.shortString(PropertyFlags.contentType, &reader)
        _ = try self.shortString(PropertyFlags.contentEncoding, &reader)
        if self.has(PropertyFlags.headers) {
            let contents = try reader.skip(Int(try reader.readUInt32()))
            let entries = UnsafeRawBufferPointer(rebasing: bytes[contents])
            try FieldStructure.check(RawSpan(_unsafeBytes: entries), isTable: true, depth: 1)
            self.headers = contents
        }
        if self.has(PropertyFlags.deliveryMode) { self.deliveryMode = try reader.readUInt8() }
        if self.has(PropertyFlags.priority) { self.priority = try reader.readUInt8() }
        self.correlationID = try self.shortString(PropertyFlags.correlationID, &reader)
        self.replyTo = try self.shortString(PropertyFlags.replyTo, &reader)
        self.expiration = try self.shortString(PropertyFlags.expiration, &reader)
        self.messageID = try self.shortString(PropertyFlags.messageID, &reader)
        if self.has(PropertyFlags.timestamp) { self.timestamp = try reader.readUInt64() }
        _ = try self.shortString(PropertyFlags.type, &reader)
        self.userID = try self.shortString(PropertyFlags.userID, &reader)
        _ = try self.shortString(PropertyFlags.appID, &reader)
        _ = try self.shortString(PropertyFlags.clusterID, &reader)
    }

    /// Whether a property is present.
    @inlinable
    public func has(_ flag: UInt16) -> Bool { self.flags & flag != 0 }

    @usableFromInline
    func shortString(_ flag: UInt16, _ reader: inout WireReader) throws(DecodeError) -> Range<Int>? {
        guard self.has(flag) else { return nil }
        return try reader.skip(Int(try reader.readUInt8()))
    }
}
