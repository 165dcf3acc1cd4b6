import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Spreading by hash: `x-consistent-hash` and `x-modulus-hash`.
@Suite struct HashExchangeTests {
    private static let keys = (0..<4000).map { "key.\($0)" }

    private func scene(_ type: String, weights: [(queue: String, weight: String)]) -> TopologyScene {
        let scene = TopologyScene()
        scene.exchange("e", type: type)
        for (queue, weight) in weights {
            scene.queue(queue)
            scene.bind(queue, to: "e", weight)
        }
        return scene
    }

    private func spread(_ scene: TopologyScene) -> [String: String] {
        var found: [String: String] = [:]
        for key in Self.keys {
            let queues = scene.route(key, through: "e")
            #expect(queues.count == 1, "\(key)")
            found[key] = queues.first
        }
        return found
    }

    @Test(arguments: [["1", "1", "1", "1"], ["1", "2", "5"], ["10", "30"], ["+3", "03", "100"]])
    func sharesFollowWeights(weights: [String]) {
        let scene = self.scene("x-consistent-hash", weights: weights.enumerated().map { ("q\($0.offset)", $0.element) })
        let shares = Dictionary(grouping: self.spread(scene).values) { $0 }.mapValues(\.count)
        let numbers = weights.map { Double($0.drop { $0 == "+" }) ?? 0 }
        for (index, weight) in numbers.enumerated() {
            let expected = weight / numbers.reduce(0, +)
            let share = Double(shares["q\(index)"] ?? 0) / Double(Self.keys.count)
            #expect(abs(share - expected) < 0.05 * max(expected, 0.3), "\(weight) of \(numbers): \(share)")
        }
    }

    @Test func aNewQueueTakesKeysAndMovesNone() {
        let scene = self.scene("x-consistent-hash", weights: (0..<9).map { ("q\($0)", "4") })
        let before = self.spread(scene)
        scene.queue("new")
        scene.bind("new", to: "e", "4")
        let after = self.spread(scene)
        let moved = Self.keys.filter { before[$0] != after[$0] }
        #expect(moved.allSatisfy { after[$0] == "new" })
        #expect(abs(moved.count - Self.keys.count / 10) < Self.keys.count / 50)
        scene.unbind("new", from: "e", "4")
        #expect(self.spread(scene) == before)
        // Without one of the first only its own keys move.
        scene.remove("q3")
        let without = self.spread(scene)
        #expect(Self.keys.allSatisfy { before[$0] == "q3" || before[$0] == without[$0] })
    }

    @Test func theOrderOfBindingsMeansNothing() {
        let weights = [("a", "1"), ("b", "2"), ("c", "3"), ("c", "1")]
        let first = self.spread(self.scene("x-consistent-hash", weights: weights))
        #expect(self.spread(self.scene("x-consistent-hash", weights: weights.reversed())) == first)
    }

    @Test func severalBindingsOfAQueueCountAsTheHeaviest() {
        let scene = self.scene("x-consistent-hash", weights: [("a", "1"), ("a", "9"), ("b", "1")])
        let count = self.spread(scene).values.count { $0 == "a" }
        #expect(abs(count - Self.keys.count * 9 / 10) < Self.keys.count / 25)
        scene.unbind("a", from: "e", "9")
        let half = self.spread(scene).values.count { $0 == "a" }
        #expect(abs(half - Self.keys.count / 2) < Self.keys.count / 25)
        scene.unbind("a", from: "e", "1")
        #expect(self.spread(scene).values.allSatisfy { $0 == "b" })
        scene.unbind("b", from: "e", "1")
        #expect(scene.route("k", through: "e") == [])
    }

    @Test(arguments: [
        ("1", "+e->q:1"), ("+3", "+e->q:+3"), ("01", "+e->q:01"),
        ("0", "The binding key must be greater than 0"), ("-1", "The binding key must be greater than 0"),
        ("abc", "The binding key must be an integer: <<\"abc\">>"),
        ("1.5", "The binding key must be an integer: <<\"1.5\">>"), ("", "The binding key must be an integer: <<>>"),
        (" 1", "The binding key must be an integer: <<\" 1\">>"),
    ])
    func weightsAreIntegers(key: String, answer: String) {
        let scene = TopologyScene()
        scene.exchange("e", type: "x-consistent-hash")
        scene.queue("q")
        let expected = answer.hasPrefix("+") ? answer : "channel 406 queue.bind \(answer)"
        #expect(scene.bind("q", to: "e", key) == expected)
    }

