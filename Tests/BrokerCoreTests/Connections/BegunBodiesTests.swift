import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// Bodies that have begun when the memory alarm comes are completed, whatever they take.
@Suite struct BegunBodiesTests {
    /// A broker with a queue "q", and publishers who send messages in two halves.
    private struct Scene {
        static let limit: UInt64 = 1 << 20
        let broker: SimulatedBroker
        let publishers: [SimulatedClient]
        let other: SimulatedClient

        init(shards: Int = 1, publishers: Int = 1, pages: Bool = false, limit: UInt64 = Self.limit) {
            var settings = BrokerSettings()
            settings.memoryLimitBytes = limit
            settings.pagesMessages = pages
            self.broker = SimulatedBroker(shardCount: shards, settings: settings)
            self.publishers = (0..<publishers).map { [broker] in
                SimulatedClient(broker, shard: $0 % shards).open()
            }
            self.other = SimulatedClient(self.broker, shard: 0).open()
            self.other.call(QueueDeclare(queue: "q"))
        }

        static func body(_ number: Int, _ size: Int) -> [UInt8] {
            [UInt8(truncatingIfNeeded: number)] + [UInt8](repeating: 7, count: size - 1)
        }

        /// The octets of a message, in two halves.
        func halves(_ number: Int, size: Int, channel: UInt16 = 1) -> (first: [UInt8], second: [UInt8]) {
            let bytes = self.publishers[0].encodePublish(
                BasicPublish(exchange: "", routingKey: "q", mandatory: false, immediate: false),
                body: Self.body(number, size),
                channel: channel
            )
            // Between two frames of the body.
            let frames = size / (self.publishers[0].frameMaxBytes - FrameLimits.frameOverheadBytes)
            let cut = bytes.count - size % 131_064 - 8 - (frames + 1) / 2 * 131_072
            return (Array(bytes[..<cut]), Array(bytes[cut...]))
        }

        /// Everybody sends the first half, then the second one.
        func publishAtOnce(size: Int) {
            for (number, client) in self.publishers.enumerated() {
                client.sendBytes(self.halves(number, size: size).first)
                self.broker.run()
            }
            for (number, client) in self.publishers.enumerated() {
                client.sendBytes(self.halves(number, size: size).second)
                self.broker.run()
            }
        }

        var isAlarmed: Bool { self.broker.shards.contains { $0.isAlarmed } }

        var depth: UInt32? { self.other.depth() }

        /// The first octets of everything in the queue.
        func takeAll(size: Int) -> [Int] {
            var numbers: [Int] = []
            while case .content(_, .basicGetOk, _, let body)? = self.other.call(BasicGet(queue: "q", noAck: true)).first
            {
                #expect(body == Self.body(Int(body[0]), size))
                numbers.append(Int(body[0]))
            }
            return numbers
        }
    }

    @Test(arguments: [1, 2], [false, true])
    func bodiesThatExceedTheLimitTogetherAreCompleted(shards: Int, pages: Bool) {
        let scene = Scene(shards: shards, publishers: 8, pages: pages)
        scene.publishAtOnce(size: 800_000)
        let blocked = scene.publishers.map { $0.receive().lines }
        #expect(blocked.contains { !$0.isEmpty })
        let got = scene.takeAll(size: 800_000)
        #expect(got.sorted() == Array(0..<8))
        for (number, client) in scene.publishers.enumerated() {
            let lines = blocked[number] + client.receive().lines
            #expect(lines.count % 2 == 0, "publisher \(number): \(lines)")
            #expect(lines.isEmpty || lines.last == "0 connection.unblocked")
        }
        #expect(!scene.isAlarmed)
        #expect(scene.broker.shards.allSatisfy { $0.begun.connections.isEmpty && $0.begun.bytes == 0 })
        #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 && $0.census.assemblyBytes == 0 })
    }

    @Test(arguments: [1, 2])
    func aMessageLargerThanTheLimitGetsThrough(shards: Int) {
        let scene = Scene(shards: shards, publishers: 2, pages: true, limit: 1 << 20)
        for _ in 0..<3 { scene.publishAtOnce(size: 1_500_000) }
        #expect(scene.takeAll(size: 1_500_000).sorted() == [0, 0, 0, 1, 1, 1])
        #expect(!scene.isAlarmed)
        #expect(scene.publishers[0].receive().lines.last == "0 connection.unblocked")
    }

