import AMQPProtocol
import Testing

@testable import BrokerCore

/// Binding and unbinding, and what goes with the last binding.
@Suite struct BindingDecisionTests {
    private func scene() -> TopologyScene {
        let scene = TopologyScene()
        scene.exchange("e")
        scene.exchange("f")
        scene.queue("q")
        return scene
    }

    @Test func bindingTwiceIsOnce() {
        let scene = self.scene()
        #expect(scene.bind("q", to: "e", "k") == "+e->q:k")
        #expect(scene.bind("q", to: "e", "k") == "done")
        #expect(scene.bind(exchange: "f", toExchange: "e", "k") == "+e->f:k")
        #expect(scene.bind(exchange: "f", toExchange: "e", "k") == "done")
        #expect(scene.host.exchange(named: "e")?.outgoing.count == 2)
        #expect(scene.unbind("q", from: "e", "k") == "-e->q:k")
        #expect(scene.unbind("q", from: "e", "k") == "done")
        #expect(scene.host.exchange(named: "e")?.outgoing.count == 1)
    }

    @Test func aQueueAndAnExchangeOfOneNameAreTwo() {
        let scene = self.scene()
        scene.exchange("q")
        #expect(scene.bind("q", to: "e", "k") == "+e->q:k")
        #expect(scene.bind(exchange: "q", toExchange: "e", "k") == "+e->q:k")
        #expect(scene.unbind(exchange: "q", fromExchange: "e", "k") == "-e->q:k")
        #expect(scene.route("k", through: "e") == ["q"], "the queue's binding is still there")
    }

    @Test(
        arguments: [
            (["a": .int32(1)], "done"),
            (["a": .int32(2)], "+e->q:k"), (["a": .int64(1)], "+e->q:k"), (["b": .int32(1)], "+e->q:k"),
            (["a": .text("1")], "+e->q:k"), (.empty, "+e->q:k"), (["a": .int32(1), "b": .void], "+e->q:k"),
        ] as [(FieldTable, String)]
    )
    func argumentsMakeAnotherBinding(arguments: FieldTable, answer: String) {
        let scene = self.scene()
        scene.bind("q", to: "e", "k", with: ["a": .int32(1)])
        #expect(scene.bind("q", to: "e", "k", with: arguments) == answer)
        #expect(scene.bind("q", to: "e", "K", with: ["a": .int32(1)]) == "+e->q:K", "and so do keys")
    }

    @Test(
        arguments: [
            (["a": .int32(1), "b": .int32(2)], ["b": .int32(2), "a": .int32(1)]),
            (["a": .int64(1)], ["a": .int64L(1)]),
            (["a": .bool(1)], ["a": .bool(2)]),
        ] as [(FieldTable, FieldTable)]
    )
    func argumentsThatMeanTheSameAreTheSame(first: FieldTable, second: FieldTable) {
        let scene = self.scene()
        #expect(scene.bind("q", to: "e", "k", with: first) == "+e->q:k")
        #expect(scene.bind("q", to: "e", "k", with: second) == "done")
        #expect(scene.unbind("q", from: "e", "k", with: second) == "-e->q:k")
    }

    @Test func bothEndsMustBeThere() {
        let scene = self.scene()
        func refused(_ method: String, _ what: String) -> String { "channel 404 \(method) no \(what) in vhost '/'" }
        #expect(scene.bind("q", to: "none") == refused("queue.bind", "exchange 'none'"))
        #expect(scene.bind("none", to: "e") == refused("queue.bind", "queue 'none'"))
        #expect(scene.bind("no queue", to: "no exchange") == refused("queue.bind", "exchange 'no exchange'"))
        #expect(scene.bind(exchange: "e", toExchange: "none") == refused("exchange.bind", "exchange 'none'"))
        #expect(scene.bind(exchange: "none", toExchange: "e") == refused("exchange.bind", "exchange 'none'"))
        #expect(scene.bind(exchange: "to", toExchange: "from") == refused("exchange.bind", "exchange 'from'"))
    }

    @Test func unbindingWhatIsNotThereIsFine() {
        let scene = self.scene()
        scene.bind("q", to: "e", "k")
        #expect(scene.unbind("q", from: "e", "other") == "done")
        #expect(scene.unbind("q", from: "f", "k") == "done")
        #expect(scene.unbind("none", from: "e", "k") == "done")
        #expect(scene.unbind("q", from: "none", "k") == "done")
        #expect(scene.unbind(exchange: "none", fromExchange: "e") == "done")
        #expect(scene.unbind(exchange: "f", fromExchange: "none") == "done")
        #expect(scene.route("k", through: "e") == ["q"])
    }

