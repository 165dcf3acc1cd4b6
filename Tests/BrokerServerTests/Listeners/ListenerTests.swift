import NIOCore
import NIOPosix
import Testing

@testable import BrokerServer

/// Listening: which addresses and ports, and what is said when that is not possible.
@Suite(.timeLimit(.minutes(1)))
struct ListenerTests {
    /// A socket of somebody else that listens.
    private func occupyPort(host: String = "127.0.0.1", port: Int = 0) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: host, port: port).get()
    }

    private func options(_ addresses: [ListenAddress], port: Int = 0, tls: TLSOptions? = nil) -> ServerOptions {
        var options = TestBroker.options(tls: tls)
        options.listen = addresses
        options.port = UInt16(port)
        return options
    }

    /// What a broker says that must not start.
    private func failure(_ options: ServerOptions) async -> StartFailure? {
        await #expect(throws: StartFailure.self) {
            try await TestBroker.run(options) { _ in }
        }
    }

    // MARK: Ports and addresses

    @Test func listensOnBothLoopbacksWithOnePort() async throws {
        try await TestBroker.run(self.options(ServerOptions.loopback)) { broker in
            #expect(broker.listeners.map(\.host) == ["127.0.0.1", "::1"])
            #expect(Set(broker.listeners.map(\.port)).count == 1)
            #expect(broker.port != 0)
            for host in ["127.0.0.1", "::1"] {
                let client = try await TestClient.connect(host: host, port: broker.port)
                try await client.open()
                await client.close()
            }
            #expect(broker.log.lines.contains("[info] listening on amqp://127.0.0.1:\(broker.port)"))
            #expect(broker.log.lines.contains("[info] listening on amqp://[::1]:\(broker.port)"))
        }
    }

    @Test func listensOnTheSameAddressesWithTLS() async throws {
        try await TestBroker.run(self.options(ServerOptions.loopback, tls: Fixtures.tls())) { broker in
            #expect(broker.listeners.map(\.isTLS) == [false, false, true, true])
            #expect(broker.listeners.map(\.host) == ["127.0.0.1", "::1", "127.0.0.1", "::1"])
            #expect(Set(broker.listeners.map(\.port)) == [broker.port, broker.tlsPort])
            #expect(broker.port != broker.tlsPort)
        }
    }

    @Test func takesThePortOfAnAddressBeforeTheGeneralOne() async throws {
        let probe = try await self.occupyPort(host: "127.0.0.2")
        let free = try #require(probe.localAddress?.port)
        try await probe.close().get()
        let addresses = [ListenAddress(host: "127.0.0.1"), ListenAddress(host: "127.0.0.2", port: UInt16(free))]
        try await TestBroker.run(self.options(addresses)) { broker in
            #expect(broker.listeners.map(\.host) == ["127.0.0.1", "127.0.0.2"])
            #expect(broker.listeners[1].port == free)
            #expect(broker.listeners[0].port != free)
        }
    }

    /// Two plain ports on one host are one address for TLS.
    @Test func listensWithTLSOnceOnEachHost() async throws {
        let addresses = [ListenAddress(host: "127.0.0.5", port: 0), ListenAddress(host: "127.0.0.5")]
        var options = self.options(addresses, tls: Fixtures.tls())
        let probe = try await self.occupyPort(host: "127.0.0.5")
        let free = try #require(probe.localAddress?.port)
        try await probe.close().get()
        options.port = UInt16(free)
        try await TestBroker.run(options) { broker in
            #expect(broker.listeners.map(\.isTLS) == [false, false, true])
            #expect(broker.listeners[1].port == free)
        }
    }

    @Test func listensOnAHostWithAName() async throws {
        try await TestBroker.run(self.options([ListenAddress(host: "localhost")])) { broker in
            #expect(broker.listeners.map(\.url) == ["amqp://localhost:\(broker.port)"])
            try await broker.connect().open()
        }
    }

    @Test func wildcardsOfBothProtocolsStandSideBySide() async throws {
        let addresses = [ListenAddress(host: "0.0.0.0"), ListenAddress(host: "::")]
        try await TestBroker.run(self.options(addresses)) { broker in
            #expect(broker.listeners.map(\.url) == ["amqp://0.0.0.0:\(broker.port)", "amqp://[::]:\(broker.port)"])
        }
    }

    /// Their addresses look like `::ffff:127.0.0.1`, which is this machine too.
    @Test func anIPv6WildcardAloneTakesIPv4Clients() async throws {
        try await TestBroker.run(self.options([ListenAddress(host: "::")])) { broker in
            let client = try await TestClient.connect(host: "127.0.0.1", port: broker.port)
            try await client.open()
            await client.close()
        }
    }

    @Test func leavesOutAnAddressThatIsNotThereWhenItMay() async throws {
        let addresses = [ListenAddress(host: "127.0.0.1"), ListenAddress(host: "192.0.2.1", isRequired: false)]
        try await TestBroker.run(self.options(addresses)) { broker in
            #expect(broker.listeners.map(\.host) == ["127.0.0.1"])
            #expect(broker.log.lines.contains("[debug] not listening on 192.0.2.1: Cannot assign requested address"))
        }
    }

    @Test func brokersSideBySideGetPortsOfTheirOwn() async throws {
        try await TestBroker.run(self.options(ServerOptions.loopback)) { first in
            try await TestBroker.run(self.options(ServerOptions.loopback)) { second in
                #expect(first.port != second.port)
            }
        }
    }

    // MARK: Failures

    @Test func saysWhichPortIsTaken() async throws {
        let other = try await self.occupyPort()
        let port = try #require(other.localAddress?.port)
        let failure = await self.failure(self.options([ListenAddress(host: "127.0.0.1")], port: port))
        #expect(failure == StartFailure("cannot listen on 127.0.0.1:\(port): Address already in use"))
        try await other.close().get()
    }

    @Test func saysWhichTLSPortIsTaken() async throws {
        let other = try await self.occupyPort()
        let port = try #require(other.localAddress?.port)
        var tls = Fixtures.tls()
        tls.port = UInt16(port)
        let failure = await self.failure(self.options([ListenAddress(host: "127.0.0.1")], tls: tls))
        #expect(failure == StartFailure("cannot listen on 127.0.0.1:\(port): Address already in use"))
        try await other.close().get()
    }

    @Test func saysWhichAddressIsNotThere() async throws {
        let missing = await self.failure(self.options([ListenAddress(host: "192.0.2.1")], port: 5672))
        #expect(missing == StartFailure("cannot listen on 192.0.2.1:5672: Cannot assign requested address"))
        let none = await self.failure(self.options([ListenAddress(host: "192.0.2.1", isRequired: false)]))
        #expect(none == StartFailure("there is no address to listen on"))
        let empty = await self.failure(self.options([]))
        #expect(empty == StartFailure("there is no address to listen on"))
    }

    /// The second address is the first once more, so that the port the system chose is never free there.
    @Test func givesUpWhenNoPortIsFreeOnAllAddresses() async throws {
        let first = ListenAddress(host: "127.0.0.6")
        let failure = await self.failure(self.options([first, first]))
        let text = failure?.description ?? ""
        #expect(text.hasPrefix("cannot listen on 127.0.0.6:"))
        #expect(text.hasSuffix(": Address already in use"))

        let second = ListenAddress(host: "127.0.0.6", isRequired: false)
        try await TestBroker.run(self.options([first, second])) { broker in
            #expect(broker.listeners.count == 1)
            #expect(broker.log.lines.contains("[info] not listening on 127.0.0.6: no port is free on every address"))
        }
    }

    @Test func saysWhichHostIsUnknown() async throws {
        let failure = await self.failure(self.options([ListenAddress(host: "no..such..host")], port: 5672))
        #expect(failure == StartFailure("cannot listen on no..such..host:5672: unknown host"))
    }

    @Test func closesTheFirstAddressesWhenALaterOneFails() async throws {
        let other = try await self.occupyPort(host: "127.0.0.4")
        let port = try #require(other.localAddress?.port)
        let addresses = [ListenAddress(host: "127.0.0.3"), ListenAddress(host: "127.0.0.4")]
        let failure = await self.failure(self.options(addresses, port: port))
        #expect(failure == StartFailure("cannot listen on 127.0.0.4:\(port): Address already in use"))
        let again = try await self.occupyPort(host: "127.0.0.3", port: port)
        try await again.close().get()
        try await other.close().get()
    }

    @Test func doesNotListenWhenTheCertificateIsWrong() async throws {
        let failure = await self.failure(
            self.options([ListenAddress(host: "127.0.0.1")], tls: Fixtures.tls(key: "client.key"))
        )
        #expect(failure?.isConfiguration == true)
    }
}
