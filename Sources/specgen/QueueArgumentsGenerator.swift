import Foundation

/// Reads `Spec/queue-arguments.json` and writes the Swift that knows queue arguments by name.
enum QueueArgumentsGenerator {
    private static let table = "queue-arguments.json"

    /// The files of `Sources/BrokerCore/Generated`.
    static func files(specFolder: URL) throws -> [GeneratedFile] {
        let url = specFolder.appending(path: self.table)
        let rows: [QueueArgumentRow]
        do {
            rows = try JSONDecoder().decode(QueueArgumentFile.self, from: Data(contentsOf: url)).queueArguments
        } catch {
            throw SpecError("\(url.path): \(error)")
        }
        try self.check(rows)
        return [GeneratedFile(name: "QueueArguments.swift", contents: self.file(for: rows))]
    }

    /// Refuses tables that would generate Swift that compiles and is wrong.
    private static func check(_ rows: [QueueArgumentRow]) throws {
        guard Set(rows.map(\.name)).count == rows.count else { throw SpecError("duplicate queue arguments") }
        let types = rows.first { $0.name == "x-queue-type" }?.choices ?? []
        for row in rows {
            guard row.queueTypes.allSatisfy(types.contains) else {
                throw SpecError("\(row.name) applies to a queue type that x-queue-type does not list")
            }
            let isComplete =
                switch row.check {
                case .integer: row.minimum != nil && (row.maximum == nil) == (row.aboveMaximum == nil)
                case .version: row.minimum != nil && row.maximum != nil
                case .choice: row.choiceType != nil && row.choices?.isEmpty == false && row.unknownChoice != nil
                case .name: (row.needs == nil) == (row.needsText == nil)
                case .boolean, .lenientBoolean, .lenientInteger, .anything: true
                }
            guard isComplete, row.field != nil || row.check == .anything else {
                throw SpecError("\(row.name) lacks what its check needs")
            }
        }
    }

    private static func file(for rows: [QueueArgumentRow]) -> String {
        var source = SourceText(from: "Spec/\(self.table)")
        source.line("import AMQPProtocol")
        source.line()
        self.emitArguments(rows, into: &source)
        for row in rows where row.check == .choice {
            source.line()
            self.emitChoice(row, into: &source)
        }
        source.line()
        self.emitQueueTypes(rows, into: &source)
        source.line()
        self.emitParsed(rows, into: &source)
        return source.text
    }

    // MARK: The arguments

    private static func emitArguments(_ rows: [QueueArgumentRow], into source: inout SourceText) {
        source.doc("The arguments of `queue.declare` that mean something, in the order in which they are checked.")
        source.block("enum QueueArgument: UInt8, Sendable, CaseIterable") { source in
            for row in rows {
                source.doc(row.about)
                source.line("case \(row.constant)")
            }
            source.line()
            source.doc("The name on the wire.")
            self.emitSwitch("var name: ShortString", rows, into: &source) { "\"\($0.name)\"" }
            source.line()
            source.doc("What its values must be.")
            self.emitSwitch("var check: QueueArgumentCheck", rows, into: &source) { self.check(of: $0) }
            source.line()
            source.doc("The queue types that know it; the others refuse it.")
            self.emitSwitch("var queueTypes: QueueTypes", rows, into: &source) { row in
                "[" + row.queueTypes.map { ".\($0)" }.joined(separator: ", ") + "]"
            }
            source.line()
            source.doc("Whether declaring again must say the same.")
            self.emitSwitch("var isCompared: Bool", rows, into: &source) { "\($0.isCompared)" }
            source.line()
            source.doc("The key that sets the same in a policy; nil when no policy can.")
            self.emitSwitch("var policyKey: ShortString?", rows, into: &source) { row in
                row.policyKey.map { "\"\($0)\"" } ?? "nil"
            }
        }
    }

    private static func emitSwitch(
        _ head: String,
        _ rows: [QueueArgumentRow],
        into source: inout SourceText,
        _ value: (QueueArgumentRow) -> String
    ) {
        source.block(head) { source in
            source.block("switch self") { source in
                for row in rows {
                    source.line("case .\(row.constant): \(value(row))")
                }
            }
        }
    }

    private static func check(of row: QueueArgumentRow) -> String {
        let minimum = row.minimum.map { "\($0)" } ?? "Int64.min"
        let maximum = row.maximum.map { "\($0)" } ?? "Int64.max"
        return switch row.check {
        case .integer: ".integer(\(minimum)...\(maximum), above: \(self.literal(row.aboveMaximum ?? "")))"
        case .version: ".version(\(minimum)...\(maximum))"
        case .boolean: ".boolean"
        case .name:
            row.needs.map { ".dependentName(on: \"\($0)\", text: \(self.literal(row.needsText ?? "")))" } ?? ".name"
        case .choice:
            ".choice([" + (row.choices ?? []).map { "\"\($0)\"" }.joined(separator: ", ")
                + "], unknown: \(self.literal(row.unknownChoice ?? "")))"
        case .lenientBoolean, .lenientInteger, .anything: ".anything"
        }
    }

