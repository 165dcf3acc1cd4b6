import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The way of a message through several exchanges.
@Suite struct VirtualHostRoutingTests {
    private func scene(_ exchanges: [(String, type: String)], queues: [String]) -> TopologyScene {
        let scene = TopologyScene()
        for (name, type) in exchanges { scene.exchange(name, type: type) }
        for queue in queues { scene.queue(queue) }
        return scene
    }

    @Test func theDefaultExchange() {
        let scene = self.scene([], queues: ["q", "amq"])
        #expect(scene.route("q", through: "") == ["q"])
        #expect(scene.route("Q", through: "") == [])
        #expect(scene.route("", through: "") == [])
        #expect(scene.route("", through: "", extraKeys: ["amq", "none", "q", "q"]) == ["amq", "q"])
        scene.remove("q")
        #expect(scene.route("q", through: "") == [])
    }

    @Test func saysWhatIsNoWayIn() {
        let scene = TopologyScene()
        scene.exchange("inner", type: "fanout", isInternal: true)
        #expect(scene.route("k", through: "none") == ["noExchange"])
        #expect(scene.route("k", through: "inner") == ["internalExchange"])
        #expect(scene.route("k", through: "amq.rabbitmq.trace") == ["internalExchange"])
    }

    @Test(arguments: ["amq.direct", "amq.fanout", "amq.topic", "amq.headers", "amq.match"])
    func predeclaredExchangesRoute(exchange: String) {
        let scene = self.scene([], queues: ["q"])
        #expect(scene.route("k", through: exchange) == [])
        scene.bind("q", to: exchange, "k")
        #expect(scene.route("k", through: exchange) == ["q"])
    }

    @Test(arguments: ["direct", "fanout", "topic", "headers"])
    func everyQueueOnce(type: String) {
        let scene = self.scene([("e", type)], queues: ["a", "b"])
        for (number, key) in ["k", "k", "#", "*"].enumerated() {
            scene.bind("a", to: "e", key, with: ["n": .void, "x-match": .text(number == 0 ? "any" : "all")])
            scene.bind("b", to: "e", key, with: ["x-n": .int32(Int32(number))])
        }
        #expect(scene.route("k", through: "e", headers: [("n", .int32(1))]) == ["a", "b"])
        #expect(scene.route("k", through: "e", extraKeys: ["k", "k"], headers: [("n", .int32(1))]) == ["a", "b"])
    }

    @Test func circlesAndDiamonds() {
        let scene = self.scene(
            [("top", "fanout"), ("left", "direct"), ("right", "topic"), ("bottom", "fanout")],
            queues: ["q", "mid"]
        )
        scene.bind(exchange: "left", toExchange: "top")
        scene.bind(exchange: "right", toExchange: "top")
        scene.bind(exchange: "bottom", toExchange: "left", "k")
        scene.bind(exchange: "bottom", toExchange: "right", "#")
        scene.bind("q", to: "bottom")
        scene.bind("mid", to: "left", "k")
        #expect(scene.route("k", through: "top") == ["mid", "q"])
        // The key counts at every step.
        #expect(scene.route("other", through: "top") == ["q"])
        #expect(scene.route("other", through: "left") == [])
        // Round and round, and to itself.
        scene.bind(exchange: "top", toExchange: "bottom")
        scene.bind(exchange: "bottom", toExchange: "bottom")
        #expect(scene.route("k", through: "bottom") == ["mid", "q"])
        scene.unbind(exchange: "bottom", fromExchange: "right", "#")
        #expect(scene.route("other", through: "top") == [])
        #expect(scene.route("k", through: "top") == ["mid", "q"])
    }

    @Test func internalExchangesAreReachedThroughOthers() {
        let scene = self.scene([("e", "fanout")], queues: ["q"])
        scene.exchange("inner", type: "fanout", isInternal: true)
        scene.bind(exchange: "inner", toExchange: "e")
        scene.bind("q", to: "inner")
        #expect(scene.route("k", through: "e") == ["q"])
    }

    @Test func alternateExchanges() {
        let scene = self.scene([("last", "fanout")], queues: ["q", "alternate", "other"])
        scene.exchange("second", ["alternate-exchange": .text("last")])
        scene.exchange("first", ["alternate-exchange": .text("second")])
        scene.bind("q", to: "first", "k")
        scene.bind("other", to: "second", "o")
        scene.bind("alternate", to: "last")
        #expect(scene.route("k", through: "first") == ["q"])
        #expect(scene.route("o", through: "first") == ["other"])
        #expect(scene.route("none", through: "first") == ["alternate"])
        // One of the message's keys that is found is enough.
        #expect(scene.route("none", through: "first", extraKeys: ["k"]) == ["q"])
        #expect(scene.route("none", through: "first", extraKeys: ["o"]) == ["other"])
        // A binding to an exchange is a way, wherever that leads.
        scene.exchange("dead end", type: "fanout")
        scene.bind(exchange: "dead end", toExchange: "first", "d")
        #expect(scene.route("d", through: "first") == [])
        // An exchange in the middle has its alternate, too.
        scene.exchange("outer", type: "fanout")
        scene.bind(exchange: "first", toExchange: "outer")
        #expect(scene.route("none", through: "outer") == ["alternate"])
    }

