import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Declares, binds and deletes that a channel sends one behind the other wait for the log together, not in turn.
@Suite struct SharedSyncTests {
    /// Shards, and the one of the channel.
    static let placements: [(shards: Int, channel: Int)] = [(1, 0), (2, 0), (2, 1), (3, 2)]

    /// A channel on a shard of a broker whose log does not answer.
    private struct Scene {
        let broker: SimulatedBroker
        let client: SimulatedClient

        init(_ placement: (shards: Int, channel: Int), _ first: [any EncodableMethod] = []) {
            var settings = BrokerSettings()
            settings.isDurable = true
            self.broker = SimulatedBroker(shardCount: placement.shards, settings: settings)
            self.client = SimulatedClient(self.broker, shard: placement.channel).open()
            for method in first { self.client.call(method) }
            self.broker.isLogHeld = true
        }

        /// Sends methods in one write; returns what is answered although the log does not answer.
        func pipeline(_ methods: [any EncodableMethod]) -> [String] {
            self.client.sendBytes(methods.flatMap { Scene.frame($0) })
            return self.client.receive().lines
        }

        private static func frame(_ method: any EncodableMethod) -> [UInt8] {
            SimulatedClient.frame(method, channel: 1)
        }

        /// The queues that are there, on every shard.
        var queues: [String] {
            let names = self.broker.shards.map { $0.topology.virtualHost(named: "/")?.queueNames ?? [] }
            #expect(names.allSatisfy { $0 == names[0] })
            return names[0].map(\.description)
        }

        func isThere(exchange: ShortString) -> Bool {
            self.broker.shards.allSatisfy {
                $0.topology.virtualHost(named: "/")?.exchange(named: exchange) != nil
            }
        }

        /// What is answered once the log goes on.
        func answers() -> [String] {
            self.broker.isLogHeld = false
            return self.client.receive().lines
        }
    }

    private static func declare(_ name: ShortString, noWait: Bool = false) -> QueueDeclare {
        QueueDeclare(queue: name, durable: true, noWait: noWait)
    }

