import AMQPProtocol

/// A queue as it travels between shards: everything but its messages and consumers.
struct QueueDefinition: Equatable, Sendable {
    /// The virtual host it belongs to.
    var virtualHost: ShortString
    /// Its name, without line breaks, never empty.
    var name: ShortString
    /// Where it lives.
    var address: QueueAddress
    /// Whether it survives a restart; never for exclusive queues, whatever was declared.
    var isDurable: Bool
    /// Whether it goes with its last consumer.
    var isAutoDelete: Bool
    /// The connection that alone may use it, and with which it goes; nil for ordinary queues.
    var exclusiveOwner: ConnectionAddress?
    /// The arguments as declared, those included that mean nothing to us.
    var arguments: FieldTable
    /// ``parsedArguments``, which are large and most often those of no arguments at all: then there is no box.
    private let boxedArguments: BoxedArguments?
    /// The number by which the commit log knows it, unique for ever; 0 when it is not durable.
    var durableID: UInt64

    private final class BoxedArguments: Equatable, Sendable {
        let value: QueueArguments

        init(_ value: QueueArguments) { self.value = value }

        static func == (left: BoxedArguments, right: BoxedArguments) -> Bool { left.value == right.value }
    }

    init(
        virtualHost: ShortString,
        name: ShortString,
        address: QueueAddress,
        isDurable: Bool,
        isAutoDelete: Bool,
        exclusiveOwner: ConnectionAddress?,
        arguments: FieldTable,
        parsedArguments: QueueArguments,
        durableID: UInt64
    ) {
        self.virtualHost = virtualHost
        self.name = name
        self.address = address
        self.isDurable = isDurable
        self.isAutoDelete = isAutoDelete
        self.exclusiveOwner = exclusiveOwner
        self.arguments = arguments
        self.boxedArguments = parsedArguments == QueueArguments() ? nil : BoxedArguments(parsedArguments)
        self.durableID = durableID
    }

    /// What the arguments mean.
    var parsedArguments: QueueArguments { self.boxedArguments?.value ?? QueueArguments() }
}

/// A queue in a replica of the topology.
final class QueueInfo {
    /// What was declared.
    let definition: QueueDefinition
    /// Where the queue lives; copied from the definition because every message needs it.
    let address: QueueAddress
    /// The number by which the commit log knows the queue, 0 when it is not durable; copied like ``address``.
    let durableID: UInt64
    /// The bindings that lead here.
    var incoming = BindingList(.destination)
    /// The look for a message's queues that came here last; see ``RouteTargets``.
    var routeStamp: UInt64 = 0

    /// Makes a queue without bindings.
    init(_ definition: QueueDefinition) {
        self.definition = definition
        self.address = definition.address
        self.durableID = definition.durableID
    }

    /// The virtual host it belongs to.
    var virtualHostName: ShortString { self.definition.virtualHost }
    /// Its name.
    var name: ShortString { self.definition.name }
    /// Whether it survives a restart.
    var durable: Bool { self.definition.isDurable }
    /// Whether it goes with its last consumer.
    var autoDelete: Bool { self.definition.isAutoDelete }
    /// The connection that alone may use it.
    var exclusiveOwner: ConnectionAddress? { self.definition.exclusiveOwner }
    /// The arguments as declared.
    var arguments: FieldTable { self.definition.arguments }
    /// What the arguments mean.
    var parsed: QueueArguments { self.definition.parsedArguments }

    /// Refuses every connection but the owner's to an exclusive queue: 405, for any method that names the queue.
    func checkAccess(from connection: ConnectionAddress, method: MethodID) throws(Violation) {
        guard let owner = self.exclusiveOwner, owner != connection else { return }
        throw self.locked(method)
    }

    /// The refusal to those who do not hold the queue's lock.
    func locked(_ method: MethodID) -> Violation {
        .channel(
            .resourceLocked,
            text: "cannot obtain exclusive access to locked queue '\(self.name)' in vhost '\(self.virtualHostName)'. "
                + "It could be originally declared on another connection or the exclusive property value does not match "
                + "that of the original declaration.",
            method: method
        )
    }
}
