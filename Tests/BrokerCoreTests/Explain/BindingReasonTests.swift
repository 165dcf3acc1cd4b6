import AMQPProtocol
import Testing

@testable import BrokerCore

/// Why single bindings match or do not.
@Suite struct BindingReasonTests {
    private static let topicRows: [(String, String, BindingReason)] = [
        ("a.b", "a.b", .pattern("a.b")),
        ("", "", .pattern("")),
        ("#", "", .pattern("")),
        ("#", "a.b.c", .pattern("a.b.c")),
        ("a.#.z", "a.z", .pattern("a.z")),
        ("a.*.#.z", "a.b.c.z", .pattern("a.b.c.z")),
        ("*.b", "a.c", .otherWord(word: 2, "c", wanted: ["b"])),
        ("a.b", "A.b", .otherWord(word: 1, "A", wanted: ["a"])),
        ("a.b.c", "a.x.c", .otherWord(word: 2, "x", wanted: ["b"])),
        ("a.b", "a.b.c", .tooManyWords(word: 3, "c")),
        ("", "a", .tooManyWords(word: 1, "a")),
        ("*", "", .tooFewWords(wanted: ["*"])),
        ("a.b", "a", .tooFewWords(wanted: ["b"])),
        ("a.b", "a.", .otherWord(word: 2, "", wanted: ["b"])),
        ("a.#.z", "a.b.c", .tooFewWords(wanted: ["z"])),
        ("#.a.#.b", "x.a.y", .tooFewWords(wanted: ["a", "b"])),
        ("a.*", "a", .tooFewWords(wanted: ["*"])),
    ]

    @Test(arguments: topicRows)
    func namesTheWord(pattern: String, key: String, reason: BindingReason) {
        let result = TopicTrie.explain(pattern.short, Array(key.utf8))
        #expect(result.reason == reason)
        if case .pattern = reason { #expect(result.isMatched) } else { #expect(!result.isMatched) }
    }

    /// Every pattern and key of up to four words out of three, against the trie that routes.
    @Test func topicsAgreeWithRouting() {
        func texts(_ words: [String], _ most: Int) -> [String] {
            var all = [""]
            var last = [""]
            for count in 1...most {
                last = last.flatMap { text in words.map { count == 1 ? $0 : "\(text).\($0)" } }
                all += last
            }
            return all
        }
        let keys = texts(["a", "b", ""], 3)
        for pattern in texts(["a", "*", "#"], 4) {
            let scene = TrieScene()
            scene.bind(pattern)
            for key in keys {
                let explained = TopicTrie.explain(pattern.short, Array(key.utf8))
                #expect(explained.isMatched == (scene.route(key) == [0]), "\(pattern) \(key)")
            }
        }
    }

    private static let headerRows: [(FieldTable, FieldTable, Bool, BindingReason)] = [
        ([:], ["a": .int32(1)], true, .allHeaders(count: 0)),
        (["a": .int32(1), "b": .text("x")], ["b": .text("x"), "a": .int64(1)], true, .allHeaders(count: 2)),
        (["a": .int32(1)], [:], false, .missingHeader("a", wanted: "1")),
        (["a": .void], [:], false, .missingHeader("a", wanted: "any value")),
        (["a": .void], ["a": .text("whatever")], true, .allHeaders(count: 1)),
        (["a": .text("x")], ["a": .text("y")], false, .otherHeader("a", wanted: "'x'", found: "'y'")),
        (["a": .text("1")], ["a": .int32(1)], false, .otherHeader("a", wanted: "'1'", found: "1")),
        (["x-match": .text("any"), "a": .int32(1), "b": .int32(2)], ["b": .int32(2)], true, .oneHeader("b")),
        (["x-match": .text("any"), "a": .int32(1), "b": .int32(2)], ["b": .int32(3)], false, .noHeader(["a", "b"])),
        (["x-match": .text("any")], ["b": .int32(3)], false, .noHeader([])),
        (["x-match": .text("all"), "x-a": .int32(1)], [:], true, .allHeaders(count: 0)),
        (["x-match": .text("all-with-x"), "x-a": .int32(1)], [:], false, .missingHeader("x-a", wanted: "1")),
        (["x-match": .text("any-with-x"), "x-a": .int32(1)], ["x-a": .int32(1)], true, .oneHeader("x-a")),
    ]

    @Test(arguments: headerRows)
    func namesTheHeader(arguments: FieldTable, headers: FieldTable, isMatched: Bool, reason: BindingReason) {
        let entries = headers.map { (key: $0.key, value: $0.value) }.sorted { $0.key < $1.key }
        let result = HeadersExchange.explain(arguments, entries)
        #expect(result.isMatched == isMatched && result.reason == reason)
    }

    @Test func reasonsHaveWords() {
        #expect(Self.topicRows.map(\.2.text).allSatisfy { !$0.isEmpty })
        let reason = BindingReason.otherWord(word: 2, "x", wanted: ["b", "c"])
        #expect(reason.text == "word 2 is 'x' where 'b' or 'c' is wanted")
        #expect(BindingReason.otherHash(bucket: 1, chosen: 2, of: 3).text == "the hash chooses 2 of 3, not 1")
        #expect(BindingReason.missingHeader("a", wanted: "1").text == "header 'a' is missing, 1 is wanted")
    }
}
