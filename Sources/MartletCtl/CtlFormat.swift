internal import PlainJSON

/// How rows are told.
enum CtlFormat: String, CaseIterable {
    /// Values between tabs, names of columns in the first line.
    case table
    /// A table with lines around it.
    case prettyTable = "pretty_table"
    /// A list of objects.
    case json
    /// Values in quotes between commas.
    case csv

    /// Whether a program reads it: then nothing else is said.
    var isForPrograms: Bool { self == .json || self == .csv }
}

/// Writes rows as they come.
struct CtlPrinter {
    private let format: CtlFormat
    private let columns: [String]
    private let hasHeader: Bool
    private let write: (String) -> Void
    private var count = 0
    /// Rows whose widths must be known before the first is written.
    private var kept: [[String]] = []

    /// Makes a printer of rows with these columns.
    init(_ format: CtlFormat, columns: [String], hasHeader: Bool, write: @escaping (String) -> Void) {
        self.format = format
        self.columns = columns
        self.hasHeader = hasHeader
        self.write = write
    }

    /// Writes a row.
    mutating func add(_ row: [JSONValue]) {
        switch self.format {
        case .table:
            // A table without rows has no header, as rabbitmqctl has it.
            if self.count == 0, self.hasHeader { self.write(self.columns.joined(separator: "\t") + "\n") }
            self.write(self.texts(row).joined(separator: "\t") + "\n")
        case .csv:
            if self.count == 0, self.hasHeader { self.write(Self.quoted(self.columns)) }
            self.write(Self.quoted(self.texts(row)))
        case .json:
            let members = zip(self.columns, row).map { JSONValue.Member($0, $1) }
            self.write((self.count == 0 ? "[\n" : ",") + JSONValue.object(members).line + "\n")
        case .prettyTable:
            self.kept.append(self.texts(row))
        }
        self.count += 1
    }

    /// No more rows come.
    func end() {
        switch self.format {
        case .table, .csv: break
        case .json: self.write(self.count == 0 ? "[\n]\n" : "]\n")
        case .prettyTable: if !self.kept.isEmpty { self.write(self.pretty) }
        }
    }

    private func texts(_ row: [JSONValue]) -> [String] {
        zip(self.columns, row).map { column, value in
            column == "arguments" ? ErlangText.table(value) : ErlangText.plain(value)
        }
    }

    private static func quoted(_ values: [String]) -> String {
        let quoted = values.map { value in
            "\"\(value.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\""
        }
        return quoted.joined(separator: ",") + "\n"
    }

    // MARK: Pretty tables

    /// Terminals draw lines for these letters between two escape sequences.
    private var pretty: String {
        let rows = (self.hasHeader ? [self.columns] : []) + self.kept
        let widths = self.columns.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = [Self.rule("l", "w", "k", widths)]
        for (index, row) in rows.enumerated() {
            if index > 0 { lines.append(Self.rule("t", "n", "u", widths)) }
            let bar = "\u{1b}(0x\u{1b}(B"
            let cells = zip(row, widths).map { text, width in
                let shown = self.hasHeader && index == 0 ? "\u{1b}[1m\(text)\u{1b}[0m" : text
                return " \(shown)\(String(repeating: " ", count: width - text.count)) "
            }
            lines.append(bar + cells.joined(separator: bar) + bar)
        }
        lines.append(Self.rule("m", "v", "j", widths))
        return lines.joined(separator: "\n") + "\n"
    }

    private static func rule(_ left: String, _ middle: String, _ right: String, _ widths: [Int]) -> String {
        let pieces = widths.map { String(repeating: "q", count: $0 + 2) }
        return "\u{1b}(0\(left)\(pieces.joined(separator: middle))\(right)\u{1b}(B"
    }
}
