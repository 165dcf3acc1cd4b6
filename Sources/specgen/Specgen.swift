import Foundation

/// Writes the Swift that follows from the tables in `Spec/`.
///
/// `swift run specgen` writes every stale file; `swift run specgen --check` writes nothing, names the stale files and exits
/// with 1 when there are any.
@main
struct Specgen {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard arguments.allSatisfy({ $0 == "--check" }) else {
            self.fail("usage: specgen [--check]", code: 64)
        }
        do {
            let root = URL(filePath: FileManager.default.currentDirectoryPath, directoryHint: .isDirectory)
            let tables = try SpecTables(folder: root.appending(path: "Spec"))
            let output = GeneratedFolder(root: root, path: "Sources/AMQPProtocol/Generated")
            let stale = try output.staleFiles(comparedWith: self.files(from: tables))
            if arguments.isEmpty {
                try output.write(stale)
                for file in stale { print("\(file.contents == nil ? "removed" : "wrote") \(file.name)") }
            } else if !stale.isEmpty {
                let names = stale.map { "  \(output.path)/\($0.name)" }.joined(separator: "\n")
                self.fail("stale, run `swift run specgen`:\n\(names)", code: 1)
            }
        } catch {
            self.fail("specgen: \(error)", code: 1)
        }
    }

    /// Every file of the folder, unformatted.
    private static func files(from tables: SpecTables) -> [GeneratedFile] {
        let classFiles = tables.classes.map { row in
            GeneratedFile(
                name: "Methods+\(SwiftName.type(row.name)).swift",
                contents: MethodEmitter.file(for: row, in: tables)
            )
        }
        return classFiles + [
            GeneratedFile(name: "Method.swift", contents: MethodEnumEmitter.file(for: tables)),
            GeneratedFile(name: "MethodID+Name.swift", contents: MethodEnumEmitter.names(for: tables)),
            GeneratedFile(name: "ReplyCode.swift", contents: ReplyCodeEmitter.file(for: tables)),
            GeneratedFile(name: "BasicProperties.swift", contents: PropertiesEmitter.file(for: tables)),
        ]
    }

    private static func fail(_ message: String, code: Int32) -> Never {
        FileHandle.standardError.write(Data((message + "\n").utf8))
        exit(code)
    }
}
