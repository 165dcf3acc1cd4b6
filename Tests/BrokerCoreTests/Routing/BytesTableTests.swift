import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The hash table of names: it must do what a dictionary does, whatever is added and taken away.
@Suite struct BytesTableTests {
    private struct Key: Hashable {
        var name: String
        var scope: UInt32
    }

    private func value(_ key: Key, in table: BytesTable<Int>) -> Int? {
        Array(key.name.utf8).withUnsafeBytes { table.lookUp($0, hash: table.hash($0), scope: key.scope) }
    }

    /// Few names, so that they come and go often, and gaps are closed in runs of every shape.
    @Test(arguments: UInt64(1)...10)
    func agreesWithADictionary(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var table = BytesTable<Int>(seed: seed)
        var model: [Key: Int] = [:]
        let names = (0..<120).map { String(repeating: "x", count: $0 % 40) + "\($0)" } + [""]
        for number in 0..<4000 {
            let key = Key(name: names[random.below(names.count)], scope: UInt32(random.below(2)))
            switch random.below(5) {
            case 0, 1:
                #expect(
                    table.remove(key.name.short, scope: key.scope) == model.removeValue(forKey: key),
                    "seed \(seed)"
                )
            case 2:
                let sum = table.update(key.name.short, scope: key.scope, initial: 0) { value in
                    value += number
                    return value
                }
                model[key, default: 0] += number
                #expect(sum == model[key], "seed \(seed)")
            default:
                let old = table.insert(number, for: key.name.short, scope: key.scope)
                #expect(old == model.updateValue(number, forKey: key), "seed \(seed)")
            }
            #expect(table.count == model.count)
        }
        for name in names {
            for scope: UInt32 in [0, 1, 2] {
                let key = Key(name: name, scope: scope)
                #expect(self.value(key, in: table) == model[key], "seed \(seed)")
            }
        }
        let sorted = model.keys.filter { $0.scope == 0 }.map(\.name.short).sorted()
        #expect(table.sortedKeys == sorted)
    }

    @Test func anEmptyTableKnowsNothing() {
        var table = BytesTable<Int>(seed: 1)
        #expect(table["k"] == nil)
        #expect(table.remove("k") == nil)
        #expect(table.sortedKeys == [])
        #expect(table.count == 0)
    }

    @Test func keysAreOctets() throws {
        var table = BytesTable<Int>(seed: 1)
        let ill = try #require(ShortString([0xff, 0x00, 0xfe] as [UInt8]))
        // The same letter in two spellings of Unicode.
        table.insert(1, for: "\u{e9}")
        table.insert(2, for: "e\u{301}")
        table.insert(3, for: ill)
        #expect(table["\u{e9}"] == 1)
        #expect(table["e\u{301}"] == 2)
        #expect(table[ill] == 3)
        #expect(table["e"] == nil)
    }

    /// Every length has its own way through the hash; neighbours must not be taken for each other.
    @Test func namesOfEveryLengthAreApart() {
        var table = BytesTable<Int>(seed: 5)
        for length in 0...255 {
            table.insert(length, for: String(repeating: "a", count: length).short)
        }
        for length in 0...255 {
            #expect(table[String(repeating: "a", count: length).short] == length)
        }
        var hashes: Set<UInt64> = []
        for length in 1...255 {
            for place in 0..<length {
                var bytes = [UInt8](repeating: 97, count: length)
                bytes[place] = 98
                hashes.insert(bytes.withUnsafeBytes { table.hash($0) })
            }
        }
        #expect(hashes.count == 255 * 256 / 2, "no octet is left out of the hash")
    }

    @Test func hashesDependOnTheSeed() {
        let first = BytesHash(seed: 1)
        let second = BytesHash(seed: 2)
        for name in ["", "a", "abcd", "abcdefgh", "abcdefghijklmnop", "abcdefghijklmnopq"] {
            let bytes = Array(name.utf8)
            #expect(bytes.withUnsafeBytes { first.hash($0) != second.hash($0) }, "\(name)")
        }
    }
}
