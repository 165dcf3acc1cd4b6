import AMQPProtocol
import Testing

@Suite struct ContentHeaderTests {
    private let bytes: [UInt8] = [0, 60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2]

    @Test func readsAndWritesTheFixedPart() throws {
        let header = ContentHeader(classID: 60, weight: 1, bodySize: 0x1_0000_0002)
        let decoded = try reading(self.bytes + [0x10, 0, 2]) { reader throws(DecodeError) in
            let header = try ContentHeader(from: &reader)
            return (header, reader.position)
        }.get()
        #expect(decoded.0 == header)
        #expect(decoded.1 == ContentHeader.propertiesOffset)
        #expect(written(12) { header.encode(into: &$0) } == self.bytes)
        #expect(try self.bytes.withUnsafeBytes { try ContentHeader(from: $0) } == header)
    }

    @Test func refusesEveryTruncation() {
        for count in 0..<self.bytes.count {
            let cut = Array(self.bytes.prefix(count))
            #expect(throws: DecodeError.truncated) { try cut.withUnsafeBytes { try ContentHeader(from: $0) } }
        }
    }

    @Test func describesMessagesByDefault() {
        #expect(ContentHeader(bodySize: 5) == ContentHeader(classID: 60, weight: 0, bodySize: 5))
    }
}
