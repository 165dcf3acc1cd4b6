import AMQPProtocol
import Testing

@testable import BrokerCore

/// `queue.declare` and `queue.delete`, text by text.
@Suite struct QueueDecisionTests {
    private static func locked(_ method: String) -> String {
        "channel 405 \(method) cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be originally "
            + "declared on another connection or the exclusive property value does not match that of the original "
            + "declaration."
    }

    @Test(arguments: [(false, false), (false, true), (true, false), (true, true)])
    func declaresTransientQueues(exclusive: Bool, autoDelete: Bool) throws {
        let scene = TopologyScene()
        #expect(scene.queue("q", exclusive: exclusive, autoDelete: autoDelete) == "+queue:q")
        let queue = try #require(scene.host.queue(named: "q"))
        #expect(!queue.durable)
        #expect(queue.autoDelete == autoDelete)
        #expect(queue.exclusiveOwner == (exclusive ? ConnectionAddress(shard: 0, id: 1) : nil))
    }

    @Test func anExclusiveQueueIsNotDurable() {
        let scene = TopologyScene()
        scene.queue("q", durable: true, exclusive: true)
        #expect(scene.host.queue(named: "q")?.durable == false)
        #expect(scene.queue("q", durable: true, exclusive: true) == "there: q")
        #expect(scene.queue("q", durable: false, exclusive: true) == "there: q")
    }

    /// Flags and arguments of a declaration.
    struct Properties: Sendable {
        var durable = false
        var autoDelete = false
        var arguments: FieldTable = .empty

        func declare(in scene: TopologyScene) -> String {
            scene.queue("q", durable: self.durable, autoDelete: self.autoDelete, self.arguments)
        }
    }

