import AMQPProtocol
import Testing

@testable import BrokerCore

@Suite struct TopologyRecordTests {
    /// One value of every type that a table can hold.
    static let everyArgument: FieldTable = [
        "t": .bool(2), "b": .int8(-1), "B": .uint8(255), "s": .int16(-2), "u": .uint16(65535), "I": .int32(-3),
        "i": .uint32(.max), "l": .int64(.min), "L": .int64L(.max), "f": .float(1.5), "d": .double(-2.25),
        "D": .decimal(scale: 2, value: 314), "S": .string("text"), "x": .byteArray([0, 255]), "T": .timestamp(.max),
        "F": .table(["inner": .void]), "A": .array([.boolean(true), .string("a")]), "V": .void,
    ]

    static let everyChange: [RecoveredChange] = {
        let exchanges = ExchangeType.allCases.map { type in
            RecoveredChange.addExchange(
                virtualHost: "/",
                ExchangeDefinition(
                    name: type.name,
                    type: type,
                    isDurable: true,
                    isAutoDelete: type == .topic,
                    isInternal: type == .headers,
                    arguments: everyArgument
                )
            )
        }
        let binding = BindingDefinition(
            source: "amq.headers",
            kind: .exchange,
            destination: "fanout",
            routingKey: "a.*.#",
            arguments: everyArgument
        )
        let queue = DurableQueue(
            virtualHost: "other",
            name: String(repeating: "q", count: 255).short,
            durableID: 0x0102_0304_0506_0708,
            isAutoDelete: true,
            arguments: everyArgument
        )
        let policies = PolicyTarget.allCases.compactMap { target -> RecoveredChange? in
            guard let pattern = try? Pattern([0x5E, 0xFF, 0x2A]) else { return nil }
            let policy = Policy(
                name: target == .all ? "" : target.name.short,
                pattern: pattern,
                target: target,
                priority: target == .queues ? .min : 7,
                definition: everyArgument
            )
            return .setPolicy(virtualHost: "other", policy, isOperator: target == .exchanges)
        }
        return exchanges + policies + [
            .removePolicy(virtualHost: "other", "p", isOperator: true),
            .removePolicy(virtualHost: "/", "p", isOperator: false),
            .addVirtualHost("other"), .limitQueues(virtualHost: "other", 0), .limitQueues(virtualHost: "other", .max),
            .limitQueues(virtualHost: "other", nil), .removeExchange(virtualHost: "other", "e"), .addQueue(queue),
            .removeQueue(virtualHost: "other", "q", durableID: 7), .addBinding(virtualHost: "/", binding),
            .removeBinding(virtualHost: "/", .toQueue("amq.direct", "q", "key")),
        ]
    }()

    private func decode(_ bytes: [UInt8]) throws -> [RecoveredChange] {
        try bytes.withUnsafeBytes { try TopologyRecord.decode($0) }
    }

    @Test(arguments: everyChange)
    func comesBack(change: RecoveredChange) throws {
        let bytes = try #require(TopologyRecord.encode([change]))
        #expect(try self.decode(bytes) == [change])
    }

    @Test func comesBackInOrder() throws {
        let bytes = try #require(TopologyRecord.encode(Self.everyChange))
        #expect(try self.decode(bytes) == Self.everyChange)
        #expect(TopologyRecord.encode([]) == nil)
    }

