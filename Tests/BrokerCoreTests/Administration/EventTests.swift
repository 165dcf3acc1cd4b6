import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What `amq.rabbitmq.event` gets.
@Suite struct EventTests {
    /// A broker whose queue `events` gets every event from now on.
    private static func makeListening(shards: Int, key: ShortString = "#") -> QueueScene {
        let scene = QueueScene(shards: shards)
        scene.declare("events")
        scene.client.call(QueueBind(queue: "events", exchange: "amq.rabbitmq.event", routingKey: key))
        scene.broker.settle()
        _ = Self.read(scene)
        return scene
    }

    /// The events that wait, each with its key and headers.
    private static func read(_ scene: QueueScene) -> [(key: String, headers: FieldTable)] {
        scene.broker.settle()
        var events: [(key: String, headers: FieldTable)] = []
        while let next = scene.get("events") {
            guard case .content(_, .basicGetOk(let ok), let properties, let body) = next else { continue }
            #expect(body.isEmpty)
            #expect(properties.deliveryMode == 2)
            let time = properties.headers?["timestamp_in_ms"]?.integerValue ?? 0
            #expect(time > 0 && properties.timestamp.map { Int64($0) } == time / 1000)
            events.append((String(decoding: ok.routingKey.bytes, as: UTF8.self), properties.headers ?? [:]))
        }
        return events
    }

    /// Text of a header.
    private static func text(_ headers: FieldTable, _ name: ShortString) -> String {
        headers[name]?.stringValue.map { String(decoding: $0, as: UTF8.self) } ?? "?"
    }

