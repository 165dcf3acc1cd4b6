// TEMPORARY, so that the server can be tried: whoever lands the real Routing/Topology deletes this file and adapts
// Shard/Shard+Topology.swift (and the few other users, see the compiler) to the real API.

import AMQPProtocol
enum Violation: Error, Equatable, Sendable {
    case channel(ReplyCode, text: String, method: MethodID)
    case connection(ReplyCode, text: String, method: MethodID)
}
struct QueueAddress: Hashable, Sendable { var shard: UInt16; var slot: UInt32; var generation: UInt32 }
struct ConnectionAddress: Hashable, Sendable { var shard: UInt16; var id: UInt64 }
struct Parsed { var isSingleActiveConsumer = false }
final class QueueInfo: Sendable {
    let name: ShortString; let virtualHostName: ShortString = "/"; let address: QueueAddress; let autoDelete: Bool;
    let exclusiveOwner: ConnectionAddress?
    var parsed: Parsed { Parsed() }
    init(name: ShortString, address: QueueAddress, autoDelete: Bool, exclusiveOwner: ConnectionAddress?) {
        self.name = name; self.address = address; self.autoDelete = autoDelete; self.exclusiveOwner = exclusiveOwner
    }
}
struct RouteTargets {
    var queues: [QueueAddress] = []; mutating func reset() { queues.removeAll(keepingCapacity: true) }
}
enum RouteOutcome { case routed, noExchange, internalExchange }
enum TopologyChange: Sendable { case addQueue(QueueInfo), removeQueue(ShortString) }
final class VirtualHost {
    let name: ShortString = "/"
    var queues: [ShortString: QueueInfo] = [:]
    func queue(named: ShortString) -> QueueInfo? { queues[named] }
    func route(
        exchange: UnsafeRawBufferPointer,
        routingKey: UnsafeRawBufferPointer,
        extraKeys: [[UInt8]],
        headers: UnsafeRawBufferPointer?,
        into: inout RouteTargets
    ) -> RouteOutcome {
        if let q = queues[ShortString(routingKey)!] { into.queues.append(q.address) }
        return .routed
    }
}
final class Topology {
    let vhost = VirtualHost()
    init(seed: UInt64) {}
    func virtualHost(named: ShortString) -> VirtualHost? { named == "/" ? vhost : nil }
    func apply(_ change: TopologyChange) {
        switch change {
        case .addQueue(let q): vhost.queues[q.name] = q;
        case .removeQueue(let n): vhost.queues[n] = nil
        }
    }
    func queueAdded(by change: TopologyChange) -> QueueInfo? {
        if case .addQueue(let q) = change { return q }; return nil
    }
}
struct TopologyRequest: Sendable {
    enum Operation: Sendable {
        case declareExchange(
            name: ShortString,
            type: ShortString,
            passive: Bool,
            durable: Bool,
            autoDelete: Bool,
            internal: Bool,
            arguments: FieldTable
        )
        case deleteExchange(name: ShortString, ifUnused: Bool)
        case bindQueue(queue: ShortString, exchange: ShortString, routingKey: ShortString, arguments: FieldTable)
        case unbindQueue(queue: ShortString, exchange: ShortString, routingKey: ShortString, arguments: FieldTable)
        case bindExchange(destination: ShortString, source: ShortString, routingKey: ShortString, arguments: FieldTable)
        case unbindExchange(
            destination: ShortString,
            source: ShortString,
            routingKey: ShortString,
            arguments: FieldTable
        )
        case declareQueue(
            name: ShortString,
            serverNamed: Bool,
            passive: Bool,
            durable: Bool,
            exclusive: Bool,
            autoDelete: Bool,
            arguments: FieldTable
        )
        case deleteQueue(name: ShortString, ifUnused: Bool, ifEmpty: Bool)
    }
    var virtualHost: ShortString; var connection: ConnectionAddress; var home: UInt16; var operation: Operation
}
enum TopologyDecision {
    case violation(Violation), done, apply([TopologyChange]), existingQueue(QueueInfo), declaredQueue(
        ShortString,
        [TopologyChange]
    ), deleteQueue(QueueAddress, ifUnused: Bool, ifEmpty: Bool)
}
struct TopologyOwner {
    var next: [UInt32] = Array(repeating: 0, count: 1024)
    mutating func decide(_ r: TopologyRequest, topology: Topology) -> TopologyDecision {
        switch r.operation {
        case .declareQueue(let name, _, _, _, let exclusive, let autoDelete, _):
            if let q = topology.vhost.queues[name] { return .existingQueue(q) }
            let a = QueueAddress(shard: r.home, slot: next[Int(r.home)], generation: 1); next[Int(r.home)] += 1
            let q = QueueInfo(
                name: name,
                address: a,
                autoDelete: autoDelete,
                exclusiveOwner: exclusive ? r.connection : nil
            )
            return .declaredQueue(name, [.addQueue(q)])
        case .deleteQueue(let name, let u, let e):
            if let q = topology.vhost.queues[name] { return .deleteQueue(q.address, ifUnused: u, ifEmpty: e) }
            return .done
        default: return .done
        }
    }
    func changesForRemovedQueue(_ a: QueueAddress, topology: Topology) -> [TopologyChange] {
        topology.vhost.queues.values.filter { $0.address == a }.map { .removeQueue($0.name) }
    }
    func exclusiveQueues(of: ConnectionAddress) -> [QueueAddress] { [] }
}
