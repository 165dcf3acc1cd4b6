import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

/// Names that the broker makes or remembers, and queues that go on their own, as a client sees them.
@Suite struct NamedQueueTests {
    /// Brokers of one shard and of several, the client on the last one: the owner of the topology is on the first.
    static let shardCounts = [1, 3]

    private func client(_ shards: Int) -> SimulatedClient {
        SimulatedClient(SimulatedBroker(shardCount: shards), shard: shards - 1).open()
    }

    private func declared(_ received: [SimulatedClient.Received]) -> ShortString? {
        guard case .method(_, .queueDeclareOk(let ok))? = received.first, received.count == 1 else { return nil }
        return ok.queue
    }

    @Test(arguments: shardCounts)
    func namesOfTheBroker(shards: Int) throws {
        let client = self.client(shards)
        var names: Set<ShortString> = []
        let prefix = "amq.gen-".utf8.count
        for _ in 0..<20 {
            let name = try #require(self.declared(client.call(QueueDeclare(exclusive: true))))
            names.insert(name)
            #expect(name.hasPrefix("amq.gen-"))
            let made = String(decoding: name.bytes.dropFirst(prefix), as: UTF8.self)
            #expect(made.count == 22)
            #expect(made.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") }, "\(made)")
        }
        #expect(names.count == 20)
    }

