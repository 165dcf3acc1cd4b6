import Foundation
import PlainJSON
import Testing

@testable import MartletCtl

/// Rows as rabbitmqctl prints them.
@Suite struct CtlPrinterTests {
    /// Rows of a recorded list of JSON objects.
    private func rows(_ output: String) throws -> [[JSONValue]] {
        let list = try JSONValue(parsing: output)
        return try #require(list.items).map { row in
            guard case .object(let members) = row else { return [] }
            return members.map(\.value)
        }
    }

    private func print(
        _ format: CtlFormat,
        _ columns: [String],
        _ rows: [[JSONValue]],
        hasHeader: Bool = true
    ) -> String {
        var output = ""
        var printer = CtlPrinter(format, columns: columns, hasHeader: hasHeader) { output += $0 }
        for row in rows { printer.add(row) }
        printer.end()
        return output
    }

    private func recorded(_ file: String, _ line: String) throws -> Recording {
        try #require(try Recording.all(file).first { $0.arguments.joined(separator: " ") == line })
    }

    /// Without the lines in front.
    private func body(_ output: String) -> String {
        output.split(separator: "\n", omittingEmptySubsequences: false).drop { $0.hasSuffix("...") }
            .joined(separator: "\n")
    }

    @Test func policiesAreAsRecorded() throws {
        let file = "rabbitmqctl-policies.txt"
        let columns = ["vhost", "name", "pattern", "apply-to", "definition", "priority"]
        let json = try self.recorded(file, "list_policies --formatter json").output
        let rows = try self.rows(json)
        #expect(rows.count == 3)
        #expect(self.print(.json, columns, rows) == json)
        for (format, line) in [
            (CtlFormat.table, "list_policies"), (.prettyTable, "list_policies --formatter pretty_table"),
            (.csv, "list_policies --formatter csv"),
        ] {
            #expect(self.print(format, columns, rows) == self.body(try self.recorded(file, line).output))
        }
        let silent = try self.recorded(file, "list_policies -s").output
        #expect(self.print(.table, columns, rows, hasHeader: false) == silent)
    }

    @Test func queuesWithArgumentsAreAsRecorded() throws {
        let file = "rabbitmqctl-lists.txt"
        let columns = ["name", "policy", "arguments", "type", "durable", "messages_ready"]
        let line = columns.joined(separator: " ")
        let json = try self.recorded(file, "list_queues -q \(line) --formatter json").output
        // Lists inside of arguments come as lists, not as objects by type, which lose all but one value of each type.
        let parts = json.components(separatedBy: #"{"signedint":1,"bool":true,"void":"undefined"}"#)
        #expect(parts.count == 2)
        let rows = try self.rows(parts.joined(separator: "[1,true,null]"))
        let csv = try self.recorded(file, "list_queues \(line) --formatter csv").output
        #expect(self.print(.csv, columns, rows) == csv)
    }

    @Test func bindingsAreAsRecorded() throws {
        let file = "rabbitmqctl-lists.txt"
        let columns = [
            "source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments",
        ]
        let json = try self.recorded(file, "list_bindings --formatter json").output
        let rows = try self.rows(json)
        #expect(rows.count == 4)
        #expect(self.print(.json, columns, rows) == json)
        #expect(self.print(.table, columns, rows) == self.body(try self.recorded(file, "list_bindings").output))
    }

    @Test(arguments: [(CtlFormat.table, ""), (.csv, ""), (.prettyTable, ""), (.json, "[\n]\n")])
    func nothingIsToldOfNothing(_ format: CtlFormat, _ text: String) {
        #expect(self.print(format, ["name"], []) == text)
    }

    @Test func valuesOfOtherKindsAreShownInTables() {
        let row: [JSONValue] = [.null, .number(0.5), .object([.init("max-length", 1)]), ["a", .bool(false)]]
        #expect(
            self.print(.table, ["a", "b", "c", "d"], [row], hasHeader: false)
                == "\t0.5\t{\"max-length\":1}\t[\"a\",false]\n"
        )
    }
}
