import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Bugs that seeds of the simulation have found, each as a short way to it.
@Suite struct SimulationFindingsTests {
    /// The only consumer's cancel takes an auto-delete queue away; the news must not reach whoever gets its place.
    ///
    /// Found by seed 244: a getter in that place was forgotten, and its message with it.
    @Test(arguments: [(1, 0, 0), (2, 0, 1), (2, 1, 0), (3, 1, 2)])
    func cancelThatDeletesAQueueSparesTheNextGetter(shards: Int, queueShard: Int, getterShard: Int) {
        for events in 0..<40 {
            let broker = SimulatedBroker(shardCount: shards)
            let owner = SimulatedClient(broker, shard: queueShard).open()
            owner.call(QueueDeclare(queue: "q"))
            owner.call(QueueDeclare(queue: "r", autoDelete: true))
            owner.publish(routingKey: "q", body: [1])
            owner.receive()
            let getter = SimulatedClient(broker, shard: getterShard).open()
            getter.send(BasicConsume(queue: "r", consumerTag: "c"))
            getter.send(BasicCancel(consumerTag: "c"))
            getter.send(BasicGet(queue: "q"))
            broker.run(SeededRandom(seed: UInt64(events)), maxEvents: events)
            getter.disconnect()
            broker.run()
            let answer = owner.call(QueueDeclare(queue: "q", passive: true)).lines
            #expect(answer == ["1 queue.declare-ok 1 0"], "cut after \(events) events")
        }
    }

    /// Found by seed 146: the queue was gone first, and nobody answered the cancel.
    @Test(arguments: 0..<20)
    func cancelIsAnsweredWhenTheQueueIsBeingDeleted(seed: UInt64) {
        let broker = SimulatedBroker(shardCount: 3, seed: seed)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q"))
        let consumer = SimulatedClient(broker, shard: 2).open()
        consumer.call(BasicConsume(queue: "q", consumerTag: "c"))
        owner.send(QueueDelete(queue: "q"))
        consumer.send(BasicCancel(consumerTag: "c"))
        broker.run(SeededRandom(seed: seed))
        #expect(owner.receive().lines == ["1 queue.delete-ok 0"])
        let answers = consumer.receive().lines
        #expect(answers.last == "1 basic.cancel-ok")
        #expect(answers.count == 1 || answers == ["1 cancel c", "1 basic.cancel-ok"])
    }

    /// Found by seed 16: what had come of a message counted for ever when its channel or connection ended.
    @Test(arguments: ["channel", "connection", "refusal"])
    func unfinishedMessagesTakeNoMemoryWhenTheirChannelEnds(end: String) {
        let broker = SimulatedBroker()
        let publisher = SimulatedClient(broker).open()
        let bytes = publisher.encodePublish(BasicPublish(routingKey: "q"), body: Array(repeating: 7, count: 90_000))
        publisher.sendBytes(Array(bytes.prefix(50_000)))
        broker.run()
        #expect(broker.shards[0].census.assemblyBytes > 0)
        switch end {
        case "channel":
            publisher.sendBytes(Array(bytes.dropFirst(50_000).dropLast()))
            publisher.sendBytes([0])
        case "refusal":
            publisher.sendBytes(Array(bytes.dropFirst(50_000).dropLast(1000)))
            publisher.sendBytes(SimulatedClient.frame(ConnectionClose(), channel: 0))
        default: break
        }
        publisher.disconnect()
        broker.run()
        #expect(broker.shards[0].census.isEmpty)
    }

    /// Found by seed 29: so much was held back behind a `get` that reading paused, and went on out of turn.
    @Test func framesHeldBackKeepTheirOrderWhenReadingPauses() {
        let broker = SimulatedBroker(shardCount: 2)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q"))
        let client = SimulatedClient(broker, shard: 0).open(frameMaxBytes: 4096)
        var body = [UInt8](repeating: 0, count: 400_000)
        for index in body.indices {
            body[index] = UInt8(truncatingIfNeeded: index / 4088)
        }
        client.send(BasicGet(queue: "q"))
        client.publish(routingKey: "q", body: body)
        client.publish(routingKey: "q", body: [1])
        #expect(client.receive().lines == ["1 basic.get-empty"])
        for expected in [body, [1]] {
            guard case .content(_, _, _, let received)? = owner.call(BasicGet(queue: "q", noAck: true)).first else {
                Issue.record("the message of \(expected.count) octets is missing")
                continue
            }
            #expect(received == expected)
        }
    }

