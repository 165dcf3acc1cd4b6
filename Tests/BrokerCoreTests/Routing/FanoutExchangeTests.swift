import Testing

@testable import BrokerCore

/// Routing to every binding.
@Suite struct FanoutExchangeTests {
    @Test(arguments: ["", "k", "never.bound", "#"])
    func routesWhateverTheKey(key: String) {
        let scene = TopologyScene()
        scene.exchange("e", type: "fanout")
        #expect(scene.route(key, through: "e") == [])
        for (queue, bound) in [("a", "k"), ("b", ""), ("c", "other")] {
            scene.queue(queue)
            scene.bind(queue, to: "e", bound)
        }
        #expect(scene.route(key, through: "e") == ["a", "b", "c"])
        scene.unbind("a", from: "e", "k")
        #expect(scene.route(key, through: "e") == ["b", "c"])
    }

    @Test func aQueueBoundTwiceGetsOneCopyAndKeepsTheOther() {
        let scene = TopologyScene()
        scene.exchange("e", type: "fanout")
        scene.queue("q")
        scene.bind("q", to: "e", "one")
        scene.bind("q", to: "e", "two")
        #expect(scene.route("", through: "e") == ["q"])
        scene.unbind("q", from: "e", "one")
        #expect(scene.route("", through: "e") == ["q"])
        scene.unbind("q", from: "e", "two")
        #expect(scene.route("", through: "e") == [])
    }
}
