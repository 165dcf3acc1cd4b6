import AMQPProtocol
import Testing

/// Every method of the tables, through the test-only encoder and back.
@Suite struct MethodRoundTripTests {
    /// One encoded method: its payload, and the values of the members that the struct should have.
    private struct Sample {
        var payload: [UInt8]
        var members: [(name: String, value: String)]
        /// Where each short string that must be UTF-8 has its first octet.
        var names: [Int]
        /// Where each short string that may hold anything has its first octet.
        var freeStrings: [Int]
    }

    /// Encodes random values for every field; reserved fields get zeros, or anything at all.
    private func sample(_ method: SpecFixture.Entry, reservedAreZero: Bool, seed: UInt64) -> Sample {
        var random = SeededGenerator(seed: seed)
        var encoder = TestEncoder()
        var sample = Sample(payload: [], members: [], names: [], freeStrings: [])
        encoder.integer(UInt64(method.classID), octets: 2)
        encoder.integer(UInt64(method.methodID), octets: 2)
        var bits: UInt8 = 0
        var bitCount = 0
        for (index, field) in method.fields.enumerated() {
            let isZero = field.isReserved && reservedAreZero
            var text = ""
            switch field.type {
            case "bit":
                let value = !isZero && Bool.random(using: &random)
                if value { bits |= 1 << UInt8(bitCount) }
                bitCount += 1
                text = "\(value)"
                let isLast = index + 1 == method.fields.count || method.fields[index + 1].type != "bit"
                if isLast {
                    encoder.octet(bits)
                    bits = 0
                    bitCount = 0
                }
            case "octet", "short", "long", "longlong", "timestamp":
                let octets = ["octet": 1, "short": 2, "long": 4][field.type] ?? 8
                let value = isZero ? 0 : random.next() >> UInt64(64 - 8 * octets)
                encoder.integer(value, octets: octets)
                text = "\(value)"
            case "shortstr":
                let value = isZero ? [] : random.letters(Int.random(in: 1...40, using: &random))
                encoder.shortString(value)
                if !field.isReserved {
                    let start = encoder.bytes.count - value.count
                    if field.utf8 == false { sample.freeStrings.append(start) } else { sample.names.append(start) }
                }
                text = "\(value)"
            case "longstr":
                let value = isZero ? [] : random.bytes(Int.random(in: 0...300, using: &random))
                encoder.longString(value)
                text = "\(value)"
            case "table":
                let value = TestEncoder.encode { $0.entry("k", "l", random.bytes(8)) }
                encoder.longString(value)
                text = "\(value)"
            default:
                Issue.record("the tables have a type that this test does not know: \(field.type)")
            }
            if !field.isReserved { sample.members.append((self.memberName(field.name), text)) }
        }
        sample.payload = encoder.bytes
        return sample
    }

    private func memberName(_ name: String) -> String {
        if name == "nowait" { return "noWait" }
        let parts = name.split(separator: "-")
        return parts.enumerated().map { index, part in
            index == 0 ? String(part) : part == "id" ? "ID" : part.prefix(1).uppercased() + part.dropFirst()
        }.joined()
    }

    /// The members of the struct inside an enum case, in order, with their values as text.
    private func members(of method: any EncodableMethod) -> [(name: String, value: String)] {
        Mirror(reflecting: method).children.map { child in
            let value =
                switch child.value {
                case let string as ShortString: "\(string.bytes)"
                case let table as FieldTable: "\(table.encodedBytes)"
                default: "\(child.value)"
                }
            return (child.label ?? "", value)
        }
    }

    @Test func thereAreSixtySixMethods() {
        #expect(SpecFixture.methods.count == 66)
        #expect(Set(SpecFixture.methods.map(\.name)).count == 66)
    }

    @Test(arguments: SpecFixture.methods)
    func decodesEveryFieldAndEncodesTheSameOctets(_ entry: SpecFixture.Entry) throws {
        for seed in 0..<20 as Range<UInt64> {
            let sample = self.sample(entry, reservedAreZero: true, seed: seed)
            let method = try decodingMethod(sample.payload).get()
            #expect(method.id == MethodID(classID: entry.classID, methodID: entry.methodID))
            #expect(method.id.name == entry.name)
            let encodable = method.encodable
            #expect(self.members(of: encodable).map(\.name) == sample.members.map(\.name), "seed \(seed)")
            #expect(self.members(of: encodable).map(\.value) == sample.members.map(\.value), "seed \(seed)")
            #expect(encodable.encodedSize == sample.payload.count)
            #expect(written(encodable.encodedSize) { encodable.encode(into: &$0) } == sample.payload, "seed \(seed)")
        }
    }

    @Test(arguments: SpecFixture.methods)
    func framesThePayload(_ entry: SpecFixture.Entry) throws {
        let sample = self.sample(entry, reservedAreZero: true, seed: 7)
        let encodable = try decodingMethod(sample.payload).get().encodable
        let frame = written(encodable.frameSize) { encodable.encodeFrame(channel: 0x0102, into: &$0) }
        let expected = TestEncoder.encode { encoder in
            encoder.raw([1, 1, 2])
            encoder.longString(sample.payload)
            encoder.octet(0xCE)
        }
        #expect(frame == expected)
    }

    @Test(arguments: SpecFixture.methods)
    func ignoresWhateverReservedFieldsHold(_ entry: SpecFixture.Entry) throws {
        for seed in 0..<20 as Range<UInt64> {
            let sample = self.sample(entry, reservedAreZero: false, seed: seed)
            let encodable = try decodingMethod(sample.payload).get().encodable
            #expect(self.members(of: encodable).map(\.value) == sample.members.map(\.value), "seed \(seed)")
        }
    }

    @Test(arguments: SpecFixture.methods)
    func refusesEveryTruncation(_ entry: SpecFixture.Entry) {
        let payload = self.sample(entry, reservedAreZero: false, seed: 3).payload
        for count in 0..<payload.count {
            #expect(throws: DecodeError.truncated, "cut at \(count)") {
                try decodingMethod(Array(payload.prefix(count))).get()
            }
        }
    }

    @Test(arguments: SpecFixture.methods)
    func refusesOctetsAfterTheLastArgument(_ entry: SpecFixture.Entry) {
        let payload = self.sample(entry, reservedAreZero: false, seed: 4).payload
        #expect(throws: DecodeError.trailingBytes) { try decodingMethod(payload + [0]).get() }
    }

    @Test(arguments: SpecFixture.methods)
    func checksThatNamesAreUTF8(_ entry: SpecFixture.Entry) throws {
        let sample = self.sample(entry, reservedAreZero: true, seed: 5)
        for position in sample.names {
            var payload = sample.payload
            payload[position] = 0xFF
            #expect(throws: DecodeError.invalidUTF8) { try decodingMethod(payload).get() }
        }
        for position in sample.freeStrings {
            var payload = sample.payload
            payload[position] = 0xFF
            let encodable = try decodingMethod(payload).get().encodable
            #expect(written(encodable.encodedSize) { encodable.encode(into: &$0) } == payload)
        }
    }

    @Test(arguments: [MethodID.none, MethodID(classID: 40, methodID: 41), MethodID(classID: 50, methodID: 99)])
    func refusesUnknownMethods(_ id: MethodID) {
        let payload = TestEncoder.encode { $0.integer(UInt64(id.rawValue), octets: 4) }
        #expect(throws: DecodeError.unknownMethod(id)) { try decodingMethod(payload).get() }
        #expect(id.name == "\(id.classID).\(id.methodID)")
    }
}
