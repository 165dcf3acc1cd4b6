import AMQPProtocol
import Testing

@Suite struct FieldValueTests {
    /// The names that RabbitMQ 3.10.8 printed for an `alternate-exchange` of each tag.
    @Test(arguments: [
        ("t", "bool"), ("b", "byte"), ("B", "unsignedbyte"), ("s", "short"), ("u", "unsignedshort"), ("I", "signedint"),
        ("i", "unsignedint"), ("l", "long"), ("L", "long"), ("f", "float"), ("d", "double"), ("D", "decimal"),
        ("x", "binary"), ("T", "timestamp"), ("F", "table"), ("A", "array"), ("V", "void"), ("S", "longstr"),
    ])
    func namesTypesAsRabbitMQDoes(_ tag: String, _ name: String) throws {
        let octet = try #require(tag.utf8.first)
        #expect(FieldTag(rawValue: octet)?.rabbitTypeName == name)
    }

    @Test func knowsEighteenTags() {
        #expect(FieldTag.allCases.count == 18)
    }

    @Test(arguments: [
        FieldValue.int8(5), .uint8(5), .int16(5), .uint16(5), .int32(5), .uint32(5), .int64(5), .int64L(5),
    ])
    func readsIntegersOfAnyWidth(_ value: FieldValue) {
        #expect(value.integerValue == 5)
        #expect(value.isEquivalent(to: .int32(5)))
        #expect(FieldValue.int64(5).isEquivalent(to: value))
        #expect(!value.isEquivalent(to: .int32(6)))
        #expect(value.isEquivalent(to: .timestamp(5)))
        #expect(!value.isEquivalent(to: .double(5)))
        #expect(!value.isEquivalent(to: .boolean(true)))
        #expect(value.stringValue == nil && value.booleanValue == nil)
    }

    @Test func comparesAcrossTheSignBit() {
        #expect(!FieldValue.int64(-1).isEquivalent(to: .timestamp(.max)))
        #expect(!FieldValue.int8(-1).isEquivalent(to: .uint8(255)))
        #expect(FieldValue.int8(-1).isEquivalent(to: .int64(-1)))
    }

    @Test func comparesFloatingPointByValue() {
        #expect(FieldValue.float(0.5).isEquivalent(to: .double(0.5)))
        #expect(!FieldValue.float(0.5).isEquivalent(to: .double(0.25)))
    }

    @Test func comparesTruthByMeaning() {
        #expect(FieldValue.bool(2).isEquivalent(to: .boolean(true)))
        #expect(!FieldValue.bool(2).isEquivalent(to: .boolean(false)))
        #expect(FieldValue.bool(2) != .boolean(true))
        #expect(FieldValue.bool(2).booleanValue == true)
    }

    @Test func comparesEverythingElseExactly() {
        #expect(FieldValue.string("a").isEquivalent(to: .string("a")))
        #expect(!FieldValue.string("a").isEquivalent(to: .byteArray([0x61])))
        #expect(!FieldValue.decimal(scale: 0, value: 5).isEquivalent(to: .int32(5)))
        #expect(FieldValue.void.isEquivalent(to: .void))
        #expect(!FieldValue.table(["a": .int32(1)]).isEquivalent(to: .table(["a": .int64(1)])))
        #expect(FieldValue.string("5").integerValue == nil)
        #expect(FieldValue.string("a").stringValue == [0x61])
        #expect(FieldValue.byteArray([0x61]).stringValue == nil)
        #expect(FieldValue.timestamp(1).integerValue == nil)
    }
}
