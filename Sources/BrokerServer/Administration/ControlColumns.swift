internal import AMQPProtocol
internal import BrokerCore
internal import PlainJSON

/// A column of a list.
struct ControlColumn<Row>: Sendable {
    /// Its name, RabbitMQ's where it has one.
    let name: String
    /// What it says of a row.
    let value: @Sendable (Row) -> JSONValue

    init(_ name: String, _ value: @escaping @Sendable (Row) -> JSONValue) {
        self.name = name
        self.value = value
    }
}

/// The columns of all lists.
enum ControlColumns {
    static let policies: [ControlColumn<PolicySnapshot>] = [
        .init("vhost") { .string($0.virtualHost) },
        .init("name") { .string($0.name) },
        .init("pattern") { .string($0.pattern) },
        .init("apply-to") { .string($0.applyTo) },
        // A text, as RabbitMQ has it.
        .init("definition") { .string(JSONValue($0.definition).line) },
        .init("priority") { .integer($0.priority) },
    ]

    static let queues: [ControlColumn<QueueSnapshot>] = [
        .init("vhost") { .string($0.virtualHost) },
        .init("name") { .string($0.name) },
        .init("type") { .string($0.type) },
        .init("state") { _ in "running" },
        .init("durable") { .bool($0.isDurable) },
        .init("auto_delete") { .bool($0.isAutoDelete) },
        .init("exclusive") { .bool($0.isExclusive) },
        .init("arguments") { JSONValue(typed: $0.arguments) },
        .init("policy") { .string($0.policy.policy ?? "") },
        .init("operator_policy") { .string($0.policy.operatorPolicy ?? "") },
        .init("effective_policy_definition") { JSONValue($0.policy.definition) },
        .init("messages") { .integer(Int64($0.ready + $0.unacknowledged)) },
        .init("messages_ready") { .integer(Int64($0.ready)) },
        .init("messages_unacknowledged") { .integer(Int64($0.unacknowledged)) },
        .init("consumers") { .integer(Int64($0.consumers)) },
    ]

    static let exchanges: [ControlColumn<ExchangeSnapshot>] = [
        .init("vhost") { .string($0.virtualHost) },
        .init("name") { .string($0.name) },
        .init("type") { .string($0.type) },
        .init("durable") { .bool($0.isDurable) },
        .init("auto_delete") { .bool($0.isAutoDelete) },
        .init("internal") { .bool($0.isInternal) },
        .init("arguments") { JSONValue(typed: $0.arguments) },
        .init("policy") { .string($0.policy.policy ?? "") },
        // Of exchanges that let messages through once.
        .init("published") { $0.deduplication.map { .integer(Int64(clamping: $0.published)) } ?? "" },
        .init("duplicates") { $0.deduplication.map { .integer(Int64(clamping: $0.duplicates)) } ?? "" },
    ]

    static let bindings: [ControlColumn<BindingSnapshot>] = [
        .init("vhost") { .string($0.virtualHost) },
        .init("source_name") { .string($0.source) },
        .init("source_kind") { _ in "exchange" },
        .init("destination_name") { .string($0.destination) },
        .init("destination_kind") { .string($0.isQueue ? "queue" : "exchange") },
        .init("routing_key") { .string($0.routingKey) },
        .init("arguments") { JSONValue(typed: $0.arguments) },
    ]

    static let virtualHosts: [ControlColumn<String>] = [
        .init("name") { .string($0) }
    ]

    static let delayedMessages: [ControlColumn<DelayedMessageInfo>] = [
        // As the commands that change one want it.
        .init("id") { row in
            row.queue.map { .string("\(row.id)@\($0)") } ?? .integer(Int64(clamping: row.id))
        },
        .init("queue") { .string($0.queue ?? "") },
        .init("exchange") { .string($0.exchange) },
        .init("routing_key") { .string($0.routingKey) },
        // Milliseconds since 1970.
        .init("due") { .integer(Int64(clamping: $0.dueEpochMilliseconds)) },
        .init("persistent") { .bool($0.isPersistent) },
        .init("message_bytes") { .integer(Int64($0.bodyBytes)) },
    ]

    static let explanation: [ControlColumn<ExplainedLine>] = [
        .init("what") { .string($0.what) },
        .init("name") { .string($0.name) },
        .init("verdict") { .string($0.verdict) },
        .init("reason") { .string($0.reason) },
    ]

    static let unroutable: [ControlColumn<UnroutablePublish>] = [
        // Milliseconds since 1970.
        .init("time") { .integer(Int64(clamping: $0.epochMilliseconds)) },
        .init("exchange") { .string($0.question.exchange) },
        .init("routing_key") { .string($0.question.routingKey) },
        .init("user") { .string($0.question.user ?? "") },
        .init("fate") { .string($0.fate.rawValue) },
        .init("connection") { .string($0.connection) },
        .init("vhost") { .string($0.question.virtualHost) },
        .init("headers") { JSONValue($0.question.properties.headers ?? .empty) },
        .init("message_bytes") { .integer(Int64($0.question.bodyBytes)) },
    ]
}
