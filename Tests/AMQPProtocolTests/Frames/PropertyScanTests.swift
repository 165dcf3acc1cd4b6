import AMQPProtocol
import Testing

/// What the comparison with `BasicProperties` in `BasicPropertiesTests` does not cover.
@Suite struct PropertyScanTests {
    @Test func findsNothingInEmptyProperties() throws {
        #expect(try scanning([0, 0]).get() == PropertyScan())
    }

    @Test func readsAPersistentMessageWithoutOtherProperties() throws {
        let scan = try scanning([0x10, 0, 2]).get()
        #expect(scan.deliveryMode == 2)
        #expect(scan.has(PropertyFlags.deliveryMode))
        #expect(!scan.has(PropertyFlags.headers))
    }

    @Test func givesRangesOfContentsWithoutTheirLength() throws {
        let bytes = TestEncoder.encode { encoder in
            encoder.integer(UInt64(PropertyFlags.headers | PropertyFlags.expiration), octets: 2)
            encoder.longString([1, 0x61, 0x56])
            encoder.shortString(Array("10".utf8))
        }
        let scan = try scanning(bytes).get()
        #expect(scan.headers == 6..<9)
        #expect(scan.expiration == 10..<12)
    }

    @Test func acceptsAnEmptyHeaderTable() throws {
        #expect(try scanning([0x20, 0, 0, 0, 0, 0]).get().headers == 6..<6)
    }

    @Test func refusesHeadersNestedTooDeep() {
        func properties(depth: Int) -> [UInt8] {
            var table: [UInt8] = []
            for _ in 1..<depth {
                let inner = table
                table = TestEncoder.encode { encoder in
                    encoder.entry("n", "F", TestEncoder.encode { $0.longString(inner) })
                }
            }
            return TestEncoder.encode { encoder in
                encoder.raw([0x20, 0])
                encoder.longString(table)
            }
        }
        #expect(throws: Never.self) { try scanning(properties(depth: FieldTable.maxDepth)).get() }
        #expect(throws: DecodeError.nestingTooDeep) { try scanning(properties(depth: FieldTable.maxDepth + 1)).get() }
    }
}
