import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Policies in a whole broker: set, found, applied, taken back, kept.
@Suite struct PolicyTests {
    static let shardCounts = [1, 3]

    private static func broker(_ shards: Int) -> SimulatedBroker {
        var settings = BrokerSettings()
        settings.isDurable = true
        return SimulatedBroker(shardCount: shards, settings: settings)
    }

    @discardableResult
    private static func set(
        _ broker: SimulatedBroker,
        _ name: String,
        _ pattern: String,
        _ definition: FieldTable,
        priority: Int64 = 0,
        applyTo: String = "all",
        isOperator: Bool = false
    ) -> [AdministrationAnswer] {
        let request = PolicyRequest(
            virtualHost: "/",
            name: name,
            pattern: pattern,
            applyTo: applyTo,
            priority: priority,
            definition: definition
        )
        return broker.administer(.setPolicy(request, isOperator: isOperator))
    }

    /// Settings of a queue at its home.
    private static func settings(_ broker: SimulatedBroker, _ name: ShortString) -> QueueSettings? {
        for shard in broker.shards {
            if let info = shard.topology.virtualHost(named: "/")?.queue(named: name),
                let queue = shard.queue(info.address), info.address.shard == shard.index
            {
                return queue.pointee.settings
            }
        }
        return nil
    }

    private static func policy(_ broker: SimulatedBroker, _ queue: String) -> EffectivePolicy? {
        for case .queues(let queues, _) in broker.administer(.listQueues(virtualHost: "/")) {
            if let found = queues.first(where: { $0.name == queue }) { return found.policy }
        }
        return nil
    }

