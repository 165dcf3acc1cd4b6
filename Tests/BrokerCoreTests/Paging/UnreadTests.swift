import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation
@testable import BrokerStore

/// What the disk has refused for long waits aside, keeps its files, and comes back to its place when the disk gives it.
@Suite struct UnreadTests {
    private typealias Scene = PagingTests.Scene

    /// Longer than a read is tried again before others go on.
    private static let patience: UInt64 = 7_000

    private func bodies(_ numbers: Range<Int>, size: Int = 1000) -> [[UInt8]] {
        numbers.map { Scene.body($0, size: size) }
    }

    /// A body like no other one.
    private static func own(_ number: Int) -> [UInt8] {
        [UInt8(number & 255), UInt8(number >> 8)] + [UInt8](repeating: 0, count: 1000)
    }

    /// Without the octets when they differ, which are many.
    private func isSame(_ left: [[UInt8]], _ right: [[UInt8]]) -> Bool { left == right }

    private func received(_ client: SimulatedClient) -> [[UInt8]] {
        client.receive().compactMap {
            if case .content(_, _, _, let body) = $0 { return body }
            return nil
        }
    }

    private func get(_ scene: Scene, _ queue: ShortString = "q") -> [UInt8]? {
        guard case .content(_, _, _, let body) = scene.client.call(BasicGet(queue: queue, noAck: true)).first else {
            return nil
        }
        return body
    }

    private func queue(_ scene: Scene, _ name: ShortString = "q") throws -> UnsafeMutablePointer<QueueState> {
        try #require(scene.shard.queues.compactMap { $0 }.first { $0.pointee.info.name == name })
    }

    /// Has the disk refuse the first `count` messages of a queue, which are in the log only.
    private func refuse(_ count: Int, in scene: Scene, _ name: ShortString = "q") throws {
        let queue = try self.queue(scene, name)
        let paged = scene.shard.store.paged(queue.pointee.ready.entry(at: count).slot)
        let word = try #require(paged)
        #expect(!word.isScratch)
        scene.broker.pager.refusedLogEnd = scene.shard.store.position(word)
    }

    /// A queue of 1000 messages of which the first 300 have been refused for long.
    private func makeUnread(isTrimmed: Bool = false) throws -> Scene {
        let scene = Scene(isDurable: true)
        scene.publish(0..<1000, isPersistent: true)
        try self.refuse(300, in: scene)
        #expect(self.get(scene)?.count == nil)
        scene.broker.advance(milliseconds: Self.patience)
        #expect(self.isSame(self.received(scene.client), self.bodies(300..<301)))
        #expect(scene.shard.unreadCount == 300)
        return scene
    }

    private func heal(_ scene: Scene) {
        scene.broker.pager.refusedLogEnd = 0
        scene.broker.pager.refusals = 0
        scene.broker.advance(milliseconds: ShardLimits.unreadMilliseconds)
        #expect(scene.shard.unreadCount == 0)
    }

    @Test func messagesComeBackToTheirPlaces() throws {
        let scene = try self.makeUnread()
        #expect(self.isSame([self.get(scene) ?? []], [Scene.body(301, size: 1000)]))
        self.heal(scene)
        #expect(self.isSame(scene.consume(), self.bodies(0..<300) + self.bodies(302..<1000)))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.shard.store.asides.isEmpty)
        #expect(scene.broker.logLines.contains("no messages are left that cannot be read from disk"))
    }

    @Test func aConsumerThatHasTheRestGetsThem() throws {
        let scene = try self.makeUnread()
        #expect(self.isSame(scene.consume(), self.bodies(301..<1000)))
        self.heal(scene)
        #expect(self.isSame(self.received(scene.client), self.bodies(0..<300)))
        #expect(scene.shard.census.messages == 0)
    }

