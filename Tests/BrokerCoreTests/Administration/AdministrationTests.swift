import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// What operators ask of the broker, apart from policies.
@Suite struct AdministrationTests {
    private static let shardCounts = [1, 3]

    private func queues(_ broker: SimulatedBroker, _ host: String? = "/") -> (rows: [QueueSnapshot], pages: Int) {
        var rows: [QueueSnapshot] = []
        var pages = 0
        for case .queues(let some, _) in broker.administer(.listQueues(virtualHost: host)) {
            #expect(some.count <= ShardLimits.listedRows)
            rows += some
            pages += 1
        }
        return (rows, pages)
    }

    private func bindings(_ broker: SimulatedBroker) -> [BindingSnapshot] {
        broker.administer(.listBindings(virtualHost: nil)).flatMap { answer -> [BindingSnapshot] in
            guard case .bindings(let some, _) = answer else { return [] }
            return some
        }
    }

    @Test(arguments: shardCounts)
    func everyQueueIsOnOnePage(shards: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        var names: Set<String> = []
        for shard in 0..<shards {
            let client = SimulatedClient(broker, shard: shard).open()
            for number in 0..<ShardLimits.listedRows + 100 {
                let name = "q\(shard).\(number)"
                names.insert(name)
                client.call(QueueDeclare(queue: name.short, autoDelete: true))
            }
            // Places that nobody has.
            for number in 50..<60 {
                names.remove("q\(shard).\(number)")
                client.call(QueueDelete(queue: "q\(shard).\(number)".short))
            }
        }
        let (rows, pages) = self.queues(broker)
        #expect(rows.count == names.count)
        #expect(Set(rows.map(\.name)) == names)
        #expect(pages == 2 * shards)
        #expect(rows.allSatisfy { $0.isAutoDelete && !$0.isDurable && $0.type == "classic" && $0.ready == 0 })
        #expect(self.queues(broker, nil).rows == rows)
    }