    private static func literal(_ text: String) -> String {
        "\"" + text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"") + "\""
    }

    // MARK: Their values

    private static func emitChoice(_ row: QueueArgumentRow, into source: inout SourceText) {
        source.doc("The values of `\(row.name)`.")
        source.block("enum \(row.choiceType ?? ""): UInt8, Sendable, CaseIterable") { source in
            for choice in row.choices ?? [] {
                source.doc("`\(choice)`")
                source.line("case `\(SwiftName.member(choice))`")
            }
            source.line()
            source.doc("The value on the wire.")
            source.block("var name: ShortString") { source in
                source.block("switch self") { source in
                    for choice in row.choices ?? [] {
                        source.line("case .\(SwiftName.member(choice)): \"\(choice)\"")
                    }
                }
            }
            source.line()
            source.doc("Finds a value by its octets on the wire.")
            source.block("init?(_ octets: [UInt8])") { source in
                source.line(
                    "guard let value = Self.allCases.first(where: { $0.name.bytes == octets }) else { return nil }"
                )
                source.line("self = value")
            }
        }
    }

    private static func emitQueueTypes(_ rows: [QueueArgumentRow], into source: inout SourceText) {
        let types = rows.first { $0.name == "x-queue-type" }?.choices ?? []
        source.doc("A set of queue types.")
        source.block("struct QueueTypes: OptionSet, Sendable") { source in
            source.doc("One bit for each type.")
            source.line("let rawValue: UInt8")
            source.line()
            source.doc("Makes a set from its bits.")
            source.block("init(rawValue: UInt8)") { $0.line("self.rawValue = rawValue") }
            source.line()
            source.doc("Makes a set of one type.")
            source.block("init(_ type: QueueType)") { $0.line("self.rawValue = 1 << type.rawValue") }
            source.line()
            for type in types {
                source.doc("Queues of type `\(type)`.")
                source.line("static let \(type) = QueueTypes(.\(type))")
            }
        }
    }

    private static func emitParsed(_ rows: [QueueArgumentRow], into source: inout SourceText) {
        let fields = rows.filter { $0.field != nil }
        source.doc("What the arguments of a queue mean; nil where none was given and none is implied.")
        source.block("struct QueueArguments: Equatable, Sendable") { source in
            for row in fields {
                source.doc("`\(row.name)`: \(row.about)")
                source.line("var \(row.field ?? ""): \(self.type(of: row))")
            }
            source.line()
            source.doc("What no arguments mean.")
            source.block("init()") { $0.line("") }
            source.line()
            source.doc("Stores a value that has passed the argument's check.")
            source.block("mutating func set(_ argument: QueueArgument, to value: FieldValue)") { source in
                source.block("switch argument") { source in
                    for row in rows {
                        source.line("case .\(row.constant): \(self.assignment(of: row))")
                    }
                }
            }
        }
    }

    private static func integerType(of row: QueueArgumentRow) -> String {
        (row.maximum ?? .max) <= UInt8.max ? "UInt8" : "UInt64"
    }

    private static func type(of row: QueueArgumentRow) -> String {
        switch row.check {
        case .integer, .version: "\(self.integerType(of: row))?"
        case .boolean, .lenientBoolean: "Bool = false"
        case .name: "ShortString?"
        case .choice: (row.choiceType ?? "") + (row.default.map { " = .\(SwiftName.member($0))" } ?? "?")
        case .lenientInteger: "Int64?"
        case .anything: ""
        }
    }

    private static func assignment(of row: QueueArgumentRow) -> String {
        guard let field = row.field else { return "break" }
        return switch row.check {
        case .integer, .version:
            "self.\(field) = value.integerValue.flatMap { \(self.integerType(of: row))(exactly: $0) }"
        case .boolean, .lenientBoolean: "self.\(field) = value.booleanValue ?? false"
        case .name: "self.\(field) = value.stringValue.flatMap { ShortString($0) }"
        case .choice:
            "self.\(field) = value.stringValue.flatMap { \(row.choiceType ?? "")($0) }"
                + (row.default == nil ? "" : " ?? self.\(field)")
        case .lenientInteger: "self.\(field) = value.integerValue"
        case .anything: "break"
        }
    }
}

/// The file of queue arguments.
private struct QueueArgumentFile: Decodable {
    var queueArguments: [QueueArgumentRow]
}

/// One argument of `queue.declare`.
private struct QueueArgumentRow: Decodable {
    /// What a value must be.
    enum Check: String, Decodable {
        case integer, lenientInteger, version, boolean, lenientBoolean, name, choice, anything
    }

    var name: String
    /// The member of the parsed arguments; none when the argument has no effect here.
    var field: String?
    var about: String
    var check: Check
    var minimum: Int64?
    var maximum: Int64?
    /// RabbitMQ's word for a number above the maximum.
    var aboveMaximum: String?
    var choiceType: String?
    var choices: [String]?
    var `default`: String?
    /// RabbitMQ's text for a value that is no choice; `%` stands for the value.
    var unknownChoice: String?
    /// The argument that must be there, too.
    var needs: String?
    var needsText: String?
    var queueTypes: [String]
    var policyKey: String?
    var isCompared: Bool
    /// Where the fact is defined.
    var source: String
    var reference: String

    /// The name without `x-` in Swift.
    var constant: String { SwiftName.member(String(self.name.dropFirst(2))).replacing("Ttl", with: "TTL") }
}
