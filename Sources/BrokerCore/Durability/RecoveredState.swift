import AMQPProtocol

/// What is live after a start: fed with the records of the commit log in their order.
///
/// Invariants:
///
/// 1. Every record is a fact that may be told again: a state that has read some last part of the log reads that part
///    once more without a change. So live state can be written again between ``LogRecordType/snapshotBegin`` and
///    ``LogRecordType/snapshotEnd``, whole or torn, as long as older files are removed oldest first.
/// 2. A record that throws has changed nothing.
/// 3. Both ends of every binding are there, predeclared or recovered.
/// 4. What is told of a queue that is not defined is kept until it is: the oldest file that is left may begin behind the
///    definition, which is told again further on. What is left at the end are ``strays``.
public struct RecoveredState: Sendable {
    /// A name in a virtual host.
    private struct Key: Hashable, Comparable {
        let virtualHost: ShortString
        let name: ShortString

        static func < (left: Key, right: Key) -> Bool {
            (left.virtualHost, left.name) < (right.virtualHost, right.name)
        }
    }

    /// A virtual host.
    struct Host: Equatable {
        /// Its name.
        let name: ShortString
        /// The most queues there may be; nil is no limit.
        let maxQueues: Int?
    }

    /// A durable exchange.
    struct RecoveredExchange: Equatable {
        /// The virtual host it belongs to.
        let virtualHost: ShortString
        /// What was declared.
        let definition: ExchangeDefinition
    }

    /// A policy.
    struct RecoveredPolicy: Equatable {
        /// The virtual host that it governs.
        let virtualHost: ShortString
        /// What it matches and says.
        let policy: Policy
        /// Whether it is an operator's.
        let isOperator: Bool
    }

    /// A binding between what is durable.
    struct RecoveredBinding: Equatable {
        /// The virtual host of both ends.
        let virtualHost: ShortString
        /// What it is.
        let definition: BindingDefinition
    }

    /// A number that no record has given to a queue, nor any higher one.
    private(set) var nextDurableID: UInt64 = 1
    /// Limits by name; nil is no limit.
    private var hosts: [ShortString: Int?] = ["/": nil]
    private var exchangesByName: [Key: ExchangeDefinition] = [:]
    private var queueNumbers: [Key: UInt64] = [:]
    private var queuesByNumber: [UInt64: RecoveredQueue] = [:]
    private var boundEnds = RecoveredBindings()
    /// Messages that wait for their time.
    private(set) var delays = RecoveredDelays()
    private var policiesByName: [Key: Policy] = [:]
    private var operatorPoliciesByName: [Key: Policy] = [:]
    private var windowsByName: [Key: DeduplicationWindow] = [:]

    private static let predeclared = Set(VirtualHost.predeclared.map(\.name))

    /// What is told of queues that no record has defined so far, by their numbers.
    private var undefined: [UInt64: RecoveredQueue] = [:]

    /// Messages for queues that no record defines, by the queue's number: not those that were settled, nor those of queues
    /// known to be deleted.
    ///
    /// There are some when a definition was lost with damaged octets. A message that was on its way to a queue while that
    /// was deleted is one, too.
    public var strays: [UInt64: Int] { self.undefined.mapValues(\.count).filter { $0.value > 0 } }

    /// Begins with what a broker has that never ran.
    public init() {}

    // MARK: Feeding

    /// Reads the next record of the log.
    ///
    /// Octets that are needed later are copied; those of messages stay in the log if the record's position there, a multiple
    /// of 8, is given. Throws, without a change, when the record means nothing to us.
    public mutating func apply(
        _ type: UInt8,
        _ payload: UnsafeRawBufferPointer,
        at position: UInt64? = nil
    ) throws(RecordError) {
        guard let known = LogRecordType(rawValue: type) else { throw .unknownType(type) }
        switch known {
        case .topology:
            for change in try TopologyRecord.decode(payload) {
                self.apply(change)
            }
        case .publish:
            self.apply(try PublishRecord(payload), at: position)
        case .settle:
            let record = try SettleRecord(payload)
            self.change(record.queue) { $0.settle(record.ranges) }
        case .delivered:
            let record = try DeliveredRecord(payload)
            self.change(record.queue) { $0.deliver(upTo: record.upTo) }
        case .purge:
            let record = try PurgeRecord(payload)
            self.change(record.queue) { $0.purge(upTo: record.upTo, keeping: record.kept) }
        case .deliveryCount:
            let record = try DeliveryCountRecord(payload)
            self.change(record.queue) { $0.count(record.deliveryCount, record.ranges) }
        case .retry:
            let record = try RetryRecord(payload)
            self.change(record.queue) { $0.retry(record.retries) }
        case .move:
            let record = try MoveRecord(payload)
            self.change(record.queue) { $0.move(record) }
        case .delayed:
            self.delays.add(try DelayedRecord(payload, at: position).delay)
        case .delaysChanged:
            self.delays.change(try DelaysChangedRecord(payload).changes)
        case .window:
            self.apply(try WindowRecord(payload))
        case .publisher:
            self.apply(try PublisherRecord(payload))
        case .snapshotBegin, .snapshotEnd:
            // What stands between them is told again, which the first invariant allows.
            break
        }
    }

