/// A method that can be written as a frame.
///
/// Every generated method struct conforms. Sizes come first so that a caller can make room for many frames at once.
public protocol EncodableMethod: Sendable {
    /// The class and method number.
    static var id: MethodID { get }

    /// The octets of the payload, the four of the id included.
    var encodedSize: Int { get }

    /// Writes the payload: class, method and arguments.
    func encode(into writer: inout WireWriter)
}

extension EncodableMethod {
    /// The octets of the whole frame.
    @inlinable public var frameSize: Int { self.encodedSize + FrameLimits.frameOverheadBytes }

    /// Writes the whole frame.
    @inlinable
    public func encodeFrame(channel: UInt16, into writer: inout WireWriter) {
        // A payload that does not fit into 32 bits would be our own bug and traps in the conversion.
        FrameHeader(type: FrameType.method, channel: channel, size: UInt32(self.encodedSize)).encode(into: &writer)
        self.encode(into: &writer)
        writer.write(FrameLimits.frameEnd)
    }
}