    @Test func hasTheseOctets() {
        let change = RecoveredChange.addBinding(virtualHost: "/", .toQueue("e", "q", "k"))
        #expect(
            TopologyRecord.encode([change]) == [1, 7, 1, 0x2F, 1, 0x65, 0, 1, 0x71, 1, 0x6B, 0, 0, 0, 0]
        )
        // These numbers are in files.
        let types = ExchangeType.allCases.map { "\($0.rawValue) \($0)" }
        #expect(
            types == [
                "0 direct", "1 fanout", "2 topic", "3 headers", "4 consistentHash", "5 modulusHash", "6 random",
                "7 localRandom", "8 recentHistory", "9 delayedMessage", "10 messageDeduplication",
            ]
        )
        #expect(BindingDefinition.DestinationKind.exchange.rawValue == 1)
        #expect(LogRecordType.allCases.map(\.rawValue) == [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16])
    }

    @Test(arguments: everyChange)
    func cutIsDamaged(change: RecoveredChange) throws {
        let bytes = try #require(TopologyRecord.encode([change]))
        for count in 2..<bytes.count {
            #expect(throws: RecordError.damaged) { try self.decode(Array(bytes[..<count])) }
        }
        #expect(throws: RecordError.damaged) { try self.decode([]) }
    }

    @Test(arguments: [
        ([2, 1, 0], RecordError.unknownVersion(2)),
        ([1, 0, 0], .damaged),
        ([1, 99, 0], .damaged),
        // A limit beyond `Int`, an unknown exchange type, unknown flags.
        ([1, 2, 0, 0x80, 0, 0, 0, 0, 0, 0, 0], .damaged),
        ([1, 3, 0, 1, 0x65, 99, 0, 0, 0, 0, 0], .damaged),
        ([1, 3, 0, 1, 0x65, 0, 4, 0, 0, 0, 0], .damaged),
        // A queue without a name, without a number, with unknown flags.
        ([1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0], .damaged),
        ([1, 5, 0, 1, 0x71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], .damaged),
        ([1, 5, 0, 1, 0x71, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0], .damaged),
        // A table with a value of no type.
        ([1, 5, 0, 1, 0x71, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0, 0x21], .damaged),
        // A binding to neither a queue nor an exchange.
        ([1, 7, 0, 0, 2, 0, 0, 0, 0, 0, 0], .damaged),
    ])
    func refuses(bytes: [UInt8], error: RecordError) {
        #expect(throws: error) { try self.decode(bytes) }
    }

    // MARK: What is durable

    private func durable(_ changes: [TopologyChange], in scene: TopologyScene) throws -> [RecoveredChange]? {
        try TopologyRecord.durablePart(of: changes, in: scene.topology).map { try self.decode($0) }
    }

    @Test func findsTheDurablePartOfRemovals() throws {
        let scene = TopologyScene()
        scene.exchange("de", durable: true)
        scene.exchange("te")
        scene.queue("d1", durable: true)
        scene.queue("t")
        scene.queue("x", durable: true, exclusive: true)
        scene.queue("d2", durable: true)
        #expect(scene.host.queue(named: "d1")?.durableID == 1)
        #expect(scene.host.queue(named: "t")?.durableID == 0)
        #expect(scene.host.queue(named: "x")?.durableID == 0)
        #expect(scene.host.queue(named: "d2")?.durableID == 2)
        let changes: [TopologyChange] = [
            .removeBinding(virtualHost: "/", .toQueue("de", "d1")),
            .removeBinding(virtualHost: "/", .toQueue("te", "d1")),
            .removeBinding(virtualHost: "/", .toQueue("de", "t")),
            .removeBinding(virtualHost: "/", .toQueue("amq.topic", "d2")),
            .removeQueue(virtualHost: "/", "d1"), .removeQueue(virtualHost: "/", "t"),
            .removeQueue(virtualHost: "/", "x"), .removeExchange(virtualHost: "/", "te"),
            .removeExchange(virtualHost: "/", "de"),
        ]
        #expect(
            try self.durable(changes, in: scene) == [
                .removeBinding(virtualHost: "/", .toQueue("de", "d1")),
                .removeBinding(virtualHost: "/", .toQueue("amq.topic", "d2")),
                .removeQueue(virtualHost: "/", "d1", durableID: 1), .removeExchange(virtualHost: "/", "de"),
            ]
        )
        #expect(
            try self.durable([.removeQueue(virtualHost: "/", "t"), .removeExchange(virtualHost: "/", "te")], in: scene)
                == nil
        )
    }

    @Test func findsTheDurablePartOfAdditions() throws {
        let scene = TopologyScene()
        scene.queue("d", durable: true)
        let queue = try #require(scene.host.queue(named: "d")).definition
        let later = QueueDefinition(
            virtualHost: queue.virtualHost,
            name: "n",
            address: queue.address,
            isDurable: true,
            isAutoDelete: false,
            exclusiveOwner: nil,
            arguments: .empty,
            parsedArguments: QueueArguments(),
            durableID: 9
        )
        var transient = ExchangeDefinition.durable("te")
        transient.isDurable = false
        let changes: [TopologyChange] = [
            .addExchange(virtualHost: "/", transient), .addExchange(virtualHost: "/", .durable("de")),
            .addQueue(later), .addBinding(virtualHost: "/", .toQueue("te", "n")),
            .addBinding(virtualHost: "/", .toQueue("de", "n")), .addBinding(virtualHost: "/", .toQueue("de", "d")),
            .addVirtualHost("v"), .limitQueues(virtualHost: "v", 3),
        ]
        let recovered = DurableQueue(
            virtualHost: "/",
            name: "n",
            durableID: 9,
            isAutoDelete: false,
            arguments: .empty
        )
        #expect(
            try self.durable(changes, in: scene) == [
                .addExchange(virtualHost: "/", .durable("de")), .addQueue(recovered),
                .addBinding(virtualHost: "/", .toQueue("de", "n")), .addBinding(virtualHost: "/", .toQueue("de", "d")),
                .addVirtualHost("v"), .limitQueues(virtualHost: "v", 3),
            ]
        )
        #expect(try self.durable([.addExchange(virtualHost: "/", transient)], in: scene) == nil)
        #expect(try recovered.definition(at: later.address) == later)
    }

    @Test func numbersContinueAfterARecovery() throws {
        var owner = TopologyOwner()
        owner.nextDurableID = 41
        let request = TopologyRequest(
            virtualHost: "/",
            connection: ConnectionAddress(shard: 0, id: 1),
            home: 0,
            operation: .declareQueue(
                name: "q",
                serverNamed: false,
                passive: false,
                durable: true,
                exclusive: false,
                autoDelete: false,
                arguments: .empty
            )
        )
        let decision = owner.decide(request, topology: Topology(seed: 1))
        guard case .declaredQueue(_, let changes) = decision, case .addQueue(let definition)? = changes.first else {
            Issue.record("the queue is new")
            return
        }
        #expect(definition.durableID == 41)
        #expect(owner.nextDurableID == 42)
    }
}
