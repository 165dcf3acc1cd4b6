import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Messages that wait for their time leave memory like others, and are back when it comes.
@Suite struct DelayedPagingTests {
    private typealias Scene = PagingTests.Scene

    private func publish(
        _ scene: Scene,
        _ numbers: Range<Int>,
        delay: (Int) -> Int32 = { _ in 10_000 },
        isPersistent: Bool = false,
        key: ShortString = "q",
        size: Int = 1000
    ) {
        for number in numbers {
            scene.client.publish(
                routingKey: key,
                properties: BasicProperties(
                    headers: ["x-delay": .int32(delay(number))],
                    deliveryMode: isPersistent ? 2 : 1
                ),
                body: Scene.body(number, size: size)
            )
            scene.broker.run()
        }
    }

    private func isEqual(_ bodies: [[UInt8]], _ numbers: some Sequence<Int>, size: Int = 1000) -> Bool {
        bodies == numbers.map { Scene.body($0, size: size) }
    }

    @Test func transientOnesGoToScratchFilesAndComeInOrder() {
        let scene = Scene()
        self.publish(scene, 0..<2000)
        #expect(scene.shard.store.pagedCount > 1500)
        #expect(scene.shard.store.heldBytes < 400 << 10)
        #expect(!scene.shard.isAlarmed)
        scene.broker.advance(milliseconds: 9_999)
        #expect(scene.shard.delayedMessageCount == 2000)
        // Those that come first are back already.
        #expect(scene.shard.delays.loads == 0)
        scene.broker.advance(milliseconds: 1)
        // With so little memory an alarm may come, and then it takes longer.
        #expect(scene.shard.delayedMessageCount < 1000)
        scene.broker.advance(milliseconds: 200)
        #expect(scene.shard.delayedMessageCount == 0)
        #expect(self.isEqual(scene.consume(), 0..<2000))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func persistentOnesAreReadFromTheLogWithoutBeingWrittenAgain() throws {
        let scene = Scene(isDurable: true)
        self.publish(scene, 0..<1500, isPersistent: true)
        #expect(scene.shard.store.pagedCount > 1000)
        #expect(scene.broker.pager.writeCount == 0)
        #expect(scene.shard.loggedBytes > 1_500_000)
        let restarted = try scene.restarted()
        // They stay in the log at a start, too.
        #expect(restarted.shard.store.pagedCount == 1500)
        #expect(restarted.shard.store.liveBytes == 0)
        for scene in [scene, restarted] {
            scene.broker.advance(milliseconds: 9_999)
            #expect(scene.shard.delayedMessageCount == 1500)
            scene.broker.advance(milliseconds: 1)
            #expect(scene.shard.delayedMessageCount == 0)
        }
        // Now they are the queue's, there and after another start.
        let again = try restarted.restarted()
        for scene in [scene, restarted, again] {
            #expect(self.isEqual(scene.consume(), 0..<1500))
            #expect(scene.shard.loggedBytes == 0)
            #expect(scene.shard.census.messages == 0)
        }
    }

    /// Times that have nothing to do with the order in which messages came, over all levels of the wheel.
    @Test func mixedTimesAreKept() {
        let scene = Scene()
        func delay(_ number: Int) -> Int32 { Int32(1000 + (number * 7919) % 100_000) }
        self.publish(scene, 0..<1200, delay: delay)
        #expect(scene.shard.store.pagedCount > 800)
        var arrived = 0
        let order = (0..<1200).sorted { (delay($0), $0) < (delay($1), $1) }
        for step in 1...101 {
            scene.broker.advance(milliseconds: 1000)
            arrived = order.count { delay($0) <= step * 1000 }
            #expect(scene.shard.delayedMessageCount == 1200 - arrived, "after \(step) s")
        }
        #expect(arrived == 1200)
        #expect(self.isEqual(scene.consume(), order))
    }