    @Test(arguments: shardCounts)
    func anEmptyNameIsTheLastQueueDeclared(shards: Int) throws {
        let client = self.client(shards)
        let name = try #require(self.declared(client.call(QueueDeclare(exclusive: true))))
        client.publish(routingKey: name, body: [1])
        #expect(client.call(BasicGet(noAck: true)).lines == ["1 get-ok #1 left 0 \u{1}"])
        client.call(QueueDeclare(queue: "other"))
        client.publish(routingKey: "other", body: [1])
        #expect(client.call(QueuePurge()).lines == ["1 queue.purge-ok 1"])
        // A passive declare makes its queue the last one, too.
        client.call(QueueDeclare(queue: name, passive: true))
        #expect(client.call(BasicConsume(consumerTag: "c", noAck: true)).lines == ["1 basic.consume-ok c"])
        client.publish(routingKey: name, body: Array("m".utf8))
        #expect(client.receive().lines == ["1 deliver c #2 m"])
        // The name stays the last one when its queue goes.
        #expect(client.call(QueueDelete()).lines.contains("1 queue.delete-ok 0"))
        #expect(
            client.call(BasicGet()).lines == ["1 channel.close 404 NOT_FOUND - no queue '\(name)' in vhost '/' (60/70)"]
        )
    }

    @Test(arguments: shardCounts)
    func noQueueWasDeclaredYet(shards: Int) {
        func refused(_ method: String) -> [String] {
            ["1 channel.close 404 NOT_FOUND - no previously declared queue (\(method))"]
        }
        #expect(self.client(shards).call(BasicGet()).lines == refused("60/70"))
        #expect(self.client(shards).call(BasicConsume()).lines == refused("60/20"))
        #expect(self.client(shards).call(QueuePurge()).lines == refused("50/30"))
        #expect(self.client(shards).call(QueueDelete()).lines == refused("50/40"))
        #expect(self.client(shards).call(QueueBind(exchange: "amq.direct")).lines == refused("50/20"))
        #expect(self.client(shards).call(QueueUnbind(exchange: "amq.direct")).lines == refused("50/50"))
    }

    @Test func eachChannelHasItsOwnLastQueue() {
        let client = self.client(1)
        client.call(QueueDeclare(queue: "q"))
        client.call(ChannelOpen(), channel: 2)
        #expect(
            client.call(QueuePurge(), channel: 2).lines
                == ["2 channel.close 404 NOT_FOUND - no previously declared queue (50/30)"]
        )
        #expect(client.call(QueuePurge()).lines == ["1 queue.purge-ok 0"])
    }

    @Test(arguments: shardCounts)
    func bindWithNeitherNameNorKeyTakesTheNameForKey(shards: Int) {
        let client = self.client(shards)
        client.call(QueueDeclare(queue: "q"))
        #expect(client.call(QueueBind(exchange: "amq.direct")).lines == ["1 queue.bind-ok"])
        client.publish(exchange: "amq.direct", routingKey: "q", body: [1])
        client.publish(exchange: "amq.direct", routingKey: "", body: [1])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 1 0"])
        // With a key of its own it is bound by that, and with a name the empty key stays empty.
        #expect(client.call(QueueBind(exchange: "amq.direct", routingKey: "k")).lines == ["1 queue.bind-ok"])
        #expect(client.call(QueueBind(queue: "q", exchange: "amq.direct")).lines == ["1 queue.bind-ok"])
        client.publish(exchange: "amq.direct", routingKey: "k", body: [1])
        client.publish(exchange: "amq.direct", routingKey: "", body: [1])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 3 0"])
        // Unbinding names the binding in the same way.
        #expect(client.call(QueueUnbind(exchange: "amq.direct")).lines == ["1 queue.unbind-ok"])
        client.publish(exchange: "amq.direct", routingKey: "q", body: [1])
        #expect(client.call(QueueDeclare(queue: "q", passive: true)).lines == ["1 queue.declare-ok 3 0"])
    }

    @Test(arguments: shardCounts)
    func deletesOnlyWhatIsUnusedOrEmpty(shards: Int) {
        let client = self.client(shards)
        func refused(_ text: String) -> [String] {
            ["1 channel.close 406 PRECONDITION_FAILED - queue 'q' in vhost '/' \(text) (50/40)"]
        }
        func reopen() {
            client.send(ChannelCloseOk())
            client.call(ChannelOpen())
        }
        client.call(QueueDeclare(queue: "q"))
        client.publish(routingKey: "q", body: [1])
        #expect(client.call(QueueDelete(queue: "q", ifEmpty: true)).lines == refused("not empty"))
        reopen()
        // Unacknowledged messages do not count.
        #expect(client.call(BasicGet(queue: "q")).lines == ["1 get-ok #1 left 0 \u{1}"])
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        #expect(client.call(QueueDelete(queue: "q", ifUnused: true, ifEmpty: true)).lines == refused("in use"))
        reopen()
        #expect(client.call(QueueDelete(queue: "q", ifUnused: true, ifEmpty: true)).lines == refused("not empty"))
        reopen()
        #expect(client.call(QueueDelete(queue: "q", ifUnused: true)).lines == ["1 queue.delete-ok 1"])
        #expect(client.call(QueueDelete(queue: "q", ifUnused: true)).lines == ["1 queue.delete-ok 0"])
    }

    @Test(arguments: shardCounts)
    func autoDeleteQueuesGoWithTheirLastConsumer(shards: Int) {
        let client = self.client(shards)
        let gone = ["1 channel.close 404 NOT_FOUND - no queue 'auto' in vhost '/' (50/10)"]
        client.call(QueueDeclare(queue: "auto", autoDelete: true))
        client.publish(routingKey: "auto", body: [1])
        #expect(client.call(BasicGet(queue: "auto", noAck: true)).lines == ["1 get-ok #1 left 0 \u{1}"])
        #expect(client.call(QueueDeclare(queue: "auto", passive: true)).lines == ["1 queue.declare-ok 0 0"])
        client.call(BasicConsume(queue: "auto", consumerTag: "a"))
        client.call(BasicConsume(queue: "auto", consumerTag: "b"))
        client.call(BasicCancel(consumerTag: "a"))
        #expect(client.call(QueueDeclare(queue: "auto", passive: true)).lines == ["1 queue.declare-ok 0 1"])
        #expect(client.call(BasicCancel(consumerTag: "b")).lines == ["1 basic.cancel-ok"])
        #expect(client.call(QueueDeclare(queue: "auto", passive: true)).lines == gone)
    }

    @Test func cancelOkIsIgnored() {
        let client = self.client(1)
        client.call(QueueDeclare(queue: "q"))
        client.call(BasicConsume(queue: "q", consumerTag: "c"))
        // In this order: a client that waits for the answer fails when it is told of a cancelled consumer first.
        #expect(client.call(QueueDelete(queue: "q")).lines == ["1 queue.delete-ok 0", "1 cancel c"])
        client.send(BasicCancelOk(consumerTag: "c"))
        #expect(client.call(BasicQos(prefetchCount: 1)).lines == ["1 basic.qos-ok"])
    }
}