    private static let checked: [(FieldTable, String)] = [
        (
            ["hash-header": .text("h"), "hash-property": .text("message_id")],
            "hash-header and hash-property are mutually exclusive"
        ),
        (
            ["x-hash-on": .text("h"), "hash-property": .text("timestamp")],
            "hash-header and hash-property are mutually exclusive"
        ),
        (["hash-property": .text("app_id")], "Unsupported property: app_id"),
        (["hash-header": .int32(5)], "Invalid argument, 'hash-header' must be the name of a header"),
        (["x-algorithm": .text("crc")], "Invalid argument, 'x-algorithm' must be 'ring' or 'jump'"),
        (["hash-header": .text("")], ""),
        (["hash-property": .text("correlation_id")], ""),
        (["x-hash-on": .text("h"), "x-algorithm": .text("jump")], ""),
    ]

    @Test(arguments: checked)
    func argumentsAreChecked(arguments: FieldTable, refusal: String) {
        let answer = TopologyScene().exchange("e", type: "x-consistent-hash", arguments)
        #expect(answer == (refusal.isEmpty ? "+exchange:e" : "channel 406 exchange.declare \(refusal)"))
    }

    @Test(arguments: ["hash-header", "x-hash-on"] as [ShortString])
    func headersInsteadOfKeys(argument: ShortString) {
        let scene = TopologyScene()
        scene.exchange("e", type: "x-consistent-hash", [argument: .text("h")])
        for queue in ["a", "b"] {
            scene.queue(queue)
            scene.bind(queue, to: "e", "1")
        }
        func route(_ key: String, _ value: FieldValue?) -> [String] {
            scene.route(key, through: "e", headers: [value.map { ("h", $0) } ?? ("other", .void)])
        }
        let values = (0..<200).map { FieldValue.text("\($0)") }
        #expect(Set(values.map { route("k", $0) }) == [["a"], ["b"]])
        for value in values {
            #expect(route("k", value) == route("another", value))
        }
        // Without the header, and whatever its integer's width.
        #expect(Set((0..<50).map { route("\($0)", nil) }).count == 1)
        #expect(Set([FieldValue.int8(5), .int32(5), .int64(5), .uint16(5)].map { route("k", $0) }).count == 1)
    }

    @Test(arguments: ["message_id", "correlation_id", "timestamp"])
    func propertiesInsteadOfKeys(property: String) {
        let broker = SimulatedBroker(shardCount: 2)
        let client = SimulatedClient(broker).open()
        client.call(
            ExchangeDeclare(exchange: "e", type: "x-consistent-hash", arguments: ["hash-property": .text(property)])
        )
        for queue in ["a", "b"] as [ShortString] {
            client.call(QueueDeclare(queue: queue))
            client.call(QueueBind(queue: queue, exchange: "e", routingKey: "1"))
        }
        // The same key every time: a kept route would bring all of them to one queue.
        for number in 0..<60 {
            let text = "\(number / 2)".short
            let properties =
                switch property {
                case "message_id": BasicProperties(messageID: text)
                case "correlation_id": BasicProperties(correlationID: text)
                default: BasicProperties(timestamp: UInt64(number / 2))
                }
            client.publish(exchange: "e", routingKey: "k", properties: properties, body: [UInt8(number)])
        }
        client.receive()
        var counts: [Int] = []
        for queue in ["a", "b"] as [ShortString] {
            var numbers: [UInt8] = []
            while case .content(_, .basicGetOk, _, let body)? = client.call(BasicGet(queue: queue, noAck: true)).first {
                numbers += body
            }
            counts.append(numbers.count)
            // Both with one value are together.
            #expect(Set(numbers.map { $0 / 2 }).count * 2 == numbers.count)
        }
        #expect(counts.reduce(0, +) == 60)
        #expect(counts.allSatisfy { $0 > 10 })
    }

    @Test func theModulusCountsBindings() {
        let scene = self.scene("x-modulus-hash", weights: (0..<9).map { ("a", "\($0)") } + [("b", "anything")])
        let first = self.spread(scene)
        #expect(abs(first.values.count { $0 == "a" } - Self.keys.count * 9 / 10) < Self.keys.count / 25)
        let reversed = self.scene(
            "x-modulus-hash",
            weights: [("b", "anything")] + (0..<9).reversed().map { ("a", "\($0)") }
        )
        #expect(self.spread(reversed) == first)
        scene.remove("a")
        #expect(self.spread(scene).values.allSatisfy { $0 == "b" })
        scene.remove("b")
        #expect(scene.route("k", through: "e") == [])
    }
}
