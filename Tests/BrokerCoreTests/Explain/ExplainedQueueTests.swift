import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What is said of the queues that a publish comes to.
@Suite struct ExplainedQueueTests {
    struct Row: CustomTestStringConvertible {
        var arguments: FieldTable
        var ready = 0
        var properties = BasicProperties()
        var bodyBytes = 0
        var notes: [QueueNote]
        var outcome = PublishVerdict.routed(isRejected: false)
        var testDescription: String { "\(self.arguments) with \(self.ready): \(self.notes)" }
    }

    private static let limit: FieldTable = ["x-max-length": .int32(2)]
    private static func limit(_ overflow: String, _ exchange: String? = nil) -> FieldTable {
        var entries: [(ShortString, FieldValue)] = [("x-max-length", .int32(2)), ("x-overflow", .text(overflow))]
        if let exchange { entries.append(("x-dead-letter-exchange", .text(exchange))) }
        return FieldTable(entries)
    }

    private static let rows: [Row] = [
        Row(arguments: [:], notes: [.noConsumer]),
        Row(arguments: limit, ready: 1, notes: [.noConsumer]),
        Row(
            arguments: limit,
            ready: 2,
            notes: [.dropsOldest(limit: "max-length", of: 2, now: 2, deadLetterExchange: nil), .noConsumer]
        ),
        Row(
            arguments: limit("drop-head", "dlx"),
            ready: 2,
            notes: [.dropsOldest(limit: "max-length", of: 2, now: 2, deadLetterExchange: "dlx"), .noConsumer]
        ),
        Row(
            arguments: limit("reject-publish"),
            ready: 2,
            notes: [.refuses(limit: "max-length", of: 2, now: 2), .noConsumer],
            outcome: .routed(isRejected: true)
        ),
        Row(
            arguments: limit("reject-publish-dlx", "dlx"),
            ready: 2,
            notes: [.refusesToDeadLetter(limit: "max-length", of: 2, now: 2, exchange: "dlx"), .noConsumer],
            outcome: .routed(isRejected: true)
        ),
        Row(
            arguments: ["x-max-length-bytes": .int32(5)],
            ready: 1,
            bodyBytes: 3,
            notes: [.dropsOldest(limit: "max-length-bytes", of: 5, now: 4, deadLetterExchange: nil), .noConsumer]
        ),
        Row(arguments: ["x-max-length-bytes": .int32(5)], bodyBytes: 5, notes: [.noConsumer]),
        Row(arguments: ["x-max-length-bytes": .int32(5)], bodyBytes: 6, notes: [.tooLarge(limit: 5), .noConsumer]),
        Row(arguments: ["x-message-ttl": .int32(0)], notes: [.expiresAtOnce(deadLetterExchange: nil), .noConsumer]),
        Row(arguments: ["x-message-ttl": .int32(70)], notes: [.expires(milliseconds: 70), .noConsumer]),
        Row(
            arguments: ["x-message-ttl": .int32(70)],
            properties: BasicProperties(expiration: "50"),
            notes: [.expires(milliseconds: 50), .noConsumer]
        ),
        Row(
            arguments: ["x-max-priority": .int32(5)],
            properties: BasicProperties(priority: 9),
            notes: [.priorityLowered(to: 5), .noConsumer]
        ),
        Row(arguments: [:], properties: BasicProperties(deliveryMode: 2), notes: [.noConsumer, .notDurable]),
    ]

    /// Bodies of four octets are in the queue; what is said must be what then happens.
    @Test(arguments: rows)
    func tellsWhatTheQueueWillDo(row: Row) throws {
        let scene = ExplainScene()
        scene.queue("q", row.arguments)
        scene.client.call(ConfirmSelect())
        for _ in 0..<row.ready { scene.client.publish(routingKey: "q", body: [1, 2, 3, 4]) }
        scene.client.receive()
        let question = RouteQuestion(
            exchange: "",
            routingKey: "q",
            properties: row.properties,
            bodyBytes: row.bodyBytes
        )
        let explanation = scene.explain(question)
        let state = try #require(explanation.queues.first?.state)
        #expect(state.notes == row.notes && state.ready == row.ready && state.consumers == 0)
        #expect(explanation.outcome == row.outcome)
        #expect(row.notes.allSatisfy { !$0.text.isEmpty })
        scene.client.publish(
            routingKey: "q",
            properties: row.properties,
            body: [UInt8](repeating: 0, count: row.bodyBytes)
        )
        let isRefused = scene.client.receive().lines.contains { $0.contains("nack") }
        #expect(isRefused == (row.outcome == .routed(isRejected: true)))
        scene.broker.settle()
        let ready = try #require(scene.explain(question).queues.first?.state).ready
        let isGone = row.notes.contains { note in
            switch note {
            case .expiresAtOnce, .tooLarge, .dropsOldest, .refuses, .refusesToDeadLetter, .duplicate, .waits: true
            case .expires, .noConsumer, .notDurable, .priorityLowered: false
            }
        }
        #expect(ready == row.ready + (isGone ? 0 : 1))
    }