    @Test(arguments: shardCounts)
    func reachQueuesThatAreThereAndLaterOnesAndLeaveThemAgain(shards: Int) {
        let broker = Self.broker(shards)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "jobs.1", arguments: ["x-message-ttl": .int32(500)]))
        client.call(QueueDeclare(queue: "other"))
        #expect(Self.set(broker, "p", "^jobs", ["max-length": .int64(2), "message-ttl": .int64(900)]) == [.done])
        #expect(Self.settings(broker, "jobs.1")?.maxLength == 2)
        #expect(Self.settings(broker, "jobs.1")?.messageTTLMilliseconds == 500)
        #expect(Self.settings(broker, "other")?.maxLength == nil)
        client.call(QueueDeclare(queue: "jobs.2"))
        #expect(Self.settings(broker, "jobs.2")?.messageTTLMilliseconds == 900)
        // A policy is no argument: declaring again without it is the same.
        #expect(client.call(QueueDeclare(queue: "jobs.2")).lines == ["1 queue.declare-ok 0 0"])
        #expect(
            broker.administer(.clearPolicy(virtualHost: "/", name: "p", isOperator: false)) == [.done]
        )
        #expect(Self.settings(broker, "jobs.1")?.maxLength == nil)
        #expect(Self.settings(broker, "jobs.1")?.messageTTLMilliseconds == 500)
        #expect(Self.settings(broker, "jobs.2")?.messageTTLMilliseconds == nil)
    }

    @Test(arguments: shardCounts)
    func theHighestPriorityCountsAsAWholeAndTiesGoByName(shards: Int) {
        let broker = Self.broker(shards)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q"))
        Self.set(broker, "b", "q", ["max-length": .int64(1)], priority: 2)
        Self.set(broker, "low", "q", ["message-ttl": .int64(5)], priority: 1)
        #expect(Self.policy(broker, "q")?.policy == "b")
        #expect(Self.settings(broker, "q")?.messageTTLMilliseconds == nil)
        Self.set(broker, "a", "q", ["max-length": .int64(9)], priority: 2)
        #expect(Self.policy(broker, "q")?.policy == "a")
        // The same name again takes its place.
        Self.set(broker, "a", "nothing", ["max-length": .int64(9)], priority: 2)
        #expect(Self.policy(broker, "q")?.policy == "b")
        Self.set(broker, "exchanges", "q", ["alternate-exchange": .string("x")], priority: 9, applyTo: "exchanges")
        Self.set(broker, "quorum", "q", ["max-length": .int64(9)], priority: 9, applyTo: "quorum_queues")
        #expect(Self.policy(broker, "q")?.policy == "b")
        Self.set(broker, "classic", "q", ["max-length": .int64(8)], priority: 9, applyTo: "classic_queues")
        #expect(Self.policy(broker, "q")?.policy == "classic")
    }

    @Test func anOperatorsPolicyOnlyLowers() {
        let broker = Self.broker(2)
        let client = SimulatedClient(broker).open()
        client.call(
            QueueDeclare(queue: "q", arguments: ["x-max-length": .int32(10), "x-overflow": .string("reject-publish")])
        )
        Self.set(broker, "p", "q", ["max-length": .int64(20), "overflow": .string("drop-head"), "expires": .int64(70)])
        #expect(Self.settings(broker, "q")?.maxLength == 10)
        #expect(Self.settings(broker, "q")?.overflow == .rejectPublish)
        Self.set(broker, "op", "", ["max-length": .int64(3), "expires": .int64(90)], isOperator: true)
        #expect(Self.settings(broker, "q")?.maxLength == 3)
        #expect(Self.settings(broker, "q")?.expiresMilliseconds == 70)
        let policy = Self.policy(broker, "q")
        #expect(policy?.policy == "p")
        #expect(policy?.operatorPolicy == "op")
        #expect(
            policy?.definition == [
                "expires": .int64(70), "max-length": .int64(3), "overflow": .string("drop-head"),
            ]
        )
    }

    @Test(arguments: shardCounts)
    func aLimitDropsWhatIsThereAndWhatComes(shards: Int) {
        let broker = Self.broker(shards)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q"))
        for number in 1...5 as ClosedRange<UInt8> { client.publish(routingKey: "q", body: [number]) }
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 5 0"])
        Self.set(broker, "p", "^q$", ["max-length": .int64(2)])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 2 0"])
        client.publish(routingKey: "q", body: [6])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 2 0"])
        _ = broker.administer(.clearPolicy(virtualHost: "/", name: "p", isOperator: false))
        client.publish(routingKey: "q", body: [7])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 3 0"])
    }

    @Test func reachWhatOnlyWeKnow() {
        let broker = Self.broker(1)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q"))
        Self.set(
            broker,
            "p",
            "q",
            [
                "consumer-timeout": .int64(7), "delayed-retry-min": .int64(1), "delayed-retry-max": .int64(9),
                "delayed-retry-type": .string("all"), "group-header": .string("tenant"),
                "dispatch": .string("least-loaded"), "delivery-limit": .int64(3),
                "dead-letter-exchange": .string("dlx"), "dead-letter-routing-key": .string("k"),
            ]
        )
        let settings = Self.settings(broker, "q")
        #expect(settings?.consumerTimeoutMilliseconds == 7)
        #expect(settings?.delayedRetryMinMilliseconds == 1)
        #expect(settings?.delayedRetryMaxMilliseconds == 9)
        #expect(settings?.delayedRetryType == .all)
        #expect(settings?.groupHeader == "tenant")
        #expect(settings?.dispatch == .leastLoaded)
        #expect(settings?.effectiveDeliveryLimit == 3)
        #expect(settings?.deadLetterExchange == "dlx")
        #expect(settings?.deadLetterRoutingKey == "k")
    }

    @Test(arguments: shardCounts)
    func giveExchangesAnAlternate(shards: Int) {
        let broker = Self.broker(shards)
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "lost"))
        client.call(ExchangeDeclare(exchange: "e", type: "direct"))
        client.call(ExchangeDeclare(exchange: "ae", type: "fanout"))
        client.call(QueueBind(queue: "lost", exchange: "ae"))
        client.publish(exchange: "e", routingKey: "k", body: [1])
        #expect(client.call(QueueDeclare(queue: "lost", passive: true)).lines == ["1 queue.declare-ok 0 0"])
        Self.set(broker, "p", "^e$", ["alternate-exchange": .string("ae")])
        // A route that was kept is forgotten.
        client.publish(exchange: "e", routingKey: "k", body: [2])
        #expect(client.call(QueueDeclare(queue: "lost", passive: true)).lines == ["1 queue.declare-ok 1 0"])
        // It is no argument here either.
        #expect(client.call(ExchangeDeclare(exchange: "e", type: "direct")).lines == ["1 exchange.declare-ok"])
        client.call(ExchangeDelete(exchange: "e"))
        client.call(ExchangeDeclare(exchange: "e", type: "direct"))
        client.publish(exchange: "e", routingKey: "k", body: [3])
        #expect(client.call(QueueDeclare(queue: "lost", passive: true)).lines == ["1 queue.declare-ok 2 0"])
        _ = broker.administer(.clearPolicy(virtualHost: "/", name: "p", isOperator: false))
        client.publish(exchange: "e", routingKey: "k", body: [4])
        #expect(client.call(QueueDeclare(queue: "lost", passive: true)).lines == ["1 queue.declare-ok 2 0"])
    }

    @Test(arguments: [(1, 1), (2, 3)])
    func surviveARestartAndATrimmedLog(before: Int, after: Int) throws {
        let first = Self.broker(before)
        let client = SimulatedClient(first).open()
        client.call(QueueDeclare(queue: "q", durable: true))
        Self.set(first, "p", "q", ["max-length": .int64(5)], priority: -3, applyTo: "queues")
        Self.set(first, "gone", "q", ["max-length": .int64(1)], priority: 8)
        Self.set(first, "op", "q", ["max-length": .int64(4)], isOperator: true)
        _ = first.administer(.clearPolicy(virtualHost: "/", name: "gone", isOperator: false))
        let listed = first.administer(.listPolicies(virtualHost: nil, isOperator: false))
        let expected = PolicySnapshot(
            virtualHost: "/",
            name: "p",
            pattern: "q",
            applyTo: "queues",
            definition: ["max-length": .int64(5)],
            priority: -3
        )
        #expect(listed == [.policies([expected])])
        let second = Self.broker(after)
        try second.restore(first.durableRecords)
        #expect(second.administer(.listPolicies(virtualHost: nil, isOperator: false)) == listed)
        #expect(Self.settings(second, "q")?.maxLength == 4)
        second.trimLog()
        let third = Self.broker(before)
        try third.restore(second.durableRecords)
        #expect(third.administer(.listPolicies(virtualHost: nil, isOperator: false)) == listed)
        #expect(Self.settings(third, "q")?.maxLength == 4)
    }

    @Test func isAnsweredWhenTheLogHasIt() {
        let broker = Self.broker(1)
        broker.isLogHeld = true
        #expect(Self.set(broker, "p", "q", ["max-length": .int64(5)]).isEmpty)
        broker.isLogHeld = false
        broker.run()
        #expect(broker.answers == [0: .done])
    }

    @Test func refusesWhatMakesNoSense() {
        let broker = Self.broker(1)
        #expect(
            Self.set(broker, "p", "(", ["max-length": .int64(5)]) == [
                .failed(
                    .invalid(
                        "Validation failed\n\npattern should be regular expression but is invalid: {\"missing )\",1}\n"
                    )
                )
            ]
        )
        #expect(
            Self.set(broker, "p", "a", ["max-length": .int64(5)], applyTo: "foo") == [
                .failed(
                    .invalid(
                        "Validation failed\n\napply-to 'foo' unrecognised; should be 'queues', 'exchanges' or 'all'\n"
                    )
                )
            ]
        )
        #expect(
            Self.set(broker, "p", "a", ["max-length": .int64(-5)]) == [
                .failed(.invalid("Validation failed\n\n-5 is not a valid maximum length\n"))
            ]
        )
        let long = String(repeating: "n", count: 256)
        #expect(
            Self.set(broker, long, "a", ["max-length": .int64(5)]) == [
                .failed(.invalid("Validation failed\n\nname is longer than 255 octets\n"))
            ]
        )
        #expect(
            broker.administer(.clearPolicy(virtualHost: "/", name: "p", isOperator: true)) == [
                .failed(.notFound("Parameter does not exist"))
            ]
        )
        #expect(
            broker.administer(.listPolicies(virtualHost: "nope", isOperator: false)) == [
                .failed(.noVirtualHost("nope"))
            ]
        )
        #expect(broker.administer(.listPolicies(virtualHost: nil, isOperator: false)) == [.policies([])])
    }

    /// A change that meets many queues is applied in pieces, and so is one that comes in the middle of it.
    @Test func manyQueuesAreLookedAtInPieces() throws {
        let broker = Self.broker(1)
        let client = SimulatedClient(broker).open()
        for number in 0..<300 {
            client.call(QueueDeclare(queue: "queue.with.a.long.name.\(number)".short))
        }
        // About 100 steps an octet.
        let pattern = String(repeating: "a?", count: 100) + String(repeating: "b?", count: 100) + "$"
        let shard = broker.shards[0]
        func ask(_ limit: Int64) {
            let request = PolicyRequest(
                virtualHost: "/",
                name: "p",
                pattern: pattern,
                definition: ["max-length": .int64(limit)]
            )
            shard.administer(.setPolicy(request, isOperator: false), ticket: 1, now: broker.now)
        }
        ask(4)
        #expect(shard.hasPendingWork)
        ask(5)
        broker.settle()
        #expect(!shard.hasPendingWork)
        for number in 0..<300 {
            #expect(Self.settings(broker, "queue.with.a.long.name.\(number)".short)?.maxLength == 5)
        }
    }
}
