import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Numbers are those of BEHAVIOURS.md; a broker's time is all its own here.
@Suite struct TimeToLiveTests {
    @Test(
        arguments: [
            (500, nil, 500), (nil, "500", 500), (500, "60000", 500), (60000, "500", 500), (134_217_728_000, "7", 7),
            (134_217_728_000, nil, 134_217_728_000), (nil, "315360000000", 315_360_000_000),
        ] as [(Int64?, ShortString?, UInt64)]
    )
    func theShorterTimeCounts(ttl: Int64?, expiration: ShortString?, time: UInt64) {
        // 181
        let scene = QueueScene()
        scene.declare("q", FieldTable(ttl.map { [("x-message-ttl", .int64($0))] } ?? []))
        scene.publish("x", expiration: expiration)
        scene.advance(time - 1)
        #expect(scene.counts("q") == "1 0")
        scene.advance(1)
        #expect(scene.counts("q") == "0 0")
    }

    @Test(arguments: ["0", nil] as [ShortString?])
    func noTimeIsEnoughForAConsumerThatWaits(expiration: ShortString?) {
        // 181
        let scene = QueueScene()
        scene.declare("q", expiration == nil ? ["x-message-ttl": .int64(0)] : [:])
        scene.publish("dropped", expiration: expiration)
        #expect(scene.drain("q") == [])
        let consumer = SimulatedClient(scene.broker).open()
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        scene.publish("taken", expiration: expiration)
        #expect(consumer.receive().lines == ["1 deliver c #1 taken"])
        // It has no time left when it comes back.
        consumer.call(BasicCancel(consumerTag: "c"))
        consumer.call(BasicNack(deliveryTag: 1, requeue: true))
        #expect(scene.counts("q") == "0 0")
    }

    @Test func aShortTimeLeavesOnTimeBehindALongOne() {
        // 182, done better.
        let scene = QueueScene()
        scene.declareDeadLetters()
        scene.publish("lasts")
        scene.publish("short", expiration: "100")
        scene.publish("longer", expiration: "200")
        scene.publish("lasts, too", expiration: "1000")
        scene.advance(100)
        #expect(scene.counts("q") == "3 0")
        #expect(scene.drain("dead") == ["short"])
        scene.advance(100)
        #expect(scene.counts("q") == "2 0")
        #expect(scene.drain("q") == ["lasts", "lasts, too"])
    }

    @Test func aDueMessageIsNeverDelivered() {
        let scene = QueueScene()
        scene.declare("q", ["x-message-ttl": .int64(100)])
        scene.publish("1", "2")
        let shard = scene.broker.shards[0]
        // The consumer comes when the time is over and no timer has fired yet.
        let later = scene.broker.now.advanced(milliseconds: 100)
        let frame = SimulatedClient.frame(BasicConsume(queue: "q", consumerTag: "c"), channel: 1)
        frame.withUnsafeBytes { shard.receive($0, on: scene.client.socket.id, now: later) }
        shard.endTurn(now: later)
        scene.broker.settle()
        #expect(scene.client.receive().lines == ["1 basic.consume-ok c"])
    }

    @Test func requeuedMessagesKeepTheirTime() {
        // 183
        let scene = QueueScene()
        scene.declare("q", ["x-message-ttl": .int64(900)])
        scene.publish("1", "2")
        let consumer = SimulatedClient(scene.broker).open()
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        consumer.call(BasicCancel(consumerTag: "c"))
        scene.advance(400)
        consumer.call(BasicNack(deliveryTag: 2, requeue: true))
        #expect(scene.counts("q") == "1 0")
        scene.advance(499)
        #expect(scene.counts("q") == "1 0")
        scene.advance(1)
        #expect(scene.counts("q") == "0 0")
        scene.advance(5000)
        // With its consumer it did not expire; now it does.
        consumer.call(BasicReject(deliveryTag: 1, requeue: true))
        #expect(scene.counts("q") == "0 0")
    }