    @Test func completeMessagesThatReachTheLimitHoldBodiesUp() {
        let scene = Scene(publishers: 3)
        let size = 700_000
        scene.publishers[2].publish(routingKey: "q", body: Scene.body(2, 500_000))
        let halves = (0..<2).map { scene.halves($0, size: size) }
        for (number, half) in halves.enumerated() {
            scene.publishers[number].sendBytes(half.first)
            scene.broker.run()
        }
        #expect(scene.isAlarmed)
        for (number, half) in halves.enumerated() {
            scene.publishers[number].sendBytes(half.second)
            scene.broker.run()
        }
        // One was completed; with it messages alone exceed the limit, and the other one waits.
        #expect(scene.depth == 2)
        #expect(scene.broker.shards[0].census.assemblyBytes > 200_000)
        _ = scene.other.call(BasicGet(queue: "q", noAck: true))
        #expect(scene.depth == 2)
        #expect(scene.takeAll(size: size) == [0, 1])
        #expect(!scene.isAlarmed)
    }

    /// What lies between two frames of a body must be taken to get at the second one.
    @Test func otherChannelsOfAConnectionThatGoesOnDoSo() {
        let scene = Scene(pages: true, limit: 1 << 20)
        let client = scene.publishers[0]
        client.call(ChannelOpen(), channel: 2)
        let halves = scene.halves(1, size: 2_500_000)
        client.sendBytes(halves.first)
        scene.broker.run()
        #expect(scene.isAlarmed)
        for number in 0..<10 { client.publish(routingKey: "r", body: Scene.body(number, 100_000), channel: 2) }
        client.sendBytes(halves.second)
        for _ in 0..<3 { client.publish(routingKey: "q", body: Scene.body(2, 2_500_000), channel: 2) }
        scene.broker.run()
        #expect(scene.takeAll(size: 2_500_000) == [1, 2, 2, 2])
        #expect(!scene.isAlarmed)
    }

