import AMQPProtocol

/// What a binding is, as it travels between shards; two bindings are the same when all of this is.
struct BindingDefinition: Hashable, Sendable {
    /// What a binding leads to.
    enum DestinationKind: UInt8, Hashable, Sendable {
        /// A queue, by `queue.bind`.
        case queue
        /// An exchange, by `exchange.bind`.
        case exchange
    }

    /// The exchange that messages come from.
    let source: ShortString
    /// Whether ``destination`` names a queue or an exchange.
    let kind: DestinationKind
    /// The queue or exchange that messages go to.
    let destination: ShortString
    /// The binding key.
    let routingKey: ShortString
    /// The arguments, ordered by name: their order on the wire does not make another binding.
    let arguments: FieldTable

    /// Describes a binding; puts the arguments in order.
    init(
        source: ShortString,
        kind: DestinationKind,
        destination: ShortString,
        routingKey: ShortString,
        arguments: FieldTable
    ) {
        self.source = source
        self.kind = kind
        self.destination = destination
        self.routingKey = routingKey
        self.arguments = Self.ordered(arguments)
    }

    /// Describes a binding that is there, whose arguments are in order.
    init(
        source: ShortString,
        kind: DestinationKind,
        destination: ShortString,
        routingKey: ShortString,
        orderedArguments: FieldTable
    ) {
        self.source = source
        self.kind = kind
        self.destination = destination
        self.routingKey = routingKey
        self.arguments = orderedArguments
    }

    /// Sorts by name and leaves one spelling of what means the same to RabbitMQ: tags `l` and `L`, true as 1 and 2.
    private static func ordered(_ arguments: FieldTable) -> FieldTable {
        guard !arguments.isEmpty else { return arguments }
        let entries = arguments.enumerated().map { ($0.offset, $0.element.key, $0.element.value) }
        // The offset keeps repeated names in their order: the standard library does not promise a stable sort.
        let sorted = entries.sorted { ($0.1, $0.0) < ($1.1, $1.0) }
        return FieldTable(
            sorted.map { _, key, value in
                switch value {
                case .int64L(let integer): (key, .int64(integer))
                case .bool(let octet): (key, .boolean(octet != 0))
                default: (key, value)
                }
            }
        )
    }
}