    @Test(arguments: placements)
    func changesThatAreSentTogetherWaitTogether(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement)
        let lines = scene.pipeline([
            Self.declare("a"), ExchangeDeclare(exchange: "x", type: "direct", durable: true),
            QueueBind(queue: "", exchange: "x", routingKey: ""), Self.declare("b"),
            QueueBind(queue: "b", exchange: "x", routingKey: "k"), Self.declare("c", noWait: true),
            ExchangeBind(destination: "amq.fanout", source: "x", routingKey: "k"),
            QueueUnbind(queue: "b", exchange: "x", routingKey: "k"), Self.declare(""), QueueDeclare(queue: "t"),
            ExchangeDelete(exchange: "nowhere"),
        ])
        #expect(lines == [])
        #expect(scene.queues.filter { !$0.hasPrefix("amq.gen-") } == ["a", "b", "c", "t"])
        #expect(scene.queues.count == 5)
        #expect(
            scene.answers() == [
                "1 queue.declare-ok 0 0", "1 exchange.declare-ok", "1 queue.bind-ok", "1 queue.declare-ok 0 0",
                "1 queue.bind-ok", "1 exchange.bind-ok", "1 queue.unbind-ok", "1 queue.declare-ok 0 0",
                "1 queue.declare-ok 0 0", "1 exchange.delete-ok",
            ]
        )
    }

    @Test(arguments: placements)
    func theLogHasWhatIsAnswered(placement: (shards: Int, channel: Int)) throws {
        let scene = Scene(placement)
        _ = scene.pipeline([Self.declare("a"), Self.declare("b"), QueueDelete(queue: "a"), Self.declare("c")])
        let early = try scene.broker.restarted(shardCount: 1)
        #expect(early.shards[0].topology.virtualHost(named: "/")?.queueNames == [])
        #expect(scene.answers().count == 4)
        let late = try scene.broker.restarted(shardCount: 1)
        #expect(late.shards[0].topology.virtualHost(named: "/")?.queueNames == ["b", "c"])
    }

    @Test(arguments: placements)
    func aRefusalComesBehindAnswersThatWait(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement)
        let lines = scene.pipeline([
            Self.declare("a"), QueueBind(queue: "a", exchange: "nowhere", routingKey: "k"), Self.declare("b"),
        ])
        #expect(lines == [])
        #expect(scene.queues == ["a"])
        #expect(
            scene.answers() == [
                "1 queue.declare-ok 0 0",
                "1 channel.close 404 NOT_FOUND - no exchange 'nowhere' in vhost '/' (50/20)",
            ]
        )
        #expect(scene.queues == ["a"])
    }

    @Test(arguments: placements)
    func whatIsRefusedByTheQueueComesInItsTurn(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement, [Self.declare("full")])
        scene.client.publish(routingKey: "full", body: [1])
        let lines = scene.pipeline([Self.declare("a"), QueueDelete(queue: "full", ifEmpty: true), Self.declare("b")])
        #expect(lines == [])
        #expect(
            scene.answers() == [
                "1 queue.declare-ok 0 0",
                "1 channel.close 406 PRECONDITION_FAILED - queue 'full' in vhost '/' not empty (50/40)",
            ]
        )
        #expect(scene.queues == ["a", "full"])
    }

    @Test(arguments: placements)
    func deletesShareASyncAndCancelsFollowThem(placement: (shards: Int, channel: Int)) {
        let first: [any EncodableMethod] = [
            Self.declare("a"), Self.declare("b"), BasicConsume(queue: "a", consumerTag: "t"),
        ]
        let scene = Scene(placement, first)
        let lines = scene.pipeline([QueueDelete(queue: "a"), QueueDelete(queue: "b"), Self.declare("a")])
        #expect(lines == [])
        #expect(scene.queues == ["a"])
        #expect(
            scene.answers() == [
                "1 queue.delete-ok 0", "1 queue.delete-ok 0", "1 cancel t", "1 queue.declare-ok 0 0",
            ]
        )
    }

    @Test(arguments: placements)
    func everythingElseWaitsForTheAnswers(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement, [ConfirmSelect()])
        scene.client.sendBytes(
            SimulatedClient.frame(Self.declare("a"), channel: 1)
                + scene.client.encodePublish(BasicPublish(exchange: "", routingKey: "a"), body: [1])
                + SimulatedClient.frame(Self.declare("b"), channel: 1)
                + SimulatedClient.frame(BasicConsume(queue: "a", consumerTag: "t", noAck: true), channel: 1)
        )
        #expect(scene.client.receive().lines == [])
        #expect(scene.queues == ["a"])
        #expect(
            scene.answers() == [
                "1 queue.declare-ok 0 0", "1 ack 1", "1 queue.declare-ok 0 0", "1 basic.consume-ok t",
                "1 deliver t #1 \u{1}",
            ]
        )
    }

    @Test(arguments: placements)
    func aQueueThatIsThereIsAskedBehindTheOthers(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement, [Self.declare("old")])
        scene.client.publish(routingKey: "old", body: [1])
        let lines = scene.pipeline([Self.declare("a"), Self.declare("old"), Self.declare("b")])
        #expect(lines == [])
        #expect(
            scene.answers() == ["1 queue.declare-ok 0 0", "1 queue.declare-ok 1 0", "1 queue.declare-ok 0 0"]
        )
    }

    @Test(arguments: placements)
    func manyWaitInBoundedNumber(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement)
        let count = ShardLimits.heldAnswers + 100
        let methods = (0..<count).map { Self.declare("q\($0)".short) }
        #expect(scene.pipeline(methods) == [])
        #expect(scene.queues.count == ShardLimits.heldAnswers)
        #expect(scene.answers() == Array(repeating: "1 queue.declare-ok 0 0", count: count))
        #expect(scene.queues.count == count)
    }

    @Test(arguments: placements)
    func closeAndMalformedFramesComeBehindTheAnswers(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement)
        let bad = SimulatedClient.frame(type: FrameType.method, channel: 1, payload: [0, 50, 0, 10, 0])
        let good = [Self.declare("a"), Self.declare("b")].flatMap { SimulatedClient.frame($0, channel: 1) }
        scene.client.sendBytes(good + bad)
        #expect(scene.client.receive().lines == [])
        let lines = scene.answers()
        #expect(lines.prefix(2) == ["1 queue.declare-ok 0 0", "1 queue.declare-ok 0 0"])
        #expect(lines.last?.hasPrefix("0 connection.close 501 FRAME_ERROR") == true)

        let other = Scene(placement)
        other.client.sendBytes(good + SimulatedClient.frame(ConnectionClose(replyCode: 200, replyText: ""), channel: 0))
        #expect(other.client.receive().lines == [])
        #expect(
            other.answers() == ["1 queue.declare-ok 0 0", "1 queue.declare-ok 0 0", "0 connection.close-ok"]
        )
    }

    @Test(arguments: placements)
    func aChannelThatIsGoneIsNotAnswered(placement: (shards: Int, channel: Int)) {
        let scene = Scene(placement)
        _ = scene.pipeline([Self.declare("a"), Self.declare("b")])
        scene.client.disconnect()
        scene.broker.run()
        scene.broker.isLogHeld = false
        scene.broker.run()
        #expect(scene.queues == ["a", "b"])
        #expect(scene.broker.shards.allSatisfy { $0.connectionCount == 0 })
    }
}
