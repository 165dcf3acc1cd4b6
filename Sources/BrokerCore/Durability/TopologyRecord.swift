import AMQPProtocol

/// The durable part of one decision of the topology's owner.
///
/// ```
/// 0   version   UInt8
/// 1   changes: kind UInt8, name of the virtual host, and what the kind needs
/// ```
///
/// Names are short strings, arguments are tables, numbers are big-endian, all as in AMQP.
enum TopologyRecord {
    fileprivate enum Kind: UInt8 {
        case addVirtualHost = 1
        case limitQueues = 2
        case addExchange = 3
        case removeExchange = 4
        case addQueue = 5
        case removeQueue = 6
        case addBinding = 7
        case removeBinding = 8
        case setPolicy = 9
        case removePolicy = 10
    }

    private struct Flags: OptionSet {
        let rawValue: UInt8
        static let autoDelete = Flags(rawValue: 1)
        static let isInternal = Flags(rawValue: 2)
        static let isOperator = Flags(rawValue: 4)
    }

    // MARK: What is durable

    /// The payload for the durable ones among changes; nil when there are none.
    ///
    /// Call it after the owner has decided and before any of the changes is applied to `topology`: a removal says only a
    /// name, and whether what had the name was durable is known only while it is there.
    static func durablePart(of changes: [TopologyChange], in topology: Topology) -> [UInt8]? {
        var bytes: [UInt8] = []
        for (index, change) in changes.enumerated() {
            let scene = Scene(topology: topology, earlier: changes[..<index])
            guard let durable = scene.durable(change) else { continue }
            if bytes.isEmpty { bytes.append(RecordLayout.version) }
            self.append(durable, to: &bytes)
        }
        return bytes.isEmpty ? nil : bytes
    }

    /// The payload for changes; nil when there are none.
    static func encode(_ changes: [RecoveredChange]) -> [UInt8]? {
        guard !changes.isEmpty else { return nil }
        var bytes = [RecordLayout.version]
        for change in changes {
            self.append(change, to: &bytes)
        }
        return bytes
    }

    /// What is there when a change of a list is made.
    private struct Scene {
        let topology: Topology
        let earlier: ArraySlice<TopologyChange>

        func durable(_ change: TopologyChange) -> RecoveredChange? {
            switch change {
            case .addVirtualHost(let name):
                return .addVirtualHost(name)
            case .limitQueues(let host, let limit):
                return .limitQueues(virtualHost: host, limit)
            case .addExchange(let host, let definition):
                return definition.isDurable ? .addExchange(virtualHost: host, definition) : nil
            case .removeExchange(let host, let name):
                return self.isDurableExchange(name, in: host) ? .removeExchange(virtualHost: host, name) : nil
            case .addQueue(let definition), .alterQueue(let definition):
                // The number is the same one, by which it is known that the queue is, too.
                guard definition.durableID != 0 else { return nil }
                return .addQueue(
                    DurableQueue(
                        virtualHost: definition.virtualHost,
                        name: definition.name,
                        durableID: definition.durableID,
                        isAutoDelete: definition.isAutoDelete,
                        arguments: definition.arguments
                    )
                )
            case .removeQueue(let host, let name):
                let id = self.durableID(ofQueue: name, in: host)
                return id == 0 ? nil : .removeQueue(virtualHost: host, name, durableID: id)
            case .addBinding(let host, let binding):
                return self.isDurable(binding, in: host) ? .addBinding(virtualHost: host, binding) : nil
            case .removeBinding(let host, let binding):
                return self.isDurable(binding, in: host) ? .removeBinding(virtualHost: host, binding) : nil
            case .setPolicy(let host, let policy, let isOperator):
                return .setPolicy(virtualHost: host, policy, isOperator: isOperator)
            case .removePolicy(let host, let name, let isOperator):
                return .removePolicy(virtualHost: host, name, isOperator: isOperator)
            }
        }

        private func isDurable(_ binding: BindingDefinition, in host: ShortString) -> Bool {
            guard self.isDurableExchange(binding.source, in: host) else { return false }
            switch binding.kind {
            case .queue: return self.durableID(ofQueue: binding.destination, in: host) != 0
            case .exchange: return self.isDurableExchange(binding.destination, in: host)
            }
        }

