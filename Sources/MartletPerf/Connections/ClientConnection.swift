import AMQPProtocol
import NIOCore

/// One connection to the server with one channel, as the last handler of its pipeline.
///
/// It logs in by itself when the socket opens, answers what every client must answer, and makes calls one after the
/// other. The message path belongs to its role: frames go straight from the scanner to a publisher or consumer.
///
/// ```
/// handshake ──channel.open-ok──► open ──close()──► closing ──connection.close-ok──► closed
///      └────────────close by the server, lost socket, nonsense: fail()─────────────────▲
/// ```
final class ClientConnection: ChannelInboundHandler, FrameSink {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What a connection is for.
    enum Role {
        case control
        case publisher(Publisher)
        case consumer(Consumer)
    }

    /// What the server said about itself.
    struct ServerFacts: Sendable, Equatable {
        var product = ""
        var version = ""
    }

    private enum Stage {
        case handshake
        case open
        case closing
        case closed
    }

    /// The number of the one channel.
    static let channelNumber: UInt16 = 1

    private let address: ServerAddress
    private let clock: () -> UInt64
    private let onFailure: @Sendable (PerfFailure) -> Void
    private var stage = Stage.handshake
    private var scanner = FrameScanner()
    private var context: ChannelHandlerContext?
    private var calls = CircularBuffer<EventLoopPromise<AMQPProtocol.Method>>()
    private let opened: EventLoopPromise<ServerFacts>
    private let ended: EventLoopPromise<Void>
    private var facts = ServerFacts()
    private var beat: Scheduled<Void>?
    private var heartbeatNanoseconds: UInt64 = 0
    var role = Role.control
    /// The largest frame both sides agreed on.
    private(set) var frameMaxBytes = PerfLimits.frameMaxBytes
    /// When the read that is being reported happened.
    private(set) var readTime: UInt64 = 0

    /// `opened` is fulfilled when the channel is open, `ended` when the socket is closed, in any way.
    init(
        address: ServerAddress,
        opened: EventLoopPromise<ServerFacts>,
        ended: EventLoopPromise<Void>,
        clock: @escaping () -> UInt64 = PerfClock.now,
        onFailure: @escaping @Sendable (PerfFailure) -> Void
    ) {
        self.address = address
        self.opened = opened
        self.ended = ended
        self.clock = clock
        self.onFailure = onFailure
    }

