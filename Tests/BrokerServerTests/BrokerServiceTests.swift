import AMQPProtocol
import BrokerSimulation
import NIOCore
import Testing

@testable import BrokerServer

/// A whole broker with real sockets: several loops, many clients, the end.
@Suite(.timeLimit(.minutes(2)))
struct BrokerServiceTests {
    /// Clients that have logged in, one after the other, so that they are spread over the loops in turn.
    private func clients(_ count: Int, of broker: TestBroker) async throws -> [TestClient] {
        var clients: [TestClient] = []
        for _ in 0..<count {
            let client = try await broker.connect()
            try await client.open()
            clients.append(client)
        }
        return clients
    }

    // MARK: Shards

    @Test(arguments: [1, 2, 4])
    func spreadsConnectionsEvenly(shards: Int) async throws {
        try await TestBroker.run(TestBroker.options(shards: shards)) { broker in
            _ = try await self.clients(2 * shards, of: broker)
            #expect(await broker.service.connectionCounts() == Array(repeating: 2, count: shards))
        }
    }

    @Test func hasAtLeastOneShard() async throws {
        try await TestBroker.run(TestBroker.options(shards: 0)) { broker in
            _ = try await self.clients(2, of: broker)
            #expect(await broker.service.connectionCounts() == [2])
        }
    }

