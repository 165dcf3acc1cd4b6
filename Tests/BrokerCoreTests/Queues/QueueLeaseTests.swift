import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// `x-expires`: BEHAVIOURS.md 110.
@Suite struct QueueLeaseTests {
    @Test(arguments: [1, 2])
    func anUnusedQueueGoesOnTime(shards: Int) {
        let scene = QueueScene(shards: shards)
        scene.declare("q", ["x-expires": .int64(1000)])
        scene.advance(600)
        // Publishing is no use.
        scene.publish("x")
        scene.advance(399)
        #expect(scene.isThere("q"))
        scene.advance(1)
        #expect(!scene.isThere("q"))
    }

    @Test(arguments: ["get", "declare", "passive", "consume"])
    func everyUseRenewsTheLease(use: String) {
        let scene = QueueScene()
        scene.declare("q", ["x-expires": .int64(1000)])
        scene.advance(900)
        switch use {
        case "get": scene.client.call(BasicGet(queue: "q"))
        case "declare": scene.declare("q", ["x-expires": .int64(1000)])
        case "passive": scene.client.call(QueueDeclare(queue: "q", passive: true))
        default:
            scene.client.call(BasicConsume(queue: "q", consumerTag: "c"))
            scene.advance(100_000)
            scene.client.call(BasicCancel(consumerTag: "c"))
        }
        scene.advance(999)
        #expect(scene.isThere("q"))
        scene.advance(1)
        #expect(!scene.isThere("q"))
    }

    @Test func itsMessagesMakeNoDeadLetters() {
        let scene = QueueScene()
        scene.declareDeadLetters([("x-expires", .int64(1000))])
        scene.publish("x")
        scene.advance(1000)
        #expect(!scene.isThere("q"))
        #expect(scene.counts("dead") == "0 0")
    }

    @Test func aRestartRenewsTheLease() throws {
        let scene = QueueScene(isDurable: true)
        scene.declare("q", durable: true, ["x-expires": .int64(1000)])
        scene.advance(900)
        let next = try scene.restarted(afterMilliseconds: 100_000)
        next.advance(999)
        #expect(next.isThere("q"))
        next.advance(1)
        #expect(!next.isThere("q"))
        // And it stays gone.
        #expect(!(try next.restarted().isThere("q")))
    }
}

extension QueueScene {
    /// Whether the topology has a queue; looking is no use of it.
    fileprivate func isThere(_ name: ShortString) -> Bool {
        self.broker.shards[0].topology.virtualHost(named: "/")?.queue(named: name) != nil
    }
}