    // MARK: Socket

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.readTime = self.clock()
        self.write(ByteBuffer(bytes: Array("AMQP".utf8) + [0, 0, 9, 1]))
        self.flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = Self.unwrapInboundIn(data)
        guard self.stage != .closed else { return }
        self.readTime = self.clock()
        if self.stage == .handshake, buffer.readableBytesView.starts(with: "AMQP".utf8) {
            self.fail(.protocolError("it does not speak AMQP 0-9-1, and answered with the version it speaks"))
            return
        }
        do throws(FrameScanner.Failure) {
            try buffer.withUnsafeReadableBytes { (bytes) throws(FrameScanner.Failure) in
                // One switch a read: within the scan the compiler knows whom it reports to.
                switch self.role {
                case .control:
                    try self.scanner.scan(bytes, into: self)
                case .publisher(let publisher):
                    try self.scanner.scan(bytes, into: publisher)
                case .consumer(let consumer):
                    consumer.startRead()
                    try self.scanner.scan(bytes, into: consumer)
                }
            }
        } catch {
            self.fail(.protocolError("\(error)"))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        switch self.role {
        case .control: break
        case .publisher(let publisher): publisher.endRead()
        case .consumer(let consumer): consumer.endRead()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        switch self.role {
        case .control: break
        case .publisher(let publisher): publisher.writabilityChanged()
        case .consumer:
            // A server that takes no acknowledgements gets no more reads, or they would pile up here.
            try? context.channel.syncOptions?.setOption(.autoRead, value: context.channel.isWritable)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(.connectionLost("\(error)"))
    }

    func channelInactive(context: ChannelHandlerContext) {
        if self.stage != .closing {
            self.fail(.connectionLost("the server closed the socket"))
        }
        self.end()
    }

    /// Whether everything written so far has left for the socket.
    var isWritable: Bool { self.context?.channel.isWritable ?? false }

    func write(_ buffer: ByteBuffer) {
        self.context?.write(Self.wrapOutboundOut(buffer), promise: nil)
    }

    func flush() {
        self.context?.flush()
    }

    // MARK: Calls

    /// Sends a method without waiting for anything.
    func send(_ method: some EncodableMethod, channel: UInt16 = ClientConnection.channelNumber) {
        var frame = ByteBuffer()
        frame.writeWithUnsafeMutableBytes(minimumWritableBytes: method.frameSize) { bytes in
            var writer = WireWriter(bytes)
            method.encodeFrame(channel: channel, into: &writer)
            return writer.offset
        }
        self.write(frame)
        self.flush()
    }

    /// Sends a method and returns the server's answer; answers come in the order of the calls.
    func call(_ method: some EncodableMethod) -> EventLoopFuture<AMQPProtocol.Method> {
        let promise = self.opened.futureResult.eventLoop.makePromise(of: AMQPProtocol.Method.self)
        guard self.stage == .open else {
            promise.fail(PerfFailure.connectionLost("the connection is closed"))
            return promise.futureResult
        }
        self.calls.append(promise)
        self.send(method)
        return promise.futureResult
    }

    /// Closes in good order; `ended` tells when it is done.
    func close() {
        guard self.stage == .open else { return }
        self.stage = .closing
        self.send(ConnectionClose(replyCode: ReplyCode.replySuccess.rawValue, replyText: "done"), channel: 0)
    }

    /// Closes the socket at once, for a reason found elsewhere.
    func abandon(_ failure: PerfFailure) {
        self.fail(failure)
    }

    private func fail(_ failure: PerfFailure) {
        // What a server says to a connection that is going anyway is of no interest.
        if self.stage == .handshake || self.stage == .open {
            self.onFailure(failure)
        }
        self.opened.fail(failure)
        for call in self.calls {
            call.fail(failure)
        }
        self.calls.removeAll()
        self.stage = .closed
        self.context?.close(promise: nil)
    }

    private func end() {
        self.beat?.cancel()
        self.beat = nil
        self.stage = .closed
        self.role = .control
        self.opened.fail(PerfFailure.connectionLost("the connection is closed"))
        for call in self.calls {
            call.fail(PerfFailure.connectionLost("the connection is closed"))
        }
        self.calls.removeAll()
        self.ended.succeed()
    }

    // MARK: Methods

    func receiveMessage(_ message: ScannedMessage) {}

    func receiveReturn() {}

    func receiveConfirm(tag: UInt64, multiple: Bool, positive: Bool) {}

    func receiveMethod(channel: UInt16, payload: UnsafeRawBufferPointer) {
        guard self.stage != .closed else { return }
        let method: AMQPProtocol.Method
        do throws(DecodeError) {
            var reader = WireReader(payload)
            let id = MethodID(rawValue: try reader.readUInt32())
            method = try AMQPProtocol.Method.decode(id, &reader)
        } catch {
            self.fail(.protocolError("a method cannot be decoded: \(error)"))
            return
        }
        switch method {
        case .connectionClose(let close):
            self.send(ConnectionCloseOk(), channel: 0)
            self.fail(.serverClosed(scope: .connection, code: close.replyCode, text: "\(close.replyText)"))
        case .channelClose(let close):
            self.send(ChannelCloseOk())
            self.fail(.serverClosed(scope: .channel, code: close.replyCode, text: "\(close.replyText)"))
        case .connectionCloseOk:
            self.context?.close(promise: nil)
        case .connectionBlocked:
            self.setBlocked(true)
        case .connectionUnblocked:
            self.setBlocked(false)
        case .channelFlow(let flow):
            self.send(ChannelFlowOk(active: flow.active))
            if case .publisher(let publisher) = self.role {
                publisher.isPaused = !flow.active
            }
        case .basicCancel(let cancel):
            self.fail(.consumerCancelled(tag: "\(cancel.consumerTag)"))
        default:
            self.receiveAnswer(method)
        }
    }

    private func setBlocked(_ isBlocked: Bool) {
        guard case .publisher(let publisher) = self.role else { return }
        publisher.setBlocked(isBlocked)
    }

    private func receiveAnswer(_ method: AMQPProtocol.Method) {
        switch (self.stage, method) {
        case (.handshake, .connectionStart(let start)):
            self.receiveStart(start)
        case (.handshake, .connectionTune(let tune)):
            self.receiveTune(tune)
        case (.handshake, .connectionOpenOk):
            self.send(ChannelOpen())
        case (.handshake, .channelOpenOk):
            self.stage = .open
            self.opened.succeed(self.facts)
        case (.handshake, _):
            self.fail(.protocolError("\(method.id) instead of the next step of the handshake"))
        default:
            if let call = self.calls.popFirst() {
                call.succeed(method)
            } else if self.stage == .open {
                self.fail(.protocolError("\(method.id) answers nothing"))
            }
        }
    }

    // MARK: Handshake and heartbeats

    private func receiveStart(_ start: ConnectionStart) {
        func text(_ key: ShortString) -> String {
            String(decoding: start.serverProperties[key]?.stringValue ?? [], as: UTF8.self)
        }
        self.facts = ServerFacts(product: text("product"), version: text("version"))
        let capabilities = FieldTable([
            ("publisher_confirms", .boolean(true)),
            ("basic.nack", .boolean(true)),
            ("connection.blocked", .boolean(true)),
            ("consumer_cancel_notify", .boolean(true)),
            ("authentication_failure_close", .boolean(true)),
        ])
        let properties = FieldTable([("product", .string("martlet perf")), ("capabilities", .table(capabilities))])
        let response = [0] + Array(self.address.user.utf8) + [0] + Array(self.address.password.utf8)
        self.send(
            ConnectionStartOk(clientProperties: properties, mechanism: "PLAIN", response: response, locale: "en_US"),
            channel: 0
        )
    }

    private func receiveTune(_ tune: ConnectionTune) {
        if tune.frameMax != 0 {
            self.frameMaxBytes = min(tune.frameMax, PerfLimits.frameMaxBytes)
        }
        guard self.frameMaxBytes >= FrameLimits.minFrameMaxBytes else {
            self.fail(.protocolError("it offers frames of \(tune.frameMax) octets, less than the specification allows"))
            return
        }
        self.send(
            ConnectionTuneOk(channelMax: tune.channelMax, frameMax: self.frameMaxBytes, heartbeat: tune.heartbeat),
            channel: 0
        )
        self.send(ConnectionOpen(virtualHost: ShortString(truncating: self.address.virtualHost)), channel: 0)
        self.startHeartbeats(seconds: tune.heartbeat)
    }

    private func startHeartbeats(seconds: UInt16) {
        guard seconds > 0, let context = self.context else { return }
        self.heartbeatNanoseconds = UInt64(seconds) * 1_000_000_000
        self.scheduleHeartbeat(on: context.eventLoop)
    }

    private func scheduleHeartbeat(on eventLoop: any EventLoop) {
        let half = TimeAmount.nanoseconds(Int64(self.heartbeatNanoseconds / 2))
        self.beat = eventLoop.assumeIsolated().scheduleTask(in: half) {
            self.sendHeartbeat()
            if self.stage == .open || self.stage == .handshake {
                self.scheduleHeartbeat(on: eventLoop)
            }
        }
    }

    private func sendHeartbeat() {
        guard self.stage == .open else { return }
        // Twice the interval is what AMQP 0-9-1 §4.2.7 grants; the quarter allows for this machine's own load.
        let silence = self.clock() - self.readTime
        guard silence <= self.heartbeatNanoseconds * 9 / 4 else {
            self.fail(.connectionLost("no heartbeat from the server"))
            return
        }
        self.write(ByteBuffer(bytes: [FrameType.heartbeat, 0, 0, 0, 0, 0, 0, FrameLimits.frameEnd]))
        self.flush()
    }
}
