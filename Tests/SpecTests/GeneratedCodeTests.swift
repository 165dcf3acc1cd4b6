import Foundation
import Testing

/// Runs the generator that was built together with these tests.
@Suite(.serialized) struct GeneratedCodeTests {
    /// How a run ended.
    private struct Outcome {
        var status: Int32
        var errors: String
    }

    private static let generated = "Sources/AMQPProtocol/Generated"
    private static let arguments = "Sources/BrokerCore/Generated"

    /// `specgen`, which the build puts beside the test bundle.
    private var specgen: URL {
        URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "specgen")
    }

    private func run(_ arguments: [String], in folder: URL) throws -> Outcome {
        let process = Process()
        process.executableURL = self.specgen
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let errors = Pipe()
        process.standardError = errors
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: try errors.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
        process.waitUntilExit()
        return Outcome(status: process.terminationStatus, errors: text)
    }

    /// Runs a test in a temporary copy of what specgen reads and writes.
    private func withCopy(_ body: (URL) throws -> Void) throws {
        let copy = FileManager.default.temporaryDirectory.appending(path: "spec-tests-\(UUID().uuidString)")
        for target in ["Sources/AMQPProtocol", "Sources/BrokerCore"] {
            let folder = copy.appending(path: target)
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }
        defer { try? FileManager.default.removeItem(at: copy) }
        for path in ["Spec", ".swift-format", Self.generated, Self.arguments] {
            try FileManager.default.copyItem(at: PackageTree.root.appending(path: path), to: copy.appending(path: path))
        }
        try body(copy)
    }

    @Test func theCommittedFilesAreCurrent() throws {
        let outcome = try self.run(["--check"], in: PackageTree.root)
        #expect(outcome.status == 0, "\(outcome.errors)")
    }

    @Test func namesStaleMissingAndUnwantedFiles() throws {
        try self.withCopy { copy in
            let folder = copy.appending(path: Self.generated)
            try Data("// edited by hand\n".utf8).write(to: folder.appending(path: "Method.swift"))
            try FileManager.default.removeItem(at: folder.appending(path: "ReplyCode.swift"))
            try Data().write(to: folder.appending(path: "Leftover.swift"))
            let outcome = try self.run(["--check"], in: copy)
            #expect(outcome.status == 1)
            for name in ["Method.swift", "ReplyCode.swift", "Leftover.swift"] {
                #expect(outcome.errors.contains("\(Self.generated)/\(name)"))
            }
            #expect(!outcome.errors.contains("BasicProperties.swift"))
            #expect(try String(contentsOf: folder.appending(path: "Method.swift"), encoding: .utf8).count < 30)

            #expect(try self.run([], in: copy).status == 0)
            #expect(try self.run(["--check"], in: copy).status == 0)
            #expect(!FileManager.default.fileExists(atPath: folder.appending(path: "Leftover.swift").path))
        }
    }

    @Test func writesWhatTheTablesSay() throws {
        try self.withCopy { copy in
            let table = copy.appending(path: "Spec/extensions.json")
            let text = try String(contentsOf: table, encoding: .utf8)
            try Data(text.replacing("\"blocked\"", with: "\"stalled-by\"").utf8).write(to: table)
            #expect(try self.run(["--check"], in: copy).status == 1)
            #expect(try self.run([], in: copy).status == 0)
            let file = copy.appending(path: "\(Self.generated)/Methods+Connection.swift")
            #expect(try String(contentsOf: file, encoding: .utf8).contains("public struct ConnectionStalledBy:"))
        }
    }

    @Test(arguments: [
        ("\"id\": 51", "\"id\": 10", "duplicate method ids of exchange"),
        ("\"bind-ok\"]", "\"bound\"]", "names the reply bound"),
        ("\"type\": \"bit\"", "\"type\": \"bits\"", "extensions.json"),
    ])
    func refusesTablesThatContradictThemselves(_ row: String, _ replacement: String, _ complaint: String) throws {
        try self.withCopy { copy in
            let table = copy.appending(path: "Spec/extensions.json")
            let text = try String(contentsOf: table, encoding: .utf8)
            try Data(text.replacing(row, with: replacement).utf8).write(to: table)
            let outcome = try self.run(["--check"], in: copy)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains(complaint), "\(outcome.errors)")
        }
    }

    @Test func namesStaleFilesOfEveryFolder() throws {
        try self.withCopy { copy in
            let paths = ["\(Self.arguments)/QueueArguments.swift", "Spec/CONFORMANCE.md"]
            let committed = try paths.map { try Data(contentsOf: copy.appending(path: $0)) }
            for path in paths {
                try Data("edited by hand\n".utf8).write(to: copy.appending(path: path))
            }
            let outcome = try self.run(["--check"], in: copy)
            #expect(outcome.status == 1)
            for path in paths {
                #expect(outcome.errors.contains("\n  \(path)\n"))
            }
            #expect(!outcome.errors.contains("Spec/README.md"), "people write that one")

            #expect(try self.run([], in: copy).status == 0)
            #expect(try paths.map { try Data(contentsOf: copy.appending(path: $0)) } == committed)
            #expect(FileManager.default.fileExists(atPath: copy.appending(path: "Spec/README.md").path))
        }
    }

    @Test(arguments: [
        ("\"id\": \"PC1\"", "\"id\": \"PC2\"", "two rows are called PC2"),
        ("\"Tests/run#budgets\"", "", "has no proof"),
        ("\"reason\": ", "\"season\": ", "is a difference without a reason"),
        ("\"Tests/run#budgets\"", "\"Tests/run\"", "names Tests/run, which is not path#name"),
    ])
    func refusesConformanceWithoutGrounds(_ row: String, _ replacement: String, _ complaint: String) throws {
        try self.withCopy { copy in
            let table = copy.appending(path: "Spec/conformance.json")
            let text = try String(contentsOf: table, encoding: .utf8)
            try Data(text.replacing(row, with: replacement).utf8).write(to: table)
            let outcome = try self.run(["--check"], in: copy)
            #expect(outcome.status == 1)
            #expect(outcome.errors.contains(complaint), "\(outcome.errors)")
        }
    }

    @Test func refusesUnknownArguments() throws {
        let outcome = try self.run(["--chekc"], in: PackageTree.root)
        #expect(outcome.status == 64)
        #expect(outcome.errors.contains("usage"))
    }
}
