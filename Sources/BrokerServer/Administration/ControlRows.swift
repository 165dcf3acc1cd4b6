internal import AMQPProtocol
internal import BrokerCore
internal import PlainJSON

/// The columns of lists, under RabbitMQ's names.
enum ControlRows {
    /// A column of a policy; nil when there is no such column.
    static func value(_ column: String, of policy: PolicySnapshot) -> JSONValue? {
        switch column {
        case "vhost": .string(policy.virtualHost)
        case "name": .string(policy.name)
        case "pattern": .string(policy.pattern)
        case "apply-to": .string(policy.applyTo)
        // A text, as RabbitMQ has it.
        case "definition": .string(JSONValue(policy.definition).line)
        case "priority": .integer(policy.priority)
        default: nil
        }
    }

    /// A column of a queue; nil when there is no such column.
    static func value(_ column: String, of queue: QueueSnapshot) -> JSONValue? {
        switch column {
        case "vhost": .string(queue.virtualHost)
        case "name": .string(queue.name)
        case "type": .string(queue.type)
        case "state": "running"
        case "durable": .bool(queue.isDurable)
        case "auto_delete": .bool(queue.isAutoDelete)
        case "exclusive": .bool(queue.isExclusive)
        case "arguments": JSONValue(typed: queue.arguments)
        case "policy": .string(queue.policy.policy ?? "")
        case "operator_policy": .string(queue.policy.operatorPolicy ?? "")
        case "effective_policy_definition": JSONValue(queue.policy.definition)
        case "messages": .integer(Int64(queue.ready + queue.unacknowledged))
        case "messages_ready": .integer(Int64(queue.ready))
        case "messages_unacknowledged": .integer(Int64(queue.unacknowledged))
        case "consumers": .integer(Int64(queue.consumers))
        default: nil
        }
    }

    /// A column of an exchange; nil when there is no such column.
    static func value(_ column: String, of exchange: ExchangeSnapshot) -> JSONValue? {
        switch column {
        case "vhost": .string(exchange.virtualHost)
        case "name": .string(exchange.name)
        case "type": .string(exchange.type)
        case "durable": .bool(exchange.isDurable)
        case "auto_delete": .bool(exchange.isAutoDelete)
        case "internal": .bool(exchange.isInternal)
        case "arguments": JSONValue(typed: exchange.arguments)
        case "policy": .string(exchange.policy.policy ?? "")
        default: nil
        }
    }

    /// A column of a binding; nil when there is no such column.
    static func value(_ column: String, of binding: BindingSnapshot) -> JSONValue? {
        switch column {
        case "vhost": .string(binding.virtualHost)
        case "source_name": .string(binding.source)
        case "source_kind": "exchange"
        case "destination_name": .string(binding.destination)
        case "destination_kind": .string(binding.isQueue ? "queue" : "exchange")
        case "routing_key": .string(binding.routingKey)
        case "arguments": JSONValue(typed: binding.arguments)
        default: nil
        }
    }
}

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
            guard let name = ShortString(Array(member.name.utf8)), let value = FieldValue(member.value) else { return nil }
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
