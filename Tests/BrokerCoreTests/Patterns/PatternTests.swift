import Testing

@testable import BrokerCore

/// What a pattern finds, as PCRE does.
@Suite struct PatternTests {
    /// Patterns people use for queues and permissions, and what each part of the syntax means.
    @Test(arguments: [
        ("", "anything", true),
        ("^jobs\\.", "jobs.mail", true),
        ("^jobs\\.", "old.jobs.mail", false),
        ("jobs", "old.jobs.mail", true),
        (".*", "", true),
        ("^$", "", true),
        ("^$", "a", false),
        ("^(?!amq\\.).*", "jobs", true),
        ("^(?!amq\\.).*", "amq.topic", false),
        ("^(?!(amq\\.|stats\\.)).+$", "stats.cpu", false),
        ("^(?!(amq\\.|stats\\.)).+$", "statistics", true),
        ("^(mail|sms)-(?:high|low)$", "sms-low", true),
        ("^(mail|sms)-(?:high|low)$", "sms-lower", false),
        ("(?i)^MAIL", "mail.out", true),
        ("^(?i:m)ail", "Mail", true),
        ("^(?i:m)ail", "MAIL", false),
        ("\\.v[0-9]{1,3}$", "orders.v12", true),
        ("\\.v[0-9]{1,3}$", "orders.v1234", false),
        ("^[^.]+\\.[[:alpha:]]+$", "a.bc", true),
        ("^[^.]+\\.[[:alpha:]]+$", "a.b1", false),
        ("(?<=\\.)retry$", "mail.retry", true),
        ("(?<=\\.)retry$", "mailretry", false),
        ("(?<!dead)\\.letters", "dead.letters", false),
        ("\\bcat\\b", "a cat!", true),
        ("\\bcat\\b", "concatenate", false),
        ("^a{2,}$", "aaa", true),
        ("^a{2,}$", "a", false),
        ("^a{,2}$", "a{,2}", true),
        ("^\\Qa.b\\E$", "a.b", true),
        ("^\\Qa.b\\E$", "axb", false),
        ("^[]a]+$", "]a]", true),
        ("^[a\\-z]$", "m", false),
        ("^(?x) a b # a comment", "ab", true),
        ("^celery(ev)?\\.", "celeryev.1", true),
        ("^(?=.*\\d)(?=.*[a-z]).{3,}$", "ab1", true),
        ("^(?=.*\\d)(?=.*[a-z]).{3,}$", "abc", false),
        ("a$", "a\n", true),
        ("a\\z", "a\n", false),
        ("\\x41\\x{42}\\060\\0", "AB0\u{0}", true),
    ])
    func finds(_ source: String, in name: String, _ expected: Bool) throws {
        #expect(try Pattern(source).matches(Array(name.utf8)) == expected)
    }

    /// Reason and place are PCRE's; the last four are what we cannot do.
    @Test(arguments: [
        ("(", "{\"missing )\",1}"),
        (")", "{\"unmatched parentheses\",0}"),
        ("*a", "{\"nothing to repeat\",0}"),
        ("a**", "{\"nothing to repeat\",2}"),
        ("[", "{\"missing terminating ] for character class\",1}"),
        ("a{2,1}", "{\"numbers out of order in {} quantifier\",5}"),
        ("a\\", "{\"\\\\ at end of pattern\",2}"),
        ("(a)\\1", "{\"back references are not supported\",4}"),
        ("(?>a)", "{\"atomic groups are not supported\",2}"),
        ("a++", "{\"possessive quantifiers are not supported\",2}"),
        ("(?R)", "{\"recursion is not supported\",2}"),
    ])
    func refuses(_ source: String, _ reason: String) {
        let error = #expect(throws: PatternError.self) { try Pattern(source) }
        #expect(error?.erlangTerm == reason)
    }

    @Test func namesAreOctets() throws {
        let pattern = try Pattern([UInt8(ascii: "^"), 0xFF, UInt8(ascii: ".")])
        #expect(pattern.matches([0xFF, 0x80]))
        #expect(!pattern.matches([0xFF]))
    }

    /// Patterns that take a backtracking matcher longer than the universe has.
    @Test(arguments: [
        "^(a+)+$", "^(a|a)*$", "^(a*)*b", "(x+x+)+y", "^(([a-z])+.)+[A-Z]([a-z])+$", "^(a?){200}a{200}$", "(?=(a+)+$)b",
    ])
    func costIsBounded(_ source: String) throws {
        let pattern = try Pattern(source)
        let name = Array(repeating: UInt8(ascii: "a"), count: 255) + [UInt8(ascii: "!")]
        let (_, steps) = name.withUnsafeBytes { pattern.matches($0) }
        // Every step at every place once, in the pattern and in its look.
        #expect(steps <= 257 * 2_000)
    }

    @Test func sizeIsBounded() throws {
        for source in ["(a{1000}){1000}", "((((a{9}){9}){9}){9}){9}", String(repeating: "(a?){999}", count: 11)] {
            let error = #expect(throws: PatternError.self) { try Pattern(source) }
            #expect(error?.reason == "regular expression is too large")
        }
        let long = String(repeating: "a", count: Pattern.maxOctets + 1)
        #expect(throws: PatternError.self) { try Pattern(long) }
        let deep = String(repeating: "(", count: 101) + String(repeating: ")", count: 101)
        let error = #expect(throws: PatternError.self) { try Pattern(deep) }
        #expect(error?.reason == "parentheses are too deeply nested")
        _ = try Pattern(String(repeating: "(", count: 100) + String(repeating: ")", count: 100))
        // A repetition of nothing is no work.
        _ = try Pattern("(){65535}(){65535}")
    }

    /// Whatever stands there, reading it ends, in a pattern or an error.
    @Test func anyOctetsAreRead() {
        var state: UInt64 = 42
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let letters = Array("ab(|)[]{}*+?\\^$.-,1:=!<>iQEx&P'#[:alpha:]".utf8) + [0, 10, 255]
        var good = 0
        for _ in 0..<3_000 {
            let source = (0..<next() % 12).map { _ in letters[Int(next() % UInt64(letters.count))] }
            if let pattern = try? Pattern(source) {
                good += 1
                _ = pattern.matches(Array("ab.a1".utf8))
            }
        }
        #expect(good > 100)
    }
}