    @Test(
        arguments: [
            (Properties(), Properties(durable: true), "'durable'", "received 'true' but current is 'false'"),
            (Properties(durable: true), Properties(), "'durable'", "received 'false' but current is 'true'"),
            (Properties(), Properties(autoDelete: true), "'auto_delete'", "received 'true' but current is 'false'"),
            (Properties(autoDelete: true), Properties(), "'auto_delete'", "received 'false' but current is 'true'"),
            (
                Properties(), Properties(durable: true, autoDelete: true, arguments: ["x-expires": .int32(5)]),
                "'durable'",
                "received 'true' but current is 'false'"
            ),
            (
                Properties(), Properties(autoDelete: true, arguments: ["x-expires": .int32(5)]), "'auto_delete'",
                "received 'true' but current is 'false'"
            ),
            (
                Properties(), Properties(arguments: ["x-message-ttl": .int32(5000)]), "'x-message-ttl'",
                "received the value '5000' of type 'signedint' but current is none"
            ),
            (
                Properties(arguments: ["x-message-ttl": .int64(5000)]), Properties(), "'x-message-ttl'",
                "received none but current is the value '5000' of type 'long'"
            ),
            (
                Properties(arguments: ["x-message-ttl": .int32(5000)]),
                Properties(arguments: ["x-message-ttl": .int32(6000)]), "'x-message-ttl'",
                "received '6000' but current is '5000'"
            ),
            (
                Properties(), Properties(arguments: ["x-single-active-consumer": .boolean(true)]),
                "'x-single-active-consumer'", "received the value 'true' of type 'bool' but current is none"
            ),
            (
                Properties(), Properties(arguments: ["x-dead-letter-exchange": .text("d")]), "'x-dead-letter-exchange'",
                "received the value 'd' of type 'longstr' but current is none"
            ),
            (
                Properties(arguments: ["x-overflow": .text("drop-head")]), Properties(), "'x-overflow'",
                "received none but current is the value 'drop-head' of type 'longstr'"
            ),
            // What would be refused of a new queue is only compared.
            (
                Properties(arguments: ["x-max-length": .int32(5)]), Properties(arguments: ["x-max-length": .int32(-5)]),
                "'x-max-length'", "received '-5' but current is '5'"
            ),
            (
                Properties(), Properties(arguments: ["x-queue-type": .text("nonsense")]), "'x-queue-type'",
                "received the value 'nonsense' of type 'longstr' but current is none"
            ),
        ] as [(Properties, Properties, String, String)]
    )
    func declaringAgainMustSayTheSame(first: Properties, second: Properties, argument: String, text: String) {
        let scene = TopologyScene()
        #expect(first.declare(in: scene) == "+queue:q")
        #expect(
            second.declare(in: scene)
                == "channel 406 queue.declare inequivalent arg \(argument) for queue 'q' in vhost '/': \(text)"
        )
        #expect(first.declare(in: scene) == "there: q", "it is as it was")
    }

    @Test(
        arguments: [
            (["x-max-length": .uint32(50)], ["x-max-length": .int8(50)]),
            (["x-max-length": .int64L(50)], ["x-max-length": .int16(50)]),
            (["x-queue-type": .text("classic")], .empty), (.empty, ["x-queue-type": .text("classic")]),
            (["x-mine": .int32(1)], ["x-mine": .text("else")]), (["x-mine": .int32(1)], .empty),
            (["x-single-active-consumer": .bool(1)], ["x-single-active-consumer": .bool(7)]),
            // Arguments of other types of queues are not compared.
            (.empty, ["x-max-age": .text("1D")]),
        ] as [(FieldTable, FieldTable)]
    )
    func someDifferencesAreNone(first: FieldTable, second: FieldTable) {
        let scene = TopologyScene()
        #expect(scene.queue("q", first) == "+queue:q")
        #expect(scene.queue("q", second) == "there: q")
    }

    @Test func passiveLooksAtTheNameOnly() {
        let scene = TopologyScene()
        scene.queue("q")
        #expect(
            scene.queue("q", passive: true, durable: true, exclusive: true, autoDelete: true, ["x-expires": .int32(-1)])
                == "there: q"
        )
        for name in ["none", "amq.gen-none", ""] {
            #expect(scene.queue(name, passive: true) == "channel 404 queue.declare no queue '\(name)' in vhost '/'")
        }
    }

    @Test func reservedNames() {
        let scene = TopologyScene()
        func refused(_ name: String) -> String {
            "channel 403 queue.declare queue name '\(name)' contains reserved prefix 'amq.*'"
        }
        #expect(scene.queue("amq.mine") == refused("amq.mine"))
        #expect(scene.queue("amqp") == "+queue:amqp")
        #expect(scene.queue("amq.gen-1", serverNamed: true, exclusive: true) == "+queue:amq.gen-1")
        // Even one that is there, and one's own, unless it is only looked for.
        #expect(scene.queue("amq.gen-1", exclusive: true) == refused("amq.gen-1"))
        #expect(scene.queue("amq.gen-1", passive: true) == "there: amq.gen-1")
        // Nothing but line ends is no name.
        #expect(scene.queue("\r\n") == "channel 406 queue.declare queue name is empty")
    }

    @Test func exclusiveQueuesAreLocked() {
        let scene = TopologyScene()
        scene.queue("q", exclusive: true, by: 1)
        let declare = Self.locked("queue.declare")
        #expect(scene.queue("q", exclusive: true, by: 2) == declare)
        #expect(scene.queue("q", by: 2) == declare)
        #expect(scene.queue("q", passive: true, by: 2) == declare)
        #expect(scene.deleteQueue("q", by: 2) == Self.locked("queue.delete"))
        // Its owner must say exclusive again, before anything else is compared.
        #expect(scene.queue("q", durable: true, by: 1) == declare)
        #expect(scene.queue("q", exclusive: true, by: 1) == "there: q")
        #expect(scene.queue("q", passive: true, by: 1) == "there: q")
        #expect(scene.deleteQueue("q", by: 1) == "ask home of 0.0")
        // Nor does a queue become exclusive.
        scene.remove("q")
        scene.queue("q", by: 1)
        #expect(scene.queue("q", exclusive: true, by: 1) == declare)
    }

    @Test func exclusiveQueuesAreListedByOwner() {
        let scene = TopologyScene()
        for name in ["a", "b", "c", "d"] { scene.queue(name, exclusive: true, by: 1) }
        scene.queue("x", exclusive: true, by: 2)
        scene.queue("shared", by: 1)
        #expect(scene.exclusiveQueues(of: 1) == ["a", "b", "c", "d"])
        #expect(scene.exclusiveQueues(of: 2) == ["x"])
        #expect(scene.exclusiveQueues(of: 3) == [])
        scene.remove("b")
        #expect(scene.exclusiveQueues(of: 1).sorted() == ["a", "c", "d"])
        scene.remove("d")
        scene.remove("a")
        #expect(scene.exclusiveQueues(of: 1) == ["c"])
        scene.remove("c")
        #expect(scene.exclusiveQueues(of: 1) == [])
        #expect(scene.host.queueNames == ["shared", "x"])
    }

    @Test func deletingIsLeftToWhereTheQueueLives() throws {
        let scene = TopologyScene()
        #expect(scene.deleteQueue("none", ifUnused: true, ifEmpty: true) == "done", "what is not there is gone")
        scene.exchange("e")
        scene.queue("p")
        scene.queue("q")
        scene.bind("q", to: "e", "k")
        #expect(scene.deleteQueue("q", ifUnused: true, ifEmpty: true) == "ask home of 1.0 if unused if empty")
        #expect(scene.deleteQueue("q\n", ifEmpty: true) == "ask home of 1.0 if empty")
        let address = try #require(scene.host.queue(named: "q")?.address)
        #expect(scene.remove(address) == "-queue:q")
        #expect(scene.route("k", through: "e") == [])
        #expect(scene.host.exchange(named: "e")?.outgoing.isEmpty == true)
        #expect(scene.remove(address) == "", "somebody else was first")
        // The place is used again, by another generation, which the late answer does not reach.
        scene.queue("r")
        #expect(scene.deleteQueue("r") == "ask home of 1.1")
        #expect(scene.remove(address) == "")
        #expect(scene.host.queueNames == ["p", "r"])
    }

    @Test func aVirtualHostMayHaveALimit() {
        let scene = TopologyScene()
        scene.topology.apply(.limitQueues(virtualHost: "/", 1))
        #expect(scene.queue("q") == "+queue:q")
        #expect(
            scene.queue("r")
                == "channel 406 queue.declare cannot declare queue 'r': queue limit in vhost '/' (1) is reached"
        )
        #expect(scene.queue("q") == "there: q")
        scene.topology.apply(.limitQueues(virtualHost: "/", nil))
        #expect(scene.queue("r") == "+queue:r")
    }
}
