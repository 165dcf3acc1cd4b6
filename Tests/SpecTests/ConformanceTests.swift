import Foundation
import Testing

/// The table of conformance is complete, and names only tests that are there.
@Suite struct ConformanceTests {
    /// Rows of the tables that the code is generated from.
    private struct Spec: Decodable {
        struct Class: Decodable {
            var name: String
            var methods: [Method]
        }

        struct Method: Decodable {
            var name: String
            var from: String
        }

        struct Code: Decodable {
            var code: Int
        }

        struct Argument: Decodable {
            var name: String
        }

        var classes: [Class]?
        var replyCodes: [Code]?
        var queueArguments: [Argument]?
    }

    private static func spec(_ file: String) throws -> Spec {
        try JSONDecoder().decode(Spec.self, from: PackageTree.contents(of: "Spec/\(file)"))
    }

    /// The features of the first plan that this version is to have.
    private static let features =
        (1...13).map { "PC\($0)" } + ["PC15", "PC17"] + (1...9).map { "EX\($0)" } + (1...4).map { "QU\($0)" }
        + (1...5).map { "ME\($0)" } + (1...8).map { "CO\($0)" }
        + ["CO11", "PU1", "PU3", "PU6", "TQ8", "SE1", "SE2", "SE3", "SE6", "Z1", "Z2", "B1", "FC9"]

    @Test func everyRowSaysWhatIsDoneAndNamesProofsThatAreThere() throws {
        #expect(try ConformanceTable.committed().problems() == [])
    }

    @Test func everyMethodHasARowForEachDirection() throws {
        let table = try ConformanceTable.committed()
        var wanted: [String] = []
        for file in ["amqp-0-9-1.json", "extensions.json"] {
            for row in try Self.spec(file).classes ?? [] {
                for method in row.methods {
                    let senders = method.from == "both" ? ["client", "server"] : [method.from]
                    wanted += senders.map { "\(row.name).\(method.name)/\($0)" }
                }
            }
        }
        #expect(wanted.count == 66 + 10)
        #expect(wanted.filter { table.row($0) == nil } == [])
        let classes = Set(wanted.map { $0.prefix { $0 != "." } })
        let named = table.rows.map(\.id).filter { id in id.contains("/") && classes.contains(id.prefix { $0 != "." }) }
        #expect(named.filter { !wanted.contains($0) } == [], "rows of methods that do not exist")
    }

    @Test func everyReplyCodeHasARow() throws {
        let table = try ConformanceTable.committed()
        let codes = try Self.spec("amqp-0-9-1.json").replyCodes ?? []
        #expect(codes.count == 19)
        #expect(codes.map { "code \($0.code)" }.filter { table.row($0) == nil } == [])
    }

    @Test func everyQueueArgumentHasARow() throws {
        let table = try ConformanceTable.committed()
        let names = try (Self.spec("queue-arguments.json").queueArguments ?? []).map(\.name)
        #expect(names.count > 20)
        #expect(names.filter { table.row($0) == nil } == [])
    }

    @Test func everyFeatureHasARow() throws {
        let table = try ConformanceTable.committed()
        #expect(Self.features.filter { table.row($0) == nil } == [])
    }

    @Test(arguments: [
        (
            "\"Interop/raw/test_frames.py#43\"", "\"Interop/raw/test_frames.py#4343\"",
            "is no check of it that runs today"
        ),
        ("\"Interop/raw/test_frames.py#43\"", "\"Interop/raw/test_frame.py#43\"", "is in a file that is not there"),
        ("\"Interop/raw/test_frames.py#43\"", "\"Sources/specgen#main\"", "is in neither Tests nor Interop"),
        (
            "\"Interop/python-pika/routing.py#fanout\"", "\"Interop/python-pika/routing.py#fanouts\"",
            "is no scenario of it that runs today"
        ),
        (
            "\"Interop/raw/test_frames.py#43\"", "\"Interop/raw/test_streams.py#220\"",
            "is no check of it that runs today"
        ),
        ("\"Tests/run#budgets\"", "\"Tests/run#budget\"", "is no step of it"),
        (
            "FuzzTests.swift#survivesTheCorpus\"", "FuzzTests.swift#survivesTheCorpse\"", "is no test of it"
        ),
    ])
    func aRowThatNamesAMissingTestIsCaught(_ proof: String, _ replacement: String, _ problem: String) throws {
        let text = try String(decoding: PackageTree.contents(of: "Spec/conformance.json"), as: UTF8.self)
        #expect(text.contains(proof), "the table has nothing to change")
        var changed = try JSONDecoder().decode(
            ConformanceTable.self,
            from: Data(text.replacing(proof, with: replacement).utf8)
        )
        // Only the rows that changed: the others have a test of their own.
        let committed = Set(try ConformanceTable.committed().rows)
        for index in changed.sections.indices {
            changed.sections[index].rows.removeAll { committed.contains($0) }
        }
        let problems = changed.problems()
        #expect(!problems.isEmpty)
        #expect(problems.allSatisfy { $0.hasSuffix(problem) }, "\(problems)")
    }

    @Test func rowsWithoutProofOrReasonAreCaught() {
        let row = ConformanceTable.Row(id: "a", what: "A", does: "It does.")
        var table = ConformanceTable(sections: [.init(title: "", rows: [row])])
        #expect(table.problems() == ["a: has no proof"])
        table.sections[0].isDifferences = true
        #expect(table.problems() == ["a: has no reason"])
        table.sections[0].rows[0].reason = "Not yet."
        #expect(table.problems() == [])
        table.sections[0].rows[0].does = "It does"
        #expect(table.problems() == ["a: does not say what is done"])
        table.sections[0].rows = [row, row]
        #expect(table.problems().contains("a: is there twice"))
    }

    @Test(arguments: [
        ("@Test func a() {}", true),
        ("@Test(arguments: [1, 2])\nfunc a(_ n: Int) async throws {}", true),
        ("func a() {}", false),
        ("@Test func b() {}\nfunc a() {}", false),
        ("// @Test func a() {}", false),
        ("let text = \"@Test func a()\"", false),
        ("@Test func ab() {}", false),
    ])
    func findsTests(_ source: String, _ isThere: Bool) {
        #expect(ProofFinder.hasTest("a", inCode: codeOnly(source)) == isThere)
    }

    @Test(arguments: [
        ("@behaviour(7)\ndef f(t):\n", true),
        ("@behaviour(5, 7, slow=True)\ndef f(t):\n", true),
        ("@behaviour(77)\ndef f(t):\n", false),
        ("@behaviour(7)\n@later(\"issue 4\")\ndef f(t):\n", false),
        ("@behaviour(7)\n@later(\"issue 4\")\ndef f(t):\n@behaviour(7)\ndef g(t):\n", true),
        ("def behaviour(7):\n", false),
    ])
    func findsChecks(_ source: String, _ isThere: Bool) {
        #expect(ProofFinder.hasCheck(of: 7, in: source) == isThere)
    }

    @Test(arguments: [
        ("@scenario(\"title\")\ndef name() -> None:\n", true),
        ("@scenario(\"title\")\n@asynchronous\nasync def name() -> None:\n", true),
        ("@refused(\n    \"name\",\n    \"text\",\n)\ndef _(channel, name):\n", true),
        ("@scenario(\"title\", later=\"issue 4\")\ndef name() -> None:\n", false),
        ("def name() -> None:\n", false),
        ("@scenario(\"title\")\ndef other():\n    def name():\n", false),
    ])
    func findsScenarios(_ source: String, _ isThere: Bool) {
        #expect(ProofFinder.hasScenario("name", in: source) == isThere)
    }
}
