import Testing

/// Time, randomness, threads and output reach the core as values; a core that reaches for them cannot be simulated.
@Suite struct CorePurityTests {
    /// A word that gives an impurity away, and why it may not appear.
    ///
    /// What starts with a dot is looked for as it stands: a member called `random` may well be the input itself.
    private struct Forbidden {
        var word: String
        var reason: String
    }

    private static let forbidden: [Forbidden] = [
        Forbidden(word: "ContinuousClock", reason: "time is an input"),
        Forbidden(word: "SuspendingClock", reason: "time is an input"),
        Forbidden(word: "clock_gettime", reason: "time is an input"),
        Forbidden(word: "gettimeofday", reason: "time is an input"),
        Forbidden(word: "Date", reason: "time is an input"),
        Forbidden(word: "DispatchTime", reason: "time is an input"),
        Forbidden(word: "SystemRandomNumberGenerator", reason: "randomness is an input"),
        Forbidden(word: ".random(", reason: "randomness is an input"),
        Forbidden(word: "randomElement", reason: "randomness is an input"),
        Forbidden(word: "shuffled", reason: "randomness is an input"),
        Forbidden(word: "shuffle", reason: "randomness is an input"),
        Forbidden(word: "arc4random", reason: "randomness is an input"),
        Forbidden(word: "UUID", reason: "randomness is an input"),
        Forbidden(word: "hashValue", reason: "Swift's hashes differ from run to run"),
        Forbidden(word: "Task", reason: "the core has one thread"),
        Forbidden(word: "async", reason: "the core has one thread"),
        Forbidden(word: "await", reason: "the core has one thread"),
        Forbidden(word: "actor", reason: "the core has one thread"),
        Forbidden(word: "Thread", reason: "the core has one thread"),
        Forbidden(word: "DispatchQueue", reason: "the core has one thread"),
        Forbidden(word: "print", reason: "the core has effects and no output"),
        Forbidden(word: "debugPrint", reason: "the core has effects and no output"),
        Forbidden(word: "getenv", reason: "configuration is an input"),
        Forbidden(word: "readLine", reason: "the core reads nothing"),
    ]

    /// The administration protocol is the one place that may be asynchronous: nobody runs it inside the core.
    private static let asynchronousFolder = "Sources/BrokerCore/Administration/"

    private static func findings(in source: String, path: String) -> [String] {
        let code = codeOnly(source)
        let words = Set(code.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init))
        return self.forbidden.filter { rule in
            let isFound = rule.word.hasPrefix(".") ? code.contains(rule.word) : words.contains(rule.word)
            return isFound && !(path.hasPrefix(self.asynchronousFolder) && ["async", "await"].contains(rule.word))
        }.map { "\(path): `\($0.word)`: \($0.reason)" }
    }

    @Test func theCoreTakesEverythingAsInput() {
        let files =
            PackageTree.swiftFiles(in: "Sources/BrokerCore") + PackageTree.swiftFiles(in: "Sources/AMQPProtocol")
        #expect(files.count > 20, "the sources were not found")
        for finding in files.flatMap({ Self.findings(in: $0.text, path: $0.path) }) {
            Issue.record("\(finding)")
        }
    }

    @Test(arguments: [
        "let now = ContinuousClock.now", "Task { work() }", "print(1)", "let die = Int.random(in: 1...6)",
        "DispatchQueue.main.async {}", "func f() async {}", "let hash = name.hashValue",
    ])
    func findsImpurities(_ code: String) {
        #expect(!Self.findings(in: code, path: "Sources/BrokerCore/A.swift").isEmpty)
    }

    @Test(arguments: [
        "// print the Task", "let text = \"random Date\"", "let printer = 1", "/* await /* async */ Task */ let a = 1",
        "self.random.next()", "let text = \"a \\\" print(1)\"", "/// print\nlet randomness = 2",
    ])
    func overlooksCommentsAndTexts(_ code: String) {
        #expect(Self.findings(in: code, path: "Sources/BrokerCore/A.swift").isEmpty)
    }
}
