import Foundation

/// Writes the Swift, and the table for people, that follow from the tables in `Spec/`.
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
            let stale = try self.outputs(of: root).map { folder, files in
                (folder, try folder.staleFiles(comparedWith: files))
            }
            if arguments.isEmpty {
                for (folder, files) in stale {
                    try folder.write(files)
                    for file in files {
                        print("\(file.contents == nil ? "removed" : "wrote") \(folder.path)/\(file.name)")
                    }
                }
            } else if stale.contains(where: { !$1.isEmpty }) {
                let names = stale.flatMap { folder, files in files.map { "  \(folder.path)/\($0.name)" } }
                self.fail("stale, run `swift run specgen`:\n\(names.joined(separator: "\n"))", code: 1)
            }
        } catch {
            self.fail("specgen: \(error)", code: 1)
        }
    }

    /// Every folder and its files, unformatted.
    private static func outputs(of root: URL) throws -> [(GeneratedFolder, [GeneratedFile])] {
        let spec = root.appending(path: "Spec")
        return [
            (
                GeneratedFolder(root: root, path: "Sources/AMQPProtocol/Generated"),
                self.files(from: try SpecTables(folder: spec))
            ),
            (
                GeneratedFolder(root: root, path: "Sources/BrokerCore/Generated"),
                try QueueArgumentsGenerator.files(specFolder: spec)
            ),
            (
                GeneratedFolder(root: root, path: "Spec", kind: .documents),
                try ConformanceEmitter.files(specFolder: spec)
            ),
        ]
    }

    /// Every file of the protocol's folder.
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
