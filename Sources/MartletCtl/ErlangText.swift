internal import PlainJSON

/// Values as rabbitmqctl shows them in tables.
enum ErlangText {
    /// A value by itself.
    static func plain(_ value: JSONValue) -> String {
        switch value {
        case .string(let text): text
        case .null: ""
        case .bool, .integer, .number, .array, .object: value.line
        }
    }

    /// Arguments, which come as lists of name, type and value.
    static func table(_ value: JSONValue) -> String {
        let entries = (value.items ?? []).map { entry -> String in
            guard let parts = entry.items, parts.count == 3 else { return self.term(entry) }
            let term = parts[1].text == "table" ? self.table(parts[2]) : self.term(parts[2])
            return "{\(self.term(parts[0])),\(term)}"
        }
        return "[\(entries.joined(separator: ","))]"
    }

    /// A value inside of another one.
    private static func term(_ value: JSONValue) -> String {
        switch value {
        case .null: "undefined"
        case .string(let text): self.quoted(text)
        case .array(let items): "[\(items.map { self.term($0) }.joined(separator: ","))]"
        case .object(let members):
            "[\(members.map { "{\(self.quoted($0.name)),\(self.term($0.value))}" }.joined(separator: ","))]"
        case .bool, .integer, .number: value.line
        }
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for character in text.unicodeScalars {
            switch character {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\t": quoted += "\\t"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            default: quoted.unicodeScalars.append(character)
            }
        }
        return quoted + "\""
    }
}