        private func isDurableExchange(_ name: ShortString, in host: ShortString) -> Bool {
            for case .addExchange(host, let definition) in self.earlier.reversed() where definition.name == name {
                return definition.isDurable
            }
            if let exchange = self.topology.virtualHost(named: host)?.exchange(named: name) {
                return exchange.definition.isDurable
            }
            // Those of a virtual host that this list has just added.
            return VirtualHost.predeclared.contains { $0.name == name }
        }

        private func durableID(ofQueue name: ShortString, in host: ShortString) -> UInt64 {
            for case .addQueue(let definition) in self.earlier.reversed()
            where definition.virtualHost == host && definition.name == name {
                return definition.durableID
            }
            return self.topology.virtualHost(named: host)?.queue(named: name)?.durableID ?? 0
        }
    }

    // MARK: Writing

    private static func append(_ change: RecoveredChange, to bytes: inout [UInt8]) {
        switch change {
        case .addVirtualHost(let name):
            bytes.append(.addVirtualHost, name)
        case .limitQueues(let host, let limit):
            bytes.append(.limitQueues, host)
            // All ones stand for no limit; a limit is a positive `Int`.
            bytes.append(number: limit.map { UInt64(clamping: $0) } ?? .max)
        case .addExchange(let host, let definition):
            bytes.append(.addExchange, host)
            bytes.append(name: definition.name)
            bytes.append(definition.type.rawValue)
            var flags: Flags = definition.isAutoDelete ? .autoDelete : []
            if definition.isInternal { flags.insert(.isInternal) }
            bytes.append(flags.rawValue)
            bytes.append(table: definition.arguments)
        case .removeExchange(let host, let name):
            bytes.append(.removeExchange, host)
            bytes.append(name: name)
        case .addQueue(let queue):
            bytes.append(.addQueue, queue.virtualHost)
            bytes.append(name: queue.name)
            bytes.append(number: queue.durableID)
            bytes.append(queue.isAutoDelete ? Flags.autoDelete.rawValue : 0)
            bytes.append(table: queue.arguments)
        case .removeQueue(let host, let name, let durableID):
            bytes.append(.removeQueue, host)
            bytes.append(name: name)
            bytes.append(number: durableID)
        case .addBinding(let host, let binding):
            bytes.append(.addBinding, host)
            bytes.append(binding)
        case .removeBinding(let host, let binding):
            bytes.append(.removeBinding, host)
            bytes.append(binding)
        case .setPolicy(let host, let policy, let isOperator):
            bytes.append(.setPolicy, host)
            bytes.append(isOperator ? Flags.isOperator.rawValue : 0)
            bytes.append(name: policy.name)
            bytes.append(policy.target.rawValue)
            bytes.append(number: policy.priority)
            // A pattern has at most ``Pattern/maxOctets``.
            bytes.append(number: UInt32(truncatingIfNeeded: policy.pattern.source.count))
            bytes.append(contentsOf: policy.pattern.source)
            bytes.append(table: policy.definition)
        case .removePolicy(let host, let name, let isOperator):
            bytes.append(.removePolicy, host)
            bytes.append(isOperator ? Flags.isOperator.rawValue : 0)
            bytes.append(name: name)
        }
    }

    // MARK: Reading

    /// Reads a payload.
    static func decode(_ payload: UnsafeRawBufferPointer) throws(RecordError) -> [RecoveredChange] {
        try RecordLayout.check(payload, fixedSize: 1)
        var reader = WireReader(payload)
        var changes: [RecoveredChange] = []
        do throws(DecodeError) {
            _ = try reader.readUInt8()
            while !reader.isAtEnd {
                // Which error does not matter: all mean that the record is damaged.
                guard let change = try self.readChange(&reader) else { throw .malformedTable }
                changes.append(change)
            }
        } catch {
            throw .damaged
        }
        return changes
    }

