/// Reads AMQP values from octets that somebody else owns, front to back.
///
/// Big endian throughout. Every read checks what is left and throws instead of trapping; after a throw the position is
/// unspecified. The reader cannot outlive the octets, so nothing it lends can dangle.
public struct WireReader: ~Escapable {
    @usableFromInline let span: RawSpan
    @usableFromInline var offset: Int

    /// Starts at the first octet of a span.
    @inlinable
    @_lifetime(copy span)
    public init(_ span: RawSpan) {
        self.span = span
        self.offset = 0
    }

    /// Starts at the first octet of a buffer, which must stay as it is while the reader is used.
    @inlinable
    @_lifetime(borrow buffer)
    public init(_ buffer: UnsafeRawBufferPointer) {
        self.span = RawSpan(_unsafeBytes: buffer)
        self.offset = 0
    }

    /// The number of octets read so far.
    @inlinable public var position: Int { self.offset }

    /// The number of octets not yet read.
    @inlinable public var remaining: Int { self.span.byteCount &- self.offset }

    /// Whether every octet has been read.
    @inlinable public var isAtEnd: Bool { self.remaining == 0 }

    // The offset never exceeds the count, which every read below re-establishes by comparing with `remaining` first. Hence
    // the unchecked loads stay inside the span and the unchecked additions cannot overflow.

    @inlinable
    mutating func readInteger<Integer: FixedWidthInteger & BitwiseCopyable>(
        as type: Integer.Type
    ) throws(DecodeError) -> Integer {
        guard self.remaining >= MemoryLayout<Integer>.size else { throw .truncated }
        let value = unsafe self.span.unsafeLoadUnaligned(fromUncheckedByteOffset: self.offset, as: Integer.self)
        self.offset &+= MemoryLayout<Integer>.size
        return Integer(bigEndian: value)
    }

    /// Reads an `octet`.
    @inlinable
    public mutating func readUInt8() throws(DecodeError) -> UInt8 { try self.readInteger(as: UInt8.self) }

    /// Reads a `short`.
    @inlinable
    public mutating func readUInt16() throws(DecodeError) -> UInt16 { try self.readInteger(as: UInt16.self) }

    /// Reads a `long`.
    @inlinable
    public mutating func readUInt32() throws(DecodeError) -> UInt32 { try self.readInteger(as: UInt32.self) }

    /// Reads a `longlong` or `timestamp`.
    @inlinable
    public mutating func readUInt64() throws(DecodeError) -> UInt64 { try self.readInteger(as: UInt64.self) }

    /// Reads a `shortstr` without looking at its encoding; allocates when it is not empty.
    @inlinable
    public mutating func readShortString() throws(DecodeError) -> ShortString {
        let count = Int(try self.readUInt8())
        return ShortString(unchecked: try self.readBytes(count))
    }

    /// Reads a `shortstr` that names something and must therefore be UTF-8.
    @inlinable
    public mutating func readName() throws(DecodeError) -> ShortString {
        let name = try self.readShortString()
        guard name.isValidUTF8 else { throw .invalidUTF8 }
        return name
    }

    /// Reads a `longstr`.
    @inlinable
    public mutating func readLongString() throws(DecodeError) -> [UInt8] {
        // A 32-bit count always fits into the 64-bit `Int` of every platform we build for.
        let count = Int(try self.readUInt32())
        return try self.readBytes(count)
    }

    /// Reads a `table` and checks its structure.
    @inlinable
    public mutating func readTable() throws(DecodeError) -> FieldTable {
        let count = Int(try self.readUInt32())
        guard count <= self.remaining else { throw .truncated }
        guard count > 0 else { return .empty }
        let contents = self.span.extracting(unchecked: self.offset..<(self.offset &+ count))
        self.offset &+= count
        return try FieldTable(validating: contents)
    }

    /// Copies the next octets.
    @inlinable
    public mutating func readBytes(_ count: Int) throws(DecodeError) -> [UInt8] {
        assert(count >= 0)
        guard count <= self.remaining else { throw .truncated }
        guard count > 0 else { return [] }
        let part = self.span.extracting(unchecked: self.offset..<(self.offset &+ count))
        self.offset &+= count
        return part.withUnsafeBytes { unsafe Array($0) }
    }

    /// Passes over the next octets and says where they were, counted from the start of the span.
    @inlinable
    public mutating func skip(_ count: Int) throws(DecodeError) -> Range<Int> {
        assert(count >= 0)
        guard count <= self.remaining else { throw .truncated }
        let start = self.offset
        self.offset &+= count
        return start..<self.offset
    }
}
