import AMQPProtocol
import Testing

@Suite struct BasicPropertiesTests {
    private static let headers: FieldTable = ["h": .int32(5), "t": .table(["x": .void])]

    /// Properties with exactly those whose flag is in the mask, and their octets by the test-only encoder.
    private func sample(_ mask: UInt16) -> (properties: BasicProperties, bytes: [UInt8]) {
        var properties = BasicProperties()
        var encoder = TestEncoder()
        let flags = mask << 2
        encoder.integer(UInt64(flags), octets: 2)
        func string(_ bit: Int, _ text: String) -> ShortString? {
            guard flags & (1 << UInt16(bit)) != 0 else { return nil }
            encoder.shortString(Array(text.utf8))
            return ShortString(truncating: text)
        }
        func octet(_ bit: Int, _ value: UInt8) -> UInt8? {
            guard flags & (1 << UInt16(bit)) != 0 else { return nil }
            encoder.octet(value)
            return value
        }
        properties.contentType = string(15, "text/plain")
        properties.contentEncoding = string(14, "gzip")
        if flags & (1 << 13) != 0 {
            encoder.longString(Self.headers.encodedBytes)
            properties.headers = Self.headers
        }
        properties.deliveryMode = octet(12, 2)
        properties.priority = octet(11, 9)
        properties.correlationID = string(10, "correlation")
        properties.replyTo = string(9, "amq.rabbitmq.reply-to")
        properties.expiration = string(8, "60000")
        properties.messageID = string(7, "")
        if flags & (1 << 6) != 0 {
            encoder.integer(0x0102_0304_0506_0708, octets: 8)
            properties.timestamp = 0x0102_0304_0506_0708
        }
        properties.type = string(5, "type")
        properties.userID = string(4, "guest")
        properties.appID = string(3, "app")
        properties.clusterID = string(2, "c")
        return (properties, encoder.bytes)
    }

    @Test func roundTripsEveryCombination() throws {
        for mask in 0..<(1 << 14) as Range<UInt16> {
            let (properties, bytes) = self.sample(mask)
            let encoded = written(properties.encodedSize) { properties.encode(into: &$0) }
            let decoded = try reading(bytes) { reader throws(DecodeError) in
                try BasicProperties(from: &reader)
            }.get()
            // One comparison at a time costs too much with 16,384 combinations; the mask names the failing one.
            guard encoded == bytes, properties.encodedSize == bytes.count, decoded == properties else {
                Issue.record("properties \(mask) do not round trip")
                return
            }
        }
    }

    @Test func agreesWithTheScanInEveryCombination() throws {
        for mask in 0..<(1 << 14) as Range<UInt16> {
            let (properties, bytes) = self.sample(mask)
            let scan = try scanning(bytes).get()
            guard self.agrees(scan, properties, bytes) else {
                Issue.record("the scan of properties \(mask) differs")
                return
            }
        }
    }

    private func agrees(_ scan: PropertyScan, _ properties: BasicProperties, _ bytes: [UInt8]) -> Bool {
        func same(_ range: Range<Int>?, _ string: ShortString?) -> Bool {
            range.map { Array(bytes[$0]) } == string?.bytes
        }
        return scan.flags == properties.flags
            && scan.deliveryMode == properties.deliveryMode ?? 0
            && scan.priority == properties.priority
            && scan.timestamp == properties.timestamp
            && same(scan.contentType, properties.contentType)
            && scan.headers.map { Array(bytes[$0]) } == properties.headers?.encodedBytes
            && same(scan.correlationID, properties.correlationID)
            && same(scan.replyTo, properties.replyTo)
            && same(scan.expiration, properties.expiration)
            && same(scan.messageID, properties.messageID)
            && same(scan.userID, properties.userID)
    }

    @Test func refusesEveryTruncationAndAnExtraOctet() {
        let bytes = self.sample((1 << 14) - 1).bytes
        for count in 0..<bytes.count {
            let cut = Array(bytes.prefix(count))
            #expect(throws: DecodeError.truncated, "cut at \(count)") { try self.decode(cut) }
            #expect(throws: DecodeError.truncated, "cut at \(count)") { try scanning(cut).get() }
        }
        #expect(throws: DecodeError.trailingBytes) { try self.decode(bytes + [0]) }
        #expect(throws: DecodeError.trailingBytes) { try scanning(bytes + [0]).get() }
        #expect(throws: DecodeError.trailingBytes) { try scanning([0, 0, 0]).get() }
        #expect(throws: DecodeError.trailingBytes) { try scanning([0x10, 0, 2, 0]).get() }
    }

    /// As RabbitMQ does: nothing follows for a flag that no property has.
    @Test func ignoresTheFlagThatNoPropertyHas() throws {
        #expect(try self.decode([0, 2]) == BasicProperties())
        #expect(try self.decode([0x80, 2, 1, 0x61]).contentType == "a")
        #expect(try scanning([0x10, 2, 2]).get().deliveryMode == 2)
    }

    @Test(arguments: [[0, 1, 0, 0], [0x80, 1, 0, 0, 0], [0, 3, 0, 0]] as [[UInt8]])
    func refusesASecondFlagsWord(_ bytes: [UInt8]) {
        #expect(throws: DecodeError.malformedProperties) { try self.decode(bytes) }
        #expect(throws: DecodeError.malformedProperties) { try scanning(bytes).get() }
    }

    @Test func refusesMalformedHeaders() {
        let bytes: [UInt8] = [0x20, 0, 0, 0, 0, 3, 1, 0x61, 0x5A]
        #expect(throws: DecodeError.unknownFieldType(0x5A)) { try self.decode(bytes) }
        #expect(throws: DecodeError.unknownFieldType(0x5A)) { try scanning(bytes).get() }
        let short: [UInt8] = [0x20, 0, 0, 0, 0, 3, 1, 0x61, 0x49]
        #expect(throws: DecodeError.malformedTable) { try self.decode(short) }
        #expect(throws: DecodeError.malformedTable) { try scanning(short).get() }
    }

    @Test func letsStringsHoldAnyOctets() throws {
        let bytes: [UInt8] = [0x80, 0, 2, 0xFF, 0xFE]
        #expect(try self.decode(bytes).contentType?.bytes == [0xFF, 0xFE])
        #expect(try scanning(bytes).get().contentType == 3..<5)
    }

    @discardableResult
    private func decode(_ bytes: [UInt8]) throws(DecodeError) -> BasicProperties {
        try reading(bytes) { reader throws(DecodeError) in try BasicProperties(from: &reader) }.get()
    }
}
