internal import BrokerCore
internal import NIOCore
internal import NIOSSL

/// The one handler of a connection, after TLS if there is any: lends what is read to the shard, writes what it answers.
///
/// ```
/// connecting ──channelActive──► open ──close(afterMilliseconds:)──► closing ──everything sent──► lingering
///                                │                                     │                             │
///                                └────────── channelInactive ──────────┴──────────► gone ◄───────────┘
/// ```
///
/// *Lingering* exists because closing a socket that still has unread input makes the kernel send a reset, which can
/// destroy the very answer that says why the connection ends. So the output side is shut, input is thrown away, and the
/// socket goes when the peer closes or its time is up. The shard has been told by then.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let loop: ShardLoop
    private let isTLS: Bool
    /// What the receive allocator is told about the next read.
    let appetite = ReadAppetite()
    private var context: ChannelHandlerContext?
    private var id: ConnectionID?
    private var peerName = "unknown peer"
    /// What the shard has been told last.
    private var isWritable = true
    private var isClosing = false
    /// The moment the shard asked for has come: close as soon as everything is sent.
    private var isCloseDue = false
    private var isFinishing = false
    private var closeTimer: Scheduled<Void>?

    /// Makes the handler of a connection on `loop`.
    init(loop: ShardLoop, isTLS: Bool) {
        self.loop = loop
        self.isTLS = isTLS
    }

    // MARK: Life

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.open(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.open(context)
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.forget()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.forget()
        self.context = nil
    }

    /// TLS connections count from here too: the handshake is part of the time a client has to log in.
    private func open(_ context: ChannelHandlerContext) {
        guard self.id == nil else { return }
        let peer = PeerInfo(remote: context.channel.remoteAddress, local: context.channel.localAddress)
        self.peerName = "\(peer.peerHost):\(peer.peerPort)"
        self.id = self.loop.accept(peer, self)
        self.loop.runTurn()
    }

    /// Tells the shard, once, that this connection is over.
    private func loseConnection() {
        guard let id = self.id else { return }
        self.id = nil
        self.loop.connectionLost(id)
    }

    private func forget() {
        self.closeTimer?.cancel()
        self.closeTimer = nil
        self.loseConnection()
    }

    // MARK: Bytes in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = Self.unwrapInboundIn(data)
        if let id = self.id {
            buffer.withUnsafeReadableBytes { bytes in
                self.loop.receive(bytes, on: id)
            }
        }
        if !self.isTLS {
            self.loop.readBuffers.giveBack(buffer)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if let id = self.id {
            self.loop.runTurn()
            self.appetite.isSmall = self.loop.feedsBacklog(id)
        }
        context.fireChannelReadComplete()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ChannelEvent, event == .inputClosed {
            // The peer will say nothing more: it gets what is written so far, but no more deliveries.
            self.loseConnection()
            self.isClosing = true
            self.scheduleClose(in: 0)
            self.isCloseDue = true
            self.finish()
        }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if self.isTLS, self.id != nil, !self.isClosing {
            self.report(error)
        }
        context.close(promise: nil)
    }

    /// Stops or resumes reading from the socket.
    func setReading(_ isReading: Bool) {
        guard let context = self.context, !self.isClosing || isReading else { return }
        try? context.channel.syncOptions?.setOption(.autoRead, value: isReading)
    }

    // MARK: Bytes out

    /// Writes a block; ``flush()`` follows.
    func write(_ buffer: ByteBuffer) {
        self.context?.write(Self.wrapOutboundOut(buffer), promise: nil)
    }

    /// Flushes what was written and tells the shard when the socket has enough.
    func flush() {
        guard let context = self.context else { return }
        context.flush()
        // The flush may have found the socket broken and ended the connection.
        if let id = self.id, self.isWritable, !context.channel.isWritable {
            self.isWritable = false
            self.loop.setWritable(id, false)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        // Only "takes more" is passed on from here; "has enough" is looked at after each flush, once per turn.
        if let id = self.id, !self.isWritable, context.channel.isWritable {
            self.isWritable = true
            self.loop.setWritable(id, true)
            self.loop.runTurn()
            self.finishIfDue()
        }
        context.fireChannelWritabilityChanged()
    }

    // MARK: The end

    /// Closes the connection after a delay, once everything is sent.
    func close(afterMilliseconds: UInt64) {
        guard self.context != nil, !self.isClosing else { return }
        self.isClosing = true
        if afterMilliseconds == 0 {
            self.isCloseDue = true
            self.scheduleClose(in: 0)
            self.finishIfDue()
        } else {
            let delay = Int64(clamping: min(afterMilliseconds, 3_600_000))
            self.closeTimer = self.loop.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(delay)) {
                self.isCloseDue = true
                self.scheduleClose(in: 0)
                self.finishIfDue()
            }
        }
    }

    /// Closes the socket at once; used when waiting has ended.
    func closeNow() {
        guard let context = self.context else { return }
        // From below TLS, which would wait for the peer's goodbye as long again.
        let tls = try? context.pipeline.syncOperations.context(handlerType: NIOSSLServerHandler.self)
        (tls ?? context).close(promise: nil)
    }

    /// Bounds the time a peer that takes nothing can keep its socket.
    private func scheduleClose(in milliseconds: UInt64) {
        let grace = Int64(clamping: milliseconds + ServerLimits.closeGraceMilliseconds)
        self.closeTimer?.cancel()
        self.closeTimer = self.loop.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(grace)) {
            self.closeNow()
        }
    }

    /// Begins the end if it is due and the shard holds back nothing that the socket has not taken.
    private func finishIfDue() {
        if self.isCloseDue, self.isWritable { self.finish() }
    }

    /// Waits for the last write and ends the connection.
    private func finish() {
        guard !self.isFinishing, let context = self.context else { return }
        self.isFinishing = true
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenComplete { _ in
            self.linger()
        }
        context.writeAndFlush(Self.wrapOutboundOut(ByteBuffer()), promise: promise)
    }

    /// Everything is sent: the shard can forget the connection, the socket waits for the peer to close.
    private func linger() {
        self.loseConnection()
        guard let context = self.context, context.channel.isActive else { return }
        if self.isTLS {
            // TLS ends with an exchange of its own (`close_notify`), which waits for the peer too.
            context.close(promise: nil)
        } else {
            context.close(mode: .output, promise: nil)
            self.setReading(true)
        }
    }

    // MARK: TLS

    /// One line for what went wrong with TLS; a peer that just goes away is everyday life.
    private func report(_ error: any Error) {
        switch error {
        case NIOSSLError.uncleanShutdown, NIOSSLError.handshakeFailed(.sslError([.eofDuringHandshake])), is IOError:
            break
        case let error as BoringSSLError:
            let reasons = TLSFailure.reasons(in: error)
            self.loop.log(.warning, "connection", "TLS connection from \(self.peerName) failed: \(reasons)")
        case NIOSSLError.handshakeFailed(let reason):
            self.loop.log(
                .warning,
                "connection",
                "TLS handshake with \(self.peerName) failed: \(TLSFailure.describe(reason))"
            )
        default:
            self.loop.log(.warning, "connection", "TLS connection from \(self.peerName) failed: \(error)")
        }
    }
}

extension PeerInfo {
    /// Describes a socket by its two ends.
    init(remote: SocketAddress?, local: SocketAddress?) {
        let peerHost = remote?.ipAddress ?? "unknown"
        self.init(
            peerHost: peerHost,
            peerPort: remote?.port ?? 0,
            localHost: local?.ipAddress ?? "unknown",
            localPort: local?.port ?? 0,
            isLoopback: remote.map(Self.isLoopback) ?? false
        )
    }

    /// Whether an address is on the loopback interface, written as IPv4, IPv6, or IPv4 inside IPv6.
    static func isLoopback(_ address: SocketAddress) -> Bool {
        guard let host = address.ipAddress?.lowercased() else { return false }
        return host == "::1" || host.hasPrefix("127.") || host.hasPrefix("::ffff:127.")
    }
}
