import Foundation

/// The tables in `Spec/`, read and checked.
struct SpecTables {
    /// Classes by number, each with its methods by number, extensions included.
    let classes: [ClassRow]
    /// The properties of the `basic` class in wire order.
    let properties: [PropertyRow]
    /// Reply codes in ascending order.
    let replyCodes: [ReplyCodeRow]

    init(folder: URL) throws {
        let standard = try Self.read(folder.appending(path: "amqp-0-9-1.json"))
        let extensions = try Self.read(folder.appending(path: "extensions.json"))
        self.classes = Self.merge(standard.classes, extensions.classes)
        self.properties = (standard.properties ?? []).sorted { $0.bit > $1.bit }
        self.replyCodes = (standard.replyCodes ?? []).sorted { $0.code < $1.code }
        try self.check()
    }

    private static func read(_ url: URL) throws -> SpecFile {
        do {
            return try JSONDecoder().decode(SpecFile.self, from: Data(contentsOf: url))
        } catch {
            throw SpecError("\(url.path): \(error)")
        }
    }

    private static func merge(_ standard: [ClassRow], _ extensions: [ClassRow]) -> [ClassRow] {
        var merged: [UInt16: ClassRow] = [:]
        for row in standard + extensions {
            merged[row.id, default: ClassRow(name: row.name, id: row.id, about: row.about, methods: [])]
                .methods += row.methods
        }
        return merged.values.sorted { $0.id < $1.id }.map { row in
            var row = row
            row.methods.sort { $0.id < $1.id }
            return row
        }
    }

    /// Refuses tables that would generate Swift that compiles and is wrong.
    private func check() throws {
        for row in self.classes {
            try self.unique(row.methods.map(\.id), "method ids of \(row.name)")
            try self.unique(row.methods.map(\.name), "method names of \(row.name)")
            for method in row.methods {
                try self.unique(method.fields.map(\.name), "fields of \(row.name).\(method.name)")
                for reply in method.replies ?? [] where !row.methods.contains(where: { $0.name == reply }) {
                    throw SpecError("\(row.name).\(method.name) names the reply \(reply), which does not exist")
                }
            }
        }
        try self.unique(self.classes.map(\.name), "class names")
        try self.unique(self.replyCodes.map(\.code), "reply codes")
        guard self.properties.map(\.bit) == (2...15).reversed() else {
            throw SpecError("properties must use the bits 15 to 2, once each")
        }
    }

    private func unique(_ values: [some Hashable], _ what: String) throws {
        guard Set(values).count == values.count else { throw SpecError("duplicate \(what)") }
    }
}

/// Why the tables cannot be used.
struct SpecError: Error, CustomStringConvertible {
    /// What is wrong, for a person.
    let description: String

    init(_ description: String) {
        self.description = description
    }
}
