import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// One binding by chance: `x-random` and `x-local-random`.
@Suite struct RandomExchangeTests {
    /// How many of 400 messages each queue got; `bindings` are counted by queue, `homes` are their shards.
    private func counts(type: ShortString, bindings: [Int], homes: [Int], publisher: Int, seed: UInt64 = 1) -> [Int] {
        let broker = SimulatedBroker(shardCount: 2, seed: seed)
        let client = SimulatedClient(broker, shard: publisher).open()
        client.call(ExchangeDeclare(exchange: "e", type: type))
        for (number, count) in bindings.enumerated() {
            let queue = "q\(number)".short
            SimulatedClient(broker, shard: homes[number]).open().call(QueueDeclare(queue: queue))
            for key in 0..<count {
                client.call(QueueBind(queue: queue, exchange: "e", routingKey: "\(key)".short))
            }
        }
        for _ in 0..<400 {
            client.publish(exchange: "e", routingKey: "k", body: [1])
        }
        client.receive()
        return bindings.indices.map { number in
            guard
                case .method(_, .queueDeclareOk(let ok))? =
                    client.call(QueueDeclare(queue: "q\(number)".short, passive: true)).first
            else { return -1 }
            return Int(ok.messageCount)
        }
    }

    @Test func everyMessageToOneQueueAndAllBindingsAlike() {
        let counts = self.counts(type: "x-random", bindings: [1, 3, 1], homes: [0, 1, 1], publisher: 0)
        #expect(counts.reduce(0, +) == 400)
        #expect(abs(counts[1] - 240) < 50)
        #expect(counts.allSatisfy { $0 > 40 })
    }

    @Test func chanceComesFromTheSeed() {
        func run(_ seed: UInt64) -> [Int] {
            self.counts(type: "x-random", bindings: [1, 1], homes: [0, 1], publisher: 0, seed: seed)
        }
        #expect(run(5) == run(5))
        #expect(Set((1...6).map { run($0) }).count > 1)
    }

    @Test func localQueuesFirst() {
        #expect(
            self.counts(type: "x-local-random", bindings: [1, 1], homes: [0, 1], publisher: 1) == [0, 400]
        )
        let counts = self.counts(type: "x-local-random", bindings: [1, 1], homes: [0, 0], publisher: 1)
        #expect(counts.allSatisfy { $0 > 100 })
        #expect(counts.reduce(0, +) == 400)
    }

    @Test func withoutBindingsNothing() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(ExchangeDeclare(exchange: "e", type: "x-random"))
        client.publish(exchange: "e", routingKey: "k", mandatory: true, body: [1])
        #expect(client.receive().lines == ["1 return 312 NO_ROUTE \u{1}"])
    }
}
