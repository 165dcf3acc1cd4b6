/// The fixed part of a content header frame's payload.
///
/// The properties follow it; see ``PropertyScan`` and ``BasicProperties``.
public struct ContentHeader: Hashable, Sendable {
    /// The class of the content, 60 for messages.
    public var classID: UInt16
    /// Always 0 in AMQP 0-9-1; kept so that the receiver can refuse another value.
    public var weight: UInt16
    /// The octets of all body frames together.
    public var bodySize: UInt64

    /// Where flags and properties start in the payload.
    @inlinable public static var propertiesOffset: Int { 12 }

    /// Makes a header for a message.
    @inlinable
    public init(classID: UInt16 = 60, weight: UInt16 = 0, bodySize: UInt64) {
        self.classID = classID
        self.weight = weight
        self.bodySize = bodySize
    }

    /// Reads the fixed part, which leaves the reader in front of the properties.
    @inlinable
    public init(from reader: inout WireReader) throws(DecodeError) {
        self.classID = try reader.readUInt16()
        self.weight = try reader.readUInt16()
        self.bodySize = try reader.readUInt64()
    }

    /// Reads the fixed part of a header frame's payload.
    @inlinable
    public init(from payload: UnsafeRawBufferPointer) throws(DecodeError) {
        var reader = WireReader(payload)
        try self.init(from: &reader)
    }

    /// Writes the fixed part.
    @inlinable
    public func encode(into writer: inout WireWriter) {
        writer.write(self.classID)
        writer.write(self.weight)
        writer.write(self.bodySize)
    }
}
