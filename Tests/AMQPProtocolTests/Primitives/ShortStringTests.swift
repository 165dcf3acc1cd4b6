import AMQPProtocol
import Testing

@Suite struct ShortStringTests {
    @Test func holdsAtMost255Octets() {
        #expect(ShortString(Array(repeating: 0x61, count: 255))?.bytes.count == 255)
        #expect(ShortString(Array(repeating: 0x61, count: 256)) == nil)
    }

    @Test func cutsLongTextBetweenCharacters() {
        let text = String(repeating: "a", count: 254) + "é"
        #expect(ShortString(truncating: text).bytes == Array(repeating: 0x61, count: 254))
        #expect(ShortString(truncating: String(repeating: "é", count: 127)).bytes.count == 254)
        #expect(ShortString(truncating: "kurz") == "kurz")
        let exact = String(repeating: "a", count: 253) + "é"
        #expect(ShortString(truncating: exact).bytes.count == 255)
    }

    @Test func comparesOctetsAndNotCharacters() {
        let composed = ShortString(truncating: "\u{E9}")
        let decomposed = ShortString(truncating: "e\u{301}")
        #expect(composed != decomposed)
        #expect(Set([composed, decomposed]).count == 2)
    }

    @Test func ordersByOctets() {
        let sorted: [ShortString] = ["", "a", "ab", "b", "\u{E9}"]
        #expect(Array(sorted.reversed()).sorted() == sorted)
    }

    @Test func findsPrefixes() {
        #expect(("amq.gen" as ShortString).hasPrefix("amq."))
        #expect(("amq." as ShortString).hasPrefix(""))
        #expect(!("amq" as ShortString).hasPrefix("amq."))
    }

    @Test func showsIllFormedTextWithReplacements() {
        let string = ShortString([0x61, 0xFF] as [UInt8])
        #expect(string?.description == "a\u{FFFD}")
        #expect(string?.isValidUTF8 == false)
        #expect(ShortString(truncating: "Grüße 🐦").isValidUTF8)
        #expect(ShortString.empty.isEmpty && ShortString.empty.isValidUTF8)
    }

    @Test func copiesABuffer() {
        let bytes: [UInt8] = [1, 2, 3]
        #expect(bytes.withUnsafeBytes { ShortString($0) }.bytes == bytes)
        #expect(ShortString(UnsafeRawBufferPointer(start: nil, count: 0)).isEmpty)
        #expect(("abc" as ShortString).encodedSize == 4)
    }

    @Test func trapsOnABufferThatTheCallerDidNotCheck() async {
        await #expect(processExitsWith: .failure) {
            let bytes = [UInt8](repeating: 0, count: 256)
            _ = bytes.withUnsafeBytes { ShortString($0) }
        }
    }
}
