import AMQPProtocol

/// What survives of a queue's declaration.
struct DurableQueue: Equatable, Sendable {
    /// The virtual host it belongs to.
    var virtualHost: ShortString
    /// Its name, never empty.
    var name: ShortString
    /// Its number, unique for ever, never 0.
    var durableID: UInt64
    /// Whether it goes with its last consumer.
    var isAutoDelete: Bool
    /// The arguments as declared.
    var arguments: FieldTable

    /// The queue at the place that it has got on this start.
    ///
    /// Throws what a declare would be answered: arguments that were fine for an earlier broker may be refused by this one.
    func definition(at address: QueueAddress) throws(Violation) -> QueueDefinition {
        QueueDefinition(
            virtualHost: self.virtualHost,
            name: self.name,
            address: address,
            isDurable: true,
            isAutoDelete: self.isAutoDelete,
            exclusiveOwner: nil,
            arguments: self.arguments,
            parsedArguments: try QueueArguments(
                parsing: self.arguments,
                of: "queue '\(self.name)' in vhost '\(self.virtualHost)'"
            ),
            durableID: self.durableID
        )
    }
}
