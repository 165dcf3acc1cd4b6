import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Queues with a delay header: a message waits until the instant that its header says.
@Suite struct DelayHeaderTests {
    private static let arguments: FieldTable = ["x-delay-header": .text("eta")]

    /// The text of an instant some milliseconds behind the one that the simulation begins with, 2023-11-14T22:13:20Z.
    private static func text(_ milliseconds: Int, offsetHours: Int = 0) -> String {
        let time = 80_000_000 + milliseconds + offsetHours * 3_600_000
        func padded(_ number: Int, _ width: Int = 2) -> String {
            String(repeating: "0", count: max(width - "\(number)".count, 0)) + "\(number)"
        }
        let clock = [time / 3_600_000, time / 60_000 % 60, time / 1000 % 60].map { padded($0) }.joined(separator: ":")
        let offset = "\(offsetHours < 0 ? "-" : "+")\(padded(abs(offsetHours))):00"
        return "2023-11-14T\(clock).\(padded(time % 1000, 3))000\(offset)"
    }

    private func publish(_ scene: QueueScene, _ body: String, _ eta: FieldValue?, persistent: Bool = false) {
        scene.publish(body, persistent: persistent, headers: eta.map { ["lang": .text("py"), "eta": $0] })
    }

    @Test(arguments: [1, 2])
    func aMessageWaitsUntilItsInstant(shards: Int) {
        let scene = QueueScene(shards: shards)
        scene.declare("p", Self.arguments)
        scene.declare("q", Self.arguments)
        self.publish(scene, "text", .text(Self.text(3000)))
        self.publish(scene, "elsewhere", .text(Self.text(2000, offsetHours: -8)))
        self.publish(scene, "timestamp", .timestamp(SimulatedBroker.startOfTime / 1000 + 5))
        self.publish(scene, "number", .int64(Int64(SimulatedBroker.startOfTime) + 4000))
        self.publish(scene, "now", nil)
        #expect(scene.counts("q") == "1 0")
        #expect(scene.drain("q") == ["now"])
        var found: [String] = []
        for _ in 0..<60 {
            scene.advance(100)
            found += scene.drain("q").map { "\($0) \((scene.broker.now.nanoseconds - 1_000_000_000) / 100_000_000)" }
        }
        #expect(found.map { $0.split(separator: " ")[0] } == ["elsewhere", "text", "number", "timestamp"])
        for (line, due) in zip(found, [20, 30, 40, 50]) {
            let tenths = Int(line.split(separator: " ")[1]) ?? 0
            #expect(due...due + 10 ~= tenths, "\(line)")
        }
    }

    @Test func whatIsNoInstantIsNoDelay() {
        let scene = QueueScene()
        scene.declare("q", Self.arguments)
        let odd: [FieldValue] = [
            .text("soon"), .text(""), .text("2999-01-01"), .text("2999-01-01T00:00:00"), .text(Self.text(0)), .void,
            .bool(1), .table([:]), .array([.int64(.max)]), .int64(-1), .int64(.min), .timestamp(0), .double(1e300),
        ]
        for (number, value) in odd.enumerated() { self.publish(scene, "\(number)", value) }
        #expect(scene.drain("q") == odd.indices.map { "\($0)" })
        for value in [.text("9999-12-31T23:59:59Z"), .timestamp(.max), .int64(.max)] as [FieldValue] {
            self.publish(scene, "for ever", value)
        }
        scene.advance(1 << 40)
        #expect(scene.counts("q") == "0 0")
        #expect(scene.broker.shards[0].census.messages == 3)
        scene.client.call(QueuePurge(queue: "q"))
        #expect(scene.broker.shards[0].census.messages == 0)
    }

    @Test(arguments: [false, true], [1, 2])
    func noConsumerGetsItBefore(noAck: Bool, shards: Int) {
        let scene = QueueScene(shards: shards)
        scene.declare("p", Self.arguments)
        scene.declare("q", Self.arguments)
        let worker = SimulatedClient(scene.broker).open()
        worker.call(BasicConsume(queue: "q", consumerTag: "w", noAck: noAck))
        self.publish(scene, "later", .text(Self.text(10_000)))
        self.publish(scene, "now", .text("no"))
        #expect(worker.receive().compactMap(\.text) == ["now"])
        scene.advance(9_000)
        #expect(worker.receive().compactMap(\.text) == [])
        scene.advance(1_500)
        let received = worker.receive()
        #expect(received.compactMap(\.text) == ["later"])
        #expect(!received.lines.contains { $0.contains("redelivered") })
    }