    @Test(arguments: shardCounts)
    func everyBindingIsOnOnePage(shards: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: shards - 1).open()
        client.call(ExchangeDeclare(exchange: "x", type: "topic"))
        client.call(ExchangeBind(destination: "x", source: "amq.topic", routingKey: "a.#"))
        client.call(QueueDeclare(queue: "many"))
        client.call(QueueDeclare(queue: "few"))
        // One queue alone fills two pages.
        for number in 0..<ShardLimits.listedRows * 2 {
            client.call(QueueBind(queue: "many", exchange: "x", routingKey: "k.\(number)".short))
        }
        client.call(QueueBind(queue: "few", exchange: "x", routingKey: "f", arguments: ["a": .int8(1)]))
        let all = self.bindings(broker)
        #expect(all.count == ShardLimits.listedRows * 2 + 4)
        #expect(Set(all.map { "\($0.source)>\($0.destination)>\($0.routingKey)" }).count == all.count)
        #expect(all.contains { $0.source == "amq.topic" && $0.destination == "x" && !$0.isQueue })
        #expect(all.contains { $0.source == "" && $0.destination == "many" && $0.routingKey == "many" })
        #expect(all.contains { $0.destination == "few" && $0.arguments == ["a": .int8(1)] })
    }

    @Test func aListThatGoesOnWhileQueuesGoHasTheRest() throws {
        let broker = SimulatedBroker(shardCount: 1)
        let client = SimulatedClient(broker).open()
        for number in 0..<ShardLimits.listedRows * 2 { client.call(QueueDeclare(queue: "q\(number)".short)) }
        let shard = broker.shards[0]
        guard case .queues(let first, let next?) = try shard.queuePage("/", from: .start) else {
            Issue.record("no second page")
            return
        }
        for queue in first { client.call(QueueDelete(queue: queue.name.short)) }
        client.call(QueueDelete(queue: "q\(ShardLimits.listedRows)".short))
        guard case .queues(let second, nil) = try shard.queuePage("/", from: next) else {
            Issue.record("a third page")
            return
        }
        #expect(second.count == ShardLimits.listedRows - 1)
    }

    @Test func whatIsNotThereIsNamed() {
        let broker = SimulatedBroker(shardCount: 1)
        let missing = [AdministrationAnswer.failed(.noVirtualHost("nope"))]
        #expect(broker.administer(.listQueues(virtualHost: "nope")) == missing)
        #expect(broker.administer(.listBindings(virtualHost: "nope")) == missing)
        #expect(broker.administer(.listExchanges(virtualHost: "nope")) == missing)
        #expect(broker.administer(.listDelayedMessages(virtualHost: "nope", limit: 1)) == missing)
        #expect(broker.administer(.setTracing(virtualHost: "nope", isOn: true)) == missing)
        // A place that no list has named.
        let position = ListPosition(shard: 0, slot: 1 << 40, item: 3)
        #expect(broker.administer(.listQueues(virtualHost: nil, from: position)) == [.queues([], next: nil)])
    }

    @Test func tracingIsSwitchedOnEveryShard() {
        let broker = SimulatedBroker(shardCount: 3)
        #expect(broker.administer(.setTracing(virtualHost: "/", isOn: true)) == [.done, .done, .done])
        #expect(broker.shards.allSatisfy { $0.tracedVirtualHosts == ["/"] })
        #expect(broker.administer(.setTracing(virtualHost: "/", isOn: false)) == [.done, .done, .done])
        #expect(broker.shards.allSatisfy { $0.tracedVirtualHosts.isEmpty })
    }

    // MARK: Delayed messages

    private func delay(_ client: SimulatedClient, _ text: String, _ milliseconds: Int32) {
        client.publish(
            exchange: "d",
            routingKey: "k",
            properties: BasicProperties(headers: ["x-delay": .int32(milliseconds)], deliveryMode: 2),
            body: Array(text.utf8)
        )
    }

    /// A durable broker with messages that wait on every shard.
    private func delayed(shards: Int) -> (SimulatedBroker, SimulatedClient) {
        let broker = RestartTests.broker(shards)
        var clients: [SimulatedClient] = []
        for shard in 0..<shards { clients.append(SimulatedClient(broker, shard: shard).open()) }
        clients[0].call(
            ExchangeDeclare(
                exchange: "d",
                type: "x-delayed-message",
                durable: true,
                arguments: ["x-delayed-type": .text("fanout")]
            )
        )
        clients[0].call(QueueDeclare(queue: "q", durable: true))
        clients[0].call(QueueBind(queue: "q", exchange: "d"))
        for (number, client) in clients.enumerated() {
            self.delay(client, "late \(number)", 60_000)
            self.delay(client, "soon \(number)", Int32(10_000 + number))
        }
        broker.settle()
        return (broker, clients[0])
    }

    private func waiting(_ broker: SimulatedBroker, limit: Int = 100) -> [DelayedMessageInfo] {
        let request = AdministrationRequest.listDelayedMessages(virtualHost: "/", limit: limit)
        guard case .delayedMessages(let messages) = request.gather(broker.administer(request)) else { return [] }
        return messages
    }

    @Test(arguments: shardCounts)
    func messagesOfAllShardsAreListedByTheirTime(shards: Int) {
        let (broker, _) = self.delayed(shards: shards)
        let all = self.waiting(broker)
        #expect(all.count == 2 * shards)
        #expect(all.map(\.dueEpochMilliseconds) == all.map(\.dueEpochMilliseconds).sorted())
        #expect(self.waiting(broker, limit: shards) == Array(all.prefix(shards)))
        #expect(self.waiting(broker, limit: 0).isEmpty)
        #expect(self.waiting(broker, limit: -1).isEmpty)
    }

    @Test(arguments: shardCounts)
    func aMessageIsCancelledOnWhicheverShardItWaits(shards: Int) throws {
        let (broker, client) = self.delayed(shards: shards)
        for message in self.waiting(broker) where message.dueEpochMilliseconds > SimulatedBroker.startOfTime + 50_000 {
            let request = AdministrationRequest.cancelDelayedMessage(id: message.id)
            #expect(request.gather(broker.administer(request)) == .done)
            #expect(
                request.gather(broker.administer(request)) == .failed(.notFound("Delayed message does not exist"))
            )
        }
        #expect(self.waiting(broker).count == shards)
        broker.advance(milliseconds: 120_000)
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok \(shards) 0"])
    }

    @Test(arguments: shardCounts)
    func aChangeIsAnsweredWhenTheLogHasIt(shards: Int) throws {
        let (broker, _) = self.delayed(shards: shards)
        let messages = self.waiting(broker)
        let cancelled = try #require(messages.last)
        let moved = try #require(messages.first)
        broker.isLogHeld = true
        let requests: [AdministrationRequest] = [
            .cancelDelayedMessage(id: cancelled.id),
            .rescheduleDelayedMessage(
                id: moved.id,
                dueEpochMilliseconds: SimulatedBroker.startOfTime + 1_000_000
            ),
        ]
        for request in requests {
            // Those that do not have it say so at once.
            let answers = broker.administer(request)
            #expect(answers.count == shards - 1)
            #expect(!answers.contains(.done))
        }
        let before = try self.restarted(broker, shards: shards)
        #expect(self.waiting(before).map(\.id) == messages.map(\.id))
        broker.isLogHeld = false
        broker.settle()
        #expect(broker.answers.values.contains(.done))
        let after = self.waiting(try self.restarted(broker, shards: shards))
        #expect(after.map(\.id) == messages.map(\.id).dropFirst().dropLast() + [moved.id])
    }

    private func restarted(_ broker: SimulatedBroker, shards: Int) throws -> SimulatedBroker {
        let next = RestartTests.broker(shards)
        try next.restore(broker.durableRecords)
        return next
    }
}
