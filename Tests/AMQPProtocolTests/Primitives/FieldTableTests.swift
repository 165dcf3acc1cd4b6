import AMQPProtocol
import Testing

@Suite struct FieldTableTests {
    /// Each tag with its value octets, and the value they stand for.
    private static let samples: [(tag: Character, octets: [UInt8], value: FieldValue)] = [
        ("t", [2], .bool(2)),
        ("b", [0xFF], .int8(-1)),
        ("B", [0xFF], .uint8(255)),
        ("s", [0xFF, 0xFE], .int16(-2)),
        ("u", [0xFF, 0xFE], .uint16(0xFFFE)),
        ("I", [0xFF, 0xFF, 0xFF, 0xFD], .int32(-3)),
        ("i", [0xFF, 0xFF, 0xFF, 0xFD], .uint32(0xFFFF_FFFD)),
        ("l", [0x80, 0, 0, 0, 0, 0, 0, 1], .int64(.min + 1)),
        ("L", [0, 0, 0, 0, 0, 0, 1, 0], .int64L(256)),
        ("f", [0x3F, 0x80, 0, 0], .float(1)),
        ("d", [0x3F, 0xF8, 0, 0, 0, 0, 0, 0], .double(1.5)),
        ("D", [2, 0, 0, 0, 5], .decimal(scale: 2, value: 5)),
        ("S", [0, 0, 0, 2, 0xFF, 0], .longString([0xFF, 0])),
        ("x", [0, 0, 0, 1, 7], .byteArray([7])),
        ("T", [0xFF, 0, 0, 0, 0, 0, 0, 1], .timestamp(0xFF00_0000_0000_0001)),
        ("F", [0, 0, 0, 3, 1, 0x6B, 0x56], .table(["k": .void])),
        ("A", [0, 0, 0, 3, 0x56, 0x74, 1], .array([.void, .bool(1)])),
        ("V", [], .void),
    ]

    private static let everyTag = TestEncoder.encode { encoder in
        for sample in Self.samples { encoder.entry("k\(sample.tag)", sample.tag, sample.octets) }
    }

    private func table(_ bytes: [UInt8]) throws(DecodeError) -> FieldTable {
        try FieldTable(validating: bytes.span.bytes)
    }

    /// A table, or an array, nested so deep that the outermost counts as one.
    private func nested(depth: Int, tag: Character) -> [UInt8] {
        var inner: [UInt8] = []
        for level in (1..<depth).reversed() {
            let contents = TestEncoder.encode { $0.longString(inner) }
            inner = TestEncoder.encode { encoder in
                if tag == "F" || level == 1 {
                    encoder.entry("n", tag, contents)
                } else {
                    encoder.raw(Array(String(tag).utf8) + contents)
                }
            }
        }
        return inner
    }

    @Test func decodesEveryTag() throws {
        let table = try self.table(Self.everyTag)
        #expect(table.map(\.value) == Self.samples.map(\.value))
        #expect(table.map(\.key.description) == Self.samples.map { "k\($0.tag)" })
        #expect(table.count == Self.samples.count)
    }

    @Test func keepsAndRebuildsTheSameOctets() throws {
        let table = try self.table(Self.everyTag)
        #expect(table.encodedBytes == Self.everyTag)
        #expect(FieldTable(table.map { ($0.key, $0.value) }) == table)
        let onTheWire = TestEncoder.encode { $0.longString(Self.everyTag) }
        #expect(written(table.encodedSize) { $0.writeTable(table) } == onTheWire)
    }

    @Test func keepsTheBitsOfNotANumber() throws {
        let bytes = TestEncoder.encode { encoder in
            encoder.entry("f", "f", [0x7F, 0xA0, 0, 1])
            encoder.entry("d", "d", [0x7F, 0xF4, 0, 0, 0, 0, 0, 1])
        }
        let table = try self.table(bytes)
        #expect(FieldTable(table.map { ($0.key, $0.value) }).encodedBytes == bytes)
    }

    @Test func decodesArraysOfEveryTag() throws {
        let bytes = TestEncoder.encode { encoder in
            for sample in Self.samples { encoder.raw(Array(String(sample.tag).utf8) + sample.octets) }
        }
        let array = try FieldArray(validating: bytes.span.bytes)
        #expect(Array(array) == Self.samples.map(\.value))
        #expect(array.count == Self.samples.count)
        #expect(FieldArray(Array(array)).encodedBytes == bytes)
        #expect(try bytes.withUnsafeBytes { try FieldArray(validating: $0) } == array)
        #expect(array.encodedSize == bytes.count + 4 && !array.isEmpty && FieldArray.empty.isEmpty)
    }

    @Test func refusesEveryTruncation() {
        // A cut between two entries leaves a smaller table, which is fine.
        var ends: Set<Int> = [0]
        for (index, _) in Self.samples.enumerated() {
            ends.insert(
                TestEncoder.encode { encoder in
                    for sample in Self.samples[...index] { encoder.entry("k\(sample.tag)", sample.tag, sample.octets) }
                }.count
            )
        }
        for count in 0..<Self.everyTag.count {
            let cut = Array(Self.everyTag.prefix(count))
            if ends.contains(count) {
                #expect(throws: Never.self) { try self.table(cut) }
            } else {
                #expect(throws: DecodeError.malformedTable, "cut at \(count)") { try self.table(cut) }
            }
        }
    }

    @Test func refusesEveryOtherTag() {
        let known = Set(FieldTag.allCases.map(\.rawValue))
        for tag in UInt8.min...UInt8.max where !known.contains(tag) {
            #expect(throws: DecodeError.unknownFieldType(tag)) {
                try self.table([0, tag, 0, 0, 0, 0, 0, 0, 0, 0])
            }
        }
    }

    @Test(arguments: ["F", "A"] as [Character])
    func limitsNesting(_ tag: Character) throws {
        let deepest = self.nested(depth: FieldTable.maxDepth, tag: tag)
        #expect(try self.table(deepest).encodedBytes == deepest)
        #expect(throws: DecodeError.nestingTooDeep) {
            try self.table(self.nested(depth: FieldTable.maxDepth + 1, tag: tag))
        }
        #expect(throws: DecodeError.nestingTooDeep) { try self.table(self.nested(depth: 20_000, tag: tag)) }
    }

    @Test func refusesAnInnerTableThatReachesOverTheOuterEnd() {
        #expect(throws: DecodeError.malformedTable) { try self.table([1, 0x61, 0x46, 0, 0, 0, 9, 1, 0x62, 0x56]) }
    }

    @Test func letsTheFirstOfEqualNamesWin() {
        let table: FieldTable = FieldTable([("a", .int32(1)), ("b", .void), ("a", .int32(2))])
        #expect(table["a"] == .int32(1))
        #expect(table["c"] == nil)
        #expect(table.count == 3)
    }

    @Test func comparesOctets() throws {
        #expect(["a": .int32(1)] as FieldTable != ["a": .int64(1)])
        #expect(FieldTable.empty == FieldTable([]) && FieldTable.empty.isEmpty && FieldTable.empty["a"] == nil)
        #expect(try UnsafeRawBufferPointer(start: nil, count: 0).isEmpty && self.table([]) == .empty)
    }

    @Test func describesItsEntries() {
        let table: FieldTable = ["a": .int32(1), "b": .table(["c": .void])]
        #expect(table.description == "[a: int32(1), b: table([c: void])]")
        #expect(([.void, .uint8(1)] as FieldArray).description == "[void, uint8(1)]")
    }
}
