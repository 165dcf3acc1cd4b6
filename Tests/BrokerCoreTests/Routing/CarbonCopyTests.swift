import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// The headers `CC` and `BCC`, as a client sees them.
@Suite struct CarbonCopyTests {
    private static func list(_ keys: [String]) -> FieldValue {
        .array(FieldArray(keys.map { .longString(Array($0.utf8)) }))
    }

    private func client(_ shards: Int, queues: [ShortString]) -> SimulatedClient {
        let client = SimulatedClient(SimulatedBroker(shardCount: shards), shard: shards - 1).open()
        for queue in queues { client.call(QueueDeclare(queue: queue)) }
        return client
    }

    /// What lies in a queue: routing key, headers and body of each message.
    private func drain(_ client: SimulatedClient, _ queue: ShortString) -> [(key: ShortString, headers: FieldTable?)] {
        var messages: [(ShortString, FieldTable?)] = []
        while case .content(_, .basicGetOk(let ok), let properties, _)? =
            client.call(BasicGet(queue: queue, noAck: true)).first
        {
            messages.append((ok.routingKey, properties.headers))
        }
        return messages
    }

    @Test(arguments: [1, 3])
    func everyKeyGetsACopyAndBCCIsTakenOut(shards: Int) {
        let queues: [ShortString] = ["to", "cc", "cc2", "bcc"]
        let client = self.client(shards, queues: queues)
        for queue in queues { client.call(QueueBind(queue: queue, exchange: "amq.direct", routingKey: queue)) }
        let headers = FieldTable([
            ("a", .int32(1)), ("CC", Self.list(["cc", "cc2", "to"])), ("BCC", Self.list(["bcc"])), ("b", .int64L(2)),
        ])
        let without = FieldTable([
            ("a", .int32(1)), ("CC", Self.list(["cc", "cc2", "to"])), ("b", .int64L(2)),
        ])
        client.publish(
            exchange: "amq.direct",
            routingKey: "to",
            properties: BasicProperties(headers: headers, deliveryMode: 2),
            body: [1]
        )
        client.receive()
        for queue in queues {
            let messages = self.drain(client, queue)
            #expect(messages.map(\.key) == ["to"], "the delivery's key is the message's own")
            #expect(messages.map(\.headers) == [without], "\(queue)")
        }
    }

    /// RabbitMQ remembers the keys of BCC for dead letters; here they are gone when the message has been routed.
    @Test func deadLettersGoByTheKeyAndCC() {
        let queues: [ShortString] = ["to", "cc", "bcc"]
        let client = self.client(1, queues: queues)
        for queue in queues { client.call(QueueBind(queue: queue, exchange: "amq.direct", routingKey: queue)) }
        // The routing key of what dies here is the name of the queue where it is to go.
        client.call(ExchangeDeclare(exchange: "in", type: "fanout"))
        let arguments: FieldTable = ["x-dead-letter-exchange": .longString(Array("amq.direct".utf8))]
        client.call(QueueDeclare(queue: "dies", arguments: arguments))
        client.call(QueueBind(queue: "dies", exchange: "in"))
        let headers: FieldTable = ["CC": Self.list(["cc"]), "BCC": Self.list(["bcc"])]
        client.publish(exchange: "in", routingKey: "to", properties: BasicProperties(headers: headers), body: [1])
        client.receive()
        client.call(BasicGet(queue: "dies"))
        client.call(BasicNack(deliveryTag: 1, requeue: false))
        client.receive()
        #expect(queues.map { self.drain(client, $0).count } == [1, 1, 0])
    }

    @Test(arguments: [("", true), ("amq.fanout", false)] as [(ShortString, Bool)])
    func onlyExchangesThatLookAtKeysCare(exchange: ShortString, isCopied: Bool) {
        let client = self.client(1, queues: ["to", "cc"])
        client.call(QueueBind(queue: "to", exchange: "amq.fanout"))
        client.publish(
            exchange: exchange,
            routingKey: "to",
            properties: BasicProperties(headers: ["CC": Self.list(["cc"])]),
            body: [1]
        )
        #expect(self.drain(client, "to").count == 1)
        #expect(self.drain(client, "cc").count == (isCopied ? 1 : 0))
    }

