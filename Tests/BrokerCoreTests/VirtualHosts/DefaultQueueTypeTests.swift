import AMQPProtocol
import Testing

@testable import BrokerCore

/// What becomes of declarations without a type where queues are quorum queues by default.
@Suite struct DefaultQueueTypeTests {
    private let scene = TopologyScene(defaultQueueType: .quorum)

    @Test func queuesThatCanBeAreQuorumQueues() throws {
        #expect(self.scene.queue("q", durable: true, ["x-max-length": .int32(5)]) == "+queue:q")
        let queue = try #require(self.scene.host.queue(named: "q"))
        #expect(queue.parsed.queueType == .quorum)
        #expect(queue.arguments == ["x-max-length": .int32(5), "x-queue-type": .text("quorum")])
        #expect(self.scene.queue("q", durable: true, ["x-max-length": .int32(5)]) == "there: q")
        #expect(self.scene.queue("q", durable: true, queue.arguments) == "there: q")
    }

    @Test(arguments: [(false, false, false), (true, true, false), (true, false, true)])
    func othersStayClassic(durable: Bool, exclusive: Bool, autoDelete: Bool) throws {
        self.scene.queue("q", durable: durable, exclusive: exclusive, autoDelete: autoDelete)
        #expect(try #require(self.scene.host.queue(named: "q")).parsed.queueType == .classic)
    }

    @Test func whoNamesATypeGetsIt() throws {
        self.scene.queue("q", durable: true, ["x-queue-type": .text("classic")])
        #expect(try #require(self.scene.host.queue(named: "q")).parsed.queueType == .classic)
        #expect(self.scene.queue("q", durable: true) == "there: q", "as an application from before the default")
        let answer = self.scene.queue("q", durable: true, ["x-queue-type": .text("quorum")])
        #expect(answer.contains("inequivalent arg 'x-queue-type'"))
    }
}