    @Test(arguments: [1, 3])
    func everyShardTellsOfItsQueues(shards: Int) throws {
        let scene = ExplainScene(shards: shards)
        scene.exchange("f", "fanout")
        let names = (0..<6).map { "q\($0)".short }
        for (number, name) in names.enumerated() {
            // Queues live where they were declared.
            let client = SimulatedClient(scene.broker, shard: number % shards).open()
            client.call(QueueDeclare(queue: name))
            scene.bind(name, to: "f")
        }
        for _ in 0..<3 { scene.client.publish(exchange: "f", routingKey: "", body: []) }
        scene.client.receive()
        scene.client.call(BasicQos(prefetchCount: 2))
        scene.client.call(BasicConsume(queue: "q4"))
        let parts = scene.broker.administer(.explain(RouteQuestion(exchange: "f", routingKey: "")))
        #expect(parts.count == shards)
        let explanation = scene.explain("f")
        #expect(explanation.queueNames == names.map { "\($0)" })
        #expect(Set(explanation.queues.map(\.shard)).count == shards)
        let states = try explanation.queues.map { try #require($0.state) }
        #expect(states.map(\.ready) == [3, 3, 3, 3, 1, 3] && states.map(\.consumers) == [0, 0, 0, 0, 1, 0])
        #expect(states[4].unacknowledged == 2 && states[4].notes.isEmpty && !states[4].deliversAtOnce)
    }

    /// Who refuses does so before a consumer is looked for.
    @Test(arguments: [("drop-head", true), ("reject-publish", false)])
    func aConsumerThatWaitsGetsWhatIsNotRefused(overflow: String, isTaken: Bool) throws {
        let scene = ExplainScene()
        scene.queue("q", ["x-max-length": .int32(0), "x-message-ttl": .int32(0), "x-overflow": .text(overflow)])
        scene.client.call(BasicConsume(queue: "q", noAck: true))
        let explanation = scene.explain("", "q")
        let state = try #require(explanation.queues.first?.state)
        #expect(state.deliversAtOnce && explanation.outcome == .routed(isRejected: !isTaken))
        #expect(state.notes == (isTaken ? [] : [.refuses(limit: "max-length", of: 0, now: 0)]))
        scene.client.publish(routingKey: "q", body: [7])
        #expect(scene.client.receive().lines.contains { $0.contains("deliver") } == isTaken)
    }

    @Test func headersThatQueuesLookAtAreTold() throws {
        let scene = ExplainScene()
        scene.queue(
            "q",
            ["x-message-deduplication": .bool(1), "x-delay-header": .text("eta"), "x-max-length": .int32(0)]
        )
        let id: (ShortString, FieldValue) = ("x-deduplication-header", .text("a"))
        let eta: (ShortString, FieldValue) = ("eta", .int64(Int64(SimulatedBroker.startOfTime) + 60_000))
        scene.client.publish(routingKey: "q", properties: BasicProperties(headers: FieldTable([id, eta])), body: [])
        scene.client.receive()
        func notes(_ headers: (ShortString, FieldValue)...) throws -> [QueueNote] {
            let properties = BasicProperties(headers: FieldTable(headers))
            let found = scene.explain(RouteQuestion(exchange: "", routingKey: "q", properties: properties))
            return try #require(found.queues.first?.state).notes
        }
        #expect(try notes(id) == [.duplicate, .noConsumer])
        #expect(try notes(id, eta) == [.duplicate, .noConsumer])
        guard case .waits(let milliseconds, "eta") = try #require(try notes(eta).first) else {
            Issue.record("it does not wait")
            return
        }
        #expect(59_000...60_000 ~= milliseconds)
        let limit = QueueNote.dropsOldest(limit: "max-length", of: 0, now: 0, deadLetterExchange: nil)
        #expect(try notes(("eta", .text("soon"))) == [limit, .noConsumer])
        #expect(try notes(id).allSatisfy { !$0.text.isEmpty })
    }
}
