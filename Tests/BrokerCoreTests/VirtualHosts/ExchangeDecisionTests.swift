import AMQPProtocol
import Testing

@testable import BrokerCore

/// `exchange.declare` and `exchange.delete`, text by text.
@Suite struct ExchangeDecisionTests {
    @Test func theSameAgainIsFine() {
        let scene = TopologyScene()
        #expect(scene.exchange("e", type: "topic", durable: true) == "+exchange:e")
        #expect(scene.exchange("e", type: "topic", durable: true) == "done")
        // Other arguments than the alternate exchange are kept, and not compared.
        #expect(scene.exchange("e", type: "topic", durable: true, ["x-mine": .int32(1)]) == "done")
    }

    /// What an exchange is declared as, to be declared again otherwise.
    struct Properties: Sendable {
        var type = "direct"
        var durable = false
        var autoDelete = false
        var isInternal = false
        var arguments: FieldTable = .empty

        func declare(in scene: TopologyScene) -> String {
            scene.exchange(
                "e",
                type: self.type,
                durable: self.durable,
                autoDelete: self.autoDelete,
                isInternal: self.isInternal,
                self.arguments
            )
        }
    }

    private static let a: FieldTable = ["alternate-exchange": .text("a")]

    @Test(
        arguments: [
            (Properties(), Properties(type: "fanout"), "'type'", "received 'fanout' but current is 'direct'"),
            (
                Properties(type: "topic"), Properties(type: "headers"), "'type'",
                "received 'headers' but current is 'topic'"
            ),
            (Properties(), Properties(durable: true), "'durable'", "received 'true' but current is 'false'"),
            (Properties(durable: true), Properties(), "'durable'", "received 'false' but current is 'true'"),
            (Properties(), Properties(autoDelete: true), "'auto_delete'", "received 'true' but current is 'false'"),
            (Properties(autoDelete: true), Properties(), "'auto_delete'", "received 'false' but current is 'true'"),
            (Properties(), Properties(isInternal: true), "'internal'", "received 'true' but current is 'false'"),
            (Properties(isInternal: true), Properties(), "'internal'", "received 'false' but current is 'true'"),
            (
                Properties(), Properties(arguments: a), "'alternate-exchange'",
                "received the value 'a' of type 'longstr' but current is none"
            ),
            (
                Properties(arguments: a), Properties(), "'alternate-exchange'",
                "received none but current is the value 'a' of type 'longstr'"
            ),
            (
                Properties(arguments: a), Properties(arguments: ["alternate-exchange": .text("b")]),
                "'alternate-exchange'", "received 'b' but current is 'a'"
            ),
            // Of several differences the first of this order is named.
            (
                Properties(),
                Properties(type: "fanout", durable: true, autoDelete: true, isInternal: true, arguments: a),
                "'type'", "received 'fanout' but current is 'direct'"
            ),
            (
                Properties(), Properties(durable: true, autoDelete: true, isInternal: true, arguments: a), "'durable'",
                "received 'true' but current is 'false'"
            ),
            (
                Properties(), Properties(autoDelete: true, isInternal: true, arguments: a), "'auto_delete'",
                "received 'true' but current is 'false'"
            ),
            (
                Properties(), Properties(isInternal: true, arguments: a), "'internal'",
                "received 'true' but current is 'false'"
            ),
        ] as [(Properties, Properties, String, String)]
    )
    func declaringAgainMustSayTheSame(first: Properties, second: Properties, argument: String, text: String) {
        let scene = TopologyScene()
        #expect(first.declare(in: scene) == "+exchange:e")
        #expect(
            second.declare(in: scene)
                == "channel 406 exchange.declare inequivalent arg \(argument) for exchange 'e' in vhost '/': \(text)"
        )
        #expect(first.declare(in: scene) == "done", "it is as it was")
    }

    @Test(arguments: [
        ("x", "unknown exchange type 'x'"), ("", "invalid exchange type ''"),
        ("Direct", "unknown exchange type 'Direct'"),
        ("x-federation-upstream", "unknown exchange type 'x-federation-upstream'"),
        ("x-jms-topic", "unknown exchange type 'x-jms-topic'"),
    ])
    func namesTypesItDoesNotKnow(type: String, text: String) {
        let scene = TopologyScene()
        scene.exchange("e")
        // The type comes before everything else, whatever the name.
        for name in ["e", "new", "amq.mine", ""] {
            #expect(scene.exchange(name, type: type) == "connection 503 exchange.declare \(text)")
        }
        #expect(scene.exchange("e", type: type, passive: true) == "done")
    }

    @Test func passiveLooksAtTheNameOnly() {
        let scene = TopologyScene()
        scene.exchange("e", type: "fanout")
        #expect(scene.exchange("e", type: "nonsense", passive: true, durable: true, isInternal: true) == "done")
        #expect(
            scene.exchange("none", passive: true)
                == "channel 404 exchange.declare no exchange 'none' in vhost '/'"
        )
        #expect(
            scene.exchange("amq.mine", passive: true)
                == "channel 404 exchange.declare no exchange 'amq.mine' in vhost '/'"
        )
        #expect(scene.exchange("amq.topic", passive: true) == "done")
    }

    @Test func reservedNames() {
        let scene = TopologyScene()
        #expect(
            scene.exchange("amq.mine")
                == "channel 403 exchange.declare exchange name 'amq.mine' contains reserved prefix 'amq.*'"
        )
        #expect(scene.exchange("amqp") == "+exchange:amqp")
        #expect(scene.exchange("AMQ.mine") == "+exchange:AMQ.mine")
        // Those that are there may be declared again.
        #expect(scene.exchange("amq.direct", durable: true) == "done")
        #expect(
            scene.exchange("amq.direct")
                == "channel 406 exchange.declare inequivalent arg 'durable' for exchange 'amq.direct' in vhost '/': "
                + "received 'false' but current is 'true'"
        )
        for name in ["amq.direct", "amq.mine"] {
            #expect(
                scene.deleteExchange(name)
                    == "channel 403 exchange.delete deletion of system exchange '\(name)' in vhost '/' not allowed"
            )
        }
        #expect(scene.host.exchangeNames.contains("amq.direct"))
    }

    @Test func someAreThereFromTheStart() {
        let scene = TopologyScene()
        #expect(
            scene.host.exchangeNames == [
                "", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.rabbitmq.event", "amq.rabbitmq.trace",
                "amq.topic",
            ]
        )
        for (name, type) in [("direct", "direct"), ("fanout", "fanout"), ("headers", "headers"), ("match", "headers")] {
            #expect(scene.exchange("amq.\(name)", type: type, durable: true) == "done")
        }
        for name in ["amq.rabbitmq.event", "amq.rabbitmq.trace"] {
            #expect(scene.exchange(name, type: "topic", durable: true, isInternal: true) == "done")
        }
    }

    @Test func theDefaultExchangeStaysAsItIs() {
        let scene = TopologyScene()
        scene.queue("q")
        scene.exchange("e")
        func refused(_ method: String) -> String {
            "channel 403 \(method) operation not permitted on the default exchange"
        }
        #expect(scene.exchange("", durable: true) == refused("exchange.declare"))
        #expect(scene.exchange("", passive: true) == refused("exchange.declare"))
        #expect(scene.deleteExchange("") == refused("exchange.delete"))
        #expect(scene.deleteExchange("", ifUnused: true) == refused("exchange.delete"))
        #expect(scene.bind("q", to: "", "q") == refused("queue.bind"))
        #expect(scene.bind("none", to: "", "q") == refused("queue.bind"))
        #expect(scene.unbind("q", from: "", "q") == refused("queue.unbind"))
        #expect(scene.bind(exchange: "e", toExchange: "") == refused("exchange.bind"))
        #expect(scene.bind(exchange: "", toExchange: "e") == refused("exchange.bind"))
        #expect(scene.unbind(exchange: "e", fromExchange: "") == refused("exchange.unbind"))
        #expect(scene.unbind(exchange: "", fromExchange: "e") == refused("exchange.unbind"))
        #expect(scene.route("q", through: "") == ["q"])
    }

    @Test func theAlternateExchangeIsAString() {
        let scene = TopologyScene()
        func refused(_ type: String) -> String {
            "channel 406 exchange.declare invalid type '\(type)' for arg 'alternate-exchange' in exchange 'e' in vhost '/'"
        }
        #expect(scene.exchange("e", ["alternate-exchange": .int32(1)]) == refused("signedint"))
        #expect(scene.exchange("e", ["alternate-exchange": .boolean(true)]) == refused("bool"))
        #expect(scene.exchange("e", ["alternate-exchange": .table(.empty)]) == refused("table"))
        #expect(scene.exchange("e", passive: true).hasPrefix("channel 404"))
        #expect(scene.exchange("e", ["alternate-exchange": .text("not there")]) == "+exchange:e")
    }

    @Test func deletingLooksAtBindingsFromIt() {
        let scene = TopologyScene()
        scene.exchange("e")
        scene.exchange("source", type: "fanout")
        scene.queue("q")
        scene.bind(exchange: "e", toExchange: "source")
        scene.bind("q", to: "e", "k")
        #expect(
            scene.deleteExchange("e", ifUnused: true)
                == "channel 406 exchange.delete exchange 'e' in vhost '/' in use"
        )
        scene.unbind("q", from: "e", "k")
        #expect(scene.deleteExchange("e", ifUnused: true) == "-exchange:e", "bindings to it do not count")
        #expect(scene.deleteExchange("e", ifUnused: true) == "done", "what is not there is gone")
        #expect(scene.deleteExchange("never there") == "done")
        // Without if-unused bindings go with it.
        scene.exchange("e")
        scene.bind("q", to: "e", "k")
        #expect(scene.deleteExchange("e") == "-exchange:e")
        #expect(scene.host.queue(named: "q")?.incoming.count == 0)
        #expect(scene.host.exchange(named: "source")?.outgoing.count == 0)
    }

    @Test func lineEndsAreTakenOutOfNames() {
        let scene = TopologyScene()
        #expect(scene.exchange("\r\na\nb\r") == "+exchange:ab")
        #expect(scene.exchange("ab") == "done")
        scene.queue("q\n")
        #expect(scene.bind("\nq", to: "a\rb", "k\n") == "+ab->q:k\n", "keys are kept")
        #expect(scene.deleteExchange("ab\n") == "-exchange:ab")
        #expect(
            scene.exchange("\n\r") == "channel 403 exchange.declare operation not permitted on the default exchange"
        )
    }

    @Test func anUnknownVirtualHostIsRefused() {
        let scene = TopologyScene()
        #expect(
            scene.ask(.deleteExchange(name: "e", ifUnused: false), in: "other")
                == "connection 530 exchange.delete vhost 'other' not found"
        )
        scene.topology.apply(.addVirtualHost("other"))
        #expect(scene.ask(.deleteExchange(name: "e", ifUnused: false), in: "other") == "done")
        #expect(
            scene.ask(.deleteExchange(name: "amq.topic", ifUnused: false), in: "other")
                == "channel 403 exchange.delete deletion of system exchange 'amq.topic' in vhost 'other' not allowed"
        )
    }
}
