internal import AMQPProtocol
internal import BrokerCore
internal import PlainJSON

/// A line of `martlet ctl`, understood.
struct ControlRequest {
    /// What is asked for.
    enum Kind {
        /// Something is to be done.
        case change(AdministrationRequest)
        /// Something is to be told.
        case list(ControlList)
        /// A copy of everything durable is to be made in a new directory.
        case snapshot(directory: String)
    }

    private let members: JSONValue

    /// Reads a line.
    init(_ line: [UInt8]) throws(ControlRefusal) {
        guard let members = try? JSONValue(parsing: line), case .object = members else {
            throw ControlRefusal("malformed", "the request is no JSON object")
        }
        guard members["version"]?.integer == ControlService.version else {
            throw ControlRefusal("version", "this broker speaks version \(ControlService.version)")
        }
        self.members = members
    }

    /// What it asks for.
    var kind: Kind {
        get throws(ControlRefusal) {
            let command = try self.text("command")
            if command == "snapshot" { return .snapshot(directory: try self.text("directory")) }
            if let change = try self.change(command) { return .change(change) }
            if let list = try self.list(command) { return .list(list) }
            throw ControlRefusal("unknown", "the broker knows no command \(command)")
        }
    }

    private func change(_ command: String) throws(ControlRefusal) -> AdministrationRequest? {
        switch command {
        case "set_policy": .setPolicy(try self.policy(), isOperator: false)
        case "set_operator_policy": .setPolicy(try self.policy(), isOperator: true)
        case "clear_policy":
            .clearPolicy(virtualHost: try self.text("vhost"), name: try self.text("name"), isOperator: false)
        case "clear_operator_policy":
            .clearPolicy(virtualHost: try self.text("vhost"), name: try self.text("name"), isOperator: true)
        case "alter_queue":
            .alterQueue(
                virtualHost: try self.text("vhost"),
                name: try self.text("name"),
                changes: try self.arguments()
            )
        case "trace_on": .setTracing(virtualHost: try self.text("vhost"), isOn: true)
        case "trace_off": .setTracing(virtualHost: try self.text("vhost"), isOn: false)
        case "cancel_delayed_message": .cancelDelayedMessage(id: try self.number("id"), in: try self.queue())
        case "reschedule_delayed_message":
            .rescheduleDelayedMessage(
                id: try self.number("id"),
                dueEpochMilliseconds: try self.due(),
                in: try self.queue()
            )
        default: nil
        }
    }

    private func list(_ command: String) throws(ControlRefusal) -> ControlList? {
        switch command {
        case "list_policies":
            .policies(virtualHost: try self.text("vhost"), isOperator: false, try self.columns(ControlColumns.policies))
        case "list_operator_policies":
            .policies(virtualHost: try self.text("vhost"), isOperator: true, try self.columns(ControlColumns.policies))
        case "list_queues": .queues(virtualHost: try self.text("vhost"), try self.columns(ControlColumns.queues))
        case "list_exchanges":
            .exchanges(virtualHost: try self.text("vhost"), try self.columns(ControlColumns.exchanges))
        case "list_bindings": .bindings(virtualHost: try self.text("vhost"), try self.columns(ControlColumns.bindings))
        case "list_vhosts": .virtualHosts(try self.columns(ControlColumns.virtualHosts))
        case "list_delayed_messages":
            .delayedMessages(
                virtualHost: try self.text("vhost"),
                limit: Int(clamping: try self.number("limit")),
                try self.columns(ControlColumns.delayedMessages)
            )
        case "explain": .explanation(try self.question(), try self.columns(ControlColumns.explanation))
        case "list_unroutable":
            .unroutable(
                virtualHost: try self.text("vhost"),
                limit: Int(clamping: try self.number("limit")),
                try self.columns(ControlColumns.unroutable)
            )
        default: nil
        }
    }

    // MARK: Members

    /// A publish that is asked about; what is not said is left out of it.
    private func question() throws(ControlRefusal) -> RouteQuestion {
        var properties = BasicProperties()
        if let headers = self.members["headers"] {
            guard let table = FieldTable(headers) else {
                throw ControlRefusal("invalid", "headers are a JSON object")
            }
            properties.headers = table
        }
        if self.members["expiration"] != nil {
            properties.expiration = ShortString(Array(try self.text("expiration").utf8))
        }
        if self.members["persistent"] == true { properties.deliveryMode = 2 }
        return RouteQuestion(
            virtualHost: try self.text("vhost"),
            exchange: try self.text("exchange"),
            routingKey: try self.text("routing_key"),
            properties: properties,
            bodyBytes: self.members["bytes"] == nil ? 0 : Int(clamping: try self.number("bytes")),
            user: self.members["user"]?.text,
            isMandatory: self.members["mandatory"] == true
        )
    }

    private func text(_ name: String) throws(ControlRefusal) -> String {
        guard let text = self.members[name]?.text else { throw ControlRefusal("malformed", "\(name) is a string") }
        return text
    }

    private func number(_ name: String) throws(ControlRefusal) -> UInt64 {
        guard let number = self.members[name]?.integer, number >= 0 else {
            throw ControlRefusal("malformed", "\(name) is a number that is not negative")
        }
        return UInt64(number)
    }

    /// A point in time, or what is left until then.
    private func due() throws(ControlRefusal) -> UInt64 {
        guard self.members["due"] == nil else { return try self.number("due") }
        let (due, isTooFar) = SystemClock.epochMilliseconds.addingReportingOverflow(try self.number("delay"))
        return isTooFar ? .max : due
    }

    private func policy() throws(ControlRefusal) -> PolicyRequest {
        guard let definition = self.members["definition"], let table = FieldTable(definition) else {
            throw ControlRefusal("invalid", "Validation failed\n\na policy definition is a JSON object\n")
        }
        guard let priority = self.members["priority"]?.integer else {
            throw ControlRefusal("malformed", "priority is a number")
        }
        return PolicyRequest(
            virtualHost: try self.text("vhost"),
            name: try self.text("name"),
            pattern: try self.text("pattern"),
            applyTo: try self.text("apply_to"),
            priority: priority,
            definition: table
        )
    }

    /// The queue that a message waits in, if it does.
    private func queue() throws(ControlRefusal) -> QueueName? {
        guard self.members["queue"] != nil else { return nil }
        return QueueName(virtualHost: try self.text("vhost"), name: try self.text("queue"))
    }

    /// Arguments of a queue.
    private func arguments() throws(ControlRefusal) -> FieldTable {
        guard let members = self.members["arguments"], let table = FieldTable(members) else {
            throw ControlRefusal("invalid", "arguments are a JSON object of short names")
        }
        return table
    }

    /// The columns that are asked for, found among those there are.
    private func columns<Row>(
        _ known: [ControlColumn<Row>]
    ) throws(ControlRefusal) -> [ControlColumn<Row>] {
        guard let items = self.members["columns"]?.items, !items.isEmpty, items.count <= ServerLimits.controlColumns
        else { throw ControlRefusal("malformed", "columns is a list of up to \(ServerLimits.controlColumns) names") }
        let names = items.map { $0.text ?? "" }
        let unknown = Set(names.filter { name in !known.contains { $0.name == name } }).sorted()
        guard unknown.isEmpty else {
            throw ControlRefusal("column", "Info key(s) \(unknown.joined(separator: ",")) are not supported")
        }
        return names.compactMap { name in known.first { $0.name == name } }
    }
}
