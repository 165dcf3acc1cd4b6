import Foundation
import Testing

/// The tables in `Spec/` as a test reads them, apart from specgen's own reader.
struct SpecFixture {
    struct File: Decodable {
        var classes: [Class]
    }

    struct Class: Decodable {
        var name: String
        var id: UInt16
        var methods: [Method]
    }

    struct Method: Decodable {
        var name: String
        var id: UInt16
        var fields: [Field]
    }

    struct Field: Decodable, Sendable {
        var name: String
        var type: String
        var reserved: Bool?
        var utf8: Bool?

        var isReserved: Bool { self.reserved == true }
    }

    /// A method and the class it belongs to.
    struct Entry: CustomTestStringConvertible, Sendable {
        var name: String
        var classID: UInt16
        var methodID: UInt16
        var fields: [Field]

        var testDescription: String { self.name }
    }

    /// Every method of both files.
    static let methods: [Entry] = ["amqp-0-9-1.json", "extensions.json"].flatMap { name -> [Entry] in
        let url = URL(filePath: #filePath).appending(path: "../../../../Spec/\(name)").standardizedFileURL
        guard let data = try? Data(contentsOf: url), let file = try? JSONDecoder().decode(File.self, from: data) else {
            return []
        }
        return file.classes.flatMap { row in
            row.methods.map {
                Entry(name: "\(row.name).\($0.name)", classID: row.id, methodID: $0.id, fields: $0.fields)
            }
        }
    }
}
