internal import AMQPProtocol
internal import BrokerCore
internal import PlainJSON

/// Turns lines of `martlet ctl` into requests, and answers into lines.
///
/// A request is `{"version": 1, "command": …}` with members that the command needs. An answer has `version` and one of
/// `done`, `rows` (with `columns`), `status` or `error` (with `kind` and `text`).
struct ControlService: Sendable {
    /// The version of both lines.
    static let version: Int64 = 1

    /// Who carries requests out.
    let administration: any BrokerAdministration
    /// What there is to say about the process.
    let status: @Sendable () -> JSONValue

    /// An answer that says no.
    static func failure(_ kind: String, _ text: String) -> JSONValue {
        ["version": .integer(self.version), "error": ["kind": .string(kind), "text": .string(text)]]
    }

    /// The answer to a line.
    func answer(_ line: [UInt8]) async -> JSONValue {
        guard let request = try? JSONValue(parsing: line), case .object = request else {
            return Self.failure("malformed", "the request is no JSON object")
        }
        guard request["version"]?.integer == Self.version else {
            return Self.failure("version", "this broker speaks version \(Self.version)")
        }
        do throws(ControlRefusal) {
            return try await self.answer(request)
        } catch {
            return Self.failure(error.kind, error.text)
        }
    }

    private func answer(_ request: JSONValue) async throws(ControlRefusal) -> JSONValue {
        let host = request["vhost"]?.text
        switch request["command"]?.text ?? "" {
        case "set_policy": return await self.ask(.setPolicy(try self.policy(request), isOperator: false))
        case "set_operator_policy": return await self.ask(.setPolicy(try self.policy(request), isOperator: true))
        case "clear_policy":
            return await self.ask(.clearPolicy(virtualHost: host ?? "/", name: try self.name(request), isOperator: false))
        case "clear_operator_policy":
            return await self.ask(.clearPolicy(virtualHost: host ?? "/", name: try self.name(request), isOperator: true))
        case "list_policies":
            return await self.ask(.listPolicies(virtualHost: host, isOperator: false), try self.columns(request))
        case "list_operator_policies":
            return await self.ask(.listPolicies(virtualHost: host, isOperator: true), try self.columns(request))
        case "list_queues": return await self.ask(.listQueues(virtualHost: host), try self.columns(request))
        case "list_exchanges": return await self.ask(.listExchanges(virtualHost: host), try self.columns(request))
        case "list_bindings": return await self.ask(.listBindings(virtualHost: host), try self.columns(request))
        case "list_vhosts": return await self.ask(.listVirtualHosts, try self.columns(request))
        case "status": return ["version": .integer(Self.version), "status": self.status()]
        case let command: throw ControlRefusal("unknown", "unknown command \(command)")
        }
    }

    private func ask(_ request: AdministrationRequest, _ columns: [String] = []) async -> JSONValue {
        switch await self.administration.administer(request) {
        case .done: return ["version": .integer(Self.version), "done": true]
        case .failed(let failure): return Self.failure(of: failure)
        case .policies(let policies): return Self.rows(policies, columns) { ControlRows.value($0, of: $1) }
        case .queues(let queues): return Self.rows(queues, columns) { ControlRows.value($0, of: $1) }
        case .exchanges(let exchanges): return Self.rows(exchanges, columns) { ControlRows.value($0, of: $1) }
        case .bindings(let bindings): return Self.rows(bindings, columns) { ControlRows.value($0, of: $1) }
        case .names(let names): return Self.rows(names, columns) { $0 == "name" ? .string($1) : nil }
        }
    }

    private static func failure(of failure: AdministrationFailure) -> JSONValue {
        switch failure {
        case .noVirtualHost(let name): self.failure("no-vhost", "Virtual host '\(name)' does not exist")
        case .notFound(let text): self.failure("not-found", text)
        case .invalid(let text): self.failure("invalid", text)
        case .limit(let text): self.failure("limit", text)
        case .unavailable(let text): self.failure("unavailable", text)
        }
    }

    private static func rows<Row>(
        _ rows: [Row],
        _ columns: [String],
        _ value: (String, Row) -> JSONValue?
    ) -> JSONValue {
        var lines: [JSONValue] = []
        lines.reserveCapacity(rows.count)
        for row in rows {
            var line: [JSONValue] = []
            for column in columns {
                guard let value = value(column, row) else {
                    return self.failure("column", "Info key(s) \(column) are not supported")
                }
                line.append(value)
            }
            lines.append(.array(line))
        }
        return [
            "version": .integer(self.version), "columns": .array(columns.map { .string($0) }), "rows": .array(lines),
        ]
    }

    // MARK: Reading requests

    private func columns(_ request: JSONValue) throws(ControlRefusal) -> [String] {
        guard let items = request["columns"]?.items, !items.isEmpty, items.count <= ServerLimits.controlColumns else {
            throw ControlRefusal("malformed", "columns is a list of up to \(ServerLimits.controlColumns) names")
        }
        var columns: [String] = []
        for item in items {
            guard let name = item.text else { throw ControlRefusal("malformed", "a column has a name") }
            columns.append(name)
        }
        return columns
    }

    private func name(_ request: JSONValue) throws(ControlRefusal) -> String {
        guard let name = request["name"]?.text else { throw ControlRefusal("malformed", "name is a string") }
        return name
    }

    private func policy(_ request: JSONValue) throws(ControlRefusal) -> PolicyRequest {
        guard let pattern = request["pattern"]?.text else { throw ControlRefusal("malformed", "pattern is a string") }
        guard let definition = request["definition"], let table = FieldTable(definition) else {
            throw ControlRefusal("invalid", "Validation failed\n\na policy definition is a JSON object\n")
        }
        return PolicyRequest(
            virtualHost: request["vhost"]?.text ?? "/",
            name: try self.name(request),
            pattern: pattern,
            applyTo: request["apply_to"]?.text ?? "all",
            priority: request["priority"]?.integer ?? 0,
            definition: table
        )
    }
}

/// Why a line is not carried out.
struct ControlRefusal: Error {
    let kind: String
    let text: String

    init(_ kind: String, _ text: String) {
        self.kind = kind
        self.text = text
    }
}
