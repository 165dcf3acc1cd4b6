import NIOSSL
import Testing

@testable import BrokerServer

/// A whole broker on free ports of loopback.
final class TestBroker: Sendable {
    /// Where it listens.
    let listeners: [BoundListener]
    /// What it has logged.
    let log: LogRecorder
    /// The broker.
    let service: BrokerService
    private let clients = Watched<[TestClient]>([])

    private init(_ options: ServerOptions) async throws {
        self.log = LogRecorder()
        self.service = BrokerService(options: options, logger: self.log.logger)
        self.listeners = try await self.service.start()
    }

    /// Options for a broker on a port that the system chooses.
    ///
    /// A test that needs a certain port takes a `host` of its own: on 127.0.0.1 other tests' clients have ports too.
    static func options(host: String = "127.0.0.1", shards: Int = 1, tls: TLSOptions? = nil) -> ServerOptions {
        var options = ServerOptions()
        options.listen = [ListenAddress(host: host)]
        options.port = 0
        options.shards = shards
        options.tls = tls
        return options
    }

    /// Starts a broker, stops it after `body`.
    static func run(
        _ options: ServerOptions = TestBroker.options(),
        _ body: (TestBroker) async throws -> Void
    ) async throws {
        let broker = try await TestBroker(options)
        do {
            try await body(broker)
        } catch {
            await broker.stop()
            throw error
        }
        await broker.stop()
    }

    private func stop() async {
        // Otherwise the broker would wait for those that do not answer.
        for client in self.clients.value { await client.close() }
        await self.service.stop()
    }

    /// The port without TLS.
    var port: Int { self.port(isTLS: false) }

    /// The port with TLS.
    var tlsPort: Int { self.port(isTLS: true) }

    private func port(isTLS: Bool) -> Int {
        self.listeners.first { $0.isTLS == isTLS }?.port ?? 0
    }

    /// Connects a client; its socket is closed before the broker stops.
    func connect(
        tls: NIOSSLContext? = nil,
        toTLSPort: Bool? = nil,
        keepsOutput: Bool = false
    ) async throws -> TestClient {
        let client = try await TestClient.connect(
            host: self.listeners[0].host,
            port: toTLSPort ?? (tls != nil) ? self.tlsPort : self.port,
            tls: tls,
            keepsOutput: keepsOutput
        )
        self.clients.update { $0.append(client) }
        return client
    }
}
