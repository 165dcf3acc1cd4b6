import AMQPProtocol
import BrokerCore
import BrokerSimulation
import Testing

@Suite struct HandshakeTests {
    @Test func theWholeHandshakeInOneWrite() {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes(SimulatedClient.greeting())
        #expect(
            client.receive().lines == [
                "0 connection.start", "0 connection.tune", "0 connection.open-ok", "1 channel.open-ok",
            ]
        )
    }

    @Test(
        arguments: [
            ([65, 77, 81, 80, 1, 1, 0, 9], UInt8(0), UInt8(9)), ([65, 77, 81, 80, 1, 1, 8, 0], 8, 0),
            ([65, 77, 81, 80, 1, 1, 9, 1], 8, 0),
        ] as [([UInt8], UInt8, UInt8)]
    )
    func olderHeadersAreTaken(header: [UInt8], major: UInt8, minor: UInt8) {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes(header)
        guard case .method(0, .connectionStart(let start))? = client.receive().first else {
            Issue.record("no connection.start")
            return
        }
        #expect(start.versionMajor == major && start.versionMinor == minor)
    }

    @Test(arguments: [
        Array("HTTP/1.1".utf8), Array("GET / HT".utf8), [65, 77, 81, 80, 0, 0, 9, 2], [65, 77, 81, 80, 1, 1, 0, 10],
        [UInt8](repeating: 0, count: 8), [65, 77, 81, 80, 0, 1, 0, 0],
    ])
    func aWrongHeaderIsAnsweredWithOurs(header: [UInt8]) {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes(header)
        guard case .protocolHeader([65, 77, 81, 80, 0, 0, 9, 1])? = client.receive().first else {
            Issue.record("no header")
            return
        }
        #expect(client.socket.isClosed)
    }

    @Test func aWrongPasswordIsRefusedAndClosedLater() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker)
        client.sendBytes(SimulatedClient.greeting(password: "wrong"))
        #expect(
            client.receive().lines.last
                == "0 connection.close 403 ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. "
                + "For details see the broker logfile. (0/0)"
        )
        #expect(!client.socket.isClosed)
        broker.advance(milliseconds: 3000)
        #expect(client.socket.isClosed)
    }

    @Test func whoAnswersARefusedLoginIsLetGoAtOnce() {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes(SimulatedClient.greeting(password: "wrong"))
        client.receive()
        #expect(client.call(ConnectionClose(replyCode: 200), channel: 0).lines == ["0 connection.close-ok"])
        #expect(!client.socket.isClosed)
        #expect(client.call(ConnectionCloseOk(), channel: 0).isEmpty)
        #expect(client.socket.isClosed)
    }

    @Test func contentBeforeTuneOkIsMetWithSilence() {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes([65, 77, 81, 80, 0, 0, 9, 1])
        client.receive()
        client.sendBytes(SimulatedClient.frame(type: 3, channel: 0, payload: [1]))
        #expect(client.receive().isEmpty)
    }

    @Test func guestComesFromTheLoopbackInterfaceOnly() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker, isLoopback: false)
        client.sendBytes(SimulatedClient.greeting())
        #expect(client.receive().lines.last?.hasPrefix("0 connection.close 403 ACCESS_REFUSED") == true)
    }

    @Test func anUnknownVirtualHostIsRefused() {
        let client = SimulatedClient(SimulatedBroker())
        client.sendBytes(SimulatedClient.greeting(virtualHost: "x", channel: nil))
        #expect(client.receive().lines.last == "0 connection.close 530 NOT_ALLOWED - vhost x not found (10/40)")
    }

    @Test(arguments: [(UInt32(0), UInt16(2047)), (4095, 2047), (131_073, 2047), (131_072, 0), (131_072, 2048)])
    func tuningBeyondTheOfferIsMetWithSilence(frameMax: UInt32, channelMax: UInt16) {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker)
        client.sendBytes(
            SimulatedClient.greeting(frameMaxBytes: frameMax, channelMax: channelMax, channel: nil)
        )
        #expect(client.receive().lines == ["0 connection.start", "0 connection.tune"])
        broker.advance(milliseconds: 3000)
        #expect(client.socket.isClosed)
    }

    @Test func aSocketThatDoesNotLogInIsClosedAfterTenSeconds() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker)
        client.sendBytes([65, 77, 81])
        broker.advance(milliseconds: 9_999)
        #expect(!client.socket.isClosed)
        broker.advance(milliseconds: 1)
        #expect(client.socket.isClosed)
    }

    @Test func memoryBeforeLoginIsBounded() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker)
        client.sendBytes([65, 77, 81, 80, 0, 0, 9, 1])
        client.receive()
        // A frame that announces more than a frame before tuning may have.
        client.sendBytes([1, 0, 0, 0, 16, 0, 0] + [UInt8](repeating: 0, count: 100_000))
        client.receive()
        broker.advance(milliseconds: 3000)
        #expect(client.socket.isClosed)
    }

    @Test func heartbeatsGoBothWays() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open(heartbeat: 10)
        var beats = 0
        for _ in 0..<10 {
            broker.advance(milliseconds: 5000)
            client.sendBytes([8, 0, 0, 0, 0, 0, 0, 0xCE])
            beats += client.receive().count
        }
        #expect((8...11).contains(beats))
        #expect(!client.socket.isClosed)
        // Silence for two intervals ends it.
        broker.advance(milliseconds: 19_000)
        #expect(!client.socket.isClosed)
        broker.advance(milliseconds: 6_000)
        #expect(client.socket.isClosed)
    }

    @Test func heartbeatsLeaveTimeToAClientThatReadsForHalfTheInterval() {
        let broker = SimulatedBroker()
        let client = SimulatedClient(broker).open(heartbeat: 10)
        broker.advance(milliseconds: 5499)
        #expect(client.receive().isEmpty)
        broker.advance(milliseconds: 1)
        #expect(client.receive().lines == ["heartbeat"])
        broker.advance(milliseconds: 5000)
        #expect(client.receive().isEmpty)
        #expect(!client.socket.isClosed)
    }

    @Test func stoppingTheBrokerTellsClients() {
        let broker = SimulatedBroker(shardCount: 2)
        let clients = (0..<4).map { _ in SimulatedClient(broker).open() }
        broker.stop()
        for client in clients {
            #expect(
                client.receive().lines == [
                    "0 connection.close 320 CONNECTION_FORCED - broker forced connection closure with reason "
                        + "'shutdown' (0/0)"
                ]
            )
            client.call(ConnectionCloseOk(), channel: 0)
            #expect(client.socket.isClosed)
        }
        #expect(broker.shards.allSatisfy { $0.connectionCount == 0 })
    }

    @Test func aPublisherIsBlockedWhileMemoryIsShort() {
        var settings = BrokerSettings()
        settings.memoryLimitBytes = 8 << 20
        let broker = SimulatedBroker(shardCount: 2, settings: settings)
        let publisher = SimulatedClient(broker, shard: 0).open()
        let consumer = SimulatedClient(broker, shard: 1).open()
        publisher.call(QueueDeclare(queue: "q"))
        let body = [UInt8](repeating: 1, count: 100_000)
        for _ in 0..<200 {
            publisher.publish(routingKey: "q", body: body)
            broker.run()
        }
        #expect(publisher.receive().lines == ["0 connection.blocked low on memory"])
        let depth = consumer.call(QueueDeclare(queue: "q", passive: true)).lines
        #expect(depth != ["1 queue.declare-ok 200 0"])
        // Consumers go on, and drain the alarm away; everything that was sent arrives.
        var received = consumer.call(BasicConsume(queue: "q", consumerTag: "c", noAck: true)).compactMap(\.text).count
        for _ in 0..<400 {
            received += consumer.receive().compactMap(\.text).count
        }
        #expect(received == 200)
        #expect(publisher.receive().lines.last == "0 connection.unblocked")
    }
}
