import AMQPProtocol
import Testing

@Suite struct WireWriterTests {
    @Test func writesEveryTypeBigEndian() {
        let expected = TestEncoder.encode { encoder in
            encoder.octet(1)
            encoder.integer(0x0203, octets: 2)
            encoder.integer(0x0405_0607, octets: 4)
            encoder.integer(0x8899_AABB_CCDD_EEFF, octets: 8)
            encoder.shortString(Array("short".utf8))
            encoder.longString([9, 8, 7])
            encoder.longString([1, 0x6B, 0x56])
            encoder.raw([5, 6])
        }
        let bytes = written(expected.count) { writer in
            writer.write(1 as UInt8)
            writer.write(0x0203 as UInt16)
            writer.write(0x0405_0607 as UInt32)
            writer.write(0x8899_AABB_CCDD_EEFF as UInt64)
            writer.writeShortString("short")
            writer.writeLongString([9, 8, 7])
            writer.writeTable(["k": .void])
            writer.writeBytes([5, 6])
            #expect(writer.offset == expected.count)
            #expect(writer.remaining == 0)
        }
        #expect(bytes == expected)
    }

    @Test func writesNothingIntoNoBuffer() {
        var writer = WireWriter(UnsafeMutableRawBufferPointer(start: nil, count: 0))
        writer.writeBytes([])
        #expect(writer.offset == 0)
    }

    @Test func trapsWhenTheBufferIsTooSmall() async {
        await #expect(processExitsWith: .failure) {
            withUnsafeTemporaryAllocation(byteCount: 3, alignment: 1) { buffer in
                var writer = WireWriter(buffer)
                writer.write(0 as UInt32)
            }
        }
        await #expect(processExitsWith: .failure) {
            withUnsafeTemporaryAllocation(byteCount: 3, alignment: 1) { buffer in
                var writer = WireWriter(buffer)
                writer.writeBytes([1, 2, 3, 4])
            }
        }
    }
}
