import AMQPProtocol

@testable import MartletPerf

/// Builds frames octet by octet through the codec, as a server would send them.
enum Frames {
    /// A method frame.
    static func method(_ method: some EncodableMethod, channel: UInt16 = 1) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: method.frameSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            method.encodeFrame(channel: channel, into: &writer)
            count = writer.offset
        }
    }

    /// Header and body frames, the body cut into pieces.
    static func content(_ body: [UInt8], piece: Int = 4088) -> [UInt8] {
        var header: [UInt8] = [0, 60, 0, 0] + self.octets(UInt64(body.count))
        header += [0x10, 0, 1]
        var frames = self.frame(2, header)
        for start in stride(from: 0, to: body.count, by: piece) {
            frames += self.frame(3, Array(body[start..<min(start + piece, body.count)]))
        }
        return frames
    }

    /// A frame of any type.
    static func frame(_ type: UInt8, _ payload: [UInt8], channel: UInt16 = 1, end: UInt8 = 0xCE) -> [UInt8] {
        [type] + self.octets(channel) + self.octets(UInt32(payload.count)) + payload + [end]
    }

    /// A delivered message whose body carries the usual stamp.
    static func delivery(
        consumer: Int = 0,
        tag: UInt64 = 1,
        redelivered: Bool = false,
        publisher: Int = 0,
        sequence: UInt64 = 0,
        time: UInt64 = 0,
        bodyBytes: Int = 16,
        piece: Int = 4088
    ) -> [UInt8] {
        let deliver = BasicDeliver(
            consumerTag: ShortString(truncating: "\(consumer)"),
            deliveryTag: tag,
            redelivered: redelivered,
            exchange: "exchange",
            routingKey: "key"
        )
        let stamp = self.stamp(publisher: publisher, sequence: sequence, time: time)
        let body = Array((stamp + BodyPattern.octets(16..<max(16, bodyBytes))).prefix(bodyBytes))
        return self.method(deliver) + self.content(body, piece: piece)
    }

    /// The first 16 octets of a body.
    static func stamp(publisher: Int, sequence: UInt64, time: UInt64) -> [UInt8] {
        let word = UInt64(publisher) << 48 | sequence
        return [word, time].flatMap { value in (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) } }
    }

    /// An integer, highest octet first.
    static func octets<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.bigEndian) { Array($0) }
    }
}

/// Cuts a stream of frames into what the codec reads, for tests of what we send.
struct ParsedFrames {
    struct Frame {
        var type: UInt8
        var channel: UInt16
        var payload: [UInt8]
    }

    var frames: [Frame] = []
    /// Octets after the last whole frame.
    var rest: [UInt8] = []

    init(_ bytes: [UInt8]) {
        var position = 0
        while bytes.count - position >= 8 {
            let header = bytes[position...].withUnsafeBytes { buffer in
                buffer.baseAddress.map { FrameHeader.read(from: $0) }
            }
            guard let header, bytes.count - position >= Int(header.size) + 8 else { break }
            let payload = Array(bytes[position + 7..<position + 7 + Int(header.size)])
            guard bytes[position + 7 + Int(header.size)] == FrameLimits.frameEnd else { break }
            self.frames.append(Frame(type: header.type, channel: header.channel, payload: payload))
            position += Int(header.size) + 8
        }
        self.rest = Array(bytes[position...])
    }

    /// The method of a method frame, decoded.
    static func method(_ frame: Frame) throws -> AMQPProtocol.Method {
        try frame.payload.withUnsafeBytes { bytes in
            var reader = WireReader(bytes)
            let id = MethodID(rawValue: try reader.readUInt32())
            return try AMQPProtocol.Method.decode(id, &reader)
        }
    }
}

/// Writes down what a scanner reports.
final class RecordingSink: FrameSink {
    enum Event: Equatable {
        case message(ScannedMessage)
        case returned
        case confirm(tag: UInt64, multiple: Bool, positive: Bool)
        case method(channel: UInt16, payload: [UInt8])
    }

    var events: [Event] = []

    func receiveMessage(_ message: ScannedMessage) { self.events.append(.message(message)) }

    func receiveReturn() { self.events.append(.returned) }

    func receiveConfirm(tag: UInt64, multiple: Bool, positive: Bool) {
        self.events.append(.confirm(tag: tag, multiple: multiple, positive: positive))
    }

    func receiveMethod(channel: UInt16, payload: UnsafeRawBufferPointer) {
        self.events.append(.method(channel: channel, payload: Array(payload)))
    }
}
