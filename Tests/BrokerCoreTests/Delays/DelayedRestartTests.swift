import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Messages that wait outlive the process, with their times.
@Suite struct DelayedRestartTests {
    private func publish(_ client: SimulatedClient, _ text: String, delay: Int32, persistent: Bool = true) {
        client.publish(
            exchange: "d",
            routingKey: "k",
            properties: BasicProperties(headers: ["x-delay": .int32(delay)], deliveryMode: persistent ? 2 : 1),
            body: Array(text.utf8)
        )
    }

    private func open(_ broker: SimulatedBroker, shard: Int = 0) -> SimulatedClient {
        let client = SimulatedClient(broker, shard: shard).open()
        client.call(
            ExchangeDeclare(
                exchange: "d",
                type: "x-delayed-message",
                durable: true,
                arguments: ["x-delayed-type": .text("fanout")]
            )
        )
        client.call(QueueDeclare(queue: "q", durable: true))
        client.call(QueueBind(queue: "q", exchange: "d", routingKey: ""))
        return client
    }

    /// Another process with the same log, after some time.
    private func restarted(_ broker: SimulatedBroker, shards: Int, after milliseconds: UInt64) throws -> SimulatedBroker
    {
        let next = RestartTests.broker(shards)
        next.setWallClock(epochMilliseconds: SimulatedBroker.startOfTime + milliseconds)
        try next.restore(broker.durableRecords)
        return next
    }

    @Test(arguments: RestartTests.shardCounts)
    func timesAreKept(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let client = self.open(first, shard: before - 1)
        client.call(ConfirmSelect())
        first.isLogHeld = true
        self.publish(client, "3 s", delay: 3000)
        #expect(client.receive().lines == [], "not before the log has it")
        first.isLogHeld = false
        #expect(client.receive().lines == ["1 ack 1"])
        self.publish(client, "transient", delay: 100, persistent: false)
        self.publish(client, "1 s", delay: 1000)
        self.publish(client, "5 s", delay: 5000)
        client.receive()
        let second = try self.restarted(first, shards: after, after: 2000)
        // What should have come meanwhile comes at once.
        second.advance(milliseconds: 0)
        #expect(second.drain() == ["1 s"])
        second.advance(milliseconds: 999)
        #expect(second.drain() == [])
        second.advance(milliseconds: 1)
        #expect(second.drain() == ["3 s"])
        let other = SimulatedClient(second, shard: after - 1).open()
        self.publish(other, "new", delay: 2500)
        other.receive()
        let ids = second.shards.flatMap { $0.delayedMessages(virtualHost: "/", limit: 9) }.map(\.id)
        #expect(Set(ids).count == 2)
        // What has come is in the queue's records, and only there.
        let third = try self.restarted(second, shards: before, after: 6000)
        third.advance(milliseconds: 0)
        #expect(third.drain().sorted() == ["5 s", "new"])
        let fourth = try self.restarted(third, shards: 1, after: 10_000)
        fourth.advance(milliseconds: 1000)
        #expect(fourth.drain() == [])
    }

    @Test(arguments: RestartTests.shardCounts)
    func whatHasComeIsInItsQueue(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let client = self.open(first, shard: before - 1)
        for number in 0..<5 { self.publish(client, "\(number)", delay: 100) }
        client.receive()
        first.advance(milliseconds: 100)
        first.run()
        let second = try self.restarted(first, shards: after, after: 100)
        second.advance(milliseconds: 1000)
        #expect(second.drain() == ["0", "1", "2", "3", "4"])
    }

