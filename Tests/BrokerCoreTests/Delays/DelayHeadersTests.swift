import AMQPProtocol
import Testing

@testable import BrokerCore

/// What is read and changed in headers as they lie in memory, against what decoding says.
@Suite struct DelayHeadersTests {
    private static let values: [FieldValue] = [
        .int8(5), .int8(-5), .uint8(200), .int16(300), .uint16(40_000), .int32(70_000), .int32(-1),
        .uint32(4_000_000_000),
        .int64(5_000_000_000), .int64L(6_000_000_000), .int64(.max), .int64(0), .timestamp(2), .longString([49]),
        .double(3),
        .void, .boolean(true),
    ]
    private static let others: [[(ShortString, FieldValue)]] = [
        [], [("a", .int32(1))], [("x-delayer", .int64(9)), ("CC-", .longString([1, 2]))],
        [("t", .table(FieldTable([("x-delay", .int32(7))]))), ("x-dela", .void)], [("", .decimal(scale: 2, value: 3))],
    ]

    @Test(arguments: values)
    func readsDeadlinesAsDecodingDoes(value: FieldValue) {
        let now: UInt64 = 1500
        for other in Self.others {
            for name in [DelayHeaders.delay, DelayHeaders.deliverAt] {
                let tables = [
                    FieldTable(other + [(name, value)]), FieldTable([(name, value)] + other),
                    FieldTable(other + [(name, value), (name, .int32(1))]),
                    FieldTable([(DelayHeaders.deliverAt, .int64(9000)), (name, value)] + other),
                ]
                for table in tables {
                    table.encodedBytes.withUnsafeBytes { bytes in
                        var decoded = MessageHeaders(encoded: bytes)
                        let expected = DelayHeaders.deadline(decoded.entries(), now: now)
                        let headers = DelayHeaders(in: bytes)
                        #expect(headers.deadline(bytes, now) == expected)
                        #expect(headers.names == .delay)
                    }
                }
            }
        }
    }

    private static func table(_ bytes: [UInt8]) -> FieldTable? {
        bytes.withUnsafeBytes { try? FieldTable(validating: $0) }
    }

    @Test(arguments: values)
    func negatesInPlaceAsReencodingDoes(value: FieldValue) {
        for other in Self.others {
            let properties = BasicProperties(headers: FieldTable(other + [(DelayHeaders.delay, value)]))
            let expected = properties.encoded.withUnsafeBytes { DelayHeaders.afterwards($0).properties }
            var table = properties.headers?.encodedBytes ?? []
            let before = table
            let isDone = table.withUnsafeMutableBytes { bytes in
                DelayHeaders(in: UnsafeRawBufferPointer(bytes)).negateDelay(in: bytes)
            }
            if isDone {
                let after = BasicProperties(headers: Self.table(table)).encoded
                #expect(after == expected ?? properties.encoded)
            } else {
                // What has no sign needs another type.
                #expect(table == before)
                #expect(expected != nil)
            }
        }
    }

    @Test func leavesCopiesToOthers() {
        let keys = FieldValue.array(FieldArray([.longString([65])]))
        for name: ShortString in ["CC", "BCC"] {
            var table = FieldTable([(DelayHeaders.delay, .int32(4)), (name, keys)]).encodedBytes
            let before = table
            let isDone = table.withUnsafeMutableBytes { bytes in
                let headers = DelayHeaders(in: UnsafeRawBufferPointer(bytes))
                #expect(headers.names == [.delay, .copies])
                return headers.negateDelay(in: bytes)
            }
            #expect(!isDone)
            #expect(table == before)
        }
    }
}
