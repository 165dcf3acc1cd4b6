import AMQPProtocol

/// What a channel asks the owner of the topology for.
///
/// Names come as the client sent them; line breaks are taken out by the owner.
struct TopologyRequest: Sendable {
    /// One method of the classes `exchange` and `queue`.
    enum Operation: Sendable {
        /// `exchange.declare`.
        case declareExchange(
            name: ShortString,
            type: ShortString,
            passive: Bool,
            durable: Bool,
            autoDelete: Bool,
            internal: Bool,
            arguments: FieldTable
        )
        /// `exchange.delete`.
        case deleteExchange(name: ShortString, ifUnused: Bool)
        /// `queue.bind`.
        case bindQueue(queue: ShortString, exchange: ShortString, routingKey: ShortString, arguments: FieldTable)
        /// `queue.unbind`.
        case unbindQueue(queue: ShortString, exchange: ShortString, routingKey: ShortString, arguments: FieldTable)
        /// `exchange.bind`.
        case bindExchange(destination: ShortString, source: ShortString, routingKey: ShortString, arguments: FieldTable)
        /// `exchange.unbind`.
        case unbindExchange(
            destination: ShortString,
            source: ShortString,
            routingKey: ShortString,
            arguments: FieldTable
        )
        /// `queue.declare`; a name that we made ourselves (`serverNamed`) may begin with `amq.`.
        case declareQueue(
            name: ShortString,
            serverNamed: Bool,
            passive: Bool,
            durable: Bool,
            exclusive: Bool,
            autoDelete: Bool,
            arguments: FieldTable
        )
        /// `queue.delete`.
        case deleteQueue(name: ShortString, ifUnused: Bool, ifEmpty: Bool)
    }

    /// The virtual host of the connection.
    var virtualHost: ShortString
    /// The connection that asks, which owns the exclusive queues it declares.
    var connection: ConnectionAddress
    /// The shard on which a new queue is to live.
    var home: UInt16
    /// What is asked for.
    var operation: Operation
}

extension TopologyRequest.Operation {
    /// The method that asks, for the close method when the answer is no.
    var method: MethodID {
        switch self {
        case .declareExchange: ExchangeDeclare.id
        case .deleteExchange: ExchangeDelete.id
        case .bindQueue: QueueBind.id
        case .unbindQueue: QueueUnbind.id
        case .bindExchange: ExchangeBind.id
        case .unbindExchange: ExchangeUnbind.id
        case .declareQueue: QueueDeclare.id
        case .deleteQueue: QueueDelete.id
        }
    }
}

extension ShortString {
    /// The name without carriage returns and line feeds, which RabbitMQ takes out of every name of a queue or exchange.
    var withoutLineBreaks: ShortString {
        guard self.bytes.contains(where: Self.isLineBreak) else { return self }
        return ShortString(self.bytes.filter { !Self.isLineBreak($0) }) ?? self
    }

    private static func isLineBreak(_ octet: UInt8) -> Bool {
        octet == UInt8(ascii: "\r") || octet == UInt8(ascii: "\n")
    }
}
