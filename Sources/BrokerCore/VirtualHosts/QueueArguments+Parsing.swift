import AMQPProtocol

extension QueueType {
    /// The name in error texts that speak of queue types.
    var rabbitName: String { "rabbit_\(self.name)_queue" }
}

extension QueueArguments {
    /// Checks the arguments of a new queue and takes them apart.
    ///
    /// The order is RabbitMQ's, so that of several mistakes we name the same one: the type of the dead letter exchange,
    /// the queue type, the arguments that the type knows, and those that only other types know. Arguments that nobody
    /// knows are fine. `queue` is the queue in RabbitMQ's words: `queue 'q' in vhost '/'`.
    init(parsing arguments: FieldTable, of queue: String) throws(Violation) {
        self.init()
        guard !arguments.isEmpty else { return }
        let exchangeKey = QueueArgument.deadLetterExchange.name
        if let exchange = arguments[exchangeKey], exchange.stringValue == nil {
            throw Self.refused("invalid type '\(exchange.rabbitTypeName)' for arg '\(exchangeKey)' in \(queue)")
        }
        try self.take(.queueType, from: arguments, of: queue)
        let type = QueueTypes(self.queueType)
        for argument in QueueArgument.allCases where argument.queueTypes.contains(type) {
            try self.take(argument, from: arguments, of: queue)
        }
        for (key, _) in arguments {
            guard let argument = QueueArgument(name: key), !argument.queueTypes.contains(type) else { continue }
            throw Self.refused("invalid arg '\(key)' for \(queue) of queue type \(self.queueType.rabbitName)")
        }
    }

    private mutating func take(
        _ argument: QueueArgument,
        from arguments: FieldTable,
        of queue: String
    ) throws(Violation) {
        guard let value = arguments[argument.name] else { return }
        if let refusal = argument.check.refusal(of: value, among: arguments) {
            throw Self.refused("invalid arg '\(argument.name)' for \(queue): \(refusal)")
        }
        self.set(argument, to: value)
    }

    private static func refused(_ text: ReplyText) -> Violation {
        .channel(.preconditionFailed, text: text, method: QueueDeclare.id)
    }
}

extension QueueArgument {
    /// Finds an argument by its name on the wire.
    init?(name: ShortString) {
        guard let argument = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = argument
    }
}
