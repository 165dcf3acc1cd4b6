import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation
@testable import BrokerStore

/// What the disk refuses to read is asked for again, later, before others go on without it.
@Suite struct RefusedReadTests {
    private typealias Scene = PagingTests.Scene

    private func bodies(_ numbers: Range<Int>) -> [[UInt8]] { numbers.map { Scene.body($0, size: 1000) } }

    private func received(_ client: SimulatedClient) -> [[UInt8]] {
        client.receive().compactMap {
            if case .content(_, _, _, let body) = $0 { return body }
            return nil
        }
    }

    @Test func messagesInTheLogComeWhenTheDiskIsWellAgain() throws {
        let scene = Scene(isDurable: true)
        let disk = try #require(scene.broker.log).disk
        scene.publish(0..<1000, isPersistent: true)
        #expect(scene.shard.store.pagedCount > 500)
        // The first messages cannot be read, three times.
        disk.fail(.read)
        var got = scene.consume()
        #expect(got.isEmpty)
        for pause: UInt64 in [100, 200] {
            scene.broker.advance(milliseconds: pause - 1)
            disk.fail(.read)
            scene.broker.advance(milliseconds: 1)
            #expect(disk.forgetFailures())
            #expect(self.received(scene.client).isEmpty)
        }
        scene.broker.advance(milliseconds: 399)
        #expect(self.received(scene.client).isEmpty)
        scene.broker.advance(milliseconds: 1)
        got = self.received(scene.client)
        #expect(got == self.bodies(0..<1000))
        #expect(scene.shard.census.messages == 0)
        #expect(!scene.broker.logLines.contains { $0.contains("not delivered") })
        let told = scene.broker.logLines.filter { $0.contains("messages of queue 'q' wait") }
        #expect(told.first?.contains("cannot read data/log-") == true, "\(told)")
        #expect(told.first?.contains("octet") == true)
    }

    @Test func messagesInScratchFilesComeWhenTheDiskIsWellAgain() {
        let scene = Scene()
        scene.publish(0..<1000)
        scene.broker.pager.refusals = 3
        #expect(scene.consume().isEmpty)
        let count = scene.broker.pager.readCount
        scene.broker.advance(milliseconds: 99)
        // It is not asked all the time.
        #expect(scene.broker.pager.readCount == count)
        scene.broker.advance(milliseconds: 100 + 200 + 400 + 800)
        #expect(self.received(scene.client) == self.bodies(0..<1000))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func otherQueuesGoOnMeanwhile() {
        let scene = Scene()
        scene.publish(0..<1000)
        scene.broker.pager.refusals = 2
        #expect(scene.consume().isEmpty)
        let other = SimulatedClient(scene.broker).open()
        other.call(QueueDeclare(queue: "other"))
        other.publish(routingKey: "other", body: [1])
        #expect(other.call(BasicConsume(queue: "other", consumerTag: "c", noAck: true)).count == 2)
        // A queue that waits can go.
        #expect(other.call(QueueDelete(queue: "q")).lines.count == 1)
        scene.broker.advance(milliseconds: 1000)
        #expect(scene.shard.census.messages == 0)
        #expect(scene.shard.paging.retries.isEmpty)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    /// Too many open files: the disk was not asked, so nothing is given up.
    @Test func aShortageIsWaitedFor() throws {
        let scene = Scene(isDurable: true)
        let disk = try #require(scene.broker.log).disk
        scene.publish(0..<1000, isPersistent: true)
        disk.fail(.read, error: 24)
        _ = scene.consume()
        for attempt in 0..<12 {
            disk.fail(.read, error: 24)
            scene.broker.advance(milliseconds: 100 << UInt64(min(attempt, 5)))
            #expect(self.received(scene.client).isEmpty)
        }
        disk.forgetFailures()
        scene.broker.advance(milliseconds: 3200)
        #expect(self.received(scene.client) == self.bodies(0..<1000))
    }

    @Test func theLogIsTrimmedAllTheSame() throws {
        let scene = Scene(isDurable: true)
        let disk = try #require(scene.broker.log).disk
        scene.publish(0..<1000, isPersistent: true)
        disk.fail(.read)
        scene.broker.trimLog()
        #expect(try scene.restarted().consume() == self.bodies(0..<1000))
    }

    @Test func messagesThatWaitForTheirTimeComeInOrder() {
        let scene = Scene()
        scene.client.call(
            ExchangeDeclare(exchange: "d", type: "x-delayed-message", arguments: ["x-delayed-type": .text("fanout")])
        )
        scene.client.call(QueueBind(queue: "q", exchange: "d"))
        for number in 0..<1000 {
            scene.client.publish(
                exchange: "d",
                routingKey: "",
                properties: BasicProperties(headers: ["x-delay": .int32(10_000)]),
                body: Scene.body(number, size: 1000)
            )
            scene.broker.run()
        }
        #expect(scene.shard.store.pagedCount > 500)
        scene.broker.pager.refusals = 3
        scene.broker.advance(milliseconds: 12_000)
        #expect(scene.consume() == self.bodies(0..<1000))
        #expect(scene.shard.delayedMessageCount == 0)
    }
}