    private mutating func apply(_ record: PublishRecord, at position: UInt64?) {
        // One copy, made when there is a queue that wants it.
        guard record.placeCount > 0 else { return }
        let message = record.message(at: position)
        for index in 0..<record.placeCount {
            let place = record.place(index)
            self.change(place.queue) { queue in
                let key = queue.wantsKeys ? record.view.flatMap { UniqueMessages.key(of: $0) } : nil
                queue.insert(message, at: place.sequence, deadline: place.deadline, key: key)
            }
        }
    }

    /// Changes a queue, defined or not.
    private mutating func change(_ number: UInt64, _ body: (inout RecoveredQueue) -> Void) {
        self.note(number)
        if let index = self.queuesByNumber.index(forKey: number) {
            body(&self.queuesByNumber.values[index])
        } else if number != .max {
            body(&self.undefined[number, default: RecoveredQueue(undefined: number)])
        }
    }

    private mutating func apply(_ record: WindowRecord) {
        self.change(record.virtualHost, record.exchange) {
            $0.insert(record.key, deadline: record.deadline, isLogged: true)
        }
    }

    private mutating func apply(_ record: PublisherRecord) {
        self.change(record.virtualHost, record.exchange) {
            let name = PublisherTable.Name(id: record.publisher, isPersistent: true)
            $0.publishers.restore(name, record.sequence, deadline: record.deadline)
        }
    }

    /// Changes the window of an exchange, if it has one.
    private mutating func change(
        _ virtualHost: ShortString,
        _ name: ShortString,
        _ body: (inout DeduplicationWindow) -> Void
    ) {
        let key = Key(virtualHost: virtualHost, name: name)
        guard let exchange = self.exchangesByName[key], exchange.isDeduplicating else { return }
        var window = self.windowsByName.removeValue(forKey: key) ?? DeduplicationWindow(exchange.arguments)
        body(&window)
        self.windowsByName[key] = window
    }

    private mutating func apply(_ change: RecoveredChange) {
        switch change {
        case .addVirtualHost(let name):
            self.know(name)
        case .limitQueues(let host, let limit):
            self.hosts.updateValue(limit, forKey: host)
        case .addExchange(let host, let definition):
            self.know(host)
            guard !Self.predeclared.contains(definition.name) else { return }
            self.exchangesByName[Key(virtualHost: host, name: definition.name)] = definition
        case .removeExchange(let host, let name):
            self.windowsByName[Key(virtualHost: host, name: name)] = nil
            guard self.exchangesByName.removeValue(forKey: Key(virtualHost: host, name: name)) != nil else { return }
            self.boundEnds.removeAll(of: .init(virtualHost: host, kind: .exchange, name: name))
        case .addQueue(let queue):
            self.add(queue)
        case .removeQueue(let host, let name, let durableID):
            self.note(durableID)
            self.undefined[durableID] = nil
            // By name alone: another number is there only when records are read again, and then comes back later.
            self.removeQueue(Key(virtualHost: host, name: name))
        case .addBinding(let host, let binding):
            guard self.hasEnds(of: binding, in: host) else { return }
            self.boundEnds.insert(binding, in: host)
        case .removeBinding(let host, let binding):
            self.boundEnds.remove(binding, in: host)
        case .setPolicy(let host, let policy, let isOperator):
            self.know(host)
            self.set(policy, Key(virtualHost: host, name: policy.name), isOperator: isOperator)
        case .removePolicy(let host, let name, let isOperator):
            self.set(nil, Key(virtualHost: host, name: name), isOperator: isOperator)
        }
    }

