import AMQPProtocol
import NIOCore
import NIOPosix

/// A connection as seen from other threads.
struct ConnectionHandle: Sendable {
    /// What kind of traffic a connection will carry; it decides the buffers.
    enum Traffic: Sendable {
        /// A few calls, or nothing at all.
        case light
        /// Messages, on a loop with so many connections.
        case messages(connections: Int)
        case publishing
    }

    let server: ClientConnection.ServerFacts
    private let connection: NIOLoopBound<ClientConnection>
    private let ended: EventLoopFuture<Void>

    /// Connects and logs in.
    static func open(
        _ address: ServerAddress,
        on eventLoop: any EventLoop,
        traffic: Traffic = .light,
        onFailure: @escaping @Sendable (PerfFailure) -> Void = { _ in }
    ) async throws(PerfFailure) -> ConnectionHandle {
        let opened = eventLoop.makePromise(of: ClientConnection.ServerFacts.self)
        let ended = eventLoop.makePromise(of: Void.self)
        let connecting = eventLoop.flatSubmit {
            let bound = NIOLoopBound(
                ClientConnection(address: address, opened: opened, ended: ended, onFailure: onFailure),
                eventLoop: eventLoop
            )
            return self.bootstrap(eventLoop, traffic: traffic)
                .channelInitializer { channel in
                    eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value) }
                }
                .connect(host: address.host, port: address.port)
                .map { _ in bound }
        }
        let bound: NIOLoopBound<ClientConnection>
        do {
            bound = try await connecting.get()
        } catch {
            opened.fail(error)
            ended.succeed()
            throw .cannotConnect(address: "\(address.host):\(address.port)", reason: Self.reason(error))
        }
        let timeout = eventLoop.scheduleTask(in: .seconds(PerfLimits.answerSeconds)) {
            bound.value.abandon(.noAnswer("the handshake"))
        }
        do {
            let facts = try await opened.futureResult.get()
            timeout.cancel()
            return ConnectionHandle(server: facts, connection: bound, ended: ended.futureResult)
        } catch {
            timeout.cancel()
            throw error as? PerfFailure ?? .connectionLost("\(error)")
        }
    }

    private static func bootstrap(_ eventLoop: any EventLoop, traffic: Traffic) -> ClientBootstrap {
        let bootstrap = ClientBootstrap(group: eventLoop)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.maxMessagesPerRead, value: 1)
            .connectTimeout(.seconds(PerfLimits.answerSeconds))
        switch traffic {
        case .light:
            return bootstrap
        case .publishing:
            // Writable means that nothing is left to send: what waits here instead of in the socket only ages.
            return bootstrap.channelOption(.writeBufferWaterMark, value: .init(low: 1, high: 1))
        case .messages(let connections):
            let readBytes = connections < PerfLimits.crowd ? PerfLimits.readBytes : PerfLimits.crowdedReadBytes
            return
                bootstrap
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readBytes))
                .channelOption(
                    .writeBufferWaterMark,
                    value: .init(low: PerfLimits.unsentAckBytes / 4, high: PerfLimits.unsentAckBytes)
                )
        }
    }

    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let failure = error.connectionErrors.first {
                return Self.reason(failure.error)
            }
            return "no such host"
        case let error as IOError:
            return PosixText.describe(errno: error.errnoCode)
        default:
            return "\(error)"
        }
    }

    /// Sends a method and waits for the answer.
    @discardableResult
    func call(_ method: some EncodableMethod) async throws(PerfFailure) -> AMQPProtocol.Method {
        let answer = self.connection.eventLoop.flatSubmit { self.connection.value.call(method) }
        let timeout = self.connection.eventLoop.scheduleTask(in: .seconds(PerfLimits.answerSeconds)) {
            self.connection.value.abandon(.noAnswer("\(type(of: method).id)"))
        }
        defer { timeout.cancel() }
        do {
            return try await answer.get()
        } catch {
            throw error as? PerfFailure ?? .connectionLost("\(error)")
        }
    }

    /// Sends methods at once and waits until each was answered.
    func callAll(_ methods: [some EncodableMethod]) async throws(PerfFailure) {
        let answers = self.connection.eventLoop.flatSubmit {
            EventLoopFuture.andAllSucceed(
                methods.map { self.connection.value.call($0) },
                on: self.connection.eventLoop
            )
        }
        do {
            try await answers.get()
        } catch {
            throw error as? PerfFailure ?? .connectionLost("\(error)")
        }
    }

    /// Runs something on the connection's event loop.
    func run(_ body: @escaping @Sendable (ClientConnection) -> Void) async throws(PerfFailure) {
        do {
            try await self.connection.eventLoop.submit { body(self.connection.value) }.get()
        } catch {
            throw .cannotRun("the event loop is gone: \(error)")
        }
    }

    /// Closes in good order, or after a moment in any order.
    func close() async {
        let eventLoop = self.connection.eventLoop
        eventLoop.execute { self.connection.value.close() }
        let timeout = eventLoop.scheduleTask(in: .seconds(5)) {
            self.connection.value.abandon(.noAnswer("connection.close"))
        }
        // `ended` is only ever fulfilled.
        try? await self.ended.get()
        timeout.cancel()
    }
}
