import AMQPProtocol

/// A queue as it travels between shards: everything but its messages and consumers.
///
/// All shards share what it consists of, which never changes.
struct QueueDefinition: Equatable, Sendable {
    private let body: Body

    private final class Body: Sendable {
        let virtualHost: ShortString
        let name: ShortString
        let arguments: FieldTable
        let durableID: UInt64
        let unusual: Unusual?
        let address: QueueAddress
        let isDurable: Bool
        let isAutoDelete: Bool

        init(
            _ virtualHost: ShortString,
            _ name: ShortString,
            _ address: QueueAddress,
            isDurable: Bool,
            isAutoDelete: Bool,
            _ arguments: FieldTable,
            _ unusual: Unusual?,
            durableID: UInt64
        ) {
            self.virtualHost = virtualHost
            self.name = name
            self.arguments = arguments
            self.durableID = durableID
            self.unusual = unusual
            self.address = address
            self.isDurable = isDurable
            self.isAutoDelete = isAutoDelete
        }
    }

    /// What most queues do not have, so that there is none.
    private final class Unusual: Sendable {
        let owner: ConnectionAddress?
        let arguments: QueueArguments

        init(_ owner: ConnectionAddress?, _ arguments: QueueArguments) {
            self.owner = owner
            self.arguments = arguments
        }
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
        let isUsual = exclusiveOwner == nil && parsedArguments == QueueArguments()
        self.body = Body(
            virtualHost,
            name,
            address,
            isDurable: isDurable,
            isAutoDelete: isAutoDelete,
            arguments,
            isUsual ? nil : Unusual(exclusiveOwner, parsedArguments),
            durableID: durableID
        )
    }

    /// The virtual host it belongs to.
    var virtualHost: ShortString { self.body.virtualHost }
    /// Its name, without line breaks, never empty.
    var name: ShortString { self.body.name }
    /// Where it lives.
    var address: QueueAddress { self.body.address }
    /// Whether it survives a restart; never for exclusive queues, whatever was declared.
    var isDurable: Bool { self.body.isDurable }
    /// Whether it goes with its last consumer.
    var isAutoDelete: Bool { self.body.isAutoDelete }
    /// The connection that alone may use it, and with which it goes; nil for ordinary queues.
    var exclusiveOwner: ConnectionAddress? { self.body.unusual?.owner }
    /// The arguments as declared or altered, those included that mean nothing to us.
    var arguments: FieldTable { self.body.arguments }
    /// The number by which the commit log knows it, unique for ever; 0 when it is not durable.
    var durableID: UInt64 { self.body.durableID }
    /// What the arguments mean.
    var parsedArguments: QueueArguments { self.body.unusual?.arguments ?? QueueArguments() }

    static func == (left: QueueDefinition, right: QueueDefinition) -> Bool {
        left.virtualHost == right.virtualHost && left.name == right.name && left.address == right.address
            && left.isDurable == right.isDurable && left.isAutoDelete == right.isAutoDelete
            && left.exclusiveOwner == right.exclusiveOwner && left.arguments == right.arguments
            && left.parsedArguments == right.parsedArguments && left.durableID == right.durableID
    }
}

/// A queue in a replica of the topology.
final class QueueInfo {
    /// What was declared, with the arguments that it has now.
    private(set) var definition: QueueDefinition
    /// The bindings that lead here.
    var incoming = BindingList()
    /// The look for a message's queues that came here last; see ``RouteTargets``.
    var routeStamp: UInt64 = 0
    /// Where the queue lives; copied from the definition because every message needs it.
    let address: QueueAddress

    /// Makes a queue without bindings.
    init(_ definition: QueueDefinition) {
        self.definition = definition
        self.address = definition.address
    }

    /// Gives it other arguments; everything else stays.
    func alter(to definition: QueueDefinition) {
        assert(definition.address == self.address && definition.durableID == self.durableID, "another queue")
        self.definition = definition
    }

    /// The virtual host it belongs to.
    var virtualHostName: ShortString { self.definition.virtualHost }
    /// Its name.
    var name: ShortString { self.definition.name }
    /// Whether it survives a restart.
    var durable: Bool { self.definition.isDurable }
    /// Whether it goes with its last consumer.
    var autoDelete: Bool { self.definition.isAutoDelete }
    /// The number by which the commit log knows it; 0 when it is not durable.
    var durableID: UInt64 { self.definition.durableID }
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
