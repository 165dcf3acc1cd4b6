import AMQPProtocol
import NIOCore
import Testing

@testable import MartletPerf

@Suite struct MessageTemplateTests {
    private func make(bodyBytes: Int, frameMaxBytes: Int = 131_072, headers: FieldTable? = nil) -> MessageTemplate {
        MessageTemplate(
            publish: BasicPublish(exchange: "exchange", routingKey: "key"),
            properties: BasicProperties(headers: headers, deliveryMode: 2),
            channel: 1,
            bodyBytes: bodyBytes,
            frameMaxBytes: frameMaxBytes
        )
    }

    /// The octets of one message on the wire, head and tail.
    private func wire(bodyBytes: Int, frameMaxBytes: Int = 131_072, headers: FieldTable? = nil) -> [UInt8] {
        let head = self.make(bodyBytes: bodyBytes, frameMaxBytes: frameMaxBytes, headers: headers).head
        let tail = MessageTemplate.tail(channel: 1, bodyBytes: bodyBytes, frameMaxBytes: frameMaxBytes)
        return head + (tail.map { Array($0.readableBytesView) } ?? [])
    }

    @Test(arguments: [0, 1, 8, 15, 16, 17, 8192, 8193, 4088, 4089, 131_064, 131_065, 400_000])
    func decodesAsOneMessage(bodyBytes: Int) throws {
        for frameMax in [4096, 131_072] {
            let parsed = ParsedFrames(self.wire(bodyBytes: bodyBytes, frameMaxBytes: frameMax))
            #expect(parsed.rest.isEmpty)
            #expect(parsed.frames.allSatisfy { $0.channel == 1 && $0.payload.count + 8 <= frameMax })
            guard case .basicPublish(let publish) = try ParsedFrames.method(parsed.frames[0]) else {
                Issue.record("not a basic.publish")
                return
            }
            #expect(publish == BasicPublish(exchange: "exchange", routingKey: "key"))
            #expect(parsed.frames[1].type == FrameType.header)
            #expect(Array(parsed.frames[1].payload.prefix(12)) == [0, 60, 0, 0] + Frames.octets(UInt64(bodyBytes)))
            let body = parsed.frames.dropFirst(2)
            #expect(body.allSatisfy { $0.type == FrameType.body })
            #expect(body.flatMap { $0.payload } == BodyPattern.octets(0..<bodyBytes))
        }
    }

    @Test func carriesItsProperties() throws {
        let headers = FieldTable([("queue", .string("4"))])
        let parsed = ParsedFrames(self.wire(bodyBytes: 16, headers: headers))
        let properties = try parsed.frames[1].payload[12...].withUnsafeBytes { bytes in
            var reader = WireReader(bytes)
            return try BasicProperties(from: &reader)
        }
        #expect(properties == BasicProperties(headers: headers, deliveryMode: 2))
    }

    @Test func knowsWhereTheBodyStarts() {
        let template = self.make(bodyBytes: 16)
        #expect(Array(template.head[template.bodyOffset...]) == BodyPattern.octets(0..<16) + [FrameLimits.frameEnd])
    }

    @Test func writesAcknowledgements() throws {
        var buffer = ByteBuffer()
        AckFrames.write([5, 1 << 40], multiple: true, channel: 1, into: &buffer)
        let parsed = ParsedFrames(Array(buffer.readableBytesView))
        #expect(parsed.rest.isEmpty)
        let acks = try parsed.frames.map { try ParsedFrames.method($0) }
        guard acks.count == 2, case .basicAck(let first) = acks[0], case .basicAck(let second) = acks[1] else {
            Issue.record("not two basic.ack")
            return
        }
        #expect(first == BasicAck(deliveryTag: 5, multiple: true))
        #expect(second == BasicAck(deliveryTag: 1 << 40, multiple: true))
    }
}
