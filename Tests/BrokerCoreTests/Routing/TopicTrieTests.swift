import BrokerSimulation
import Testing

@testable import BrokerCore

/// Patterns of words.
@Suite struct TopicTrieTests {
    @Test(arguments: [
        // Words are compared whole, octet by octet.
        ("a.b", "a.b", true), ("a.b", "a", false), ("a", "a.b", false), ("a", "A", false), ("a.b", "ab", false),
        ("a.b", "a.b.", false), ("ä.ß", "ä.ß", true),
        // `*` is exactly one word.
        ("*", "a", true), ("*", "a.b", false), ("*", "*", true), ("*", "#", true), ("a.*", "a.b", true),
        ("a.*", "a", false), ("a.*", "a.b.c", false), ("*.b", "a.b", true), ("*.*", "a", false),
        ("a.*.c", "a.b.c", true),
        // `#` is any number of words.
        ("#", "a", true), ("#", "a.b.c", true), ("a.#", "a", true), ("a.#", "a.b.c", true), ("a.#", "ab", false),
        ("#.b", "b", true), ("#.b", "a.b", true), ("#.b", "a.b.c", false), ("a.#.b", "a.b", true),
        ("a.#.b", "a.x.y.b", true), ("a.#.b", "a", false), ("a.#.b", "a.b.c", false), ("a.#.b", "a.b.b", true),
        // Both.
        ("#.*", "a", true), ("*.#", "a", true), ("*.#", "a.b.c", true), ("*.#.*", "a", false), ("*.#.*", "a.b", true),
        ("#.*.#", "a", true), ("#.#", "a", true), ("#.a.#.b.#", "x.a.y.b.z", true), ("#.a.#.b.#", "b.a", false),
        // The empty key has no word, so that only patterns of nothing but `#` match it, and the empty pattern.
        ("", "", true), ("#", "", true), ("#.#", "", true), ("*", "", false), ("*.#", "", false), ("#.*.#", "", false),
        ("a", "", false), ("", "a", false), (".", "", false),
        // Words between, before and after dots may be empty, and are words.
        ("", ".", false), (".", ".", true), ("*.*", ".", true), ("*", ".", false), ("#", ".", true), ("..", "..", true),
        ("a.*.b", "a..b", true), ("a.#.b", "a..b", true), ("a..b", "a.b", false), ("a..b", "a..b", true),
        ("a.*", "a.", true), ("*.a", ".a", true), ("a.", "a", false), ("a.", "a.", true), ("a.#", "a.", true),
        // Within a word `*` and `#` are ordinary.
        ("a*", "ab", false), ("a*", "a*", true), ("#a", "ba", false), ("#a", "#a", true), ("**", "a", false),
        ("**", "**", true), ("##", "a.b", false), ("##", "##", true),
    ])
    func matches(pattern: String, key: String, isMatch: Bool) {
        let scene = TrieScene()
        scene.bind(pattern)
        #expect(scene.route(key) == (isMatch ? [0] : []), "\(pattern) \(key)")
        #expect(PlainMatcher.matches(pattern, key) == isMatch, "the plain matcher is wrong")
    }

    /// Celery's native delay binds with as many as 27 stars.
    @Test(arguments: [(27, 27, true), (27, 26, false), (27, 28, false)])
    func takesManyStars(stars: Int, words: Int, isMatch: Bool) {
        let scene = TrieScene()
        scene.bind(Array(repeating: "*", count: stars).joined(separator: ".") + ".#")
        scene.bind(Array(repeating: "*", count: stars).joined(separator: "."))
        let key = Array(repeating: "1", count: words).joined(separator: ".")
        #expect(scene.route(key).contains(1) == isMatch)
        #expect(scene.route(key).contains(0) == (words >= stars))
    }

    /// Random patterns side by side in one trie, some of them taken away again.
    @Test(arguments: UInt64(1)...20)
    func agreesWithAPlainMatcher(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        func text(_ words: [String]) -> String {
            (0..<random.below(6)).map { _ in words[random.below(words.count)] }.joined(separator: ".")
        }
        let scene = TrieScene()
        var patterns: [Int: String] = [:]
        for number in 0..<60 {
            let pattern = text(["a", "b", "*", "#", "#", "", "a*"])
            scene.bind(pattern)
            patterns[number] = pattern
        }
        for round in 0..<4 {
            for _ in 0..<80 {
                let key = text(["a", "b", "c", "", "a*", "#"])
                let expected = patterns.filter { PlainMatcher.matches($0.value, key) }.keys.sorted()
                #expect(scene.route(key) == expected, "seed \(seed), round \(round), key '\(key)'")
            }
            for number in patterns.keys.sorted() where random.oneIn(2) {
                scene.unbind(number)
                patterns[number] = nil
            }
        }
        for number in patterns.keys { scene.unbind(number) }
        #expect(scene.trie.nodeCount == 1, "seed \(seed)")
    }

    @Test func keepsNoNodesOfBindingsThatAreGone() {
        let scene = TrieScene()
        scene.bind("a.b.c")
        #expect(scene.trie.nodeCount == 4)
        scene.bind("a.b")
        scene.bind("a.*.#")
        #expect(scene.trie.nodeCount == 6)
        scene.unbind(0)
        #expect(scene.trie.nodeCount == 5)
        #expect(scene.route("a.b") == [1, 2])
        scene.unbind(1)
        #expect(scene.trie.nodeCount == 4)
        scene.unbind(2)
        #expect(scene.trie.nodeCount == 1)
        #expect(scene.route("a.b") == [])
        // Numbers of nodes are used again: what hung on the old ones must not be there.
        scene.bind("x.y.z")
        #expect(scene.trie.nodeCount == 4)
        #expect(scene.route("x.b.c") == [])
        #expect(scene.route("x.y.z") == [3])
    }

    /// Trying every `#` at every place would take longer than anybody waits.
    @Test(.timeLimit(.minutes(1)))
    func manyHashesAreNoWeapon() {
        let scene = TrieScene()
        scene.bind(Array(repeating: "#", count: 120).joined(separator: "."))
        scene.bind(Array(repeating: "#.a", count: 60).joined(separator: "."))
        scene.bind(Array(repeating: "#.a", count: 60).joined(separator: ".") + ".b")
        let key = Array(repeating: "a", count: 120).joined(separator: ".")
        #expect(scene.route(key) == [0, 1])
        #expect(scene.route(key + ".b") == [0, 2])
    }
}
