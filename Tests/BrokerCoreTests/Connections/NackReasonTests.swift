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
        for queue: ShortString in ["p", "q"] {
            self.publish(confirming, "1", to: queue)
            confirming.receive()
            self.publish(plain, "2", to: queue)
            #expect(plain.receive().lines == [])
        }
    }

    @Test(arguments: [1, 2], ["p", "q"] as [ShortString])
    func aTransactionIsToldBeforeItEnds(shards: Int, queue: ShortString) {
        let broker = RestartTests.broker(shards)
        _ = self.open(broker)
        for capabilities in [Self.wants, []] {
            let client = SimulatedClient(broker).open(further: capabilities)
            client.call(TxSelect())
            for text in ["1", "2"] { self.publish(client, text, to: queue) }
            let received = client.call(TxCommit())
            #expect(received.lines.last?.contains("406 PRECONDITION_FAILED - partial tx completion") == true)
            // The first transaction's first message is there; all others are refused.
            #expect(received.count == (capabilities.isEmpty ? 1 : 2), "\(received.lines)")
            if !capabilities.isEmpty {
                #expect(received.replyText.hasPrefix("506 RESOURCE_ERROR - no room within max-length 1 of queue"))
                #expect(received.first?.text == "2")
            }
        }
        #expect(broker.shards.allSatisfy { $0.refusal == nil })
    }

    /// The window of the exchange is on one of the shards; either queue is elsewhere for one of the exchanges.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (3, 1)], ["p", "q", "all"] as [ShortString])
    func whatAWindowHasPassedOnComesBack(shards: (Int, Int), key: ShortString) {
        let broker = RestartTests.broker(shards.0)
        let client = self.open(broker, shard: shards.1)
        for exchange in ["a", "b", "c"] as [ShortString] {
            let arguments: FieldTable = ["x-message-deduplication": .bool(1)]
            client.call(ExchangeDeclare(exchange: exchange, type: "direct", durable: true, arguments: arguments))
            for queue in ["p", "q"] as [ShortString] {
                client.call(QueueBind(queue: queue, exchange: exchange, routingKey: queue))
                client.call(QueueBind(queue: queue, exchange: exchange, routingKey: "all"))
            }
        }
        for queue in ["p", "q"] as [ShortString] { self.publish(client, "1", to: queue) }
        client.receive()
        for (index, exchange) in (["a", "b", "c"] as [ShortString]).enumerated() {
            let headers: FieldTable = ["x-deduplication-header": .text("\(index)")]
            for body in [UInt8(ascii: "2"), UInt8(ascii: "3")] {
                client.publish(
                    exchange: exchange,
                    routingKey: key,
                    properties: BasicProperties(headers: headers, deliveryMode: 2),
                    body: [body]
                )
            }
            let received = client.receive()
            let returns = received.filter { $0.text != nil }
            // The second one is a duplicate of the first while that is under way, and first when that is answered.
            #expect(received.count - returns.count == 2 || received.lines.last?.hasSuffix("multiple") == true)
            #expect(received.lines.filter { $0.contains("nack") }.count >= 1)
            let most = key == "all" ? min(shards.0, 2) : 1
            // A duplicate hears of those shards that have not answered yet.
            #expect(returns.count >= 2 && returns.count <= 2 * most, "\(received.lines)")
            #expect(received.replyText.hasPrefix("506 RESOURCE_ERROR - no room within max-length 1 of queue"))
        }
        #expect(broker.shards.allSatisfy { $0.refusal == nil && $0.windows.pending.isEmpty })
        // Others are not told.
        let other = SimulatedClient(broker, shard: shards.1).open()
        other.call(ConfirmSelect())
        let properties = BasicProperties(headers: ["x-deduplication-header": .text("new")], deliveryMode: 2)
        other.publish(exchange: "a", routingKey: key, properties: properties, body: [65])
        #expect(other.receive().lines == ["1 nack 1"])
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
