import AMQPProtocol
import NIOCore

/// Writes the acknowledgements of one read.
enum AckFrames {
    /// Octets of one `basic.ack` frame: header, two numbers, delivery tag, flag, end.
    static let size = 21

    /// Appends a `basic.ack` for each tag.
    static func write(_ tags: [UInt64], multiple: Bool, channel: UInt16, into buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: tags.count * self.size) { bytes in
            var writer = WireWriter(bytes)
            for tag in tags {
                FrameHeader(type: FrameType.method, channel: channel, size: UInt32(self.size - 8)).encode(into: &writer)
                writer.write(MethodNumber.basicAck)
                writer.write(tag)
                writer.write(multiple ? UInt8(1) : 0)
                writer.write(FrameLimits.frameEnd)
            }
            return writer.offset
        }
    }
}
