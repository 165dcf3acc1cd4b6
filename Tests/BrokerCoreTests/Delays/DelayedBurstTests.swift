import AMQPProtocol
import BrokerSimulation
import Testing

@testable import BrokerCore

/// Publishers that say the same exchange and key again and again, with and without delays: each message is known by what
/// came before, and must get what it would have got alone.
@Suite struct DelayedBurstTests {
    private static func drain(_ client: SimulatedClient, _ queue: ShortString) -> [String] {
        client.broker.run()
        var found: [String] = []
        while let received = client.call(BasicGet(queue: queue, noAck: true)).first, let text = received.text {
            let delay = received.properties?.headers?["x-delay"]?.integerValue
            found.append(delay.map { "\(text) \($0)" } ?? text)
        }
        return found
    }

    private static func publish(
        _ client: SimulatedClient,
        _ texts: [String],
        exchange: ShortString = "",
        key: ShortString = "q",
        _ headers: FieldTable?,
        persistent: Bool = false,
        expiration: ShortString? = nil
    ) {
        for text in texts {
            let properties = BasicProperties(
                headers: headers,
                deliveryMode: persistent ? 2 : nil,
                expiration: expiration
            )
            client.publish(exchange: exchange, routingKey: key, properties: properties, body: Array(text.utf8))
        }
        client.receive()
    }

    @Test(arguments: [1, 2])
    func everyMessageWaitsByItsOwnHeader(shards: Int) {
        let client = SimulatedClient(SimulatedBroker(shardCount: shards)).open()
        client.call(QueueDeclare(queue: "q"))
        Self.publish(client, ["a", "b"], ["x-delay": .int32(100)])
        Self.publish(client, ["c"], [:])
        Self.publish(client, ["d", "e"], ["x-delay": .int32(-100)])
        Self.publish(client, ["f"], nil)
        Self.publish(client, ["g", "h"], ["n": .int8(1), "x-delay": .uint16(50)])
        Self.publish(client, ["i"], ["x-delay": .int64(60)], expiration: "20")
        Self.publish(client, ["j"], ["x-delay": .int64(60), "CC": .array(FieldArray([.longString(Array("q2".utf8))]))])
        #expect(Self.drain(client, "q") == ["c", "d -100", "e -100", "f"])
        client.call(QueueDeclare(queue: "q2"))
        client.broker.advance(milliseconds: 50)
        #expect(Self.drain(client, "q") == ["g -50", "h -50"])
        client.broker.advance(milliseconds: 10)
        #expect(Self.drain(client, "q2") == ["j -60"])
        client.broker.advance(milliseconds: 25)
        // i has had its twenty milliseconds.
        #expect(Self.drain(client, "q") == ["j -60"])
        client.broker.advance(milliseconds: 20)
        #expect(Self.drain(client, "q") == ["a -100", "b -100"])
        #expect(client.broker.shards.allSatisfy { $0.delayedMessageCount == 0 })
    }

    /// Delays of every type, alone and among other headers, and what becomes of each.
    static let delays: [(came: FieldValue, goes: FieldValue)] = [
        (.int8(10), .int8(-10)), (.int16(10), .int16(-10)), (.int32(10), .int32(-10)), (.int64(10), .int64(-10)),
        (.int64L(10), .int64L(-10)), (.uint8(10), .int32(-10)), (.uint32(10), .int32(-10)), (.int32(0), .int32(0)),
        (.int32(-10), .int32(-10)), (.int64(-10), .int64(-10)), (.int64(.min), .int64(.min)),
        // As the plugin has it; text that is no number means nothing.
        (.text("10"), .int32(-10)), (.text("10 "), .text("10 ")),
        (.double(10.9), .int32(-10)), (.float(5), .int32(-5)), (.double(.infinity), .double(.infinity)), (.void, .void),
    ]

    @Test(arguments: delays, [nil, 1, 2] as [UInt8?])
    func onlyTheDelayChanges(delay: (came: FieldValue, goes: FieldValue), mode: UInt8?) {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(QueueDeclare(queue: "q"))
        let others: [([(ShortString, FieldValue)], [(ShortString, FieldValue)])] = [
            ([], []), ([("a", .int8(1))], []), ([], [("list", .array(FieldArray([.int8(1), .void])))]),
            ([("table", .table(["x-delay": .int32(5)]))], [("z", .text("z"))]),
        ]
        for (before, behind) in others {
            func headers(_ value: FieldValue) -> FieldTable { FieldTable(before + [("x-delay", value)] + behind) }
            for id in [nil, "id"] as [ShortString?] {
                let sent = BasicProperties(headers: headers(delay.came), deliveryMode: mode, messageID: id)
                // The way of the first is looked for, that of the others known.
                for _ in 0..<3 { client.publish(routingKey: "q", properties: sent, body: [1]) }
                client.receive()
                client.broker.advance(milliseconds: 10)
                var wanted = sent
                wanted.headers = headers(delay.goes)
                for _ in 0..<3 {
                    #expect(client.call(BasicGet(queue: "q", noAck: true)).first?.properties == wanted)
                }
            }
        }
        #expect(client.call(BasicGet(queue: "q", noAck: true)).lines == ["1 basic.get-empty"])
    }