    /// The next change; nil when its octets are not what we write.
    private static func readChange(_ reader: inout WireReader) throws(DecodeError) -> RecoveredChange? {
        guard let kind = Kind(rawValue: try reader.readUInt8()) else { return nil }
        let host = try reader.readShortString()
        switch kind {
        case .addVirtualHost:
            return .addVirtualHost(host)
        case .limitQueues:
            let number = try reader.readUInt64()
            guard number != .max else { return .limitQueues(virtualHost: host, nil) }
            return Int(exactly: number).map { .limitQueues(virtualHost: host, $0) }
        case .addExchange:
            return try self.readExchange(&reader).map { .addExchange(virtualHost: host, $0) }
        case .removeExchange:
            return .removeExchange(virtualHost: host, try reader.readShortString())
        case .addQueue:
            return try self.readQueue(&reader, in: host).map { .addQueue($0) }
        case .removeQueue:
            let name = try reader.readShortString()
            return .removeQueue(virtualHost: host, name, durableID: try reader.readUInt64())
        case .addBinding:
            return try self.readBinding(&reader).map { .addBinding(virtualHost: host, $0) }
        case .removeBinding:
            return try self.readBinding(&reader).map { .removeBinding(virtualHost: host, $0) }
        case .setPolicy:
            guard let isOperator = try self.readIsOperator(&reader) else { return nil }
            return try self.readPolicy(&reader).map { .setPolicy(virtualHost: host, $0, isOperator: isOperator) }
        case .removePolicy:
            guard let isOperator = try self.readIsOperator(&reader) else { return nil }
            return .removePolicy(virtualHost: host, try reader.readShortString(), isOperator: isOperator)
        }
    }

    private static func readExchange(_ reader: inout WireReader) throws(DecodeError) -> ExchangeDefinition? {
        let name = try reader.readShortString()
        guard let type = ExchangeType(rawValue: try reader.readUInt8()) else { return nil }
        let flags = Flags(rawValue: try reader.readUInt8())
        guard flags.isSubset(of: [.autoDelete, .isInternal]) else { return nil }
        return ExchangeDefinition(
            name: name,
            type: type,
            isDurable: true,
            isAutoDelete: flags.contains(.autoDelete),
            isInternal: flags.contains(.isInternal),
            arguments: try reader.readTable()
        )
    }

    private static func readQueue(
        _ reader: inout WireReader,
        in host: ShortString
    ) throws(DecodeError) -> DurableQueue? {
        let name = try reader.readShortString()
        let durableID = try reader.readUInt64()
        let flags = Flags(rawValue: try reader.readUInt8())
        // No number follows the last one: the next queue could have none.
        guard !name.isEmpty, durableID != 0, durableID != .max, flags.isSubset(of: .autoDelete) else { return nil }
        return DurableQueue(
            virtualHost: host,
            name: name,
            durableID: durableID,
            isAutoDelete: flags.contains(.autoDelete),
            arguments: try reader.readTable()
        )
    }

    private static func readIsOperator(_ reader: inout WireReader) throws(DecodeError) -> Bool? {
        let flags = Flags(rawValue: try reader.readUInt8())
        return flags.isSubset(of: .isOperator) ? flags.contains(.isOperator) : nil
    }

    private static func readPolicy(_ reader: inout WireReader) throws(DecodeError) -> Policy? {
        let name = try reader.readShortString()
        guard let target = PolicyTarget(rawValue: try reader.readUInt8()) else { return nil }
        let priority = Int64(bitPattern: try reader.readUInt64())
        let source = try reader.readLongString()
        let definition = try reader.readTable()
        guard let pattern = try? Pattern(source) else { return nil }
        return Policy(name: name, pattern: pattern, target: target, priority: priority, definition: definition)
    }

    private static func readBinding(_ reader: inout WireReader) throws(DecodeError) -> BindingDefinition? {
        let source = try reader.readShortString()
        guard let kind = BindingDefinition.DestinationKind(rawValue: try reader.readUInt8()) else { return nil }
        return BindingDefinition(
            source: source,
            kind: kind,
            destination: try reader.readShortString(),
            routingKey: try reader.readShortString(),
            arguments: try reader.readTable()
        )
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ kind: TopologyRecord.Kind, _ host: ShortString) {
        self.append(kind.rawValue)
        self.append(name: host)
    }

    fileprivate mutating func append(name: ShortString) {
        // A short string has at most 255 octets.
        self.append(UInt8(truncatingIfNeeded: name.bytes.count))
        self.append(contentsOf: name.bytes)
    }

    fileprivate mutating func append(number: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: number.bigEndian) { self.append(contentsOf: $0) }
    }

    fileprivate mutating func append(table: FieldTable) {
        // Tables came in frames, whose size has 32 bits.
        self.append(number: UInt32(truncatingIfNeeded: table.encodedBytes.count))
        self.append(contentsOf: table.encodedBytes)
    }

    fileprivate mutating func append(_ binding: BindingDefinition) {
        self.append(name: binding.source)
        self.append(binding.kind.rawValue)
        self.append(name: binding.destination)
        self.append(name: binding.routingKey)
        self.append(table: binding.arguments)
    }
}
