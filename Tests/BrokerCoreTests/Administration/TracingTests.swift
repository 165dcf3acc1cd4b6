import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What `amq.rabbitmq.trace` gets of a virtual host that is traced.
@Suite struct TracingTests {
    /// A broker with the queues `q` and `traces`; the latter gets every trace.
    private static func makeTraced(shards: Int, isOn: Bool = true) -> QueueScene {
        let scene = QueueScene(shards: shards)
        scene.declare("q")
        scene.declare("traces")
        scene.client.call(QueueBind(queue: "traces", exchange: "amq.rabbitmq.trace", routingKey: "#"))
        Self.setTracing(scene, isOn)
        return scene
    }

    private static func setTracing(_ scene: QueueScene, _ isOn: Bool) {
        for shard in scene.broker.shards {
            #expect(shard.setTracing(virtualHost: "/", isOn: isOn))
        }
    }

    /// The traces that wait, as `key body`.
    private static func traces(_ scene: QueueScene) -> [String] {
        Self.read(scene).map { "\($0.key) \($0.body)" }
    }

    /// The traces that wait; tracing ends with that, for reading them is no part of what is traced.
    private static func read(_ scene: QueueScene) -> [(key: String, body: String, headers: FieldTable)] {
        scene.broker.settle()
        Self.setTracing(scene, false)
        var traces: [(key: String, body: String, headers: FieldTable)] = []
        while let next = scene.get("traces") {
            guard case .content(_, .basicGetOk(let ok), let properties, let body) = next else { continue }
            let key = String(decoding: ok.routingKey.bytes, as: UTF8.self)
            traces.append((key, String(decoding: body, as: UTF8.self), properties.headers ?? [:]))
        }
        return traces.sorted { ($0.key, $0.body) > ($1.key, $1.body) }
    }

    @Test(arguments: [1, 3])
    func tellsPublishesAndDeliveriesOfAllKinds(shards: Int) {
        let scene = Self.makeTraced(shards: shards)
        scene.client.call(QueueBind(queue: "q", exchange: "amq.topic", routingKey: "k"))
        scene.publish("a", "b")
        scene.publish("c", to: "k", exchange: "amq.topic")
        scene.publish("lost", to: "nowhere", exchange: "amq.topic")
        _ = scene.get("q")
        _ = scene.get("q", noAck: false)
        scene.client.call(BasicConsume(queue: "q", noAck: true))
        scene.publish("d")
        let expected = [
            "publish.amq.topic lost", "publish.amq.topic c", "publish. d", "publish. b", "publish. a", "deliver.q d",
            "deliver.q c", "deliver.q b", "deliver.q a",
        ]
        #expect(Self.traces(scene) == expected)
    }

    @Test(arguments: [1, 3])
    func carriesWhatRabbitMQTells(shards: Int) throws {
        let scene = Self.makeTraced(shards: shards)
        let properties = BasicProperties(
            contentType: "text/plain",
            headers: ["CC": .array(FieldArray([.string("none")])), "x": .int32(1)],
            deliveryMode: 2,
            timestamp: 7
        )
        scene.client.publish(exchange: "", routingKey: "q", properties: properties, body: Array("body".utf8))
        scene.client.receive()
        scene.client.call(BasicGet(queue: "q"))
        scene.client.call(BasicReject(deliveryTag: 1, requeue: true))
        scene.client.call(BasicGet(queue: "q"))
        let traces = Self.read(scene)
        #expect(traces.map(\.key) == ["publish.", "deliver.q", "deliver.q"])
        #expect(traces.map(\.body) == ["body", "body", "body"])
        let publish = try #require(traces.first).headers
        #expect(
            publish.map { "\($0.key)" } == [
                "exchange_name", "routing_keys", "properties", "node", "vhost", "connection", "channel", "user",
                "routed_queues",
            ]
        )
        #expect(publish["exchange_name"] == .string(""))
        #expect(publish["routing_keys"] == .array(FieldArray([.string("q"), .string("none")])))
        #expect(publish["routed_queues"] == .array(FieldArray([.string("none"), .string("q")])))
        #expect(
            publish["properties"]
                == .table([
                    "timestamp": .int32(7), "delivery_mode": .int32(2),
                    "headers": .table(properties.headers ?? [:]), "content_type": .string("text/plain"),
                ])
        )
        #expect(publish["node"] == .string("martlet@localhost"))
        #expect(publish["vhost"] == .string("/"))
        #expect(publish["user"] == .string("guest"))
        #expect(publish["channel"] == .int32(1))
        let deliveries = traces.dropFirst().map(\.headers)
        #expect(deliveries.compactMap { $0["redelivered"]?.integerValue }.sorted() == [0, 1])
        for headers in deliveries {
            #expect(headers["routed_queues"] == nil)
            #expect(headers["connection"] == publish["connection"])
            #expect(headers["routing_keys"] == publish["routing_keys"])
            #expect(headers["properties"] == publish["properties"])
        }
    }

    @Test func tellsNothingUnlessOn() {
        let scene = Self.makeTraced(shards: 2, isOn: false)
        scene.publish("a")
        scene.client.call(BasicGet(queue: "q", noAck: true))
        #expect(Self.traces(scene).isEmpty)
        #expect(scene.broker.shards.allSatisfy { $0.tracedVirtualHosts.isEmpty })
        // The route of the publish before was kept, and is not taken any more.
        Self.setTracing(scene, true)
        #expect(scene.broker.shards.allSatisfy { $0.tracedVirtualHosts == ["/"] })
        scene.publish("b")
        #expect(Self.traces(scene) == ["publish. b"])
        scene.publish("c")
        #expect(Self.traces(scene).isEmpty)
        #expect(!scene.broker.shards[0].setTracing(virtualHost: "none", isOn: true))
    }

    @Test(arguments: [1, 3])
    func doesNotTraceTraces(shards: Int) {
        let scene = Self.makeTraced(shards: shards)
        let reader = SimulatedClient(scene.broker).open()
        reader.call(BasicConsume(queue: "traces", noAck: true))
        scene.publish("a")
        scene.broker.settle()
        let bodies = reader.receive().compactMap(\.text)
        #expect(bodies == ["a"])
    }

    @Test func leavesOutWhatIsBeyondItsLimit() {
        let scene = Self.makeTraced(shards: 1)
        let shard = scene.broker.shards[0]
        let body = [UInt8](repeating: 1, count: ShardLimits.noticeBytes / 4)
        shard.topology.virtualHost(named: "/").map { host in
            for _ in 0..<6 where shard.hasRoomForNotice() {
                body.withUnsafeBytes {
                    let key: ShortString = "publish.e"
                    shard.addNotice(
                        in: host,
                        exchange: Shard.traceExchange,
                        routingKey: key,
                        BasicProperties(),
                        body: $0
                    )
                }
            }
        }
        #expect(shard.hasPendingWork)
        shard.endTurn(now: scene.broker.now)
        var told: [String] = []
        shard.takeEffects { effect in
            if case .log(.warning, category: "notices", let text) = effect { told.append(text) }
        }
        #expect(told == ["2 trace or event messages left out: more than 16777216 octets at once"])
        #expect(scene.counts("traces") == "4 0")
        #expect(shard.notices.isEmpty && !shard.hasPendingWork)
    }
}
