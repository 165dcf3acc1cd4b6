import Testing

@testable import BrokerCore

/// Routing by equal keys.
@Suite struct DirectExchangeTests {
    @Test(arguments: [
        ("k", ["q0", "q3"]), ("K", []), ("k.", []), ("", ["q2"]), ("*", ["q1"]), ("other", []),
        (String(repeating: "k", count: 255), ["q4"]), (String(repeating: "k", count: 254), []),
    ])
    func routesByTheWholeKey(key: String, queues: [String]) {
        let scene = TopologyScene()
        scene.exchange("e")
        for (number, key) in ["k", "*", "", "k", String(repeating: "k", count: 255)].enumerated() {
            scene.queue("q\(number)")
            scene.bind("q\(number)", to: "e", key)
        }
        #expect(scene.route(key, through: "e") == queues)
    }

    @Test func manyKeysStayApart() {
        let scene = TopologyScene()
        scene.exchange("e")
        for number in 0..<500 {
            scene.queue("q\(number)")
            scene.bind("q\(number)", to: "e", "key.\(number)")
        }
        for number in stride(from: 0, to: 500, by: 2) {
            scene.unbind("q\(number)", from: "e", "key.\(number)")
        }
        for number in 0..<500 {
            #expect(scene.route("key.\(number)", through: "e") == (number % 2 == 0 ? [] : ["q\(number)"]))
        }
    }

    @Test func oneOfSeveralBindingsMayGo() {
        let scene = TopologyScene()
        scene.exchange("e")
        for queue in ["a", "b", "c"] {
            scene.queue(queue)
            scene.bind(queue, to: "e", "k")
        }
        scene.unbind("a", from: "e", "k")
        #expect(scene.route("k", through: "e") == ["b", "c"])
        scene.remove("c")
        #expect(scene.route("k", through: "e") == ["b"])
        scene.unbind("b", from: "e", "k")
        #expect(scene.route("k", through: "e") == [])
        scene.bind("a", to: "e", "k")
        #expect(scene.route("k", through: "e") == ["a"])
    }
}
