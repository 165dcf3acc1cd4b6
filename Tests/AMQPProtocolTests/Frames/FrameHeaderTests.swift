import AMQPProtocol
import Testing

@Suite struct FrameHeaderTests {
    @Test func readsAndWritesSevenOctets() {
        // One octet in front, so that no field is aligned.
        let bytes: [UInt8] = [0xAA, 3, 0x01, 0x02, 0x0A, 0x0B, 0x0C, 0x0D]
        let header = bytes.withUnsafeBytes { buffer in
            buffer.baseAddress.map { FrameHeader.read(from: $0 + 1) }
        }
        #expect(header == FrameHeader(type: FrameType.body, channel: 0x0102, size: 0x0A0B_0C0D))
        #expect(written(7) { header?.encode(into: &$0) } == Array(bytes.dropFirst()))
    }

    @Test func knowsTheFrameTypes() {
        #expect([FrameType.method, FrameType.header, FrameType.body, FrameType.heartbeat] == [1, 2, 3, 8])
    }

    @Test func limitsAreThoseOfTheProtocol() {
        #expect(FrameLimits.maxShortStringBytes == 255)
        #expect(FrameLimits.minFrameMaxBytes == 4096)
        #expect(FrameLimits.frameHeaderBytes + 1 == FrameLimits.frameOverheadBytes)
        #expect(FrameLimits.frameEnd == 0xCE)
        #expect(FieldTable.maxDepth == 32)
    }
}