    @Test func whatComesSoonIsReadBeforeItsTime() {
        let scene = Scene()
        self.publish(scene, 0..<50, delay: { _ in 30_000 })
        self.publish(scene, 50..<1000, delay: { _ in 60_000 })
        let paged = scene.shard.store.pagedCount
        #expect(paged > 500)
        scene.broker.advance(milliseconds: 29_800)
        #expect(scene.shard.delayedMessageCount == 1000)
        let first = scene.shard.delays.wheel.due(at: SimulatedBroker.startOfTime + 30_000).first
        #expect(first.map { scene.shard.store.isResident($0.slot) } == true)
    }

    /// The wheel does not sort a slot of 65.536 s out before its time comes.
    @Test func whatComesAtTheBeginningOfASlotIsReadBeforeItsTime() {
        let scene = Scene()
        let slot: UInt64 = 1 << 16
        let border = (SimulatedBroker.startOfTime / slot + 2) * slot
        let delay = Int32(border - SimulatedBroker.startOfTime) + 20
        self.publish(scene, 0..<50, delay: { _ in delay })
        self.publish(scene, 50..<1000, delay: { _ in delay + 30_000 })
        #expect(scene.shard.store.pagedCount > 500)
        scene.broker.advance(milliseconds: UInt64(delay) - 50)
        #expect(scene.shard.delayedMessageCount == 1000)
        // Those that come first are in memory already.
        let first = scene.shard.delays.wheel.elementsOfFarSlot(to: border + 100)
        #expect(first.count == 50)
        #expect(first.allSatisfy { scene.shard.store.isResident($0.slot) })
        scene.broker.advance(milliseconds: 100)
        #expect(scene.shard.delayedMessageCount == 950)
    }

    /// A queue that keeps nothing gets what the log had of an exchange that does.
    @Test func theLogForgetsWhatBecomesTransient() {
        let scene = Scene(isDurable: true)
        scene.client.call(QueueDeclare(queue: "t"))
        self.publish(scene, 0..<600, isPersistent: true, key: "t")
        #expect(scene.shard.store.pagedCount > 300)
        scene.broker.advance(milliseconds: 10_000)
        #expect(scene.shard.delayedMessageCount == 0)
        #expect(scene.shard.loggedBytes == 0)
        scene.broker.trimLog()
        let received = scene.client.call(BasicConsume(queue: "t", noAck: true))
        var delays: [Int64?] = []
        var bodies: [[UInt8]] = []
        for case .content(_, _, let properties, let body) in received {
            delays.append(properties.headers?["x-delay"]?.integerValue)
            bodies.append(body)
        }
        #expect(self.isEqual(bodies, 0..<600))
        #expect(delays.allSatisfy { $0 == -10_000 })
        #expect(scene.shard.census.messages == 0)
    }

    @Test func trimmingReadsWhatIsOnDiskAndTellsItAgain() throws {
        let scene = Scene(isDurable: true)
        self.publish(scene, 0..<900, isPersistent: true)
        #expect(scene.shard.store.pagedCount > 600)
        var ids: [UInt64] = scene.shard.delayedMessages(virtualHost: "/", limit: 900).map(\.id)
        #expect(ids.count == 900)
        var steps = 0
        scene.broker.trimLog(.whole) {
            steps += 1
            guard let id = ids.popLast() else { return }
            // The last ones go, or wait longer, wherever telling is.
            if steps % 2 == 0 {
                #expect(scene.shard.cancelDelayedMessage(id: id))
            } else {
                let time = SimulatedBroker.startOfTime + 20_000
                #expect(scene.shard.rescheduleDelayedMessage(id: id, toEpochMilliseconds: time))
            }
            scene.broker.settle()
        }
        #expect(steps > 2)
        scene.broker.trimLog(.whole)
        let restarted = try scene.restarted()
        #expect(restarted.shard.delayedMessageCount == scene.shard.delayedMessageCount)
        for scene in [scene, restarted] {
            scene.broker.advance(milliseconds: 10_000)
            #expect(scene.consume().count == ids.count)
            scene.broker.advance(milliseconds: 10_000)
            #expect(scene.shard.delayedMessageCount == 0)
            #expect(scene.shard.census.messages == 0)
        }
    }

