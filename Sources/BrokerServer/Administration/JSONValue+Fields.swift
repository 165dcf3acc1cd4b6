internal import AMQPProtocol
internal import BrokerCore
internal import PlainJSON

extension JSONValue {
    /// The members of a table, without their types.
    init(_ table: FieldTable) {
        self = .object(table.map { Member("\($0)", JSONValue($1)) })
    }

    /// A value of a table, without its type.
    init(_ value: FieldValue) {
        if let integer = value.integerValue {
            self = .integer(integer)
            return
        }
        switch value {
        case .bool(let octet): self = .bool(octet != 0)
        case .float(let number): self = .number(Double(number))
        case .double(let number): self = .number(number)
        case .decimal(let scale, let unscaled): self = .array([.integer(Int64(scale)), .integer(Int64(unscaled))])
        case .longString(let octets), .byteArray(let octets): self = .string(String(decoding: octets, as: UTF8.self))
        case .timestamp(let seconds): self = .integer(Int64(clamping: seconds))
        case .table(let table): self.init(table)
        case .array(let array): self = .array(array.map { JSONValue($0) })
        default: self = .null
        }
    }

    /// Arguments as RabbitMQ lists them: name, type and value of each.
    init(typed table: FieldTable) {
        self = .array(
            table.map { key, value in
                let shown: JSONValue
                if case .table(let inner) = value { shown = JSONValue(typed: inner) } else { shown = JSONValue(value) }
                return .array([.string("\(key)"), .string(value.rabbitTypeName), shown])
            }
        )
    }
}

extension FieldTable {
    /// A policy's definition; nil when the value is no object or a name is too long.
    init?(_ value: JSONValue) {
        guard case .object(let members) = value else { return nil }
        var entries: [(ShortString, FieldValue)] = []
        for member in members {
            guard let name = ShortString(Array(member.name.utf8)), let value = FieldValue(member.value) else {
                return nil
            }
            entries.append((name, value))
        }
        self.init(entries)
    }
}

extension FieldValue {
    fileprivate init?(_ value: JSONValue) {
        switch value {
        case .null: self = .void
        case .bool(let value): self = .boolean(value)
        case .integer(let value): self = .int64(value)
        case .number(let value): self = .double(value)
        case .string(let text): self = .string(text)
        case .array(let items):
            let values = items.compactMap { FieldValue($0) }
            guard values.count == items.count else { return nil }
            self = .array(FieldArray(values))
        case .object:
            guard let table = FieldTable(value) else { return nil }
            self = .table(table)
        }
    }
}