    @Test func theyAreAskedForNowAndThenOnly() throws {
        let scene = try self.makeUnread()
        _ = scene.consume()
        let count = scene.broker.pager.readCount
        scene.broker.advance(milliseconds: 5 * ShardLimits.unreadMilliseconds)
        #expect((4...6).contains(scene.broker.pager.readCount - count))
        let told = scene.broker.logLines.filter { $0.contains("go on without them") }
        #expect(told.count == 1)
        #expect(scene.broker.logLines.count { $0.contains("cannot be read from disk now") } == 1)
        #expect(
            told.first?.hasPrefix(
                "300 messages of queue 'q' cannot be read from disk; others go on without them, and they are tried again every "
                    + "30 s: cannot read log-0"
            ) == true,
            "\(told)"
        )
    }

    @Test func trimmingKeepsTheirFiles() throws {
        let scene = try self.makeUnread()
        scene.broker.trimLog()
        scene.broker.trimLog(.counted)
        scene.broker.trimLog(.partial)
        scene.broker.trimLog()
        #expect(self.isSame(try scene.restarted().consume(), self.bodies(0..<300) + self.bodies(301..<1000)))
        let files = scene.broker.log?.filePositions.count ?? 0
        self.heal(scene)
        scene.broker.trimLog()
        #expect(scene.broker.log?.filePositions.count ?? 0 < files)
        for scene in [scene, try scene.restarted()] {
            #expect(self.isSame(scene.consume(), self.bodies(0..<300) + self.bodies(301..<1000)))
        }
    }

    @Test func trimmingThatCannotReadThemKeepsTheirFiles() throws {
        let scene = Scene(isDurable: true)
        scene.publish(0..<1000, isPersistent: true)
        try self.refuse(300, in: scene)
        scene.broker.trimLog()
        #expect(self.isSame(try scene.restarted().consume(), self.bodies(0..<1000)))
        // A trim that ends when they can be read again has not told them.
        self.heal(scene)
        scene.broker.trimLog()
        for scene in [scene, try scene.restarted()] {
            #expect(self.isSame(scene.consume(), self.bodies(0..<1000)))
        }
    }

    @Test func theyAreReadableBeforeATrimEnds() throws {
        let scene = try self.makeUnread()
        var steps = 0
        scene.broker.trimLog {
            steps += 1
            guard case .waiting? = scene.broker.trim?.phase else { return }
            scene.broker.pager.refusedLogEnd = 0
            scene.broker.advance(milliseconds: ShardLimits.unreadMilliseconds)
        }
        #expect(scene.shard.unreadCount == 0)
        #expect(self.isSame(try scene.restarted().consume(), self.bodies(0..<300) + self.bodies(301..<1000)))
    }

    @Test func messagesInScratchFilesComeBack() throws {
        let scene = Scene()
        scene.publish(0..<1000)
        scene.broker.pager.refusals = .max
        var got = scene.consume()
        scene.broker.advance(milliseconds: 60_000)
        got += self.received(scene.client)
        #expect(got.count < 500)
        #expect(self.isSame(got, self.bodies(1000 - got.count..<1000)))
        self.heal(scene)
        #expect(self.isSame(self.received(scene.client), self.bodies(0..<1000 - got.count)))
        #expect(scene.shard.census.messages == 0)
        #expect(scene.broker.pager.scratchCount == 0)
    }

    @Test func aPurgeTakesThem() throws {
        let scene = try self.makeUnread()
        #expect(scene.client.call(QueuePurge(queue: "q")).lines == ["1 queue.purge-ok 999"])
        #expect(scene.shard.census.messages == 0)
        #expect(scene.shard.unreadCount == 0)
        #expect(try scene.restarted().consume() == [])
        scene.broker.advance(milliseconds: ShardLimits.unreadMilliseconds)
        #expect(scene.shard.paging.unread.queues.isEmpty)
        #expect(!scene.shard.paging.unread.isScheduled)
    }

    @Test func aDeletionTakesThem() throws {
        let scene = try self.makeUnread()
        #expect(self.isSame(scene.consume(), self.bodies(301..<1000)))
        #expect(
            scene.client.call(QueueDelete(queue: "q", ifEmpty: true)).lines.first?.contains("not empty") == true
        )
        scene.client.call(ChannelOpen(), channel: 2)
        #expect(scene.client.call(QueueDelete(queue: "q"), channel: 2).lines.last == "2 queue.delete-ok 0")
        #expect(scene.shard.census.messages == 0)
        self.heal(scene)
    }

    /// A queue of its own whose first messages have been refused for long.
    private func makeUnread(_ arguments: FieldTable, count: Int = 1000, _ unread: Int = 300) throws -> Scene {
        let scene = Scene(isDurable: true)
        scene.client.call(QueueDeclare(queue: "dead", durable: true))
        scene.client.call(QueueDeclare(queue: "own", durable: true, arguments: arguments))
        scene.publish(0..<count, isPersistent: true, to: "own")
        try self.refuse(unread, in: scene, "own")
        #expect(self.get(scene, "own")?.count == nil)
        scene.broker.advance(milliseconds: Self.patience)
        #expect(self.isSame(self.received(scene.client), self.bodies(unread..<unread + 1)))
        #expect(scene.shard.unreadCount == unread)
        return scene
    }

    @Test func theirTimeEnds() throws {
        let scene = try self.makeUnread(["x-message-ttl": .int32(20_000)])
        scene.broker.advance(milliseconds: 20_000)
        #expect(scene.shard.census.messages == 0)
        #expect(try scene.restarted().consume("own") == [])
    }

    @Test func limitsCountThemAndDropThemFirst() throws {
        let scene = try self.makeUnread(["x-max-length": .int32(1000)])
        #expect(scene.shard.census.messages == 999)
        scene.publish(1000..<1101, isPersistent: true, to: "own")
        #expect(scene.shard.unreadCount == 200)
        #expect(scene.shard.census.messages == 1000)
        self.heal(scene)
        #expect(self.isSame(scene.consume("own"), self.bodies(100..<300) + self.bodies(301..<1101)))
    }

    @Test func octetLimitsCountThem() throws {
        let scene = try self.makeUnread(["x-max-length-bytes": .int32(1_000_000)])
        scene.publish(1000..<1101, isPersistent: true, to: "own")
        #expect(scene.shard.unreadCount == 200)
        self.heal(scene)
        #expect(self.isSame(scene.consume("own"), self.bodies(100..<300) + self.bodies(301..<1101)))
    }

    @Test func aFullQueueRefusesMore() throws {
        let scene = try self.makeUnread(["x-max-length": .int32(1000), "x-overflow": .text("reject-publish")])
        scene.publish(1000..<1010, isPersistent: true, to: "own")
        self.heal(scene)
        #expect(self.isSame(scene.consume("own"), self.bodies(0..<300) + self.bodies(301..<1001)))
    }

    @Test func deadOnesArriveWhenTheyAreRead() throws {
        let scene = try self.makeUnread([
            "x-message-ttl": .int32(20_000), "x-dead-letter-exchange": .text(""),
            "x-dead-letter-routing-key": .text("dead"),
        ])
        scene.broker.advance(milliseconds: 20_000)
        let rest = Array(1..<700).map { Scene.body(300 + $0, size: 1000) }
        #expect(self.isSame(scene.consume("dead"), rest))
        // Their files stay, and a start brings them.
        scene.broker.trimLog()
        let restarted = try scene.restarted()
        restarted.broker.advance(milliseconds: 1)
        #expect(self.isSame(restarted.consume("dead"), self.bodies(0..<300)))
        self.heal(scene)
        #expect(self.isSame(self.received(scene.client), self.bodies(0..<300)))
        #expect(scene.shard.census.messages == 0)
    }

    @Test func deadOnesArriveWhenTheirQueueIsGone() throws {
        let scene = try self.makeUnread([
            "x-message-ttl": .int32(20_000), "x-dead-letter-exchange": .text(""),
            "x-dead-letter-routing-key": .text("dead"),
        ])
        scene.broker.advance(milliseconds: 20_000)
        #expect(scene.consume("dead").count == 699)
        scene.client.call(QueueDelete(queue: "own"))
        scene.broker.trimLog()
        self.heal(scene)
        #expect(self.isSame(self.received(scene.client), self.bodies(0..<300)))
        #expect(scene.shard.census.messages == 0)
        #expect(!scene.shard.isSnapshotWaiting)
    }

    @Test func damageIsFoundThen() throws {
        let scene = try self.makeUnread()
        scene.broker.pager.refusedLogEnd = 0
        scene.broker.pager.isDamaged = true
        scene.broker.advance(milliseconds: ShardLimits.unreadMilliseconds)
        scene.broker.pager.isDamaged = false
        #expect(scene.shard.unreadCount == 0)
        #expect(scene.broker.logLines.contains { $0.contains("300 messages of a queue are damaged on disk") })
        #expect(self.isSame(scene.consume(), self.bodies(301..<1000)))
        #expect(scene.shard.census.messages == 0)
    }

    @Test func otherQueuesOfAMessageGetItToo() throws {
        let scene = Scene(isDurable: true)
        scene.client.call(QueueDeclare(queue: "r", durable: true))
        for name in ["q", "r"] as [ShortString] {
            scene.client.call(QueueBind(queue: name, exchange: "amq.fanout"))
        }
        scene.publish(0..<1000, isPersistent: true, to: "", exchange: "amq.fanout")
        try self.refuse(300, in: scene)
        #expect(self.get(scene)?.count == nil)
        scene.broker.advance(milliseconds: Self.patience)
        #expect(self.isSame(self.received(scene.client), self.bodies(300..<301)))
        // Nobody waits for them a second time.
        #expect(self.get(scene, "r")?.count == 1000)
        self.heal(scene)
        for name in ["q", "r"] as [ShortString] {
            #expect(self.isSame(scene.consume(name), self.bodies(0..<300) + self.bodies(301..<1000)))
        }
        #expect(scene.shard.census.messages == 0)
    }

    @Test func prioritiesKeepTheirOrder() throws {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "p", arguments: ["x-max-priority": .int32(2)]))
        for number in 0..<900 {
            scene.client.publish(
                routingKey: "p",
                properties: BasicProperties(priority: UInt8(number % 3)),
                body: Self.own(number)
            )
            scene.broker.run()
        }
        scene.broker.pager.refusals = .max
        for _ in 0..<3 {
            _ = self.get(scene, "p")
            scene.broker.advance(milliseconds: Self.patience)
            _ = self.received(scene.client)
        }
        #expect(scene.shard.unreadCount > 100)
        let left = scene.shard.census.messages
        self.heal(scene)
        let got = scene.consume("p")
        #expect(got.count == left)
        let all = [2, 1, 0].flatMap { priority in
            (0..<900).filter { $0 % 3 == priority }.map(Self.own)
        }
        let kept = Set(got)
        #expect(self.isSame(got, all.filter { kept.contains($0) }))
    }

    @Test func groupsKeepTheirOrder() throws {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "g", arguments: ["x-group-header": .text("group")]))
        for number in 0..<900 {
            scene.client.publish(
                routingKey: "g",
                properties: BasicProperties(headers: ["group": .int32(Int32(number % 7))]),
                body: Self.own(number)
            )
            scene.broker.run()
        }
        scene.broker.pager.refusals = .max
        #expect(self.get(scene, "g")?.count == nil)
        scene.broker.advance(milliseconds: 60_000)
        let first = self.received(scene.client)
        #expect(first.count == 1)
        #expect(scene.shard.unreadCount > 100)
        self.heal(scene)
        #expect(self.isSame(scene.consume("g"), (0..<900).map(Self.own).filter { $0 != first.first }))
        #expect(scene.shard.census.messages == 0)
    }

    @Test func messagesThatWaitForTheirTimeComeLater() throws {
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
        scene.broker.pager.refusals = .max
        scene.broker.advance(milliseconds: 100_000)
        let unread = scene.shard.unreadCount
        #expect(unread > 500)
        var got = scene.consume()
        #expect(
            self.isSame(
                got.sorted { $0.lexicographicallyPrecedes($1) },
                self.bodies(unread..<1000).sorted { $0.lexicographicallyPrecedes($1) }
            )
        )
        self.heal(scene)
        scene.broker.advance(milliseconds: ShardLimits.unreadMilliseconds)
        // In whatever order: they are late as it is.
        got = self.received(scene.client)
        #expect(got.count == unread)
        #expect(Set(got).count == min(unread, 256))
        #expect(scene.shard.delayedMessageCount == 0)
        #expect(scene.shard.census.messages == 0)
    }
}