    @Test(arguments: [1, 3])
    func tellsWhatIsDeclaredAndDeleted(shards: Int) {
        let scene = Self.makeListening(shards: shards)
        scene.client.call(ExchangeDeclare(exchange: "e", type: "fanout", durable: true))
        scene.client.call(QueueDeclare(queue: "q", arguments: ["x-max-length": .int32(5)]))
        scene.client.call(QueueBind(queue: "q", exchange: "e", routingKey: "k", arguments: ["a": .int32(1)]))
        scene.client.call(QueueBind(queue: "q", exchange: "e", routingKey: "k", arguments: ["a": .int32(1)]))
        scene.client.call(QueueDeclare(queue: "q", arguments: ["x-max-length": .int32(5)]))
        let made = Self.read(scene)
        #expect(made.map(\.key) == ["exchange.created", "queue.created", "binding.created"])
        #expect(
            made.map(\.headers).map { $0.map { "\($0.key)" } } == [
                [
                    "policy", "arguments", "internal", "auto_delete", "durable", "type", "name", "vhost",
                    "timestamp_in_ms",
                ],
                [
                    "exclusive", "owner_pid", "arguments", "auto_delete", "durable", "name", "vhost",
                    "timestamp_in_ms",
                ],
                [
                    "vhost", "arguments", "routing_key", "destination_kind", "destination_name", "source_kind",
                    "source_name", "timestamp_in_ms",
                ],
            ]
        )
        let terms = [FieldValue.string("{<<\"x-max-length\">>,signedint,5}")]
        #expect(made[1].headers["arguments"] == .array(FieldArray(terms)))
        #expect(made[0].headers["durable"] == .boolean(true))
        #expect(Self.text(made[2].headers, "destination_kind") == "queue")
        scene.client.call(QueueUnbind(queue: "q", exchange: "e", routingKey: "k", arguments: ["a": .int32(1)]))
        scene.client.call(QueueBind(queue: "q", exchange: "e", routingKey: "other"))
        scene.client.call(QueueDelete(queue: "q"))
        scene.client.call(ExchangeDelete(exchange: "e"))
        let gone = Self.read(scene)
        let names: [ShortString] = ["routing_key", "routing_key", "routing_key", "name", "name"]
        #expect(
            zip(gone, names).map { "\($0.key) \(Self.text($0.headers, $1))" } == [
                "binding.deleted k", "binding.created other", "binding.deleted other", "queue.deleted q",
                "exchange.deleted e",
            ]
        )
    }

    @Test(arguments: [1, 3])
    func tellsConnectionsChannelsAndConsumers(shards: Int) throws {
        let scene = Self.makeListening(shards: shards)
        scene.declare("q")
        _ = Self.read(scene)
        let other = SimulatedClient(scene.broker).open()
        other.call(BasicQos(prefetchCount: 7))
        other.call(BasicConsume(queue: "q", consumerTag: "one", exclusive: true))
        other.call(BasicCancel(consumerTag: "one"))
        other.call(BasicConsume(queue: "q", consumerTag: "two"))
        other.call(BasicGet(queue: "q"))
        other.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
        other.disconnect()
        let events = Self.read(scene)
        #expect(
            events.map(\.key) == [
                "user.authentication.success", "connection.created", "channel.created", "consumer.created",
                "consumer.deleted", "consumer.created", "consumer.deleted", "channel.closed", "connection.closed",
            ]
        )
        try #require(events.count == 9)
        let (login, opened, channel, consumer) = (
            events[0].headers, events[1].headers, events[2].headers, events[3].headers
        )
        #expect(Self.text(login, "name") == "guest")
        #expect(Self.text(opened, "user") == "guest" && Self.text(opened, "vhost") == "/")
        #expect(channel["connection"] == opened["pid"] && channel["number"] == .int64(1))
        #expect(consumer["channel"] == channel["pid"] && consumer["prefetch_count"] == .int64(7))
        #expect(consumer["exclusive"] == .boolean(true) && consumer["ack_required"] == .boolean(true))
        #expect(events[3...6].map { Self.text($0.headers, "consumer_tag") } == ["one", "one", "two", "two"])
        #expect(events[7].headers["pid"] == channel["pid"])
        #expect(events[8].headers["pid"] == opened["pid"])
    }

    @Test func tellsTheEndOfAConsumerWithItsQueue() {
        let scene = Self.makeListening(shards: 3)
        scene.declare("q")
        let other = SimulatedClient(scene.broker).open()
        other.call(BasicConsume(queue: "q", consumerTag: "one"))
        _ = Self.read(scene)
        scene.client.call(QueueDelete(queue: "q"))
        #expect(Self.read(scene).map(\.key).sorted() == ["consumer.deleted", "queue.deleted"])
        other.disconnect()
        #expect(Self.read(scene).map(\.key) == ["channel.closed", "connection.closed"])
    }

    @Test func tellsAlarmsOnce() {
        let scene = Self.makeListening(shards: 3, key: "alarm.*")
        for isSet in [true, true, false] {
            for shard in scene.broker.shards {
                shard.setDiskAlarm(isSet, now: scene.broker.now)
                shard.endTurn(now: scene.broker.now)
            }
        }
        let events = Self.read(scene)
        #expect(events.map(\.key) == ["alarm.set", "alarm.cleared"])
        #expect(events.map { Self.text($0.headers, "source") } == ["disk", "disk"])
    }

    @Test func tellsPoliciesAsRabbitMQDoes() throws {
        let scene = Self.makeListening(shards: 3)
        func set(_ name: String, isOperator: Bool) {
            let request = PolicyRequest(
                virtualHost: "/",
                name: name,
                pattern: "^q",
                applyTo: "queues",
                priority: 3,
                definition: ["max-length": .int64(5)]
            )
            #expect(scene.broker.administer(.setPolicy(request, isOperator: isOperator)) == [.done])
        }
        set("p", isOperator: false)
        set("o", isOperator: true)
        for (name, isOperator) in [("p", false), ("o", true)] {
            let request = AdministrationRequest.clearPolicy(virtualHost: "/", name: name, isOperator: isOperator)
            #expect(scene.broker.administer(request) == [.done])
        }
        let events = Self.read(scene)
        #expect(
            events.map(\.key) == [
                "policy.set", "parameter.set", "policy.set", "policy.cleared", "parameter.cleared",
                "operator.policy.cleared",
            ]
        )
        #expect(events.map { Self.text($0.headers, "name") } == ["p", "o", "o", "p", "o", "o"])
        let headers = try #require(events.first).headers
        #expect(Self.text(headers, "apply-to") == "queues" && Self.text(headers, "pattern") == "^q")
        #expect(headers["priority"] == .int64(3) && headers["definition"] == .table(["max-length": .int64(5)]))
        guard case .table(let value)? = events[1].headers["value"] else {
            Issue.record("no value: \(events[1].headers)")
            return
        }
        #expect(value["definition"] == headers["definition"] && value["pattern"] == headers["pattern"])
    }

    @Test(arguments: [1, 3])
    func tellsNothingToNobody(shards: Int) {
        let scene = QueueScene(shards: shards)
        scene.declare("q")
        for shard in scene.broker.shards {
            #expect(!shard.hasEventReaders && shard.notices.isEmpty)
            shard.tell(.queueCreated, [("name", .string("q"))])
            #expect(shard.notices.isEmpty)
        }
    }

    @Test func isThereInTheDefaultVirtualHostOnly() {
        let topology = Topology(seed: 1)
        topology.apply(.addVirtualHost("other"))
        #expect(topology.virtualHost(named: "/")?.exchange(named: "amq.rabbitmq.event") != nil)
        #expect(topology.virtualHost(named: "other")?.exchange(named: "amq.rabbitmq.event") == nil)
        #expect(topology.virtualHost(named: "other")?.exchange(named: "amq.rabbitmq.trace") != nil)
    }
}
