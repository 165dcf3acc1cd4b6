import AMQPProtocol
import Testing

@Suite struct WireReaderTests {
    private let bytes: [UInt8] = TestEncoder.encode { encoder in
        encoder.octet(0x01)
        encoder.integer(0x0203, octets: 2)
        encoder.integer(0x0405_0607, octets: 4)
        encoder.integer(0x8899_AABB_CCDD_EEFF, octets: 8)
        encoder.shortString(Array("short".utf8))
        encoder.longString([9, 8, 7])
        encoder.longString([1, 0x6B, 0x56])
        encoder.raw([5, 6])
    }

    private struct Values: Equatable {
        var octet: UInt8
        var short: UInt16
        var long: UInt32
        var longLong: UInt64
        var shortString: ShortString
        var longString: [UInt8]
        var table: FieldTable
        var rest: [UInt8]
        var isAtEnd: Bool
    }

    private func read(_ bytes: [UInt8]) throws(DecodeError) -> Values {
        try reading(bytes) { reader throws(DecodeError) in
            Values(
                octet: try reader.readUInt8(),
                short: try reader.readUInt16(),
                long: try reader.readUInt32(),
                longLong: try reader.readUInt64(),
                shortString: try reader.readShortString(),
                longString: try reader.readLongString(),
                table: try reader.readTable(),
                rest: try reader.readBytes(2),
                isAtEnd: reader.isAtEnd
            )
        }.get()
    }

    @Test func readsEveryTypeBigEndian() throws {
        let values = try self.read(self.bytes)
        #expect(
            values
                == Values(
                    octet: 1,
                    short: 0x0203,
                    long: 0x0405_0607,
                    longLong: 0x8899_AABB_CCDD_EEFF,
                    shortString: "short",
                    longString: [9, 8, 7],
                    table: ["k": .void],
                    rest: [5, 6],
                    isAtEnd: true
                )
        )
    }

    @Test func refusesEveryTruncation() {
        for count in 0..<self.bytes.count {
            let cut = Array(self.bytes.prefix(count))
            #expect(throws: DecodeError.truncated, "cut at \(count)") { try self.read(cut) }
        }
    }

    @Test func refusesLengthsBeyondTheOctets() {
        let huge: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF, 0]
        #expect(throws: DecodeError.truncated) {
            try reading(huge) { reader throws(DecodeError) in try reader.readLongString() }.get()
        }
        #expect(throws: DecodeError.truncated) {
            try reading(huge) { reader throws(DecodeError) in try reader.readTable() }.get()
        }
        #expect(throws: DecodeError.truncated) {
            try reading([255, 0]) { reader throws(DecodeError) in try reader.readShortString() }.get()
        }
    }

    @Test func tracksItsPosition() throws {
        let positions = try reading([1, 2, 3, 4]) { reader throws(DecodeError) in
            _ = try reader.readUInt8()
            let skipped = try reader.skip(2)
            return (reader.position, reader.remaining, skipped)
        }.get()
        #expect(positions == (3, 1, 1..<3))
        #expect(throws: DecodeError.truncated) {
            try reading([1]) { reader throws(DecodeError) in try reader.skip(2) }.get()
        }
    }

    @Test func checksNames() throws {
        #expect(
            try reading([2, 0xC3, 0xA9]) { reader throws(DecodeError) in try reader.readName() }.get() == "\u{E9}"
        )
        #expect(throws: DecodeError.invalidUTF8) {
            try reading([1, 0xC3]) { reader throws(DecodeError) in try reader.readName() }.get()
        }
    }

    @Test func readsABufferInPlace() throws {
        let value = try self.bytes.withUnsafeBytes { buffer throws(DecodeError) in
            var reader = WireReader(UnsafeRawBufferPointer(rebasing: buffer[1...]))
            return try reader.readUInt16()
        }
        #expect(value == 0x0203)
    }
}