    /// Order of a channel, answers included, is the same with and without the alarm.
    @Test func whatFollowsOnTheChannelKeepsItsPlace() {
        let scene = Scene(pages: true, limit: 1 << 20)
        let client = scene.publishers[0]
        client.call(ConfirmSelect())
        let halves = scene.halves(1, size: 2_500_000)
        client.sendBytes(halves.first)
        scene.broker.run()
        client.sendBytes(halves.second)
        client.send(BasicGet(queue: "q", noAck: true))
        client.publish(routingKey: "q", body: Scene.body(2, 1000))
        client.send(QueueDeclare(queue: "q", passive: true))
        let lines = client.receive().lines.filter { !$0.hasPrefix("0 ") }.map { String($0.prefix(22)) }
        #expect(
            lines.filter { !$0.hasPrefix("1 ack") }.map { $0.prefix(15) } == ["1 get-ok #1 lef", "1 queue.declare"]
        )
        #expect(lines.last { $0.hasPrefix("1 ack") }?.hasPrefix("1 ack 2") == true)
    }

    @Test func aFullDiskHoldsBodiesUp() {
        let scene = Scene(publishers: 2)
        let size = 900_000
        for (number, client) in scene.publishers.enumerated() {
            client.sendBytes(scene.halves(number, size: size).first)
            scene.broker.run()
        }
        scene.broker.setDiskAlarm(true)
        for (number, client) in scene.publishers.enumerated() {
            client.sendBytes(scene.halves(number, size: size).second)
            scene.broker.run()
        }
        // Less than the limit, but the disk has no room.
        #expect(scene.depth == 0)
        scene.broker.setDiskAlarm(false)
        #expect(scene.takeAll(size: size).sorted() == [0, 1])
    }

    /// Who stops in the middle of a small body does not keep the others.
    @Test func whoStopsInTheMiddleIsPassedByOthers() {
        let scene = Scene(publishers: 24, pages: true)
        let size = 150_000
        let messages = (0..<24).map { scene.halves($0, size: size) }
        for (number, client) in scene.publishers.enumerated() {
            client.sendBytes(messages[number].first)
            scene.broker.run()
        }
        #expect(scene.isAlarmed)
        // It goes on, and stops again.
        scene.publishers[0].sendBytes(Array(messages[0].second.prefix(10_000)))
        scene.broker.run()
        for number in 1..<24 {
            scene.publishers[number].sendBytes(messages[number].second)
            scene.broker.run()
        }
        let looker = SimulatedClient(scene.broker).open()
        guard case .method(_, .queueDeclareOk(let ok))? = looker.call(QueueDeclare(queue: "q", passive: true)).first
        else {
            Issue.record("no queue")
            return
        }
        #expect(ok.messageCount == 23)
    }

    @Test(arguments: [0, 1, 2])
    func whoGoesInTheMiddleMakesRoomForTheNext(way: Int) {
        let scene = Scene(publishers: 3, pages: true)
        let size = 1_500_000
        let messages = (0..<3).map { scene.halves($0, size: size) }
        for (number, client) in scene.publishers.enumerated() {
            client.sendBytes(messages[number].first)
            scene.broker.run()
        }
        scene.publishers[0].sendBytes(Array(messages[0].second.prefix(131_072)))
        scene.broker.run()
        scene.publishers[1].sendBytes(messages[1].second)
        scene.publishers[2].sendBytes(messages[2].second)
        scene.broker.run()
        // The first has the turn.
        #expect(scene.depth == 0)
        switch way {
        case 0: scene.publishers[0].disconnect()
        case 1: scene.publishers[0].sendBytes(SimulatedClient.frame(ConnectionClose(replyCode: 200), channel: 0))
        default: scene.publishers[0].sendBytes(Array(messages[0].second[131_072...]))
        }
        scene.broker.run()
        #expect(scene.takeAll(size: size).sorted() == (way == 2 ? [0, 1, 2] : [1, 2]))
        #expect(!scene.isAlarmed)
        #expect(scene.broker.shards[0].begun.bytes == 0)
    }

    /// Bodies that begin one after the other and never end are not taken for ever.
    @Test func whoBeginsEverMoreBodiesIsClosed() {
        var settings = BrokerSettings()
        settings.memoryLimitBytes = 1 << 20
        settings.maxMessageBytes = 1 << 20
        settings.pagesMessages = true
        let broker = SimulatedBroker(settings: settings)
        let client = SimulatedClient(broker).open()
        for channel: UInt16 in 2...20 { client.call(ChannelOpen(), channel: channel) }
        var lines: [String] = []
        for channel: UInt16 in 1...20 where lines.isEmpty || lines.last?.hasPrefix("0 connection.blocked") == true {
            let bytes = client.encodePublish(
                BasicPublish(exchange: "", routingKey: "q", mandatory: false, immediate: false),
                body: Scene.body(1, 900_000),
                channel: channel
            )
            client.sendBytes(Array(bytes.prefix(bytes.count - 900_000 % 131_064 - 8)))
            lines += client.receive().lines
        }
        #expect(lines.last?.hasPrefix("0 connection.close 506 RESOURCE_ERROR - memory alarm: bodies of ") == true)
        client.call(ConnectionCloseOk(), channel: 0)
        #expect(broker.shards[0].census.isEmpty)
    }

    /// What a shard has told is little more than it holds by then: the alarm of all ends when all have let go.
    @Test func smallLimitsDoNotKeepTheAlarm() {
        let scene = Scene(shards: 2, publishers: 2, limit: 1 << 20)
        scene.publishers[1].call(QueueDeclare(queue: "r"))
        func fill(_ client: SimulatedClient, _ queue: ShortString) {
            client.publish(routingKey: queue, body: [UInt8](repeating: 1, count: 900_000))
            scene.broker.run()
        }
        for _ in 0..<3 {
            fill(scene.publishers[0], "q")
            fill(scene.publishers[1], "r")
        }
        #expect(scene.isAlarmed)
        for _ in 0..<6 {
            scene.other.call(BasicGet(queue: "q", noAck: true))
            scene.other.call(BasicGet(queue: "r", noAck: true))
        }
        #expect(!scene.isAlarmed)
        #expect(scene.broker.shards.allSatisfy { $0.census.messages == 0 })
    }
}