    @Test(arguments: [0, 5] as [UInt8])
    func manyTimesLeaveInOrder(priorities: UInt8) {
        // 194, and ten levels of priority, too.
        let scene = QueueScene()
        let levels: [(ShortString, FieldValue)] = priorities == 0 ? [] : [("x-max-priority", .int64(Int64(priorities)))]
        scene.declareDeadLetters(levels)
        let random = SeededRandom(seed: 7)
        var expected: [(time: Int, number: Int)] = []
        for number in 0..<500 {
            let time = 1 + random.below(300)
            expected.append((time, number))
            let properties = BasicProperties(priority: UInt8(random.below(10)), expiration: "\(time)".short)
            scene.client.publish(routingKey: "q", properties: properties, body: Array("\(number)".utf8))
        }
        scene.client.receive()
        expected.sort { $0 < $1 }
        for time in 1...300 {
            scene.advance(1)
            let due = expected.filter { $0.time == time }.map { "\($0.number)" }
            #expect(scene.drain("dead") == due, "after \(time) ms")
        }
        #expect(scene.counts("q") == "0 0")
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func consumersAndTimesTogetherLoseNothing(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let scene = QueueScene(shards: 1 + random.below(2))
        let hasPriorities = random.oneIn(2)
        var arguments: [(ShortString, FieldValue)] = random.oneIn(2) ? [("x-message-ttl", .int64(150))] : []
        if hasPriorities { arguments.append(("x-max-priority", .int64(3))) }
        scene.declareDeadLetters(arguments)
        let consumer = SimulatedClient(scene.broker).open()
        consumer.call(BasicQos(prefetchCount: 7))
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        var open: [(tag: UInt64, number: Int)] = []
        var acknowledged: Set<Int> = []
        var deadlines: [Int: Int] = [:]
        var time = 0
        for number in 0..<400 {
            let own = random.oneIn(3) ? nil : random.below(200)
            let limit = arguments.contains { $0.0 == "x-message-ttl" } ? 150 : Int.max
            deadlines[number] = time + min(own ?? .max / 2, limit == .max ? .max / 2 : limit)
            let properties = BasicProperties(
                priority: UInt8(random.below(4)),
                expiration: own.map { "\($0)".short }
            )
            scene.client.publish(routingKey: "q", properties: properties, body: Array("\(number)".utf8))
            if random.oneIn(3) {
                scene.advance(UInt64(1 + random.below(20)))
                time = Int((scene.broker.now.nanoseconds - 1_000_000_000) / 1_000_000)
            }
            scene.client.receive()
            for received in consumer.receive() {
                guard case .content(_, .basicDeliver(let deliver), _, let body) = received,
                    let number = Int(String(decoding: body, as: UTF8.self))
                else { continue }
                open.append((deliver.deliveryTag, number))
            }
            while !open.isEmpty && random.oneIn(2) {
                let (tag, number) = open.remove(at: random.below(open.count))
                if random.oneIn(3) {
                    consumer.send(BasicNack(deliveryTag: tag, requeue: true))
                } else {
                    consumer.send(BasicAck(deliveryTag: tag))
                    acknowledged.insert(number)
                }
            }
        }
        // What was acknowledged is, and the rest comes back.
        consumer.receive()
        consumer.disconnect()
        scene.broker.run()
        scene.advance(1000)
        let dead = scene.drain("dead").compactMap { Int($0) }
        let left = scene.drain("q").compactMap { Int($0) }
        #expect(Set(dead).isDisjoint(with: acknowledged))
        #expect(Set(dead).isDisjoint(with: left))
        #expect(dead.count == Set(dead).count)
        let known = Set(dead).union(left).union(acknowledged)
        #expect(Set(0..<400).subtracting(known) == [])
        #expect(left.allSatisfy { deadlines[$0].map { $0 > time + 1000 } ?? false })
        #expect(scene.broker.shards.allSatisfy { $0.store.messageCount == 0 })
    }

    @Test func theIndexOfAQueueThatIsConsumedStaysSmall() throws {
        let scene = QueueScene()
        scene.declare("q", ["x-message-ttl": .int64(3_600_000)])
        let consumer = SimulatedClient(scene.broker).open()
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        scene.publish("kept open")
        consumer.receive()
        let queue = try #require(scene.broker.shards.flatMap(\.queues).compactMap { $0 }.first)
        for number in 0..<2000 {
            scene.publish("x", expiration: "\(3_000_000 - number)".short)
            for case .content(_, .basicDeliver(let deliver), _, _) in consumer.receive() {
                consumer.call(BasicAck(deliveryTag: deliver.deliveryTag))
            }
            #expect(queue.pointee.extra.expiry.runCount <= 2 + 2 * 2 + ExpiryIndex.keptRuns)
        }
        // The one that is open goes on with its time when it comes back.
        scene.advance(3_599_000)
        consumer.disconnect()
        scene.broker.run()
        #expect(scene.counts("q") == "1 0")
        #expect(queue.pointee.extra.expiry.overdueCount <= 2 + ExpiryIndex.keptRuns)
        scene.advance(1000)
        #expect(scene.counts("q") == "0 0")
    }

    @Test func holesBehindALongOneStayFew() throws {
        let scene = QueueScene()
        scene.declare("q")
        scene.publish("stays")
        let queue = try #require(scene.broker.shards[0].queues.compactMap { $0 }.first)
        for _ in 0..<3000 {
            scene.publish("x", expiration: "1")
            scene.advance(1)
            #expect(queue.pointee.ready.count + queue.pointee.extra.requeued.count < 300)
        }
        scene.publish("last")
        #expect(scene.counts("q") == "2 0")
        #expect(scene.drain("q") == ["stays", "last"])
    }

    @Test func aMultitudeLeavesInPieces() {
        let scene = QueueScene()
        scene.declare("q", ["x-message-ttl": .int64(100)])
        for _ in 0..<20_000 { scene.client.publish(routingKey: "q", body: [1]) }
        scene.client.receive()
        let shard = scene.broker.shards[0]
        let later = scene.broker.now.advanced(milliseconds: 100)
        shard.fireTimers(now: later)
        #expect(shard.hasPendingWork)
        #expect(shard.store.messageCount > 10_000)
        // A get meanwhile is answered behind it, with nothing.
        let frame = SimulatedClient.frame(BasicGet(queue: "q", noAck: true), channel: 1)
        frame.withUnsafeBytes { shard.receive($0, on: scene.client.socket.id, now: later) }
        scene.advance(100)
        #expect(scene.client.receive().lines == ["1 basic.get-empty"])
        #expect(shard.store.messageCount == 0)
    }
}