    /// What is there when the time comes counts, also for a message whose way was known.
    @Test func queuesAndBindingsMayChangeMeanwhile() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(ExchangeDeclare(exchange: "e", type: "direct"))
        for queue: ShortString in ["one", "two"] { client.call(QueueDeclare(queue: queue)) }
        client.call(QueueBind(queue: "one", exchange: "e", routingKey: "k"))
        for delay in [10, 20, 30, 40] as [Int32] {
            Self.publish(client, ["m", "n"], exchange: "e", key: "k", ["x-delay": .int32(delay)])
        }
        client.broker.advance(milliseconds: 10)
        #expect(Self.drain(client, "one") == ["m -10", "n -10"])
        client.call(QueueUnbind(queue: "one", exchange: "e", routingKey: "k"))
        client.call(QueueBind(queue: "two", exchange: "e", routingKey: "k"))
        client.broker.advance(milliseconds: 10)
        #expect(Self.drain(client, "one") == [])
        #expect(Self.drain(client, "two") == ["m -20", "n -20"])
        client.call(QueueDelete(queue: "two"))
        client.broker.advance(milliseconds: 10)
        client.call(ExchangeDelete(exchange: "e"))
        client.broker.advance(milliseconds: 10)
        #expect(client.broker.shards[0].delayedMessageCount == 0)
        // A publish to the exchange is refused now as before.
        Self.publish(client, ["m"], exchange: "", key: "one", ["x-delay": .int32(10)])
        client.publish(exchange: "e", routingKey: "k", properties: BasicProperties(headers: [:]), body: [1])
        #expect(client.receive().lines.first?.hasPrefix("1 channel.close 404") == true)
        client.broker.advance(milliseconds: 10)
        client.sendBytes(SimulatedClient.frame(ChannelCloseOk(), channel: 1))
        client.call(ChannelOpen(), channel: 2)
        #expect(client.call(BasicGet(queue: "one", noAck: true), channel: 2).first?.text == "m")
    }

    /// A headers exchange looks at each message, whatever the last one's names were.
    @Test func headersExchangesLookAtEveryMessage() {
        let client = SimulatedClient(SimulatedBroker()).open()
        client.call(ExchangeDeclare(exchange: "h", type: "headers"))
        client.call(ExchangeDeclare(exchange: "f", type: "fanout"))
        client.call(ExchangeBind(destination: "h", source: "f"))
        for color in ["red", "blue"] {
            let queue = ShortString(Array(color.utf8)) ?? ""
            client.call(QueueDeclare(queue: queue))
            client.call(QueueBind(queue: queue, exchange: "h", arguments: ["color": .text(color)]))
        }
        for exchange in ["h", "f"] as [ShortString] {
            for color in ["red", "blue", "green", "blue", "red"] {
                for delay in [nil, 10] as [Int32?] {
                    let headers: [(ShortString, FieldValue)] =
                        [("color", .text(color))] + (delay.map { [("x-delay", .int32($0))] } ?? [])
                    Self.publish(client, [color], exchange: exchange, key: "k", FieldTable(headers))
                }
                Self.publish(client, ["none"], exchange: exchange, key: "k", nil)
            }
            #expect(Self.drain(client, "red") == ["red", "red"])
            #expect(Self.drain(client, "blue") == ["blue", "blue"])
            client.broker.advance(milliseconds: 10)
            #expect(Self.drain(client, "red") == ["red -10", "red -10"])
            #expect(Self.drain(client, "blue") == ["blue -10", "blue -10"])
        }
    }

    /// More than is published in one go, and all of it at once.
    @Test func manyAreDueTogether() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "q"))
        let count = 3 * ShardLimits.delaysInOneGo / 2
        for number in 0..<count {
            Self.publish(client, ["\(number)"], ["x-delay": .int32(100_000)])
        }
        broker.advance(milliseconds: 200_000)
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok \(count) 0"])
        #expect(client.call(BasicGet(queue: "q", noAck: true)).first?.text == "0")
    }

    /// Durable: what waited and went is in the queue after a restart, once; what waits still waits.
    @Test func burstsOutliveTheProcess() throws {
        let scene = QueueScene(isDurable: true)
        scene.declare("q", durable: true)
        scene.client.call(ConfirmSelect())
        Self.publish(scene.client, ["a", "b", "c"], ["x-delay": .int32(100)], persistent: true)
        Self.publish(scene.client, ["d", "e"], ["x-delay": .int32(500)], persistent: true)
        scene.advance(200)
        scene.client.receive()
        let next = try scene.restarted()
        #expect(Self.drain(next.client, "q").sorted() == ["a -100", "b -100", "c -100"])
        next.advance(500)
        #expect(Self.drain(next.client, "q").sorted() == ["d -500", "e -500"])
    }
}