    @Test(arguments: RestartTests.shardCounts)
    func whatWaitsOutlivesTheProcess(before: Int, after: Int) throws {
        let first = QueueScene(shards: before, isDurable: true)
        for name: ShortString in ["p", "q"] { first.declare(name, durable: true, Self.arguments) }
        for number in [3, 1, 2] {
            self.publish(first, "\(number)", .text(Self.text(number * 10_000)), persistent: true)
        }
        self.publish(first, "now", nil, persistent: true)
        self.publish(first, "transient", .text(Self.text(5_000)))
        first.broker.trimLog {}
        let second = try first.restarted(shards: after, afterMilliseconds: 5_000)
        #expect(second.drain("q") == ["now"])
        second.advance(7_000)
        #expect(second.drain("q") == ["1"])
        second.advance(8_000)
        #expect(second.drain("q") == ["2"])
        second.advance(12_000)
        #expect(second.drain("q") == ["3"])
        let third = try second.restarted(afterMilliseconds: 60_000)
        #expect(third.drain("q") == [])
    }

    @Test func itIsConfirmedWhenTheLogHasIt() {
        let scene = QueueScene(isDurable: true)
        scene.declare("q", durable: true, Self.arguments)
        scene.client.call(ConfirmSelect())
        scene.broker.isLogHeld = true
        self.publish(scene, "later", .text(Self.text(10_000)), persistent: true)
        #expect(scene.client.receive().lines == [])
        scene.broker.isLogHeld = false
        #expect(scene.client.receive().lines == ["1 ack 1"])
    }

    @Test func aPolicyCanSayIt() {
        let scene = QueueScene()
        scene.declare("q")
        let request = PolicyRequest(
            virtualHost: "/",
            name: "later",
            pattern: "^q$",
            applyTo: "queues",
            priority: 0,
            definition: ["delay-header": .text("eta")]
        )
        _ = scene.broker.administer(.setPolicy(request, isOperator: false))
        self.publish(scene, "later", .text(Self.text(10_000)))
        #expect(scene.counts("q") == "0 0")
        scene.advance(11_000)
        #expect(scene.drain("q") == ["later"])
    }

    @Test func limitsTimesAndPrioritiesHoldForWhatWaits() {
        let scene = QueueScene()
        scene.declareDeadLetters(
            Self.arguments.map { ($0.key, $0.value) } + [
                ("x-max-length", .int32(2)), ("x-max-priority", .int32(5)),
            ]
        )
        let later = FieldValue.text(Self.text(10_000))
        for number in 0..<4 { self.publish(scene, "\(number)", later) }
        scene.publish("short", expiration: "5000", headers: ["eta": later])
        scene.publish("at once", expiration: "0", headers: ["eta": later])
        self.publish(scene, "now", nil)
        #expect(scene.counts("q") == "1 0", "what waits takes no room")
        #expect(scene.drain("dead") == ["at once"])
        scene.advance(11_000)
        #expect(Set(scene.drain("dead")) == ["short", "0", "1", "2"], "at their old places they are in front")
        #expect(scene.drain("q") == ["3", "now"])
    }

    @Test func aUniqueMessageThatWaitsKeepsItsID() {
        let scene = QueueScene()
        scene.declare("q", ["x-delay-header": .text("eta"), "x-message-deduplication": .bool(1)])
        let headers: FieldTable = ["eta": .text(Self.text(10_000)), "x-deduplication-header": .text("a")]
        scene.publish("later", "again", headers: headers)
        scene.publish("now", headers: ["x-deduplication-header": .text("a")])
        #expect(scene.counts("q") == "0 0")
        scene.advance(11_000)
        #expect(scene.drain("q") == ["later"])
        scene.publish("anew", headers: ["x-deduplication-header": .text("a")])
        #expect(scene.drain("q") == ["anew"])
    }
}
