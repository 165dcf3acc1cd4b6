import AMQPProtocol

/// Other arguments for a queue that is there.
extension TopologyOwner {
    /// The arguments of a queue after changes: a value replaces the one of its name or comes last, void takes it away.
    static func altered(_ arguments: FieldTable, by changes: FieldTable) -> FieldTable {
        var entries = arguments.map { ($0.key, $0.value) }
        for (key, value) in changes {
            let index = entries.firstIndex { $0.0 == key }
            switch (value, index) {
            case (.void, _): entries.removeAll { $0.0 == key }
            case (_, let index?): entries[index].1 = value
            case (_, nil): entries.append((key, value))
            }
        }
        return FieldTable(entries)
    }

    /// The queue with other arguments; nil when they mean the same as those that it has.
    ///
    /// Throws what declaring such a queue would be answered, and for arguments that nobody knows: a declare may have them,
    /// because clients bring them along, but who changes a queue means something.
    func alter(_ queue: QueueInfo, by changes: FieldTable) throws(Violation) -> TopologyChange? {
        for (key, value) in changes where value != .void && QueueArgument(name: key) == nil {
            throw .channel(
                .preconditionFailed,
                text: "unknown arg '\(key)' for queue '\(queue.name)' in vhost '\(queue.virtualHostName)'",
                method: QueueDeclare.id
            )
        }
        let arguments = Self.altered(queue.arguments, by: changes)
        let declaration = QueueDeclaration(
            name: queue.name,
            // Nobody else may make such a name.
            isServerNamed: queue.name.hasPrefix("amq."),
            isDurable: queue.durable,
            owner: queue.exclusiveOwner,
            isAutoDelete: queue.autoDelete,
            arguments: arguments
        )
        try declaration.checkName()
        let parsed = try declaration.checkArguments(in: queue.virtualHostName)
        guard !arguments.means(theSameAs: queue.arguments) else { return nil }
        let definition = QueueDefinition(
            virtualHost: queue.virtualHostName,
            name: queue.name,
            address: queue.address,
            isDurable: queue.durable,
            isAutoDelete: queue.autoDelete,
            exclusiveOwner: queue.exclusiveOwner,
            arguments: arguments,
            parsedArguments: parsed,
            durableID: queue.durableID
        )
        return .alterQueue(definition)
    }
}

extension FieldTable {
    /// Whether both have the same names, each with a value of the same meaning.
    fileprivate func means(theSameAs other: FieldTable) -> Bool {
        func covers(_ left: FieldTable, _ right: FieldTable) -> Bool {
            right.allSatisfy { key, value in left[key].map { $0.meansTheSame(as: value) } ?? false }
        }
        return covers(self, other) && covers(other, self)
    }
}