    @Test func anExclusiveQueueIsBoundByItsOwner() {
        let scene = self.scene()
        scene.queue("mine", exclusive: true, by: 1)
        func locked(_ method: String) -> String {
            "channel 405 \(method) cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It could be "
                + "originally declared on another connection or the exclusive property value does not match that of the "
                + "original declaration."
        }
        #expect(scene.bind("mine", to: "e", "k", by: 2) == locked("queue.bind"))
        #expect(scene.unbind("mine", from: "e", "k", by: 2) == "done", "there is nothing to refuse")
        #expect(scene.bind("mine", to: "e", "k", by: 1) == "+e->mine:k")
        #expect(scene.bind("mine", to: "e", "k", by: 2) == locked("queue.bind"))
        #expect(scene.unbind("mine", from: "e", "k", by: 2) == locked("queue.unbind"))
        #expect(scene.unbind("mine", from: "e", "k", by: 1) == "-e->mine:k")
    }

    @Test func autoDeleteExchangesGoWithTheirLastBinding() {
        let scene = self.scene()
        scene.exchange("auto", autoDelete: true)
        #expect(scene.unbind("q", from: "auto", "k") == "done", "it never had one")
        scene.bind(exchange: "auto", toExchange: "e", "k")
        scene.unbind(exchange: "auto", fromExchange: "e", "k")
        #expect(scene.exchange("auto", passive: true) == "done", "bindings to it do not count")
        scene.bind("q", to: "auto", "1")
        scene.bind("q", to: "auto", "2")
        #expect(scene.unbind("q", from: "auto", "1") == "-auto->q:1")
        #expect(scene.unbind("q", from: "auto", "2") == "-auto->q:2 -exchange:auto")
        #expect(scene.exchange("auto", passive: true).hasPrefix("channel 404"))
    }

    @Test func autoDeleteExchangesCascade() {
        let scene = self.scene()
        scene.exchange("a", type: "fanout", autoDelete: true)
        scene.exchange("b", type: "fanout", autoDelete: true)
        scene.exchange("c", type: "fanout", autoDelete: true)
        scene.bind(exchange: "b", toExchange: "a")
        scene.bind(exchange: "c", toExchange: "b")
        scene.bind("q", to: "c", "1")
        scene.bind("q", to: "c", "2")
        #expect(scene.route("", through: "a") == ["q"])
        #expect(scene.remove("q") == "-queue:q -exchange:c -exchange:b -exchange:a", "the nearest first")
        #expect(scene.host.exchangeNames.filter { $0.bytes.count == 1 } == ["e", "f"])
    }

    @Test func aCascadeStopsAtWhatHasOtherBindings() {
        let scene = self.scene()
        scene.queue("other")
        scene.exchange("a", type: "fanout", autoDelete: true)
        scene.exchange("b", type: "fanout", autoDelete: true)
        scene.exchange("plain", type: "fanout")
        scene.bind(exchange: "b", toExchange: "a")
        scene.bind(exchange: "b", toExchange: "plain")
        scene.bind("other", to: "a")
        scene.bind("q", to: "b")
        #expect(scene.unbind("q", from: "b") == "-b->q: -exchange:b")
        #expect(scene.route("", through: "a") == ["other"])
        #expect(scene.host.exchange(named: "plain")?.outgoing.isEmpty == true)
    }

    @Test func deletingAnExchangeCascadesToThoseThatLedToIt() {
        let scene = self.scene()
        scene.exchange("a", type: "fanout", autoDelete: true)
        scene.bind(exchange: "e", toExchange: "a")
        #expect(scene.deleteExchange("e") == "-exchange:e -exchange:a")
    }

    @Test func circlesOfAutoDeleteExchangesGoWhenTheyAreCut() {
        let scene = self.scene()
        scene.exchange("a", type: "fanout", autoDelete: true)
        scene.exchange("b", type: "fanout", autoDelete: true)
        scene.bind(exchange: "b", toExchange: "a")
        scene.bind(exchange: "a", toExchange: "b")
        #expect(scene.unbind(exchange: "b", fromExchange: "a") == "-a->b: -exchange:a -exchange:b")
        // One that is bound to itself.
        scene.exchange("a", type: "fanout", autoDelete: true)
        scene.bind(exchange: "a", toExchange: "a")
        scene.bind("q", to: "a")
        #expect(scene.unbind("q", from: "a") == "-a->q:")
        #expect(scene.deleteExchange("a") == "-exchange:a")
    }
}
