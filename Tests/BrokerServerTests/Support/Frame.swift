import AMQPProtocol
import BrokerSimulation

/// A frame as it came off the wire.
struct Frame: Equatable, Sendable {
    var type: UInt8
    var channel: UInt16
    var payload: [UInt8]

    /// Takes the first frame out of `bytes`; nil when it is not complete.
    init?(takenFrom bytes: inout [UInt8]) {
        guard bytes.count >= FrameLimits.frameHeaderBytes else { return nil }
        let size = bytes[3...6].reduce(0) { $0 << 8 | Int($1) }
        guard bytes.count >= size + FrameLimits.frameOverheadBytes else { return nil }
        self.type = bytes[0]
        self.channel = UInt16(bytes[1]) << 8 | UInt16(bytes[2])
        self.payload = Array(bytes[FrameLimits.frameHeaderBytes..<FrameLimits.frameHeaderBytes + size])
        bytes.removeFirst(size + FrameLimits.frameOverheadBytes)
    }

    /// The method in it, if it is one.
    var method: Method? {
        guard self.type == FrameType.method else { return nil }
        return self.payload.withUnsafeBytes { bytes in
            var reader = WireReader(bytes)
            guard let classID = try? reader.readUInt16(), let methodID = try? reader.readUInt16() else { return nil }
            return try? Method.decode(MethodID(classID: classID, methodID: methodID), &reader)
        }
    }

    /// All frames in `bytes`, which must end with one.
    static func all(in bytes: [UInt8]) -> [Frame] {
        var rest = bytes
        var frames: [Frame] = []
        while let frame = Frame(takenFrom: &rest) { frames.append(frame) }
        precondition(rest.isEmpty, "half a frame")
        return frames
    }

    /// The octets of a publish to a queue: method, header without properties or with delivery mode 2, body.
    static func publish(
        to queue: ShortString,
        exchange: ShortString = "",
        isPersistent: Bool = false,
        body: [UInt8],
        channel: UInt16 = 1
    ) -> [UInt8] {
        let size = UInt64(body.count)
        let header =
            [0, 60, 0, 0] + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: size >> UInt64($0)) }
            + (isPersistent ? [0x10, 0, 2] : [0, 0])
        var bytes = SimulatedClient.frame(BasicPublish(exchange: exchange, routingKey: queue), channel: channel)
        bytes += SimulatedClient.frame(type: FrameType.header, channel: channel, payload: header)
        if !body.isEmpty {
            bytes += SimulatedClient.frame(type: FrameType.body, channel: channel, payload: body)
        }
        return bytes
    }

    /// The protocol header of AMQP 0-9-1.
    static let protocolHeader: [UInt8] = Array("AMQP".utf8) + [0, 0, 9, 1]
}
