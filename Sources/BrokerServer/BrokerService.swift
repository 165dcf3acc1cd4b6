public import BrokerCore
public import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL
public import ServiceLifecycle

/// The broker as a service: starts its event loops and listeners, serves, and stops cleanly.
///
/// Stopping: listeners close first, then every client gets `connection.close` with 320 and has three seconds to answer,
/// then what is left is closed.
public actor BrokerService: Service, BrokerAdministration {
    private let options: ServerOptions
    private let logger: Logger
    private let onReady: @Sendable ([BoundListener]) -> Void
    private var shards: ShardDirectory?
    /// What makes serving impossible.
    private let failures: AsyncStream<String>
    private let failing: AsyncStream<String>.Continuation
    private var listeners: [any Channel] = []
    private var control: ControlListener?

    /// Makes the service; `onReady` is called once it listens, with plain listeners first.
    public init(
        options: ServerOptions,
        logger: Logger,
        onReady: @escaping @Sendable ([BoundListener]) -> Void = { _ in }
    ) {
        self.options = options
        self.logger = logger
        self.onReady = onReady
        (self.failures, self.failing) = AsyncStream.makeStream(of: String.self)
    }

    /// Serves until the task or its service group is told to stop.
    public func run() async throws {
        try await self.start()
        let failures = self.failures
        // Ends by graceful shutdown, by cancellation, or because the commit log can be written no more; all mean stop.
        let failure = await withTaskGroup(of: String?.self) { group in
            group.addTask {
                try? await gracefulShutdown()
                return nil
            }
            group.addTask {
                await failures.first { _ in true }
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        await self.stop()
        if let failure { throw StartFailure("stopped because \(failure)") }
    }

    /// Starts loops and listeners; afterwards connections are accepted.
    @discardableResult
    public func start() async throws(StartFailure) -> [BoundListener] {
        precondition(self.shards == nil, "started twice")
        Platform.raiseFileLimit()
        Platform.returnLargeMemory()
        let tls: NIOSSLContext? =
            if let tls = self.options.tls { try TLSContext.make(tls) } else { nil }
        let shards: ShardDirectory
        do {
            let failing = self.failing
            shards = try await ShardDirectory.start(self.options, logger: self.logger) { error in
                failing.yield("the commit log cannot be written: \(error)")
            }
        } catch let failure as StartFailure {
            throw failure
        } catch {
            throw StartFailure("cannot start the event loops: \(error)")
        }
        self.shards = shards
        do {
            let bound = try await self.listen(shards, tls)
            await self.openControl(shards)
            self.onReady(bound)
            return bound
        } catch {
            await self.stop()
            throw error
        }
    }

    private func listen(_ shards: ShardDirectory, _ tls: NIOSSLContext?) async throws(StartFailure) -> [BoundListener] {
        var bound: [BoundListener] = []
        let plain = ListenerFactory(shards: shards, logger: self.logger, tls: nil)
        for open in try await plain.open(self.options.listen, port: self.options.port) {
            self.listeners.append(open.channel)
            bound.append(open.listener)
        }
        if let tls, let options = self.options.tls {
            // A port in a listen address is the plain one, so a host with two of them is one address here.
            var addresses: [ListenAddress] = []
            for address in self.options.listen where !addresses.contains(where: { $0.host == address.host }) {
                addresses.append(ListenAddress(host: address.host, isRequired: address.isRequired))
            }
            let secure = ListenerFactory(shards: shards, logger: self.logger, tls: tls)
            for open in try await secure.open(addresses, port: options.port) {
                self.listeners.append(open.channel)
                bound.append(open.listener)
            }
        }
        for listener in bound {
            self.logger.info("listening on \(listener.url)")
        }
        return bound
    }

    /// Lets `martlet ctl` in; a broker without it serves all the same.
    private func openControl(_ shards: ShardDirectory) async {
        guard let path = self.options.controlSocket else { return }
        do throws(StartFailure) {
            self.control = try await ControlListener.open(path, on: shards.group, for: self, logger: self.logger)
        } catch {
            self.logger.warning("martlet ctl cannot reach this broker: \(error)")
        }
    }

    /// Stops accepting, says goodbye to all clients and ends the loops.
    public func stop() async {
        guard let shards = self.shards else { return }
        self.shards = nil
        for listener in self.listeners {
            try? await listener.close().get()
        }
        self.listeners = []
        await self.control?.close()
        self.control = nil
        await shards.stop()
        try? await shards.group.shutdownGracefully()
    }

    /// Carries out an operator's request; what it changes is on the disk then, if there is one.
    public func administer(_ request: AdministrationRequest) async -> AdministrationAnswer {
        guard let shards = self.shards else { return .failed(.unavailable("the broker does not run")) }
        return await shards.administer(request)
    }

    /// Begins to copy everything durable to a new directory.
    public func snapshot(in directory: String) async -> AsyncStream<SnapshotProgress> {
        guard let shards = self.shards else { return SnapshotMaker.failing("the broker does not run") }
        return await shards.snapshot(in: directory)
    }

    /// Number of connections on each event loop.
    func connectionCounts() async -> [Int] {
        await self.shards?.connectionCounts() ?? []
    }
}
