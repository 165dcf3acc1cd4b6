import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Random topologies: what is explained must be what then happens, and explaining must change nothing.
@Suite struct ExplainAgreesTests {
    private static let types: [ShortString] = [
        "direct", "topic", "fanout", "headers", "x-consistent-hash", "x-modulus-hash", "x-recent-history",
    ]
    private static let queues = (0..<5).map { "q\($0)".short }
    private static let exchanges = (0..<6).map { "e\($0)".short }

    private static func pick<Element>(_ elements: [Element], _ random: SeededRandom) -> Element {
        elements[Int(random.next() % UInt64(elements.count))]
    }

    private static func key(_ random: SeededRandom, _ words: [String]) -> String {
        (0..<(1 + random.next() % 2)).map { _ in Self.pick(words, random) }.joined(separator: ".")
    }

    private static func table(_ random: SeededRandom) -> FieldTable {
        let names = ["a", "b"].filter { _ in random.next() % 2 == 0 }
        return FieldTable(names.map { ($0.short, .int32(Int32(random.next() % 2))) })
    }

    private static func build(_ scene: ExplainScene, _ random: SeededRandom) {
        var types: [ShortString] = []
        for name in self.exchanges {
            let alternate: FieldTable =
                random.next() % 2 == 0 ? ["alternate-exchange": .text("\(self.pick(self.exchanges, random))")] : [:]
            types.append(self.pick(self.types, random))
            scene.exchange(name, types[types.count - 1], alternate)
        }
        for name in self.queues { scene.queue(name) }
        for _ in 0..<14 {
            let index = Int(random.next() % UInt64(self.exchanges.count))
            let source = self.exchanges[index]
            let key = types[index] == "x-consistent-hash" ? "2" : self.key(random, ["a", "b", "*", "#"])
            var arguments = types[index] == "headers" ? self.table(random) : [:]
            if types[index] == "headers", random.next() % 2 == 0 {
                arguments = FieldTable([("x-match", .text("any"))] + arguments.map { ($0.key, $0.value) })
            }
            if random.next() % 3 == 0 {
                scene.bind(exchange: self.pick(self.exchanges, random), to: source, key.short, arguments)
            } else {
                scene.bind(self.pick(self.queues, random), to: source, key.short, arguments)
            }
        }
    }

    @Test(arguments: 1...60)
    func withWhatHappens(seed: Int) {
        let random = SeededRandom(seed: UInt64(seed))
        let scene = ExplainScene()
        Self.build(scene, random)
        for step in 0..<25 {
            var headers = Self.table(random).map { ($0.key, $0.value) }
            if random.next() % 3 == 0 {
                headers.append(("CC", .array([.text(Self.key(random, ["a", "b"])), .text("q1")])))
            }
            let question = RouteQuestion(
                exchange: "\(Self.pick(Self.exchanges + [""], random))",
                routingKey: random.next() % 5 == 0 ? "q2" : Self.key(random, ["a", "b", "c"]),
                properties: BasicProperties(headers: FieldTable(headers)),
                isMandatory: random.next() % 2 == 0
            )
            let explanation = scene.explain(question)
            #expect(scene.explain(question) == explanation, "seed \(seed), step \(step)")
            scene.client.publish(
                exchange: question.exchange.short,
                routingKey: question.routingKey.short,
                mandatory: question.isMandatory,
                properties: question.properties,
                body: []
            )
            let isReturned = scene.client.receive().lines.contains { $0.contains("return") }
            let found = Self.queues.filter { queue in
                scene.client.call(QueuePurge(queue: queue)).lines.contains { $0.hasSuffix("purge-ok 1") }
            }
            let told = explanation.queueNames.sorted()
            #expect(told == found.map { "\($0)" }, "seed \(seed), step \(step): \(question) \(explanation.path)")
            #expect(!explanation.queues.contains { !$0.isCertain })
            let outcome: PublishVerdict =
                found.isEmpty ? .unroutable(isReturned: isReturned) : .routed(isRejected: false)
            #expect(explanation.outcome == outcome, "seed \(seed), step \(step)")
        }
    }
}
