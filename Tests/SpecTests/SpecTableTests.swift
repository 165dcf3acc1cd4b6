import AMQPProtocol
import Foundation
import Testing

/// What a person could forget in a row of the tables.
@Suite struct SpecTableTests {
    private struct Table: Decodable {
        struct Class: Decodable {
            var name: String
            var id: UInt16
            var methods: [Method]
        }

        struct Method: Decodable {
            var name: String
            var id: UInt16
            var source: String
            var reference: String
        }

        struct Row: Decodable {
            var source: String
            var reference: String
        }

        var classes: [Class]
        var properties: [Row]?
        var replyCodes: [Row]?
    }

    private func table(_ name: String) throws -> Table {
        try JSONDecoder().decode(
            Table.self,
            from: Data(contentsOf: PackageTree.root.appending(path: "Spec/\(name)"))
        )
    }

    @Test(arguments: [("amqp-0-9-1.json", 55), ("extensions.json", 11)])
    func everyMethodSaysWhereItIsDefined(_ name: String, _ count: Int) throws {
        let table = try self.table(name)
        #expect(table.classes.flatMap(\.methods).count == count)
        for row in table.classes {
            for method in row.methods {
                #expect(method.source.hasSuffix(" \(row.name).\(method.name)"))
                #expect(method.reference.hasPrefix("§"))
                #expect(MethodID(classID: row.id, methodID: method.id).name == "\(row.name).\(method.name)")
            }
        }
    }

    @Test func everyPropertyAndReplyCodeSaysWhereItIsDefined() throws {
        let table = try self.table("amqp-0-9-1.json")
        let rows = (table.properties ?? []) + (table.replyCodes ?? [])
        #expect(rows.count == 14 + 19)
        #expect(rows.allSatisfy { $0.source.hasPrefix("AMQP 0-9-1") && $0.reference.hasPrefix("§") })
    }
}
