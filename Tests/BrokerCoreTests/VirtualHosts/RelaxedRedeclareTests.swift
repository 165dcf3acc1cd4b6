import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// What is declared otherwise than it is: refused, or left as it is with a line in the log.
@Suite struct RelaxedRedeclareTests {
    private static let shardCounts = [1, 3]

    /// A broker with the queue `q`, the exchange `x` and nothing in its log.
    private func broker(isRelaxed: Bool, shards: Int) -> (SimulatedBroker, SimulatedClient) {
        var settings = BrokerSettings()
        settings.isRedeclareRelaxed = isRelaxed
        let broker = SimulatedBroker(shardCount: shards, settings: settings)
        // Not on the owner's shard when there are others.
        let client = SimulatedClient(broker, shard: shards - 1).open()
        client.call(
            QueueDeclare(queue: "q", durable: true, arguments: ["x-max-length": .int32(5), "x-other": .int8(1)])
        )
        client.call(ExchangeDeclare(exchange: "x", type: "direct", durable: true))
        client.publish(routingKey: "q", body: Array("m".utf8))
        return (broker, client)
    }

    /// Lines about declarations; which connection it was is left out.
    private func told(_ broker: SimulatedBroker) -> [String] {
        broker.logLines.filter { $0.contains("is there with other properties") }.map { line in
            line.split(separator: "channel 1: ").last.map { String($0) } ?? line
        }
    }

    private static let otherQueue = QueueDeclare(
        queue: "q",
        autoDelete: true,
        arguments: ["x-max-length": .int64(6), "x-message-ttl": .int32(1_000), "x-queue-mode": .text("lazy")]
    )

    private static let queueLine =
        "queue 'q' in vhost '/' is there with other properties: 'durable': received 'false' but current is 'true', "
        + "'auto_delete': received 'true' but current is 'false', "
        + "'x-message-ttl': received the value '1000' of type 'signedint' but current is none, "
        + "'x-max-length': received '6' but current is '5', "
        + "'x-queue-mode': received the value 'lazy' of type 'longstr' but current is none"

    @Test(arguments: shardCounts)
    func aRelaxedBrokerLeavesTheQueueAndNamesEveryDifferenceOnce(shards: Int) {
        let (broker, client) = self.broker(isRelaxed: true, shards: shards)
        for _ in 0..<3 {
            #expect(client.call(Self.otherQueue).lines == ["1 queue.declare-ok 1 0"])
        }
        #expect(self.told(broker) == ["\(Self.queueLine); it stays as it is"])
        // Nothing of it has come true.
        for number in 0..<7 { client.publish(routingKey: "q", body: Array("\(number)".utf8)) }
        broker.advance(milliseconds: 2_000)
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 5 0"])
        // A queue that is what it is declared is no news.
        client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-length": .int8(5)]))
        #expect(self.told(broker).count == 1)
    }

    @Test(arguments: shardCounts)
    func aStrictBrokerRefusesAsRabbitMQAndNamesEveryDifference(shards: Int) {
        let (broker, client) = self.broker(isRelaxed: false, shards: shards)
        #expect(
            client.call(Self.otherQueue).lines == [
                "1 channel.close 406 PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': "
                    + "received 'false' but current is 'true' (50/10)"
            ]
        )
        #expect(self.told(broker) == ["\(Self.queueLine); refused"])
    }

    @Test func ofASingleDifferenceTheRefusalSaysEverything() {
        let (broker, client) = self.broker(isRelaxed: false, shards: 1)
        client.call(QueueDeclare(queue: "q", durable: true))
        #expect(self.told(broker).isEmpty)
        #expect(
            broker.logLines.contains {
                $0.hasSuffix(
                    "inequivalent arg 'x-max-length' for queue 'q' in vhost '/': "
                        + "received none but current is the value '5' of type 'signedint'"
                )
            }
        )
    }

    @Test(arguments: shardCounts)
    func exchangesAreLeftAsTheyAre(shards: Int) {
        let (broker, client) = self.broker(isRelaxed: true, shards: shards)
        let other = ExchangeDeclare(
            exchange: "x",
            type: "direct",
            autoDelete: true,
            internal: true,
            arguments: ["alternate-exchange": .text("ae")]
        )
        #expect(client.call(other).lines == ["1 exchange.declare-ok"])
        #expect(
            self.told(broker) == [
                "exchange 'x' in vhost '/' is there with other properties: "
                    + "'durable': received 'false' but current is 'true', "
                    + "'auto_delete': received 'true' but current is 'false', "
                    + "'internal': received 'true' but current is 'false', "
                    + "'alternate-exchange': received the value 'ae' of type 'longstr' but current is none; "
                    + "it stays as it is"
            ]
        )
        let definition = broker.shards[0].topology.virtualHost(named: "/")?.exchange(named: "x")?.definition
        #expect(definition?.isDurable == true)
        #expect(definition?.isInternal == false)
    }

    /// Where messages go, and whose a queue is, is no matter of taste.
    @Test func theTypeOfAnExchangeAndTheOwnerOfAQueueStillCount() {
        let (broker, client) = self.broker(isRelaxed: true, shards: 1)
        #expect(
            client.call(ExchangeDeclare(exchange: "x", type: "fanout", durable: true)).lines.first?.contains(
                "406 PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'x' in vhost '/'"
            ) == true
        )
        let second = SimulatedClient(broker).open()
        #expect(second.call(QueueDeclare(queue: "q", exclusive: true)).lines.first?.contains("405") == true)
        #expect(self.told(broker).isEmpty)
    }

    @Test func linesAreToldAgainWhenManyOthersWereMeanwhile() {
        let (broker, client) = self.broker(isRelaxed: true, shards: 1)
        for limit in 0..<ShardLimits.loggedRedeclarations {
            client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-length": .int32(Int32(10 + limit))]))
        }
        #expect(self.told(broker).count == ShardLimits.loggedRedeclarations)
        client.call(QueueDeclare(queue: "q", durable: true, arguments: ["x-max-length": .int32(10 + 7)]))
        #expect(self.told(broker).count == ShardLimits.loggedRedeclarations + 1)
        #expect(broker.shards[0].loggedRedeclarations.count == 1)
    }
}