    /// Found by seed 263: the number is the client's again, but `open` came before all queues had let go.
    @Test func channelOpensAgainRightAfterCloseOk() {
        let broker = SimulatedBroker(shardCount: 2)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q"))
        let client = SimulatedClient(broker, shard: 0).open()
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        // The channel is closed, and the queue has not heard of it.
        client.send(BasicAck(deliveryTag: 9))
        broker.readAll(client.socket)
        client.sendBytes(
            SimulatedClient.frame(ChannelCloseOk(), channel: 1) + SimulatedClient.frame(ChannelOpen(), channel: 1)
                + SimulatedClient.frame(BasicConsume(queue: "q", consumerTag: "c"), channel: 1)
        )
        broker.readAll(client.socket)
        let answers = client.receive().lines
        #expect(answers.first?.hasPrefix("1 channel.close 406") == true)
        #expect(answers.dropFirst() == ["1 channel.open-ok", "1 basic.consume-ok c"])
        owner.publish(routingKey: "q", body: Array("m".utf8))
        #expect(client.receive().lines == ["1 deliver c #1 m"])
    }

    /// Found by seed 122: the request of a consumer that was gone gave a grant to the next one in its place.
    @Test(arguments: [(1, 0, 0), (2, 0, 1), (2, 1, 0)])
    func grantsGoWithTheirConsumer(shards: Int, queueShard: Int, consumerShard: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let owner = SimulatedClient(broker, shard: queueShard).open()
        owner.call(QueueDeclare(queue: "q"))
        owner.call(QueueDeclare(queue: "r"))
        let single = FieldTable([("x-single-active-consumer", .boolean(true))])
        owner.call(QueueDeclare(queue: "s", arguments: single))
        let consumer = SimulatedClient(broker, shard: consumerShard).open()
        consumer.call(BasicQos(prefetchCount: 1, global: true))
        consumer.call(BasicConsume(queue: "s", consumerTag: "active"))
        consumer.call(BasicConsume(queue: "q", consumerTag: "a"))
        consumer.call(BasicConsume(queue: "r", consumerTag: "b"))
        owner.publish(routingKey: "q", body: Array("q".utf8))
        #expect(consumer.receive().lines == ["1 deliver a #1 q"])
        // b asks and has to wait; its place goes to a consumer that is not active.
        owner.publish(routingKey: "r", body: Array("r".utf8))
        #expect(consumer.receive().isEmpty)
        consumer.call(BasicCancel(consumerTag: "b"))
        consumer.call(BasicConsume(queue: "s", consumerTag: "waiting"))
        consumer.call(BasicAck(deliveryTag: 1))
        owner.publish(routingKey: "s", body: Array("s".utf8))
        #expect(consumer.receive().lines == ["1 deliver active #2 s"])
    }

    /// Found by seed 125: deliveries that were on their way when the limit was set did not count.
    @Test func deliveriesUnderWayCountWhenALimitIsSet() {
        let broker = SimulatedBroker(shardCount: 2)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q"))
        for number in 1...3 {
            owner.publish(routingKey: "q", body: Array("m\(number)".utf8))
        }
        owner.receive()
        let consumer = SimulatedClient(broker, shard: 0).open()
        consumer.send(BasicConsume(queue: "q", consumerTag: "c", noWait: true))
        consumer.send(BasicQos(prefetchCount: 1, global: true))
        #expect(consumer.receive().count { $0.text != nil } == 3)
        owner.publish(routingKey: "q", body: Array("m4".utf8))
        #expect(consumer.receive().isEmpty)
        consumer.call(BasicAck(deliveryTag: 1))
        #expect(consumer.call(BasicAck(deliveryTag: 2)).isEmpty)
        #expect(consumer.call(BasicAck(deliveryTag: 3)).lines == ["1 deliver c #4 m4"])
    }

