import AMQPProtocol
import BrokerCore
import BrokerSimulation
import NIOCore
import NIOEmbedded
import Testing

@testable import BrokerServer

/// The one handler of a connection: greeting, refusals, back pressure, the end.
@Suite struct ConnectionHandlerTests {
    // MARK: Greeting

    @Test func answersTheGreetingInOrder() throws {
        let connection = try EmbeddedShard().connect()
        try connection.send(SimulatedClient.greeting())
        let names = try connection.receivedMethods().map(\.id.name)
        #expect(names == ["connection.start", "connection.tune", "connection.open-ok", "channel.open-ok"])
        #expect(connection.closes == [])
    }

    @Test func answersAGreetingThatComesInSingleOctets() throws {
        let connection = try EmbeddedShard().connect()
        for byte in SimulatedClient.greeting() { try connection.send([byte]) }
        let names = try connection.receivedMethods().map(\.id.name)
        #expect(names == ["connection.start", "connection.tune", "connection.open-ok", "channel.open-ok"])
    }

    @Test func answersAGreetingCutAnywhere() throws {
        let greeting = SimulatedClient.greeting()
        for cut in 1..<greeting.count {
            let connection = try EmbeddedShard().connect()
            try connection.send(Array(greeting[..<cut]))
            try connection.send(Array(greeting[cut...]))
            #expect(try connection.receivedMethods().count == 4, "cut at \(cut)")
        }
    }

    @Test func saysNothingUntilItIsGreeted() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect()
        #expect(shard.loop.connectionCount == 1)
        #expect(try connection.received() == [])
    }

    // MARK: Before login

    @Test(arguments: [
        "GET / HTTP/1.1\r\n\r\n", "AMQP\u{0}\u{0}\u{9}\u{0}", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}\u{1}",
    ])
    func answersAWrongHeaderWithTheRightOne(text: String) throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect()
        try connection.send(Array(text.utf8))
        #expect(try connection.received() == Frame.protocolHeader)
        #expect(connection.closes == ["output"])
        #expect(shard.loop.connectionCount == 0)
    }

    @Test func closesWhoDoesNotLogInWithinTenSeconds() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect()
        try connection.send(Frame.protocolHeader)
        _ = try connection.received()
        shard.eventLoop.advanceTime(by: .milliseconds(9_999))
        #expect(connection.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(11))
        #expect(connection.closes == ["output"])
        #expect(try connection.received() == [])
        #expect(shard.log.lines.contains { $0.hasPrefix("[error]") && $0.hasSuffix("handshake timeout") })
    }

    @Test func forgetsTheDeadlineAfterLogin() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect().open()
        shard.eventLoop.advanceTime(by: .seconds(60))
        #expect(connection.closes == [])
        #expect(shard.loop.connectionCount == 1)
    }

    /// The largest frame before tuning is 8,192 octets, so nobody gets near the 64 KiB that may wait before login.
    @Test(arguments: [(8_184, false), (8_193, true), (65_536, true), (0x7FFF_FFFF, true)])
    func refusesLargeFramesBeforeLogin(size: Int, isRefused: Bool) throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect()
        try connection.send(Frame.protocolHeader)
        _ = try connection.received()
        try connection.send([1, 0, 0] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: size >> $0) })
        #expect(shard.log.lines.contains { $0.contains("frame_too_large,\(size),") } == isRefused)
        // What it sends now is thrown away; its socket goes after the time that slows down guessing.
        for _ in 0..<(isRefused ? 100 : 0) { try connection.send(Array(repeating: 0, count: 10_000)) }
        shard.eventLoop.advanceTime(by: .milliseconds(2_999))
        #expect(connection.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(1))
        #expect(connection.closes == (isRefused ? ["output"] : []))
    }

    @Test func refusesAWrongPasswordAndClosesAfterAWhile() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect()
        try connection.send(SimulatedClient.greeting(password: "wrong"))
        let close = try connection.receivedMethods().last
        guard case .connectionClose(let close)? = close else {
            Issue.record("\(String(describing: close))")
            return
        }
        #expect(close.replyCode == 403)
        #expect(close.replyText.description.hasPrefix("ACCESS_REFUSED - Login was refused using authentication"))
        shard.eventLoop.advanceTime(by: .milliseconds(2_999))
        #expect(connection.closes == [])
        shard.eventLoop.advanceTime(by: .milliseconds(1))
        #expect(connection.closes == ["output"])
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true), ("::ffff:127.0.0.1", true), ("192.0.2.1", false),
        ("::ffff:192.0.2.1", false), ("2001:db8::1", false),
    ])
    func letsGuestInFromThisMachineOnly(host: String, isLetIn: Bool) throws {
        let connection = try EmbeddedShard().connect(from: host)
        try connection.send(SimulatedClient.greeting())
        #expect(try connection.receivedMethods().contains { $0.id.name == "connection.open-ok" } == isLetIn)
    }

    // MARK: TLS

    @Test func logsWhatWentWrongWithTLSOnce() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect(isTLS: true)
        connection.channel.pipeline.fireErrorCaught(TestClient.Surprise(description: "odd"))
        #expect(connection.closes == ["all"])
        #expect(shard.log.lines == ["[warning] TLS connection from 127.0.0.1:40000 failed: odd"])
        #expect(shard.loop.connectionCount == 0)
    }

    @Test func isSilentAboutPeersThatGoAway() throws {
        let shard = EmbeddedShard()
        let connection = try shard.connect(isTLS: true)
        connection.channel.pipeline.fireErrorCaught(IOError(errnoCode: 104, reason: "read"))
        #expect(connection.closes == ["all"])
        #expect(shard.log.lines == [])
    }
}
