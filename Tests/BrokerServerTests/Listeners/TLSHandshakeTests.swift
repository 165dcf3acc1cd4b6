import AMQPProtocol
import BrokerSimulation
import NIOCore
import NIOSSL
import Testing

@testable import BrokerServer

/// TLS over real sockets: versions, certificates of both sides, and clients at the wrong port.
@Suite(.timeLimit(.minutes(1)))
struct TLSHandshakeTests {
    @Test(arguments: [12...12, 13...13, 12...13, 10...12])
    func servesClientsThatCheckItsCertificate(versions: ClosedRange<Int>) async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client(versions: versions))
            try await client.open()
            _ = try await client.call(QueueDeclare(queue: "work"))
            // More than a record of TLS and more than a frame's worth of reads.
            let body = (0..<100_000).map { UInt8(truncatingIfNeeded: $0) }
            try await client.send(Frame.publish(to: "work", body: body))
            try await client.send(BasicGet(queue: "work"))
            #expect(try await client.receiveContent().body == body)
        }
    }

    @Test func sendsItsWholeChain() async throws {
        let options = TestBroker.options(tls: Fixtures.tls(certificate: "chain.pem"))
        try await TestBroker.run(options) { broker in
            try await broker.connect(tls: Fixtures.client()).open()
        }
    }

    @Test func closesWithAGoodbyeOfTLS() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client())
            try await client.open()
            let answer = try await client.call(ConnectionClose(replyCode: 200, replyText: "bye"), channel: 0)
            #expect(answer == .connectionCloseOk(ConnectionCloseOk()))
            // The end of the socket is the client's, unless it asks for it.
            try await client.send(ConnectionCloseOk(), channel: 0)
            #expect(try await client.end() == [])
            #expect(client.failure == nil)
        }
    }

    @Test func refusesOldVersions() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client(versions: 10...11))
            #expect(try await client.end() == [])
            let line = try await broker.log.wait(for: "TLS handshake with 127.0.0.1:")
            #expect(line.hasPrefix("[warning] "))
            #expect(line.hasSuffix("the client offers only versions of TLS before 1.2 (UNSUPPORTED_PROTOCOL)"))
        }
    }

    @Test func clientsThatDoNotKnowItsAuthorityLeave() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client(authority: "other-authority.pem"))
            #expect(try await client.end() == [])
            #expect(client.failure?.contains("CERTIFICATE_VERIFY_FAILED") == true)
            try await broker.connect(tls: Fixtures.client()).open()
        }
    }

    @Test func closesOnAClientThatStopsSpeakingTLS() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client())
            try await client.open()
            let channel = client.channel
            try await channel.eventLoop.submit {
                let tls = try channel.pipeline.syncOperations.context(handlerType: NIOSSLClientHandler.self)
                tls.writeAndFlush(NIOAny(ByteBuffer(string: "no record of TLS")), promise: nil)
            }.get()
            _ = try await client.end()
            let line = try await broker.log.wait(for: "TLS connection from 127.0.0.1:")
            #expect(line.hasPrefix("[warning] "))
            #expect(line.hasSuffix(" failed: WRONG_VERSION_NUMBER"))
        }
    }

    // MARK: Certificates of clients

    @Test(arguments: [true, false], [12...12, 13...13])
    func takesCertificatesOfItsAuthority(verifiesPeer: Bool, versions: ClosedRange<Int>) async throws {
        let tls = Fixtures.tls(authority: "authority.pem", verifiesPeer: verifiesPeer)
        try await TestBroker.run(TestBroker.options(tls: tls)) { broker in
            try await broker.connect(tls: Fixtures.client(identity: "client", versions: versions)).open()
        }
    }

    @Test(arguments: [12...12, 13...13])
    func refusesClientsWithoutACertificateWhenItWantsOne(versions: ClosedRange<Int>) async throws {
        let tls = Fixtures.tls(authority: "authority.pem", verifiesPeer: true)
        try await TestBroker.run(TestBroker.options(tls: tls)) { broker in
            let client = try await broker.connect(tls: Fixtures.client(versions: versions))
            #expect(try await client.end() == [])
            let line = try await broker.log.wait(for: "TLS handshake with 127.0.0.1:")
            #expect(line.hasSuffix("the client showed no certificate (PEER_DID_NOT_RETURN_A_CERTIFICATE)"))
        }
    }

    @Test(arguments: [true, false])
    func refusesCertificatesOfOthers(verifiesPeer: Bool) async throws {
        let tls = Fixtures.tls(authority: "authority.pem", verifiesPeer: verifiesPeer)
        try await TestBroker.run(TestBroker.options(tls: tls)) { broker in
            let client = try await broker.connect(tls: Fixtures.client(identity: "stranger"))
            #expect(try await client.end() == [])
            let line = try await broker.log.wait(for: "TLS handshake with 127.0.0.1:")
            #expect(line.hasSuffix("failed: CERTIFICATE_VERIFY_FAILED"))
        }
    }

    @Test func letsClientsWithoutACertificateInWhenItOnlyAsks() async throws {
        let tls = Fixtures.tls(authority: "authority.pem")
        try await TestBroker.run(TestBroker.options(tls: tls)) { broker in
            try await broker.connect(tls: Fixtures.client()).open()
        }
    }

    // MARK: The wrong port

    @Test func closesOnAPlainClientAtTheTLSPort() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(toTLSPort: true)
            try await client.send(Frame.protocolHeader)
            _ = try await client.end()
            #expect(client.failure == nil)
            let line = try await broker.log.wait(for: "TLS handshake with 127.0.0.1:")
            #expect(line.hasSuffix("the client does not speak TLS (WRONG_VERSION_NUMBER)"))
            try await broker.connect(tls: Fixtures.client()).open()
        }
    }

    @Test func closesOnATLSClientAtThePlainPort() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(tls: Fixtures.client(), toTLSPort: false)
            #expect(try await client.end() == [])
            #expect(client.failure?.contains("WRONG_VERSION_NUMBER") == true)
            let line = try await broker.log.wait(for: "TLS client on the plain AMQP port")
            #expect(line.hasPrefix("[warning] "))
            try await broker.connect().open()
        }
    }

    @Test func closesOnAClientThatSaysHalfOfHelloAndGoesAway() async throws {
        try await TestBroker.run(TestBroker.options(tls: Fixtures.tls())) { broker in
            let client = try await broker.connect(toTLSPort: true)
            try await client.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            await client.close()
            try await broker.connect(tls: Fixtures.client()).open()
            #expect(broker.log.lines.filter { $0.contains("failed") } == [])
        }
    }
}