    /// Found by seed 523: what was open of a deleted queue did not count.
    @Test func deliveriesOfADeletedQueueCountWhenALimitIsSet() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open()
        client.call(QueueDeclare(queue: "gone"))
        client.call(QueueDeclare(queue: "q"))
        client.call(BasicConsume(queue: "gone", consumerTag: "a"))
        client.publish(routingKey: "gone", body: Array("m1".utf8))
        #expect(client.receive().lines == ["1 deliver a #1 m1"])
        client.call(QueueDelete(queue: "gone"))
        client.call(BasicQos(prefetchCount: 1, global: true))
        client.call(BasicConsume(queue: "q", consumerTag: "b"))
        client.publish(routingKey: "q", body: Array("m2".utf8))
        #expect(client.receive().isEmpty)
        #expect(client.call(BasicAck(deliveryTag: 1)).lines == ["1 deliver b #2 m2"])
    }

    /// Found by seed 25: what a channel held back behind a declaration was dropped by `connection.close`.
    @Test(arguments: [(1, 0), (2, 1), (3, 2)])
    func connectionCloseComesAfterWhatWasSentBefore(shards: Int, shard: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let client = SimulatedClient(broker, shard: shard).open()
        client.send(QueueDeclare(queue: "q", noWait: true))
        client.publish(routingKey: "q", body: [1])
        client.send(QueueDeclare(queue: "q", passive: true))
        client.send(ConnectionClose(replyCode: 200), channel: 0)
        client.publish(routingKey: "q", body: [2])
        #expect(client.receive().lines == ["1 queue.declare-ok 1 0", "0 connection.close-ok"])
        let other = SimulatedClient(broker).open()
        #expect(other.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 1 0"])
    }

    /// A refusal of what was held back is no longer told to a client that is closing.
    @Test func connectionCloseIsAnsweredWhenWhatWasSentBeforeIsWrong() {
        let broker = SimulatedBroker(shardCount: 2)
        let client = SimulatedClient(broker, shard: 1).open()
        client.send(QueueDeclare(queue: "q", noWait: true))
        client.send(BasicQos(prefetchSize: 1))
        client.send(ConnectionClose(replyCode: 200), channel: 0)
        #expect(client.receive().lines == ["0 connection.close-ok"])
        client.disconnect()
        #expect(broker.shards.map(\.census.connections) == [0, 0])
    }

    /// Found by seed 27008: a `get` of another channel came between the consumer and its `consume-ok`.
    @Test func consumeOkComesFirstWhenManyFramesGoOnAtOnce() {
        let broker = SimulatedBroker(shardCount: 2)
        SimulatedClient(broker, shard: 1).open().call(QueueDeclare(queue: "remote"))
        let client = SimulatedClient(broker, shard: 0).open(frameMaxBytes: 4096)
        client.call(ChannelOpen(), channel: 2)
        client.call(ChannelOpen(), channel: 3)
        client.call(QueueDeclare(queue: "q"))
        client.call(QueueDeclare(queue: "empty"))
        client.publish(routingKey: "q", body: Array("m".utf8))
        client.receive()
        // So much is held back behind the first get that the rest is not read before its answer.
        client.send(BasicGet(queue: "remote"))
        client.publish(routingKey: "nowhere", body: Array(repeating: 0, count: 300_000))
        client.send(BasicConsume(queue: "q", consumerTag: "c"), channel: 2)
        client.send(BasicGet(queue: "empty"), channel: 3)
        let lines = client.receive().lines
        #expect(lines.first == "1 basic.get-empty")
        #expect(lines.filter { $0.hasPrefix("2 ") } == ["2 basic.consume-ok c", "2 deliver c #1 m"])
    }

    /// Found by seed 1760: the question went by way of the owner and overtook the message.
    @Test(arguments: 0..<30)
    func whatAChannelHasPublishedIsThereWhenItAsks(seed: UInt64) {
        let broker = SimulatedBroker(shardCount: 3, seed: seed)
        let owner = SimulatedClient(broker, shard: 1).open()
        owner.call(QueueDeclare(queue: "q"))
        owner.call(QueueDeclare(queue: "r"))
        let client = SimulatedClient(broker, shard: 2).open()
        client.publish(routingKey: "q", body: [1])
        client.send(QueueDeclare(queue: "q", passive: true))
        client.publish(routingKey: "r", body: [2])
        client.send(QueueDelete(queue: "r", ifEmpty: true))
        broker.run(SeededRandom(seed: seed))
        let lines = client.receive().lines
        #expect(lines.first == "1 queue.declare-ok 1 0")
        #expect(lines.last?.hasPrefix("1 channel.close 406 PRECONDITION_FAILED - queue 'r'") == true)
    }

    /// Found by seed 104666: a message of another channel came before the queue had heard of the close.
    @Test func nothingIsDeliveredBehindAChannelCloseWhenManyFramesGoOnAtOnce() {
        let broker = SimulatedBroker(shardCount: 2)
        SimulatedClient(broker, shard: 1).open().call(QueueDeclare(queue: "remote"))
        let client = SimulatedClient(broker, shard: 0).open(frameMaxBytes: 4096)
        client.call(ChannelOpen(), channel: 2)
        client.call(ChannelOpen(), channel: 3)
        client.call(QueueDeclare(queue: "q"))
        client.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true), channel: 2)
        // The second message of a route goes from the read buffer to the consumer.
        client.publish(routingKey: "q", body: Array("m".utf8), channel: 3)
        #expect(client.receive().lines == ["2 deliver c #1 m"])
        client.send(BasicGet(queue: "remote"))
        client.publish(routingKey: "nowhere", body: Array(repeating: 0, count: 300_000))
        client.send(BasicAck(deliveryTag: 9), channel: 2)
        client.publish(routingKey: "q", body: Array("m".utf8), channel: 3)
        let lines = client.receive().lines
        #expect(lines.first == "1 basic.get-empty")
        #expect(lines.last?.hasPrefix("2 channel.close 406") == true)
        #expect(client.call(BasicGet(queue: "q", noAck: true)).lines == ["1 get-ok #1 left 0 m"])
    }

    /// Found by seed 1: a declaration was under way when its connection broke.
    @Test(arguments: [(1, 0), (2, 0), (2, 1), (3, 2)])
    func exclusiveQueueGoesWithAConnectionThatBreaksWhileDeclaring(shards: Int, shard: Int) {
        let broker = SimulatedBroker(shardCount: shards)
        let owner = SimulatedClient(broker, shard: shard).open()
        owner.send(QueueDeclare(queue: "q", exclusive: true))
        broker.readAll(owner.socket)
        owner.disconnect()
        broker.run()
        #expect(broker.shards.map(\.census.queues) == Array(repeating: 0, count: shards))
    }

    /// Found by seed 271: what is not there any more was taken away by a record that the log did not have yet.
    @Test(arguments: [1, 3])
    func nobodyIsToldOfAnotherClientsChangeBeforeTheLogHasIt(shards: Int) {
        var settings = BrokerSettings()
        settings.isDurable = true
        let broker = SimulatedBroker(shardCount: shards, settings: settings)
        let first = SimulatedClient(broker, shard: 0).open()
        let second = SimulatedClient(broker, shard: shards - 1).open()
        first.call(QueueDeclare(queue: "q", durable: true))
        first.call(ExchangeDeclare(exchange: "e", type: "fanout", durable: true))
        first.call(QueueBind(queue: "q", exchange: "amq.fanout"))
        let requests: [(first: [UInt8], second: [UInt8], answer: String)] = [
            (
                SimulatedClient.frame(QueueDeclare(queue: "r", durable: true), channel: 1),
                SimulatedClient.frame(QueueDeclare(queue: "r", durable: true), channel: 1), "1 queue.declare-ok 0 0"
            ),
            (
                SimulatedClient.frame(QueueBind(queue: "q", exchange: "e"), channel: 1),
                SimulatedClient.frame(QueueBind(queue: "q", exchange: "e"), channel: 1), "1 queue.bind-ok"
            ),
            (
                SimulatedClient.frame(QueueDelete(queue: "q"), channel: 1),
                SimulatedClient.frame(QueueUnbind(queue: "q", exchange: "amq.fanout"), channel: 1), "1 queue.unbind-ok"
            ),
            (
                SimulatedClient.frame(ExchangeDelete(exchange: "e"), channel: 1),
                SimulatedClient.frame(ExchangeDelete(exchange: "e"), channel: 1), "1 exchange.delete-ok"
            ),
        ]
        for request in requests {
            broker.isLogHeld = true
            first.sendBytes(request.first)
            broker.run()
            second.sendBytes(request.second)
            #expect(second.receive().lines == [], "\(request.answer)")
            broker.isLogHeld = false
            #expect(second.receive().lines == [request.answer])
            first.receive()
        }
    }

    /// Found by seed 709: a queue was said to be there that some shard had not heard of.
    @Test(arguments: 0..<30)
    func whatIsDeclaredAgainIsKnownEverywhereWhenThatIsAnswered(events: Int) {
        let broker = SimulatedBroker(shardCount: 3)
        let first = SimulatedClient(broker, shard: 1).open()
        let second = SimulatedClient(broker, shard: 0).open()
        let third = SimulatedClient(broker, shard: 2).open()
        first.send(QueueDeclare(queue: "q", noWait: true))
        broker.readAll(first.socket)
        second.send(QueueDeclare(queue: "q"))
        broker.run(SeededRandom(seed: UInt64(events)), maxEvents: events)
        second.collect()
        guard !second.takeInbox().isEmpty else { return }
        third.publish(routingKey: "q", mandatory: true, body: [1])
        broker.readAll(third.socket)
        #expect(third.receive().lines == [])
    }
}
