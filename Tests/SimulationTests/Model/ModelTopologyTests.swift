import BrokerSimulation
import Testing

/// The model's routing is right by itself: nothing checks the judge but tests.
@Suite struct ModelTopologyTests {
    private static func topology(_ bindings: [ModelBinding], exchanges: [ModelExchange.Kind] = []) -> ModelTopology {
        var topology = ModelTopology()
        topology.exchanges += exchanges.map { ModelExchange(name: "e", kind: $0, existence: .certain) }
        topology.bindings = bindings
        return topology
    }

    @Test(arguments: [
        ("#", "", true), ("*", "", false), ("*", "a", true), ("*", "a.b", false), ("#", "a.b", true),
        ("a.*", "a.b", true), ("a.*", "a", false), ("a.*", "a.", true), ("a.#", "a", true), ("#.b", "a.x.b", true),
        ("#.b", "a.x", false), ("*.#.b", "b", false), ("*.#.b", "a.b", true), ("a.#.#", "a", true),
        ("a*", "ab", false), ("", "", true), ("", "a", false), ("a..b", "a..b", true), ("a.*.b", "a..b", true),
    ])
    func matchesTopics(pattern: String, key: String, isMatch: Bool) {
        let topology = Self.topology([
            ModelBinding(source: 2, target: .queue(7), key: pattern, existence: .certain)
        ])
        let found = topology.route(from: 2, keys: [key], headers: [:]) { $0 == .certain }
        #expect(found == (isMatch ? [7] : []))
    }

    @Test(
        arguments: [
            ([:], true, [:], true), ([:], false, ["a": 1], false), (["a": 1], true, ["a": 1, "b": 2], true),
            (["a": 1, "b": 2], true, ["a": 1], false), (["a": 1, "b": 2], false, ["a": 1], true),
            (["a": 1], false, ["a": 2], false),
        ] as [([String: Int], Bool, [String: Int], Bool)]
    )
    func matchesHeaders(wanted: [String: Int], needsAll: Bool, headers: [String: Int], isMatch: Bool) {
        let topology = Self.topology([
            ModelBinding(
                source: 3,
                target: .queue(7),
                key: "",
                headers: wanted,
                needsAll: needsAll,
                existence: .certain
            )
        ])
        let found = topology.route(from: 3, keys: ["x"], headers: headers) { $0 == .certain }
        #expect(found == (isMatch ? [7] : []))
    }

    @Test func followsExchangesInCirclesOnce() {
        let topology = Self.topology(
            [
                ModelBinding(source: 4, target: .exchange(5), key: "", existence: .certain),
                ModelBinding(source: 5, target: .exchange(4), key: "k", existence: .certain),
                ModelBinding(source: 4, target: .queue(1), key: "", existence: .certain),
                ModelBinding(source: 5, target: .queue(2), key: "k", existence: .certain),
                ModelBinding(source: 5, target: .queue(3), key: "other", existence: .certain),
            ],
            exchanges: [.fanout, .direct]
        )
        #expect(topology.route(from: 4, keys: ["k"], headers: [:]) { $0 == .certain } == [1, 2])
        #expect(topology.route(from: 5, keys: ["k"], headers: [:]) { $0 == .certain } == [1, 2])
        #expect(topology.route(from: 4, keys: ["x"], headers: [:]) { $0 == .certain } == [1])
    }

    @Test func possibleIsMoreThanCertain() {
        var topology = Self.topology(
            [
                ModelBinding(source: 0, target: .queue(1), key: "k", existence: .certain),
                ModelBinding(source: 0, target: .queue(2), key: "k", existence: .starting),
                ModelBinding(source: 0, target: .queue(3), key: "k", existence: .doubtful),
                ModelBinding(source: 0, target: .queue(4), key: "k", existence: .gone),
            ]
        )
        #expect(topology.route(from: 0, keys: ["k"], headers: [:]) { $0 == .certain } == [1])
        #expect(topology.route(from: 0, keys: ["k"], headers: [:], isThere: \.isPossible) == [1, 2, 3])
        topology.exchanges[0].existence = .doubtful
        #expect(topology.route(from: 0, keys: ["k"], headers: [:]) { $0 == .certain } == [])
    }
}
