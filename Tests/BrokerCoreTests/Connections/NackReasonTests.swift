import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Publishers that have announced `x-nack-reason` are told why a publish was refused.
@Suite struct NackReasonTests {
    private static let wants: [ShortString] = ["x-nack-reason"]

    /// Queues `p` and `q`, with two shards one on each, that take one message, or ten octets.
    private func open(
        _ broker: SimulatedBroker,
        shard: Int = 0,
        capabilities: [ShortString] = Self.wants,
        _ arguments: FieldTable = ["x-max-length": .int32(1), "x-overflow": .text("reject-publish")]
    ) -> SimulatedClient {
        let client = SimulatedClient(broker, shard: shard).open(further: capabilities)
        // A queue lives where it was declared.
        for (home, name) in [(0, "p"), (broker.shards.count - 1, "q")] as [(Int, ShortString)] {
            SimulatedClient(broker, shard: home).open().call(
                QueueDeclare(queue: name, durable: true, arguments: arguments)
            )
        }
        client.call(ConfirmSelect())
        return client
    }

    private func publish(_ client: SimulatedClient, _ text: String, to queue: ShortString, exchange: ShortString = "") {
        client.publish(
            exchange: exchange,
            routingKey: queue,
            properties: BasicProperties(deliveryMode: 2, messageID: "id"),
            body: Array(text.utf8)
        )
    }

    @Test(arguments: [(1, 0), (2, 0), (2, 1)], ["p", "q"] as [ShortString])
    func theMessageComesBackWithTheReasonBeforeTheNack(shards: (Int, Int), queue: ShortString) throws {
        let broker = RestartTests.broker(shards.0)
        let client = self.open(broker, shard: shards.1)
        self.publish(client, "1", to: queue)
        #expect(client.receive().lines == ["1 ack 1"])
        self.publish(client, "2", to: queue)
        self.publish(client, "3", to: queue)
        let received = client.receive()
        let nacks = Set(received.lines.suffix(2))
        #expect(nacks == ["1 nack 2", "1 nack 3"] && received.count == 4, "\(received.lines)")
        for (answer, text) in zip(received, ["2", "3"]) {
            guard case .content(_, .basicReturn(let method), let properties, let body) = answer else {
                Issue.record("no return: \(received.lines)")
                continue
            }
            #expect(method.replyCode == 506 && method.exchange == "" && method.routingKey == queue)
            #expect(
                "\(method.replyText)" == "RESOURCE_ERROR - no room within max-length 1 of queue '\(queue)' in vhost '/'"
            )
            #expect(properties.messageID == "id" && body == Array(text.utf8))
        }
    }

    @Test(arguments: [1, 2], ["reject-publish", "reject-publish-dlx"])
    func aMessageThatWillNeverFitIsTooLarge(shards: Int, overflow: String) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, ["x-max-length-bytes": .int32(10), "x-overflow": .text(overflow)])
        for queue: ShortString in ["p", "q"] {
            self.publish(client, "12345678901", to: queue)
            let tooLarge = client.receive()
            #expect(
                tooLarge.replyText
                    == "311 CONTENT_TOO_LARGE - 11 octets are more than max-length-bytes 10 of queue '\(queue)' in vhost '/'"
            )
            self.publish(client, "1234567890", to: queue)
            self.publish(client, "1", to: queue)
            let full = client.receive()
            #expect(
                full.replyText
                    == "506 RESOURCE_ERROR - no room within max-length-bytes 10 of queue '\(queue)' in vhost '/'"
            )
        }
    }

    @Test(arguments: [1, 2])
    func othersSeeNothingNew(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker, capabilities: ["nack-reason"])
        for queue: ShortString in ["p", "q"] {
            self.publish(client, "1", to: queue)
            client.receive()
            self.publish(client, "2", to: queue)
            #expect(client.receive().lines.map { $0.prefix(6) } == ["1 nack"])
        }
    }

    @Test(arguments: [1, 2])
    func onlyANackHasAReason(shards: Int) {
        let broker = RestartTests.broker(shards)
        let confirming = self.open(broker)
        let plain = SimulatedClient(broker).open(further: Self.wants)
        let committing = SimulatedClient(broker).open(further: Self.wants)
        committing.call(TxSelect())
        for queue: ShortString in ["p", "q"] {
            self.publish(confirming, "1", to: queue)
            confirming.receive()
            self.publish(plain, "2", to: queue)
            #expect(plain.receive().lines == [])
            self.publish(committing, "3", to: queue)
        }
        #expect(!committing.call(TxCommit()).lines.contains { $0.contains("return") })
    }

    @Test(arguments: [1, 2])
    func aMessageForManyQueuesIsReturnedOnceAShard(shards: Int) {
        let broker = RestartTests.broker(shards)
        let client = self.open(broker)
        for queue: ShortString in ["p", "q"] {
            client.call(QueueBind(queue: queue, exchange: "amq.fanout"))
        }
        self.publish(client, "1", to: "", exchange: "amq.fanout")
        #expect(client.receive().lines == ["1 ack 1"])
        self.publish(client, "2", to: "", exchange: "amq.fanout")
        let received = client.receive()
        #expect(received.count == shards + 1 && received.lines.last == "1 nack 2", "\(received.lines)")
        #expect(broker.shards.allSatisfy { $0.refusal == nil })
    }

    @Test func aLongNameIsCutBehindTheLimit() {
        let broker = RestartTests.broker(1)
        let client = self.open(broker)
        let name = ShortString(truncating: String(repeating: "n", count: 255))
        let limits: FieldTable = ["x-max-length": .int32(0), "x-overflow": .text("reject-publish")]
        client.call(QueueDeclare(queue: name, arguments: limits))
        self.publish(client, "1", to: name)
        let text = client.receive().replyText
        #expect(
            text.hasPrefix("506 RESOURCE_ERROR - no room within max-length 0 of queue 'nnn") && text.hasSuffix("...")
        )
    }
}

extension [SimulatedClient.Received] {
    /// Code and text of the first return.
    fileprivate var replyText: String {
        for case .content(_, .basicReturn(let method), _, _) in self {
            return "\(method.replyCode) \(method.replyText)"
        }
        return "\(self.lines)"
    }
}
