import AMQPProtocol

/// A `queue.declare` that is not passive, with the checks in RabbitMQ's order.
struct QueueDeclaration {
    /// The name without line breaks.
    let name: ShortString
    /// Whether we made the name.
    let isServerNamed: Bool
    /// Whether it shall survive a restart; never when it has an owner.
    let isDurable: Bool
    /// The connection that alone may use it; nil when it is not exclusive.
    let owner: ConnectionAddress?
    /// Whether it shall go with its last consumer.
    let isAutoDelete: Bool
    /// The arguments as they came.
    var arguments: FieldTable

    private static let method = QueueDeclare.id

    /// Refuses names that only the broker may make, even those of queues that are there.
    func checkName() throws(Violation) {
        if self.isServerNamed {
            // Only when the value is no type at all is the refusal left to the arguments' check.
            let named = self.arguments[QueueArgument.queueType.name]?.stringValue.flatMap { QueueType($0) }
            if let type = named, type == .quorum || type == .stream {
                throw self.refused("Cannot declare a server-named queue for type \(type.rabbitName)")
            }
            return
        }
        // Our caller makes a name for queues without one, so that an empty name here is one of line breaks only.
        guard !self.name.isEmpty else { throw self.refused("queue name is empty") }
        guard !self.name.hasPrefix("amq.") else {
            let text: ReplyText = "queue name '\(self.name)' contains reserved prefix 'amq.*'"
            throw .channel(.accessRefused, text: text, method: Self.method)
        }
    }

    /// Compares with the queue of that name.
    ///
    /// Who names no type gets the default one, and whatever else is there of those that name none.
    func compare(with queue: QueueInfo, defaultType: DefaultQueueType) throws(Violation) -> Equivalence {
        // What belongs to one connection alone is no matter of taste.
        guard self.owner == queue.exclusiveOwner else { throw queue.locked(Self.method) }
        var equivalence = Equivalence(subject: self.subject(in: queue.virtualHostName), method: Self.method)
        equivalence.check("durable", received: self.isDurable, current: queue.durable)
        equivalence.check("auto_delete", received: self.isAutoDelete, current: queue.autoDelete)
        let type = QueueTypes(queue.parsed.queueType)
        for argument in QueueArgument.allCases where argument.isCompared && argument.queueTypes.contains(type) {
            if argument == .queueType, self.namesClassicOrNone, queue.parsed.queueType == .classic { continue }
            if argument == .queueType, defaultType == .quorum, self.arguments[argument.name] == nil { continue }
            equivalence.check(argument.name, received: self.arguments, current: queue.arguments)
        }
        return equivalence
    }

    /// The same with the default type, where it names none and can be of that.
    func typed(by defaultType: DefaultQueueType) -> QueueDeclaration {
        guard defaultType == .quorum, self.isDurable, self.owner == nil, !self.isAutoDelete, !self.isServerNamed,
            self.arguments[QueueArgument.queueType.name] == nil
        else { return self }
        var declaration = self
        let type = FieldValue.longString(QueueType.quorum.name.bytes)
        let others = self.arguments.map { ($0.key, $0.value) }
        declaration.arguments = FieldTable(others + [(QueueArgument.queueType.name, type)])
        return declaration
    }

    private var namesClassicOrNone: Bool {
        guard let value = self.arguments[QueueArgument.queueType.name] else { return true }
        return value.stringValue.flatMap { QueueType($0) } == .classic
    }

    /// Checks what only a new queue must fulfil; gives back what its arguments mean.
    func checkNew(in host: VirtualHost) throws(Violation) -> QueueArguments {
        if let limit = host.maxQueues, host.queueCount >= limit {
            throw self.refused(
                "cannot declare queue '\(self.name)': queue limit in vhost '\(host.name)' (\(limit)) is reached"
            )
        }
        return try self.checkArguments(in: host.name)
    }

    /// Checks what any queue must fulfil to have these arguments; gives back what they mean.
    func checkArguments(in host: ShortString) throws(Violation) -> QueueArguments {
        let subject = self.subject(in: host)
        let parsed = try QueueArguments(parsing: self.arguments, of: subject)
        guard parsed.queueType != .classic else { return parsed }
        if self.isAutoDelete { throw self.refused("invalid property 'auto-delete' for \(subject)") }
        if self.owner != nil { throw self.refused("invalid property 'exclusive-owner' for \(subject)") }
        if !self.isDurable { throw self.refused("invalid property 'non-durable' for \(subject)") }
        if parsed.queueType == .stream { throw self.refused("streams are not supported: \(subject)") }
        return parsed
    }

    private func subject(in host: ShortString) -> String { "queue '\(self.name)' in vhost '\(host)'" }

    private func refused(_ text: ReplyText) -> Violation {
        .channel(.preconditionFailed, text: text, method: Self.method)
    }
}