    @Test func aTrimLeavesAloneWhatStandsBehindIt() throws {
        let scene = Scene(isDurable: true)
        scene.publish(0..<300, isPersistent: true)
        self.publish(scene, 0..<400, isPersistent: true)
        let paged = scene.shard.store.pagedCount
        #expect(scene.consume().count == 300)
        scene.client.call(ChannelClose(replyCode: 200, replyText: "", classID: 0, methodID: 0))
        scene.client.call(ChannelOpen(), channel: 1)
        let files = try #require(scene.broker.log?.filePositions)
        let written = scene.broker.durableRecords.count
        scene.broker.trimLog(.counted)
        let left = try #require(scene.broker.log?.filePositions)
        #expect(left.count < files.count)
        // Not one of them was told again.
        let delayed = scene.broker.durableRecords.count { $0.type == LogRecordType.delayed.rawValue }
        #expect(delayed <= 400 && delayed > 300, "\(delayed) of \(written), \(paged) on disk")
        let restarted = try scene.restarted()
        restarted.broker.advance(milliseconds: 10_000)
        #expect(self.isEqual(restarted.consume(), 0..<400))
    }

    @Test func damagedOnesAreNeverPublished() throws {
        let scene = Scene(isDurable: true)
        self.publish(scene, 0..<800, isPersistent: true)
        let paged = scene.shard.store.pagedCount
        #expect(paged > 400)
        scene.broker.pager.isDamaged = true
        scene.broker.advance(milliseconds: 10_000)
        #expect(scene.shard.delayedMessageCount == 0)
        #expect(scene.consume().count == 800 - paged)
        #expect(scene.broker.logLines.contains { $0.contains("those that wait for their time are damaged on disk") })
        #expect(scene.shard.census.messages == 0)
        // The disk may have been at fault for a moment: the next start reads them again.
        let restarted = try scene.restarted()
        restarted.broker.advance(milliseconds: 10_000)
        #expect(restarted.consume().count == paged)
    }

    @Test func namesOnDiskAreListed() {
        let scene = Scene()
        self.publish(scene, 0..<700, key: "q")
        self.publish(scene, 700..<710, delay: { _ in 20_000 }, key: "elsewhere")
        #expect(scene.shard.store.pagedCount > 400)
        let request = AdministrationRequest.listDelayedMessages(virtualHost: "/", limit: 705)
        let held = scene.shard.store.heldBytes
        guard case .delayedMessages(let rows) = request.gather(scene.broker.administer(request)) else {
            Issue.record("no list")
            return
        }
        #expect(rows.map(\.routingKey) == Array(repeating: "q", count: 700) + Array(repeating: "elsewhere", count: 5))
        #expect(rows.allSatisfy { $0.bodyBytes == 1000 })
        #expect(scene.shard.store.heldBytes == held)
    }

    /// A message that goes to a queue and waits as well is in the log in two ways.
    @Test func aMessageOfAQueueAndAWindowKeepsBoth() throws {
        let scene = Scene(isDurable: true)
        scene.client.call(
            ExchangeDeclare(
                exchange: "w",
                type: "fanout",
                durable: true,
                arguments: ["x-message-deduplication": .boolean(true)]
            )
        )
        scene.client.call(QueueDeclare(queue: "r", durable: true))
        scene.client.call(QueueBind(queue: "r", exchange: "w"))
        for exchange in ["amq.fanout"] as [ShortString] {
            scene.client.call(QueueBind(queue: "q", exchange: exchange))
            scene.client.call(ExchangeBind(destination: "w", source: exchange))
        }
        for number in 0..<600 {
            scene.client.publish(
                exchange: "amq.fanout",
                routingKey: "",
                properties: BasicProperties(
                    headers: [
                        "x-delay": .int32(5000), "x-deduplication-header": .longString(Array("k\(number)".utf8)),
                    ],
                    deliveryMode: 2
                ),
                body: Scene.body(number, size: 1000)
            )
            scene.broker.run()
        }
        scene.broker.advance(milliseconds: 5000)
        scene.broker.trimLog()
        let restarted = try scene.restarted()
        for scene in [scene, restarted] {
            #expect(!scene.broker.logLines.contains { $0.contains("damaged") })
            let both = scene.consume("q").count + scene.consume("r").count
            #expect(both >= 600 && both % 600 == 0)
        }
    }
}
