import Foundation

/// One file of a `Generated/` folder; nil contents mean that it should not exist.
struct GeneratedFile {
    /// The name within the folder.
    var name: String
    /// The whole text, or nil to remove the file.
    var contents: String?
}

/// A folder with files that come from the tables.
struct GeneratedFolder {
    /// What is in it.
    enum Kind {
        /// Swift, which is formatted; whatever else is there goes.
        case swift
        /// Documents, written as they are, beside files that people write.
        case documents
    }

    private let root: URL
    private let kind: Kind

    /// The path from the package's root.
    let path: String

    init(root: URL, path: String, kind: Kind = .swift) {
        self.root = root
        self.path = path
        self.kind = kind
    }

    private var folder: URL { self.root.appending(path: self.path) }

    /// The files that differ from the wanted ones after formatting, those that nobody wants any more included.
    func staleFiles(comparedWith wanted: [GeneratedFile]) throws -> [GeneratedFile] {
        let formatted: [GeneratedFile]
        var present: [String] = []
        switch self.kind {
        case .swift:
            formatted = try self.format(wanted)
            present = (try? FileManager.default.contentsOfDirectory(atPath: self.folder.path)) ?? []
        case .documents:
            formatted = wanted
        }
        let extra = present.filter { name in !formatted.contains { $0.name == name } }.sorted()
        let changed = formatted.filter { file in
            let current = try? String(contentsOf: self.folder.appending(path: file.name), encoding: .utf8)
            return current != file.contents
        }
        return changed + extra.map { GeneratedFile(name: $0, contents: nil) }
    }

    /// Writes the files that have contents and removes the others.
    func write(_ files: [GeneratedFile]) throws {
        try FileManager.default.createDirectory(at: self.folder, withIntermediateDirectories: true)
        for file in files {
            let url = self.folder.appending(path: file.name)
            if let contents = file.contents {
                try contents.write(to: url, atomically: true, encoding: .utf8)
            } else {
                try FileManager.default.removeItem(at: url)
            }
        }
    }

    /// Runs the toolchain's formatter once over all files, in a temporary folder, with the package's settings.
    private func format(_ files: [GeneratedFile]) throws -> [GeneratedFile] {
        let scratch = FileManager.default.temporaryDirectory.appending(path: "specgen-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: scratch) }
        for file in files {
            try file.contents?.write(to: scratch.appending(path: file.name), atomically: true, encoding: .utf8)
        }
        let formatter = Process()
        formatter.executableURL = URL(filePath: "/usr/bin/env")
        formatter.arguments = [
            "swift", "format", "format", "--in-place", "--recursive",
            "--configuration", self.root.appending(path: ".swift-format").path, scratch.path,
        ]
        try formatter.run()
        formatter.waitUntilExit()
        guard formatter.terminationStatus == 0 else { throw SpecError("`swift format` failed") }
        return try files.map { file in
            let text = try String(contentsOf: scratch.appending(path: file.name), encoding: .utf8)
            return GeneratedFile(name: file.name, contents: text)
        }
    }
}
