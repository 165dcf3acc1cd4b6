import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// The last messages that no queue got.
@Suite struct UnroutableTests {
    @Test(arguments: [1, 3])
    func keepsWhatIsLostAndExplainsIt(shards: Int) throws {
        let scene = ExplainScene(shards: shards)
        scene.exchange("t", "topic")
        scene.queue("q")
        scene.bind("q", to: "t", "a.*")
        let other = SimulatedClient(scene.broker, shard: shards - 1).open()
        scene.client.publish(exchange: "t", routingKey: "a.b", body: [])
        scene.client.publish(exchange: "t", routingKey: "b.b", body: [1, 2])
        scene.client.receive()
        scene.broker.advance(milliseconds: 5)
        let headers: FieldTable = ["n": .int32(1)]
        other.publish(
            exchange: "t",
            routingKey: "c",
            mandatory: true,
            properties: BasicProperties(headers: headers),
            body: []
        )
        #expect(other.receive().lines.first?.contains("return") == true)
        let lost = scene.unroutable()
        try #require(lost.count == 2)
        #expect(lost.map(\.fate) == [.returned, .dropped] && lost.map(\.shard) == [shards - 1, 0])
        #expect(lost[0].epochMilliseconds == lost[1].epochMilliseconds + 5)
        #expect(lost.allSatisfy { $0.hasProperties && $0.connection.contains(" -> ") })
        #expect(
            lost[0].question
                == RouteQuestion(
                    exchange: "t",
                    routingKey: "c",
                    properties: BasicProperties(headers: headers),
                    user: "guest",
                    isMandatory: true
                )
        )
        let why = scene.explain(lost[0].question)
        #expect(why.outcome == .unroutable(isReturned: true))
        #expect(why.exchanges.first?.bindings.map(\.reason) == [.otherWord(word: 1, "c", wanted: ["a"])])
        #expect(scene.explain(lost[1].question).outcome == .unroutable(isReturned: false))
        #expect(lost[1].question.bodyBytes == 2 && scene.unroutable(limit: 1) == [lost[0]])
        #expect(scene.unroutable(virtualHost: "/") == lost)
        let elsewhere = AdministrationRequest.listUnroutable(virtualHost: "no", limit: 1)
        #expect(elsewhere.gather(scene.broker.administer(elsewhere)) == .failed(.noVirtualHost("no")))
    }

    @Test func keepsReturnsOfTransactionsAndCachedRoutes() {
        let scene = ExplainScene()
        scene.client.call(TxSelect())
        scene.client.publish(routingKey: "none", mandatory: true, body: [])
        scene.client.publish(routingKey: "none", body: [])
        scene.client.call(TxCommit())
        #expect(scene.unroutable().map(\.fate) == [.returned, .dropped])
        let plain = SimulatedClient(scene.broker).open()
        for _ in 0..<3 { plain.publish(routingKey: "none", body: []) }
        plain.receive()
        #expect(scene.unroutable().map(\.number) == [5, 4, 3, 2, 1])
    }

    @Test func keepsWhatTheBrokerSendsOn() {
        let scene = ExplainScene()
        scene.exchange("dlx", "direct")
        scene.exchange("late", "x-delayed-message", ["x-delayed-type": .text("direct")])
        scene.queue("q", ["x-dead-letter-exchange": .text("dlx"), "x-message-ttl": .int32(10)])
        scene.client.publish(routingKey: "q", body: [])
        let delay = BasicProperties(headers: ["x-delay": .int32(20)])
        scene.client.publish(exchange: "late", routingKey: "k", properties: delay, body: [])
        scene.client.receive()
        scene.broker.advance(milliseconds: 30)
        let lost = scene.unroutable()
        #expect(lost.map(\.fate) == [.delayed, .deadLetter])
        #expect(lost.map(\.question.exchange) == ["late", "dlx"] && lost.map(\.question.routingKey) == ["k", "q"])
        #expect(lost.allSatisfy { $0.question.user == nil && $0.connection.isEmpty })
    }

    @Test func isBoundedInCountAndOctets() throws {
        let scene = ExplainScene()
        let most = ShardLimits.unroutablePublishes
        let large: FieldTable = ["h": .text(String(repeating: "x", count: ShardLimits.unroutableBytes))]
        let fitting: FieldTable = ["h": .text(String(repeating: "x", count: ShardLimits.unroutableBytes - 200))]
        for number in 0..<(2 * most + 10) {
            let properties = BasicProperties(headers: number % 2 == 0 ? large : fitting)
            scene.client.publish(routingKey: "\(number)".short, properties: properties, body: [])
            if number % 20 == 0 { scene.client.receive() }
        }
        scene.client.receive()
        let lost = scene.unroutable()
        #expect(lost.map(\.question.routingKey) == (0..<most).map { "\(2 * most + 9 - $0)" })
        #expect(lost.filter { !$0.hasProperties }.count == most / 2)
        #expect(lost.allSatisfy { $0.hasProperties == ($0.question.properties.headers != nil) })
        let ring = scene.broker.shards[0].unroutable
        #expect(ring.total == UInt64(2 * most + 10))
        #expect(ring.bytes <= most * 2 * ShardLimits.unroutableBytes)
    }

    @Test func routedMessagesLeaveNothing() {
        let scene = ExplainScene()
        scene.queue("q")
        scene.client.publish(routingKey: "q", mandatory: true, body: [])
        scene.client.publish(routingKey: "q", body: [])
        scene.client.receive()
        #expect(scene.unroutable().isEmpty && scene.broker.shards[0].unroutable.total == 0)
    }
}