    @Test func alternatesEndSomewhere() {
        let scene = self.scene([], queues: ["q"])
        scene.exchange("a", ["alternate-exchange": .text("b")])
        scene.exchange("b", ["alternate-exchange": .text("a")])
        scene.exchange("self", ["alternate-exchange": .text("self")])
        scene.exchange("lost", ["alternate-exchange": .text("not there")])
        for exchange in ["a", "b", "self", "lost"] {
            #expect(scene.route("k", through: exchange) == [])
        }
        scene.bind("q", to: "b", "k")
        #expect(scene.route("k", through: "a") == ["q"])
        // It need not be there yet.
        scene.exchange("not there", type: "fanout")
        scene.bind("q", to: "not there")
        #expect(scene.route("k", through: "lost") == ["q"])
        // An internal one is fine.
        scene.exchange("inner", type: "fanout", isInternal: true)
        scene.exchange("e", ["alternate-exchange": .text("inner")])
        scene.bind("q", to: "inner")
        #expect(scene.route("k", through: "e") == ["q"])
    }

    @Test(arguments: [
        ("direct", [], ["k"]), ("direct", ["b", "none"], ["b", "k"]), ("direct", ["b", "b", "k"], ["b", "k"]),
        ("topic", ["x.b"], ["k", "star"]), ("topic", [""], ["k"]), ("fanout", ["b"], ["b", "k", "star"]),
        ("headers", ["b"], ["b", "k", "star"]),
    ])
    func furtherKeysOfTheMessage(type: String, extraKeys: [String], queues: [String]) {
        let scene = self.scene([("e", type), ("outer", "fanout")], queues: ["k", "b", "star"])
        for (queue, key) in [("k", "k"), ("b", "b"), ("star", "*.b")] { scene.bind(queue, to: "e", key) }
        #expect(scene.route("k", through: "e", extraKeys: extraKeys) == queues)
        scene.bind(exchange: "e", toExchange: "outer")
        #expect(scene.route("k", through: "outer", extraKeys: extraKeys) == queues)
    }

    /// Random graphs of exchanges against what can be reached in them.
    @Test(arguments: UInt64(1)...20)
    func findsWhatCanBeReached(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let names = (0..<8).map { "e\($0)" }
        let scene = self.scene(names.map { ($0, "direct") }, queues: (0..<8).map { "q\($0)" })
        var edges: [(from: Int, to: Int, key: String, isQueue: Bool)] = []
        for _ in 0..<24 {
            let edge = (random.below(8), random.below(8), ["a", "b"][random.below(2)], random.oneIn(3))
            edges.append(edge)
            if edge.3 {
                scene.bind("q\(edge.1)", to: names[edge.0], edge.2)
            } else {
                scene.bind(exchange: names[edge.1], toExchange: names[edge.0], edge.2)
            }
        }
        for start in names.indices {
            for key in ["a", "b"] {
                var reached: Set<Int> = [start]
                var queues: Set<String> = []
                var work = [start]
                while let exchange = work.popLast() {
                    for edge in edges where edge.from == exchange && edge.key == key {
                        if edge.isQueue {
                            queues.insert("q\(edge.to)")
                        } else if reached.insert(edge.to).inserted {
                            work.append(edge.to)
                        }
                    }
                }
                #expect(scene.route(key, through: names[start]) == queues.sorted(), "seed \(seed)")
            }
        }
    }

    @Test func aRemovedExchangeIsNoWayAnyMore() {
        let scene = self.scene([("a", "fanout"), ("b", "fanout"), ("c", "fanout")], queues: ["q"])
        scene.bind(exchange: "b", toExchange: "a")
        scene.bind(exchange: "c", toExchange: "b")
        scene.bind("q", to: "c")
        #expect(scene.route("", through: "a") == ["q"])
        #expect(scene.deleteExchange("b") == "-exchange:b")
        #expect(scene.route("", through: "a") == [])
        #expect(scene.route("", through: "b") == ["noExchange"])
        // One of the same name starts without bindings.
        scene.exchange("b", type: "fanout")
        #expect(scene.route("", through: "b") == [])
        #expect(scene.route("", through: "a") == [])
    }
}