    /// However connections end, nothing of them stays; what they held comes back for the next.
    @Test func forgetsConnectionsThatComeAndGo() async throws {
        try await TestBroker.run(TestBroker.options(shards: 2)) { broker in
            let first = try await self.clients(1, of: broker)[0]
            _ = try await first.call(QueueDeclare(queue: "work"))
            try await first.send(Frame.publish(to: "work", body: [1]))
            for number in 0..<100 {
                let client = try await broker.connect()
                try await client.open()
                try await client.send(BasicGet(queue: "work"))
                let content = try await client.receiveContent()
                guard case .basicGetOk(let got) = content.method else {
                    Issue.record("\(content)")
                    return
                }
                #expect(got.redelivered == (number > 0))
                // Every other one leaves without a word, with the message in its hands.
                if number.isMultiple(of: 2) {
                    await client.close()
                    // Until its loss has been seen the message is not there.
                    while await broker.service.connectionCounts().reduce(0, +) > 1 { await Task.yield() }
                    continue
                }
                _ = try await client.call(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
                await client.close()
            }
            while await broker.service.connectionCounts().reduce(0, +) > 1 { await Task.yield() }
        }
    }

    @Test func clientsOfFourShardsSeeEachOthersMessages() async throws {
        try await TestBroker.run(TestBroker.options(shards: 4)) { broker in
            let clients = try await self.clients(4, of: broker)
            #expect(await broker.service.connectionCounts() == [1, 1, 1, 1])
            // Everyone has a queue of its own and sends to all, himself included.
            for (index, client) in clients.enumerated() {
                _ = try await client.call(QueueDeclare(queue: ShortString(truncating: "queue \(index)")))
                let queue = ShortString(truncating: "queue \(index)")
                _ = try await client.call(BasicConsume(queue: queue, noAck: true))
            }
            for (index, client) in clients.enumerated() {
                for target in clients.indices {
                    for number in 0..<10 {
                        let queue = ShortString(truncating: "queue \(target)")
                        try await client.send(Frame.publish(to: queue, body: [UInt8(index), UInt8(number)]))
                    }
                }
            }
            for client in clients {
                var bySender: [[UInt8]] = [[], [], [], []]
                for _ in 0..<40 {
                    let body = try await client.receiveContent().body
                    bySender[Int(body[0])].append(body[1])
                }
                #expect(bySender == Array(repeating: Array(0..<10), count: 4))
            }
        }
    }

    @Test func aQueueIsTheSameFromEveryShard() async throws {
        try await TestBroker.run(TestBroker.options(shards: 2)) { broker in
            let clients = try await self.clients(2, of: broker)
            _ = try await clients[0].call(QueueDeclare(queue: "shared", durable: true))
            guard
                case .queueDeclareOk(let answer) = try await clients[1].call(
                    QueueDeclare(queue: "shared", durable: true)
                )
            else {
                Issue.record("refused")
                return
            }
            #expect(answer.messageCount == 0)
            guard case .channelClose(let close) = try await clients[1].call(QueueDeclare(queue: "shared")) else {
                Issue.record("not refused")
                return
            }
            #expect(close.replyCode == 406)
        }
    }

    @Test func confirmsWhatAnotherShardHasTaken() async throws {
        try await TestBroker.run(TestBroker.options(shards: 2)) { broker in
            let clients = try await self.clients(2, of: broker)
            _ = try await clients[0].call(QueueDeclare(queue: "far"))
            let selected = try await clients[1].call(ConfirmSelect())
            #expect(selected == .confirmSelectOk(ConfirmSelectOk()))
            try await clients[1].send(Frame.publish(to: "far", body: [1, 2, 3]))
            guard case .basicAck(let ack) = try await clients[1].receiveMethod() else {
                Issue.record("no ack")
                return
            }
            #expect(ack.deliveryTag == 1)
            try await clients[0].send(BasicGet(queue: "far", noAck: true))
            #expect(try await clients[0].receiveContent().body == [1, 2, 3])
        }
    }

    // MARK: Sockets

    @Test func acceptsTwoThousandSockets() async throws {
        try await TestBroker.run(TestBroker.options(shards: 2)) { broker in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        for _ in 0..<100 {
                            let client = try await broker.connect()
                            try await client.send(Frame.protocolHeader)
                            guard case .connectionStart = try await client.receiveMethod() else {
                                throw TestClient.Surprise(description: "not greeted")
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(await broker.service.connectionCounts() == [1_000, 1_000])
        }
    }

    /// What the broker says about a refusal arrives although the client goes on sending: no reset destroys it.
    @Test func theReasonArrivesAtAClientThatKeepsSending() async throws {
        try await TestBroker.run { broker in
            let client = try await broker.connect(keepsOutput: true)
            // In one go: the broker waits for the end of it for a few seconds only, and this machine may be busy.
            try await client.send(Array("GET / HTTP/1.1\r\n".utf8) + [UInt8](repeating: 65, count: 512 * 1024))
            #expect(try await client.end() == Frame.protocolHeader)
            #expect(client.failure == nil)
        }
    }

    @Test(arguments: [false, true])
    func aSlowReaderGetsEverythingInTheEnd(isTLS: Bool) async throws {
        try await TestBroker.run(TestBroker.options(shards: 2, tls: isTLS ? Fixtures.tls() : nil)) { broker in
            let reader = try await broker.connect(tls: isTLS ? Fixtures.client() : nil)
            try await reader.open()
            let publisher = try await self.clients(1, of: broker)[0]
            _ = try await reader.call(QueueDeclare(queue: "work"))
            _ = try await reader.call(BasicConsume(queue: "work", noAck: true))
            try await reader.channel.setOption(.autoRead, value: false).get()
            let body = [UInt8](repeating: 1, count: 100_000)
            for _ in 0..<200 { try await publisher.send(Frame.publish(to: "work", body: body)) }
            // Answered only after everything before it: 20 MB have been taken although nobody reads them.
            _ = try await publisher.call(QueueDeclare(queue: "work", passive: true))
            try await reader.channel.setOption(.autoRead, value: true).get()
            for number in 0..<200 {
                #expect(try await reader.receiveContent().body == body, "\(number)")
            }
        }
    }

    /// As `printf ... | nc` does: everything is sent, then the client's side is closed.
    @Test func aClientThatSaysEverythingAtOnceGetsItsAnswers() async throws {
        try await TestBroker.run { broker in
            let client = try await broker.connect(keepsOutput: true)
            var words = SimulatedClient.greeting()
            words += SimulatedClient.frame(QueueDeclare(queue: "work"), channel: 1)
            words += Frame.publish(to: "work", body: [1, 2, 3])
            words += SimulatedClient.frame(BasicGet(queue: "work", noAck: true), channel: 1)
            try await client.send(words)
            try await client.channel.close(mode: .output).get()
            let frames = Frame.all(in: try await client.end())
            #expect(
                frames.compactMap(\.method).map(\.id.name) == [
                    "connection.start", "connection.tune", "connection.open-ok", "channel.open-ok",
                    "queue.declare-ok", "basic.get-ok",
                ]
            )
            #expect(frames.last?.payload == [1, 2, 3])
            #expect(client.failure == nil)
            #expect(await broker.service.connectionCounts() == [0])
        }
    }

    // MARK: The end

    @Test(arguments: [1, 2])
    func tellsEveryClientThatItStops(shards: Int) async throws {
        try await TestBroker.run(TestBroker.options(shards: shards, tls: Fixtures.tls())) { broker in
            var clients = try await self.clients(4, of: broker)
            let secure = try await broker.connect(tls: Fixtures.client())
            try await secure.open()
            clients.append(secure)
            async let stop: Void = broker.service.stop()
            for client in clients {
                guard case .connectionClose(let close) = try await client.receiveMethod() else {
                    Issue.record("not told")
                    continue
                }
                #expect(close.replyCode == 320)
                #expect(
                    close.replyText == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
                )
                // Nobody new gets in while the others say goodbye.
                await #expect(throws: (any Error).self) { _ = try await TestClient.connect(port: broker.port) }
                try await client.send(ConnectionCloseOk(), channel: 0)
                #expect(try await client.end() == [])
                #expect(client.failure == nil)
            }
            await stop
            await #expect(throws: (any Error).self) { _ = try await TestClient.connect(port: broker.port) }
        }
    }

    @Test func canBeStoppedTwice() async throws {
        try await TestBroker.run { broker in
            await broker.service.stop()
            await broker.service.stop()
            #expect(await broker.service.connectionCounts() == [])
        }
    }

    @Test func itsPortIsFreeAfterwards() async throws {
        var options = TestBroker.options(host: "127.0.0.8")
        try await TestBroker.run(options) { broker in
            try await broker.connect().open()
            options.port = UInt16(broker.port)
        }
        try await TestBroker.run(options) { broker in
            try await broker.connect().open()
        }
    }

    @Test func saysWhenItIsReady() async throws {
        let ready = Watched<[[BoundListener]]>([])
        let service = BrokerService(
            options: TestBroker.options(tls: Fixtures.tls()),
            logger: LogRecorder().logger,
            onReady: { listeners in ready.update { $0.append(listeners) } }
        )
        let run = Task { try await service.run() }
        let listeners = try await ready.wait { $0.first }
        #expect(listeners.map(\.isTLS) == [false, true])
        run.cancel()
        try await run.value
        #expect(ready.value.count == 1)
        await #expect(throws: (any Error).self) { _ = try await TestClient.connect(port: listeners[0].port) }
    }
}
