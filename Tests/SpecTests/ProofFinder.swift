import Foundation

/// Looks whether a proof named in `Spec/conformance.json` is there: `path#name`, by the kind of file.
///
/// What is found by name only may still be wrong; that the tests pass is for whoever runs them to see.
final class ProofFinder {
    /// A Python function with the decorators above it.
    struct Decorated: Equatable {
        var name: String
        var decorators: String
    }

    private let root: URL
    /// Files by path, Swift without comments and texts; many proofs are in one file.
    private var sources: [String: String] = [:]

    /// Looks in a package.
    init(root: URL = PackageTree.root) {
        self.root = root
    }

    /// Why a proof proves nothing; nil when it is there.
    func problem(with proof: String) -> String? {
        let parts = proof.split(separator: "#", maxSplits: 1).map { String($0) }
        guard parts.count == 2 else { return "is not path#name" }
        let (path, name) = (parts[0], parts[1])
        guard path.hasPrefix("Tests/") || path.hasPrefix("Interop/") else { return "is in neither Tests nor Interop" }
        guard let text = self.source(of: path) else { return "is in a file that is not there" }
        if path == "Tests/run" {
            return text.contains("\nstep \"\(name)\"") ? nil : "is no step of it"
        }
        if path.hasSuffix(".swift") {
            return Self.hasTest(name, inCode: text) ? nil : "is no test of it"
        }
        if path.hasPrefix("Interop/raw/"), let number = Int(name) {
            return Self.hasCheck(of: number, in: text) ? nil : "is no check of it that runs today"
        }
        return Self.hasScenario(name, in: text) ? nil : "is no scenario of it that runs today"
    }

    private func source(of path: String) -> String? {
        if let known = self.sources[path] { return known }
        guard let text = try? String(contentsOf: self.root.appending(path: path), encoding: .utf8) else { return nil }
        let source = path.hasSuffix(".swift") ? codeOnly(text) : text
        self.sources[path] = source
        return source
    }

    /// Whether Swift has a function of that name right behind `@Test`; `code` is what ``codeOnly(_:)`` leaves.
    static func hasTest(_ name: String, inCode code: String) -> Bool {
        for range in code.ranges(of: "func \(name)") {
            guard let next = code[range.upperBound...].first, next == "(" || next == "<" else { continue }
            guard let test = code[..<range.lowerBound].ranges(of: "@Test").last else { continue }
            // Another function between the two would be the one that the attribute belongs to.
            if !code[test.upperBound..<range.lowerBound].contains("func ") { return true }
        }
        return false
    }

    /// Whether a file of `Interop/raw` has a check of that behaviour that does not wait for a later issue.
    static func hasCheck(of number: Int, in source: String) -> Bool {
        self.decorated(source).contains { function in
            guard !function.decorators.contains("@later"),
                let open = function.decorators.range(of: "@behaviour("),
                let close = function.decorators[open.upperBound...].firstIndex(of: ")")
            else { return false }
            let arguments = function.decorators[open.upperBound..<close].split(separator: ",")
            return arguments.contains { Int($0.trimmingPrefix(while: \.isWhitespace)) == number }
        }
    }

    /// Whether a file of `Interop` has a scenario or check that does not wait for a later issue, by function or title.
    static func hasScenario(_ name: String, in source: String) -> Bool {
        self.decorated(source).contains { function in
            guard !function.decorators.contains("later") else { return false }
            return function.name == name || function.decorators.contains("(\"\(name)\"")
        }
    }

    /// The functions of Python at the left margin that have decorators; those of several lines are put on one.
    static func decorated(_ source: String) -> [Decorated] {
        var functions: [Decorated] = []
        var decorators = ""
        for line in source.split(separator: "\n") {
            let words = line.hasPrefix("async ") ? line.dropFirst("async ".count) : line
            if words.hasPrefix("def ") {
                let name = words.dropFirst("def ".count).prefix { $0 != "(" }
                if !decorators.isEmpty {
                    functions.append(Decorated(name: String(name), decorators: decorators))
                }
                decorators = ""
            } else if line.hasPrefix("@") || !decorators.isEmpty {
                decorators += line.trimmingCharacters(in: .whitespaces)
            }
        }
        return functions
    }
}
