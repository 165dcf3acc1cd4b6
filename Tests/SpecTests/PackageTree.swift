import Foundation

/// The package's own files, found from where this file was compiled.
enum PackageTree {
    /// The package's root.
    static let root = URL(filePath: #filePath).appending(path: "../../..").standardizedFileURL

    /// A Swift file by its path from the root.
    struct SourceFile {
        var path: String
        var text: String

        /// The target folder below `Sources` or `Tests`, such as `BrokerCore`.
        var target: String { String(self.path.split(separator: "/")[1]) }

        /// Whether specgen wrote it.
        var isGenerated: Bool { self.path.contains("/Generated/") && self.path.hasPrefix("Sources/") }
    }

    /// The octets of a file by its path from the root.
    static func contents(of path: String) throws -> Data {
        try Data(contentsOf: self.root.appending(path: path))
    }

    /// Every Swift file below a folder.
    static func swiftFiles(in folder: String) -> [SourceFile] {
        let base = self.root.appending(path: folder)
        let paths = FileManager.default.enumerator(atPath: base.path)?.compactMap { $0 as? String } ?? []
        return paths.filter { $0.hasSuffix(".swift") }.sorted().compactMap { path in
            let text = try? String(contentsOf: base.appending(path: path), encoding: .utf8)
            return text.map { SourceFile(path: "\(folder)/\(path)", text: $0) }
        }
    }
}

/// What the compiler sees of Swift, roughly: no comments, and string literals emptied.
///
/// Knows `//`, `/* */` (nested) and double quotes on one line or three in a row; that is all this package uses. Text inside
/// an interpolation goes, too.
func codeOnly(_ source: String) -> String {
    var result = ""
    var rest = Substring(source)
    while let character = rest.first {
        if rest.hasPrefix("//") {
            rest = rest.drop { !$0.isNewline }
        } else if rest.hasPrefix("/*") {
            rest = afterBlockComment(rest)
        } else if rest.hasPrefix("\"\"\"") {
            rest = afterLiteral(rest.dropFirst(3), closing: "\"\"\"")
            result += "\"\""
        } else if character == "\"" {
            rest = afterLiteral(rest.dropFirst(), closing: "\"")
            result += "\"\""
        } else {
            result.append(character)
            rest = rest.dropFirst()
        }
    }
    return result
}

private func afterBlockComment(_ source: Substring) -> Substring {
    var rest = source
    var depth = 0
    repeat {
        if rest.hasPrefix("/*") {
            depth += 1
            rest = rest.dropFirst(2)
        } else if rest.hasPrefix("*/") {
            depth -= 1
            rest = rest.dropFirst(2)
        } else {
            rest = rest.dropFirst()
        }
    } while depth > 0 && !rest.isEmpty
    return rest
}

private func afterLiteral(_ source: Substring, closing: String) -> Substring {
    var rest = source
    while !rest.isEmpty && !rest.hasPrefix(closing) {
        rest = rest.dropFirst(rest.hasPrefix("\\") ? 2 : 1)
    }
    return rest.dropFirst(closing.count)
}
