import AMQPProtocol
import Testing

@testable import BrokerCore
@testable import BrokerSimulation

/// What a start finds of queues that were altered.
@Suite struct AlteredRestartTests {
    private typealias Scene = AlterQueueTests.Scene

    /// The arguments of `q` one after the other, as changes.
    private static let changes: [FieldTable] = [
        ["x-max-priority": .int64(3)],
        ["x-max-priority": .int64(9), "x-max-length": .int64(1_000)],
        ["x-max-priority": .void, "x-queue-type": .text("quorum")],
        ["x-queue-type": .void, "x-max-length": .void, "x-max-priority": .int64(1)],
    ]

    /// The order of messages `priority number` in a queue with arguments.
    private static func ordered(_ bodies: [String], _ arguments: FieldTable) -> [String] {
        let highest = arguments["x-max-priority"]?.integerValue.map { Int($0) } ?? 0
        let levels = bodies.map { min($0.first?.wholeNumberValue ?? 0, highest) }
        return bodies.indices.sorted { (levels[$1], $0) < (levels[$0], $1) }.map { bodies[$0] }
    }

    @Test(arguments: RestartTests.shardCounts)
    func aCrashAtAnyRecordKeepsEveryMessageAndTheArgumentsBeforeOrAfter(before: Int, after: Int) throws {
        let scene = Scene(shards: before)
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        var arguments: [FieldTable] = [[:]]
        var published: [(body: String, records: Int)] = []
        // From so many records on it is known that an alteration is done.
        var done = [scene.broker.durableRecords.count]
        for (step, change) in Self.changes.enumerated() {
            for number in 0..<4 {
                let body = "\((number * 7 + step) % 11 % 10) \(step).\(number)"
                scene.publish(body)
                published.append((body, scene.broker.durableRecords.count))
            }
            #expect(scene.alter(change) == [.done])
            arguments.append(TopologyOwner.altered(arguments[step], by: change))
            done.append(scene.broker.durableRecords.count)
        }
        let records = scene.broker.durableRecords
        for count in done[0]...records.count {
            let next = RestartTests.broker(after)
            try next.restore(Array(records.prefix(count)))
            let restarted = Scene(next)
            let found = try #require(restarted.snapshot()?.arguments)
            let least = done.lastIndex { $0 <= count } ?? 0
            #expect(found == arguments[least] || found == arguments[min(least + 1, arguments.count - 1)])
            let bodies = restarted.drain()
            let known = published.filter { $0.records <= count }.map(\.body)
            #expect(bodies == Self.ordered(known, found))
            #expect(restarted.declare(found) == "1 queue.declare-ok 0 0")
        }
    }

    @Test(arguments: RestartTests.shardCounts)
    func aTrimmedLogTellsTheLastArguments(before: Int, after: Int) throws {
        let scene = Scene(shards: before)
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        scene.publish("1 a", "3 a", "2 a")
        #expect(scene.alter(["x-max-priority": .int64(9)]) == [.done])
        scene.broker.trimLog()
        scene.publish("1 b", "5 b")
        let second = Scene(try RestartTests.restarted(scene.broker, shards: after))
        #expect(second.alter(["x-max-priority": .int64(2)]) == [.done])
        second.broker.trimLog {
            // In the middle of telling.
            _ = second.alter(["x-max-length": .int64(100)])
        }
        let third = Scene(try RestartTests.restarted(second.broker, shards: before))
        #expect(third.snapshot()?.arguments == ["x-max-priority": .int64(2), "x-max-length": .int64(100)])
        #expect(third.drain() == ["3 a", "2 a", "5 b", "1 a", "1 b"])
    }

    /// Publishes as much as takes several steps to be told; returns the bodies and the queue.
    private func fill(
        _ scene: Scene,
        priority: (Int) -> Int
    ) throws -> (bodies: [String], queue: UnsafeMutablePointer<QueueState>) {
        let filling = String(repeating: "x", count: 60_000)
        let bodies = (0..<40).map { "\(priority($0)) \($0) \(filling)" }
        for body in bodies { scene.publish(body) }
        return (bodies, try #require(scene.broker.shards[0].queues.compactMap { $0 }.first))
    }

    /// Messages go from the part that is being told to one that is told: the queue is gone through again.
    @Test func whatGoesBackWhileItIsToldIsTold() throws {
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-priority": .int64(9)]))
        let (bodies, queue) = try self.fill(scene) { $0 % 10 }
        var steps = 0
        scene.broker.trimLog {
            steps += 1
            guard steps <= 2 else { return }
            // Out of the levels before the first is told, and into them when some are.
            _ = scene.alter(["x-max-priority": steps == 1 ? .void : .int64(9)])
            #expect(queue.pointee.readyCount == bodies.count && !queue.pointee.isArranging)
        }
        #expect(steps > 3)
        let restarted = Scene(try RestartTests.restarted(scene.broker, shards: 1))
        #expect(restarted.drain() == Self.ordered(bodies, ["x-max-priority": .int64(9)]))
    }

    /// While live state is told again messages go back and forth between the parts of a queue: none is left out.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func whatIsMovedWhileItIsToldIsTold(seed: UInt64) throws {
        let random = SeededRandom(seed: 300 + seed)
        let scene = Scene()
        scene.client.call(QueueDeclare(queue: "q", durable: true))
        let (bodies, queue) = try self.fill(scene) { _ in random.below(10) }
        let shard = scene.broker.shards[0]
        var steps = 0
        scene.broker.trimLog {
            steps += 1
            guard steps < 100 else { return }
            if random.oneIn(3) || steps == 1 {
                var settings = QueueSettings()
                settings.maxPriority = random.oneIn(3) ? nil : UInt8(random.below(12))
                queue.pointee.govern(by: settings)
                queue.pointee.beginArranging()
            }
            if queue.pointee.isArranging {
                shard.arrange(queue, limit: random.below(30))
                shard.pendingWork.removeAll()
            }
        }
        #expect(steps > 3)
        let restarted = Scene(try RestartTests.restarted(scene.broker, shards: 1))
        #expect(restarted.drain() == bodies)
    }
}