    @Test func aCopyIsARouteForMandatory() {
        let client = self.client(1, queues: ["cc"])
        for (keys, isReturned) in [(["cc"], false), (["none"], true), ([], true)] {
            client.publish(
                routingKey: "none",
                mandatory: true,
                properties: BasicProperties(headers: ["BCC": Self.list(keys)]),
                body: [1]
            )
            #expect(client.receive().lines == (isReturned ? ["1 return 312 NO_ROUTE \u{1}"] : []), "\(keys)")
        }
        #expect(self.drain(client, "cc").count == 1)
    }

    @Test(arguments: ["CC", "BCC"] as [ShortString])
    func whatIsNoListIsRefused(name: ShortString) {
        let values: [(FieldValue, String)] = [
            (.text("text"), "longstr"), (.int32(5), "signedint"), (.table(["a": .int32(1)]), "table"), (.void, "void"),
        ]
        for (value, type) in values {
            let client = self.client(1, queues: ["to"])
            client.publish(routingKey: "to", properties: BasicProperties(headers: [name: value]), body: [1])
            let reason = "invalid message: {unacceptable_type_in_header,\"\(name)\",\(type)}"
            #expect(client.receive().lines == ["1 channel.close 406 PRECONDITION_FAILED - \(reason) (60/40)"])
            client.send(ChannelCloseOk())
            client.call(ChannelOpen())
            #expect(self.drain(client, "to").isEmpty)
        }
    }

    @Test(arguments: ["CC", "BCC"] as [ShortString])
    func itemsThatAreNoStringsArePassedOver(name: ShortString) {
        let client = self.client(1, queues: ["to", "copy"])
        let items: [FieldValue] = [.int32(5), .void, .text("copy"), .array(FieldArray([.text("to")]))]
        client.publish(
            routingKey: "to",
            properties: BasicProperties(headers: [name: .array(FieldArray(items))]),
            body: [1]
        )
        #expect(self.drain(client, "to").count == 1)
        #expect(self.drain(client, "copy").count == 1)
    }

    /// Our own limit; both headers count.
    @Test(arguments: [(4095, true), (4096, false)])
    func thereMayBeSoManyKeys(copies: Int, isTaken: Bool) {
        let client = self.client(1, queues: ["to", "last"])
        let keys = (1..<copies).map { "\($0)" } + ["last"]
        client.publish(
            routingKey: "to",
            properties: BasicProperties(headers: ["CC": Self.list(keys), "BCC": Self.list(["one more"])]),
            body: [1]
        )
        let refused = "more than 4096 routing keys in CC and BCC"
        #expect(
            client.receive().lines
                == (isTaken ? [] : ["1 channel.close 406 PRECONDITION_FAILED - \(refused) (60/40)"])
        )
        if isTaken {
            #expect(self.drain(client, "to").count == 1)
            #expect(self.drain(client, "last").count == 1)
        }
    }

    @Test func alternateExchangesHearOfEveryKey() {
        let client = self.client(1, queues: ["caught", "found"])
        client.call(ExchangeDeclare(exchange: "last", type: "fanout"))
        client.call(ExchangeDeclare(exchange: "e", type: "direct", arguments: ["alternate-exchange": .text("last")]))
        client.call(QueueBind(queue: "caught", exchange: "last"))
        client.call(QueueBind(queue: "found", exchange: "e", routingKey: "k"))
        for (keys, caught, found) in [(["x"], 1, 0), (["x", "k"], 0, 1)] {
            client.publish(
                exchange: "e",
                routingKey: "none",
                mandatory: true,
                properties: BasicProperties(headers: ["CC": Self.list(keys)]),
                body: [1]
            )
            #expect(client.receive().lines == [])
            #expect(self.drain(client, "caught").map(\.key) == Array(repeating: "none", count: caught))
            #expect(self.drain(client, "found").map(\.key) == Array(repeating: "none", count: found))
        }
    }
}
