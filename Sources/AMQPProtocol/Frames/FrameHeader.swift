/// The type octets of frames.
public enum FrameType {
    /// A method frame.
    @inlinable public static var method: UInt8 { 1 }
    /// A content header frame.
    @inlinable public static var header: UInt8 { 2 }
    /// A content body frame.
    @inlinable public static var body: UInt8 { 3 }
    /// A heartbeat frame.
    @inlinable public static var heartbeat: UInt8 { 8 }
}

/// The seven octets in front of a frame's payload.
public struct FrameHeader: Hashable, Sendable {
    /// The type octet as received; see ``FrameType``.
    public var type: UInt8
    /// The channel number.
    public var channel: UInt16
    /// The number of payload octets, without the end marker.
    public var size: UInt32

    /// Makes a header from its parts.
    @inlinable
    public init(type: UInt8, channel: UInt16, size: UInt32) {
        self.type = type
        self.channel = channel
        self.size = size
    }

    /// Reads a header.
    ///
    /// The caller guarantees that seven octets are readable at `pointer`; any alignment will do.
    @inlinable
    public static func read(from pointer: UnsafeRawPointer) -> FrameHeader {
        FrameHeader(
            type: pointer.load(as: UInt8.self),
            channel: UInt16(bigEndian: pointer.loadUnaligned(fromByteOffset: 1, as: UInt16.self)),
            size: UInt32(bigEndian: pointer.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
        )
    }

    /// Writes the seven octets.
    @inlinable
    public func encode(into writer: inout WireWriter) {
        writer.write(self.type)
        writer.write(self.channel)
        writer.write(self.size)
    }
}
