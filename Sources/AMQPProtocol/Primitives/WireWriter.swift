/// Writes AMQP values into a buffer that the caller has sized exactly.
///
/// Sizes are known before anything is written (`encodedSize`), so running out of room is a bug of ours and traps.
public struct WireWriter {
    @usableFromInline let buffer: UnsafeMutableRawBufferPointer
    @usableFromInline var position: Int

    /// The number of octets written so far.
    @inlinable public var offset: Int { self.position }

    /// Starts at the first octet of a buffer, which must outlive the writer.
    @inlinable
    public init(_ buffer: UnsafeMutableRawBufferPointer) {
        self.buffer = buffer
        self.position = 0
    }

    /// The number of octets that can still be written.
    @inlinable public var remaining: Int { self.buffer.count &- self.offset }

    @inlinable
    mutating func writeInteger<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer) {
        precondition(self.remaining >= MemoryLayout<Integer>.size, "the buffer was sized too small")
        // The offset stays at or below the count, which the line above has just compared; it cannot overflow.
        self.buffer.storeBytes(of: value.bigEndian, toByteOffset: self.offset, as: Integer.self)
        self.position &+= MemoryLayout<Integer>.size
    }

    /// Writes an `octet`.
    @inlinable
    public mutating func write(_ value: UInt8) { self.writeInteger(value) }

    /// Writes a `short`.
    @inlinable
    public mutating func write(_ value: UInt16) { self.writeInteger(value) }

    /// Writes a `long`.
    @inlinable
    public mutating func write(_ value: UInt32) { self.writeInteger(value) }

    /// Writes a `longlong` or `timestamp`.
    @inlinable
    public mutating func write(_ value: UInt64) { self.writeInteger(value) }

    /// Writes a `shortstr`.
    @inlinable
    public mutating func writeShortString(_ string: ShortString) {
        self.writeInteger(UInt8(truncatingIfNeeded: string.bytes.count))
        self.writeBytes(string.bytes)
    }

    /// Writes a `longstr`.
    @inlinable
    public mutating func writeLongString(_ bytes: [UInt8]) {
        self.writeInteger(UInt32(bytes.count))
        self.writeBytes(bytes)
    }

    /// Writes a `table` with the octets it was made from.
    @inlinable
    public mutating func writeTable(_ table: FieldTable) { self.writeLongString(table.encodedBytes) }

    /// Writes octets as they are.
    @inlinable
    public mutating func writeBytes(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { unsafe self.writeBytes($0) }
    }

    /// Writes octets as they are.
    @inlinable
    public mutating func writeBytes(_ bytes: UnsafeRawBufferPointer) {
        precondition(self.remaining >= bytes.count, "the buffer was sized too small")
        guard let source = bytes.baseAddress, let target = self.buffer.baseAddress else { return }
        (target + self.offset).copyMemory(from: source, byteCount: bytes.count)
        self.position &+= bytes.count
    }
}