    private mutating func set(_ policy: Policy?, _ key: Key, isOperator: Bool) {
        if isOperator {
            self.operatorPoliciesByName[key] = policy
        } else {
            self.policiesByName[key] = policy
        }
    }

    private mutating func add(_ queue: DurableQueue) {
        self.know(queue.virtualHost)
        self.note(queue.durableID)
        let key = Key(virtualHost: queue.virtualHost, name: queue.name)
        guard self.queueNumbers[key] != queue.durableID else {
            // Told again, or altered.
            if let index = self.queuesByNumber.index(forKey: queue.durableID) {
                self.queuesByNumber.values[index].define(queue)
            }
            return
        }
        // Names and numbers are unique; when records are read again, the last one is right.
        self.removeQueue(key)
        if let other = self.queuesByNumber[queue.durableID]?.definition {
            self.removeQueue(Key(virtualHost: other.virtualHost, name: other.name))
        }
        self.queueNumbers[key] = queue.durableID
        var recovered = self.undefined.removeValue(forKey: queue.durableID) ?? RecoveredQueue(queue)
        recovered.define(queue)
        self.queuesByNumber[queue.durableID] = recovered
    }

    private mutating func removeQueue(_ key: Key) {
        guard let number = self.queueNumbers.removeValue(forKey: key) else { return }
        self.queuesByNumber[number] = nil
        self.boundEnds.removeAll(of: .init(virtualHost: key.virtualHost, kind: .queue, name: key.name))
    }

    private mutating func know(_ host: ShortString) {
        if self.hosts[host] == nil {
            self.hosts.updateValue(nil, forKey: host)
        }
    }

    private mutating func note(_ durableID: UInt64) {
        // No queue has the last number; only a record that is not ours names it.
        guard durableID != .max else { return }
        self.nextDurableID = max(self.nextDurableID, durableID + 1)
    }

    private func hasEnds(of binding: BindingDefinition, in host: ShortString) -> Bool {
        guard self.hosts[host] != nil, self.hasExchange(binding.source, in: host) else { return false }
        switch binding.kind {
        case .exchange: return self.hasExchange(binding.destination, in: host)
        case .queue: return self.queueNumbers[Key(virtualHost: host, name: binding.destination)] != nil
        }
    }

    private func hasExchange(_ name: ShortString, in host: ShortString) -> Bool {
        Self.predeclared.contains(name) || self.exchangesByName[Key(virtualHost: host, name: name)] != nil
    }

    // MARK: Listing

    /// The virtual hosts by name, `/` among them.
    var virtualHosts: [Host] {
        self.hosts.map { Host(name: $0.key, maxQueues: $0.value) }.sorted { $0.name < $1.name }
    }

    /// The durable exchanges by virtual host and name, without the predeclared ones.
    var exchanges: [RecoveredExchange] {
        self.exchangesByName.sorted { $0.key < $1.key }.map {
            RecoveredExchange(virtualHost: $0.key.virtualHost, definition: $0.value)
        }
    }

    /// The windows of durable exchanges by virtual host and name.
    var windows: [RecoveredWindow] {
        self.windowsByName.sorted { $0.key < $1.key }.map {
            RecoveredWindow(virtualHost: $0.key.virtualHost, exchange: $0.key.name, window: $0.value)
        }
    }

    /// The durable queues by virtual host and name.
    ///
    /// Copies share the messages; they cost no octets.
    var queues: [RecoveredQueue] {
        self.queueNumbers.sorted { $0.key < $1.key }.compactMap { self.queuesByNumber[$0.value] }
    }

    /// The policies by virtual host and name, those of operators last.
    var policies: [RecoveredPolicy] {
        [(self.policiesByName, false), (self.operatorPoliciesByName, true)].flatMap { policies, isOperator in
            policies.sorted { $0.key < $1.key }.map { key, policy in
                RecoveredPolicy(virtualHost: key.virtualHost, policy: policy, isOperator: isOperator)
            }
        }
    }

    /// The bindings between what is durable by virtual host, source, destination, routing key and arguments.
    var bindings: [RecoveredBinding] {
        self.boundEnds.ordered.map { RecoveredBinding(virtualHost: $0.virtualHost, definition: $0.binding) }
    }
}
