import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The way of a publish, as it is explained.
@Suite struct ExplainTests {
    @Test func tellsEveryBindingAndWhy() throws {
        let scene = ExplainScene()
        scene.exchange("d", "direct")
        for queue in ["q", "r"] as [ShortString] { scene.queue(queue) }
        scene.bind("q", to: "d", "k")
        scene.bind("r", to: "d", "other")
        let explanation = scene.explain("d", "k")
        #expect(explanation.path == ["d <- publish"])
        let visit = try #require(explanation.exchanges.first)
        #expect(visit.type == "direct" && visit.isCertain && visit.alternate == nil && visit.untoldBindings == 0)
        #expect(
            visit.bindings == [
                BindingVerdict(destination: "q", isQueue: true, routingKey: "k", match: .yes, reason: .sameKey("k")),
                BindingVerdict(
                    destination: "r",
                    isQueue: true,
                    routingKey: "other",
                    match: .no,
                    reason: .otherKey("k")
                ),
            ]
        )
        #expect(explanation.queueNames == ["q"] && explanation.outcome == .routed(isRejected: false))
        #expect(explanation.access.map(\.check) == [.exchange, .internalExchange, .write, .properties])
        #expect(explanation.isComplete)
    }

    @Test func followsExchangesAlternatesAndCircles() {
        let scene = ExplainScene()
        scene.exchange("a", "fanout", ["alternate-exchange": .text("never")])
        scene.exchange("b", "topic", ["alternate-exchange": .text("c")])
        scene.exchange("c", "direct", ["alternate-exchange": .text("missing")])
        scene.exchange("d", "fanout", ["alternate-exchange": .text("a")])
        scene.queue("q")
        scene.bind(exchange: "b", to: "a")
        scene.bind(exchange: "d", to: "a")
        scene.bind(exchange: "a", to: "b", "x.*")
        let lost = scene.explain("a", "k", isMandatory: true)
        #expect(
            lost.path == [
                "a <- publish", "b <- binding of a", "d <- binding of a", "c <- alternate of b",
            ]
        )
        #expect(
            lost.exchanges.map(\.alternate) == [
                .unused("never"), .taken("c"), .visitedBefore("a"), .missing("missing"),
            ]
        )
        #expect(lost.exchanges[1].bindings.map(\.reason) == [.otherWord(word: 1, "k", wanted: ["x"])])
        #expect(lost.outcome == .unroutable(isReturned: true))
        #expect(scene.explain("a", "k").outcome == .unroutable(isReturned: false))
        let circle = scene.explain("a", "x.y")
        #expect(circle.exchanges.first { $0.name == "b" }?.bindings.map(\.leadsBack) == [true])
        scene.bind("q", to: "c", "k")
        let found = scene.explain("a", "k")
        #expect(found.queueNames == ["q"] && found.exchanges.last?.alternate == .unused("missing"))
    }

    @Test func defaultExchange() {
        let scene = ExplainScene()
        scene.queue("q")
        #expect(scene.explain("", "q").exchanges.map(\.bindings).joined().map(\.reason) == [.queueName])
        #expect(scene.explain("", "none").outcome == .unroutable(isReturned: false))
        #expect(scene.explain("", "none", ["CC": .array([.text("q"), .text("q")])]).queueNames == ["q"])
        #expect(scene.explain("", "amq.rabbitmq.reply-to.g1h2.k").outcome != .routed(isRejected: false))
    }

    @Test(arguments: ["x-consistent-hash", "x-modulus-hash"])
    func hashesNameTheirChoice(type: ShortString) throws {
        let scene = ExplainScene()
        scene.exchange("h", type)
        let names = ["a", "b", "c", "d"] as [ShortString]
        for queue in names {
            scene.queue(queue)
            scene.bind(queue, to: "h", "1")
        }
        var chosen: Set<String> = []
        for number in 0..<40 {
            let explanation = scene.explain("h", "key \(number)")
            let visit = try #require(explanation.exchanges.first)
            #expect(visit.bindings.count == 4 && visit.bindings.map(\.match) == [.yes, .no, .no, .no])
            guard case .hash(let bucket, 4) = visit.bindings[0].reason else {
                Issue.record("\(visit.bindings[0].reason)")
                return
            }
            var others = Set(0..<4)
            others.remove(bucket)
            for binding in visit.bindings.dropFirst() {
                guard case .otherHash(let other, bucket, 4) = binding.reason else {
                    Issue.record("\(binding.reason)")
                    return
                }
                #expect(others.remove(other) != nil)
            }
            chosen.formUnion(explanation.queueNames)
        }
        #expect(chosen == ["a", "b", "c", "d"])
    }

    @Test func chanceIsSaidToBeOne() {
        let scene = ExplainScene()
        scene.exchange("r", "x-random")
        scene.exchange("nowhere", "direct")
        for queue in ["q", "s"] as [ShortString] { scene.queue(queue) }
        scene.bind("q", to: "r")
        scene.bind("s", to: "r")
        let draws = scene.explain("r", "k")
        #expect(draws.queues.map(\.isCertain) == [false, false] && draws.outcome == .routed(isRejected: false))
        #expect(draws.exchanges.first?.bindings.map(\.reason) == [.chance(of: 2), .chance(of: 2)])
        scene.bind(exchange: "nowhere", to: "r")
        #expect(scene.explain("r", "k").outcome == .dependsOnChance)
        // A second way that does not depend on it.
        scene.exchange("both", "fanout")
        scene.bind(exchange: "r", to: "both")
        scene.bind("q", to: "both")
        let both = scene.explain("both", "k")
        #expect(both.queues.first { $0.name == "q" }?.isCertain == true && both.outcome == .routed(isRejected: false))
    }

    private static let refusals: [(RouteQuestion, PublishVerdict, AccessVerdict.Check)] = [
        (
            RouteQuestion(exchange: "none", routingKey: "k"),
            .refused(code: 404, text: "no exchange 'none' in vhost '/'"), .exchange
        ),
        (
            RouteQuestion(exchange: "inner", routingKey: "k"),
            .refused(code: 403, text: "cannot publish to internal exchange 'inner' in vhost '/'"), .internalExchange
        ),
        (
            RouteQuestion(exchange: "e", routingKey: "k", properties: BasicProperties(expiration: "soon")),
            .refused(code: 406, text: "invalid expiration 'soon': no_integer"), .properties
        ),
        (
            RouteQuestion(
                exchange: "e",
                routingKey: "k",
                properties: BasicProperties(headers: ["CC": .int32(1)])
            ),
            .refused(code: 406, text: "invalid message: {unacceptable_type_in_header,\"CC\",signedint}"), .properties
        ),
        (
            RouteQuestion(exchange: "e", routingKey: "k", properties: BasicProperties(userID: "other"), user: "guest"),
            .refused(code: 406, text: "user_id property set to 'other' but authenticated user was 'guest'"), .userID
        ),
    ]

    /// The publish itself must be refused in the same words.
    @Test(arguments: refusals)
    func refusesAsThePublishDoes(question: RouteQuestion, outcome: PublishVerdict, check: AccessVerdict.Check) {
        let scene = ExplainScene()
        scene.exchange("e", "topic")
        scene.exchange("inner", "fanout", isInternal: true)
        let explanation = scene.explain(question)
        #expect(explanation.outcome == outcome && explanation.exchanges.isEmpty)
        #expect(explanation.access.last?.check == check && explanation.access.last?.isAllowed == false)
        #expect(!explanation.access.dropLast().contains { !$0.isAllowed })
        scene.client.publish(
            exchange: question.exchange.short,
            routingKey: question.routingKey.short,
            properties: question.properties,
            body: []
        )
        guard case .refused(let code, let text) = outcome else { return }
        let lines = scene.client.receive().lines
        #expect(lines.contains { $0.contains("channel.close \(code)") && $0.contains(text) }, "\(lines)")
    }

    @Test func unknownHostsAndLongNamesAreRefused() {
        let scene = ExplainScene()
        let elsewhere = AdministrationRequest.explain(RouteQuestion(virtualHost: "no", exchange: "", routingKey: "k"))
        #expect(scene.broker.administer(elsewhere) == [.failed(.noVirtualHost("no"))])
        let long = RouteQuestion(exchange: "", routingKey: String(repeating: "x", count: 256))
        guard case .failed(.invalid) = scene.broker.administer(.explain(long)).first else {
            Issue.record("taken")
            return
        }
    }

    @Test func manyBindingsAreBounded() throws {
        let scene = ExplainScene()
        scene.exchange("d", "direct")
        scene.exchange("t", "topic")
        scene.queue("q")
        let count = ShardLimits.toldBindings + 50
        for number in 0..<count {
            scene.bind("q", to: "d", "k\(number)".short)
            scene.bind("q", to: "t", "k\(number)".short)
        }
        for exchange in ["d", "t"] {
            let explanation = scene.explain(exchange, "k\(count - 1)")
            let visit = try #require(explanation.exchanges.first)
            #expect(visit.bindings.first?.match == .yes && visit.bindings.count == ShardLimits.toldBindings + 1)
            #expect(visit.untoldBindings == 49 && explanation.isComplete)
        }
        // Beyond the limit: what a table finds is found, and that not all was seen is said.
        let host = try #require(scene.broker.shards[0].topology.virtualHost(named: "/"))
        let exchange = try #require(host.exchange(named: "d"))
        let message = QuestionMessage(
            keys: [Array("k\(count - 1)".utf8)],
            properties: [0, 0],
            headers: [],
            isPersistent: false
        )
        let finding = exchange.explain(message, limit: 10)
        #expect(finding.bindings.count == 11 && finding.hasMatch && finding.unseen == count - 11)
    }

    @Test(arguments: [1, 2])
    func waitsAndDuplicatesAreTold(shards: Int) {
        let scene = ExplainScene(shards: shards)
        scene.exchange("late", "x-delayed-message", ["x-delayed-type": .text("fanout")])
        scene.exchange("once", "fanout", ["x-message-deduplication": .bool(1)])
        scene.exchange("recent", "x-recent-history")
        scene.queue("q")
        for exchange in ["late", "once", "recent"] as [ShortString] { scene.bind("q", to: exchange) }
        let late = scene.explain("late", "", ["x-delay": .int32(500)], isMandatory: true)
        #expect(late.outcome == .waits(milliseconds: 500, isReturned: true) && late.queueNames == ["q"])
        #expect(late.exchanges.first?.stations == [.delays(milliseconds: 500)])
        let plain = scene.explain("recent", "", ["x-delay": .int32(500)], isMandatory: true)
        #expect(plain.outcome == .waits(milliseconds: 500, isReturned: false))
        #expect(plain.exchanges.first?.stations == [.remembers])
        let key: FieldTable = ["x-deduplication-header": .text("1")]
        let first = scene.explain("once", "", key)
        #expect(first.outcome == .routed(isRejected: false))
        #expect(first.exchanges.first?.stations == [.deduplicates(isKnown: false)], "asking adds no key")
        #expect(scene.explain("once", "", key) == first)
        scene.client.publish(exchange: "once", routingKey: "", properties: BasicProperties(headers: key), body: [])
        scene.client.receive()
        let second = scene.explain("once", "", key)
        #expect(second.outcome == .duplicate && second.queues.isEmpty)
        #expect(second.exchanges.first?.stations == [.deduplicates(isKnown: true)])
    }
}