    @Test(arguments: [1, 3])
    func aCrashAtAnyRecordLosesNothing(shards: Int) throws {
        let first = RestartTests.broker(shards)
        let client = self.open(first, shard: shards - 1)
        for number in 0..<4 { self.publish(client, "\(number)", delay: Int32(100 + number)) }
        client.receive()
        let published = first.durableRecords.count
        first.advance(milliseconds: 200)
        first.run()
        #expect(first.durableRecords.count > published)
        for count in published...first.durableRecords.count {
            let next = RestartTests.broker(1)
            next.setWallClock(epochMilliseconds: SimulatedBroker.startOfTime + 300)
            try next.restore(Array(first.durableRecords.prefix(count)))
            next.advance(milliseconds: 10)
            let found = next.drain()
            // Torn between two records it may come twice, never not at all.
            #expect(Set(found) == ["0", "1", "2", "3"], "after \(count) records")
            if count == first.durableRecords.count { #expect(found.count == 4) }
        }
    }

    @Test func cancelledAndMovedStaySo() throws {
        let first = RestartTests.broker(1)
        let client = self.open(first)
        for (text, delay) in [("gone", 100), ("moved", 100), ("stays", 200)] as [(String, Int32)] {
            self.publish(client, text, delay: delay)
        }
        client.receive()
        let listed = first.shards[0].delayedMessages(virtualHost: "/", limit: 9)
        #expect(listed.map(\.isPersistent) == [true, true, true])
        #expect(first.shards[0].cancelDelayedMessage(id: listed[0].id))
        #expect(
            first.shards[0].rescheduleDelayedMessage(
                id: listed[1].id,
                toEpochMilliseconds: SimulatedBroker.startOfTime + 300
            )
        )
        // A turn ends.
        client.call(BasicQos(prefetchCount: 1))
        first.run()
        let second = try self.restarted(first, shards: 1, after: 0)
        second.advance(milliseconds: 200)
        #expect(second.drain() == ["stays"])
        second.advance(milliseconds: 99)
        #expect(second.drain() == [])
        second.advance(milliseconds: 1)
        #expect(second.drain() == ["moved"])
    }

    @Test(arguments: RestartTests.shardCounts)
    func aTrimmedLogTellsTheSame(before: Int, after: Int) throws {
        let first = RestartTests.broker(before)
        let client = self.open(first, shard: before - 1)
        let body = String(repeating: "x", count: 50_000)
        var expected: Set<String> = []
        var number = 0
        func publish() {
            // Mixed times, so that the heap is turned over while it is told.
            let text = "\(number) " + body
            self.publish(client, text, delay: Int32(1000 + (number * 7919) % 500))
            expected.insert(text)
            number += 1
        }
        for _ in 0..<60 { publish() }
        client.receive()
        var steps = 0
        first.trimLog {
            steps += 1
            guard steps < 40 else { return }
            publish()
            client.receive()
            first.advance(milliseconds: 25)
        }
        #expect(steps > 2)
        let second = try self.restarted(first, shards: after, after: 5000)
        second.advance(milliseconds: 10)
        let found = second.drain()
        #expect(Set(found) == expected)
        #expect(found.count == expected.count)
    }

    @Test func recordsAreReadAsTheyWereWritten() throws {
        let first = RestartTests.broker(1)
        let client = self.open(first)
        self.publish(client, "body", delay: 1000)
        client.receive()
        let record = try #require(first.durableRecords.first { $0.type == LogRecordType.delayed.rawValue })
        let delay = try record.payload.withUnsafeBytes { try DelayedRecord($0).delay }
        #expect(delay.deadline == SimulatedBroker.startOfTime + 1000)
        #expect(delay.origin == DelayOrigin(virtualHost: "/", exchange: "d"))
        #expect(delay.message.bytes.suffix(4) == Array("body".utf8))
        for count in 1..<record.payload.count {
            #expect(throws: RecordError.self) {
                try record.payload.prefix(count).withUnsafeBytes { _ = try DelayedRecord($0) }
            }
        }
        let changes: [(id: UInt64, deadline: UInt64)] = [(7, 0), (8, 1 << 40)]
        let payload = [UInt8](unsafeUninitializedCapacity: DelaysChangedRecord.size(2)) { buffer, count in
            guard let base = buffer.baseAddress else { return }
            DelaysChangedRecord.write(changes, at: UnsafeMutableRawPointer(base))
            count = DelaysChangedRecord.size(2)
        }
        let read = try payload.withUnsafeBytes { try DelaysChangedRecord($0).changes }
        #expect(read.map(\.id) == [7, 8])
        #expect(read.map(\.deadline) == [0, 1 << 40])
        #expect(throws: RecordError.damaged) {
            try payload.dropLast().withUnsafeBytes { _ = try DelaysChangedRecord($0) }
        }
    }
}
