import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Messages that do not fit into memory go to disk and come back.
@Suite struct PagingTests {
    /// A broker of one shard that keeps next to nothing in memory.
    struct Scene {
        let broker: SimulatedBroker
        let client: SimulatedClient

        var shard: Shard { self.broker.shards[0] }

        init(limit: UInt64 = 256 << 10, isDurable: Bool = false) {
            var settings = BrokerSettings()
            settings.isDurable = isDurable
            settings.pagesMessages = true
            settings.residentLimitBytes = limit / 2
            self.broker = SimulatedBroker(settings: settings)
            self.client = SimulatedClient(self.broker).open()
            self.client.call(QueueDeclare(queue: "q", durable: true))
        }

        static func body(_ number: Int, size: Int) -> [UInt8] {
            (0..<size).map { UInt8(truncatingIfNeeded: number &* 31 &+ $0) }
        }

        func publish(
            _ numbers: Range<Int>,
            size: Int = 1000,
            isPersistent: Bool = false,
            to queue: ShortString = "q",
            exchange: ShortString = ""
        ) {
            let properties = BasicProperties(deliveryMode: isPersistent ? 2 : 1)
            for number in numbers {
                self.client.publish(
                    exchange: exchange,
                    routingKey: queue,
                    properties: properties,
                    body: Self.body(number, size: size)
                )
                self.broker.run()
            }
        }

        /// Consumes; returns the bodies of what comes.
        func consume(_ queue: ShortString = "q", noAck: Bool = true, channel: UInt16 = 1) -> [[UInt8]] {
            let received = self.client.call(BasicConsume(queue: queue, noAck: noAck), channel: channel)
            return received.compactMap {
                if case .content(_, _, _, let body) = $0 { return body }
                return nil
            }
        }
    }

    private func isEqual(_ bodies: [[UInt8]], _ numbers: Range<Int>, size: Int = 1000) -> Bool {
        bodies == numbers.map { Scene.body($0, size: size) }
    }

    @Test func transientMessagesGoToScratchFilesAndComeBackInOrder() {
        let scene = Scene()
        scene.publish(0..<2000)
        #expect(scene.shard.store.pagedCount > 1500)
        #expect(scene.broker.pager.writeCount > 0)
        #expect(scene.shard.store.heldBytes < 400 << 10)
        #expect(self.isEqual(scene.consume("q"), 0..<2000))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.shard.store.pagedCount == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func getWaitsForTheDisk() {
        let scene = Scene()
        scene.publish(0..<600)
        #expect(scene.shard.store.pagedCount > 300)
        for number in 0..<600 {
            let received = scene.client.call(BasicGet(queue: "q", noAck: true))
            guard case .content(_, _, _, let body) = received.first else {
                Issue.record("no message \(number)")
                return
            }
            #expect(body == Scene.body(number, size: 1000))
        }
        #expect(scene.client.call(BasicGet(queue: "q", noAck: true)).lines == ["1 basic.get-empty"])
    }

    @Test func unacknowledgedMessagesLeaveMemoryAndAreRequeuedInOrder() {
        let scene = Scene()
        scene.publish(0..<300)
        #expect(scene.consume(noAck: false).count == 300)
        scene.client.call(ChannelOpen(), channel: 2)
        scene.client.call(QueueDeclare(queue: "r"), channel: 2)
        scene.publish(0..<1500, to: "r")
        let queue = scene.shard.queues.compactMap { $0 }.first { $0.pointee.info.name == "q" }
        #expect(queue?.pointee.unacknowledged == 300)
        #expect(scene.shard.store.pagedCount > 1500)
        scene.client.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
        #expect(self.isEqual(scene.consume(channel: 2), 0..<300))
    }

    @Test func largeMessagesGoOneByOne() {
        let scene = Scene(limit: 1 << 20)
        scene.publish(0..<40, size: 200_000)
        #expect(scene.shard.store.pagedCount > 30)
        #expect(scene.shard.store.heldBytes < 1 << 20)
        #expect(self.isEqual(scene.consume("q"), 0..<40, size: 200_000))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func purgedAndDeletedMessagesGiveTheirFilesBack() {
        let scene = Scene()
        scene.publish(0..<1000)
        scene.client.call(QueuePurge(queue: "q"))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
        scene.publish(0..<1000)
        scene.client.call(QueueDelete(queue: "q"))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func aFullDiskKeepsMessagesInMemory() {
        let scene = Scene()
        scene.broker.pager.isFull = true
        scene.publish(0..<600)
        #expect(scene.shard.store.pagedCount == 0)
        #expect(scene.broker.logLines.count { $0.contains("scratch file cannot be written") } == 1)
        // It is tried again when some time has passed.
        scene.broker.pager.isFull = false
        scene.broker.advance(milliseconds: 2000)
        scene.publish(600..<700)
        #expect(scene.shard.store.pagedCount > 400)
        #expect(self.isEqual(scene.consume(), 0..<700))
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func messagesThatMayBecomeDeadLettersStayInMemory() {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "dead"))
        let arguments: FieldTable = [
            "x-dead-letter-exchange": .longString([]), "x-dead-letter-routing-key": .longString(Array("dead".utf8)),
        ]
        scene.client.call(QueueDeclare(queue: "d", arguments: arguments))
        scene.publish(0..<600, to: "d")
        // What may be asked for otherwise than by delivery stays in memory.
        #expect(scene.shard.store.pagedCount == 0)
    }

    @Test func damagedMessagesAreNeverDelivered() {
        let scene = Scene()
        scene.publish(0..<1000)
        let paged = scene.shard.store.pagedCount
        #expect(paged > 500)
        scene.broker.pager.isDamaged = true
        let bodies = scene.consume()
        #expect(bodies.count == 1000 - paged)
        #expect(bodies.allSatisfy { body in (0..<1000).contains { Scene.body($0, size: 1000) == body } })
        #expect(scene.broker.logLines.contains { $0.contains("damaged on disk") })
        #expect(scene.shard.census.messages == 0)
    }

    @Test func transactionsStayInMemoryUntilTheyAreCommitted() {
        let scene = Scene()
        scene.client.call(ChannelOpen(), channel: 2)
        scene.client.call(TxSelect(), channel: 2)
        for number in 0..<50 {
            scene.client.publish(routingKey: "q", body: Scene.body(number, size: 1000), channel: 2)
        }
        scene.client.call(QueueDeclare(queue: "r"))
        scene.publish(0..<1000, to: "r")
        #expect(scene.shard.store.pagedCount > 500)
        scene.client.call(TxCommit(), channel: 2)
        #expect(self.isEqual(scene.consume("q"), 0..<50))
    }
}
