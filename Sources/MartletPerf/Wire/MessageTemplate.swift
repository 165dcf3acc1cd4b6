import AMQPProtocol
import NIOCore

/// The frames of one message to one routing target, without the values that change.
struct MessageTemplate {
    /// The frames up to where copying ends: the whole message, or for a large body its first 16 octets.
    var head: [UInt8]
    /// Where the body starts in `head`; `head.count` when there is no body.
    var bodyOffset: Int

    /// Lays out a message whose body is `bodyBytes` long.
    init(
        publish: BasicPublish,
        properties: BasicProperties,
        channel: UInt16,
        bodyBytes: Int,
        frameMaxBytes: Int
    ) {
        let headerSize = 12 + properties.encodedSize
        let piece = min(bodyBytes, frameMaxBytes - FrameLimits.frameOverheadBytes)
        let isWhole = bodyBytes <= PerfLimits.copiedBodyBytes && piece == bodyBytes
        let copied = isWhole ? bodyBytes : BodyStamp.timeBytes
        var size = publish.frameSize + headerSize + FrameLimits.frameOverheadBytes
        self.bodyOffset = size
        if bodyBytes > 0 {
            self.bodyOffset += FrameLimits.frameHeaderBytes
            size = self.bodyOffset + copied + (isWhole ? 1 : 0)
        }
        self.head = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            publish.encodeFrame(channel: channel, into: &writer)
            FrameHeader(type: FrameType.header, channel: channel, size: UInt32(headerSize)).encode(into: &writer)
            writer.write(BasicPublish.id.classID)
            writer.write(UInt16(0))
            writer.write(UInt64(bodyBytes))
            properties.encode(into: &writer)
            writer.write(FrameLimits.frameEnd)
            if bodyBytes > 0 {
                FrameHeader(type: FrameType.body, channel: channel, size: UInt32(piece)).encode(into: &writer)
                writer.writeBytes(BodyPattern.octets(0..<copied))
                if isWhole {
                    writer.write(FrameLimits.frameEnd)
                }
            }
            count = writer.offset
        }
    }

    /// What follows the heads of all messages with a large body, frame borders included; `nil` when heads are whole.
    static func tail(channel: UInt16, bodyBytes: Int, frameMaxBytes: Int) -> ByteBuffer? {
        let piece = frameMaxBytes - FrameLimits.frameOverheadBytes
        guard bodyBytes > PerfLimits.copiedBodyBytes || bodyBytes > piece else { return nil }
        var done = min(bodyBytes, piece)
        var tail = ByteBuffer(bytes: BodyPattern.octets(BodyStamp.timeBytes..<done))
        tail.writeInteger(FrameLimits.frameEnd)
        while done < bodyBytes {
            let count = min(bodyBytes - done, piece)
            tail.writeInteger(FrameType.body)
            tail.writeInteger(channel)
            tail.writeInteger(UInt32(count))
            tail.writeBytes(BodyPattern.octets(done..<done + count))
            tail.writeInteger(FrameLimits.frameEnd)
            done += count
        }
        return tail
    }
}

/// What bodies hold beyond the stamp: something that does not compress and is not all zeros.
enum BodyPattern {
    static func octets(_ range: Range<Int>) -> [UInt8] {
        range.map { UInt8(truncatingIfNeeded: $0 &* 31 &+ 7) }
    }
}
