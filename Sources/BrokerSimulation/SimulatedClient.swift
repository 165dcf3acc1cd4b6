public import AMQPProtocol

/// A client that speaks through the real codec.
public final class SimulatedClient {
    /// Something the broker has sent on a channel.
    public enum Received {
        /// A method without content.
        case method(channel: UInt16, Method)
        /// A method with content.
        case content(channel: UInt16, Method, BasicProperties, body: [UInt8])
        /// A heartbeat.
        case heartbeat
        /// The eight octets of a refused protocol header.
        case protocolHeader([UInt8])
    }

    /// The broker it talks to.
    public let broker: SimulatedBroker
    /// Its socket.
    public let socket: SimulatedBroker.Socket
    /// Largest frame it sends.
    public var frameMaxBytes = 131_072

    private var buffer: [UInt8] = []
    private var partial: [UInt16: (method: Method, properties: BasicProperties, remaining: Int, body: [UInt8])] = [:]
    private var pendingContent: [UInt16: Method] = [:]
    /// What has arrived and has not been asked for.
    public private(set) var inbox: [Received] = []

    /// Connects a socket; sends nothing.
    public init(_ broker: SimulatedBroker, shard: Int? = nil, isLoopback: Bool = true) {
        self.broker = broker
        self.socket = broker.connect(shard: shard, isLoopback: isLoopback)
    }

    /// Sends octets as they are.
    public func sendBytes(_ bytes: [UInt8]) {
        self.broker.send(bytes, on: self.socket)
    }

    /// Encodes one method frame.
    public static func frame(_ method: some EncodableMethod, channel: UInt16) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: method.frameSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            method.encodeFrame(channel: channel, into: &writer)
            count = writer.offset
        }
    }

    /// Encodes a frame of any type.
    public static func frame(type: UInt8, channel: UInt16, payload: [UInt8]) -> [UInt8] {
        let size = UInt32(payload.count)
        return [type, UInt8(channel >> 8), UInt8(channel & 255)]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: size >> $0) } + payload + [FrameLimits.frameEnd]
    }

    /// Sends one method.
    public func send(_ method: some EncodableMethod, channel: UInt16 = 1) {
        self.sendBytes(Self.frame(method, channel: channel))
    }

    /// Encodes a publish with its content.
    public func encodePublish(
        _ method: BasicPublish,
        properties: BasicProperties = BasicProperties(),
        body: [UInt8],
        channel: UInt16 = 1
    ) -> [UInt8] {
        var bytes = Self.frame(method, channel: channel)
        let encoded = [UInt8](unsafeUninitializedCapacity: properties.encodedSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            properties.encode(into: &writer)
            count = writer.offset
        }
        let size = UInt64(body.count)
        let header =
            [0, 60, 0, 0] + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: size >> UInt64($0)) }
        bytes += Self.frame(type: FrameType.header, channel: channel, payload: header + encoded)
        var offset = 0
        while offset < body.count {
            let piece = min(self.frameMaxBytes - FrameLimits.frameOverheadBytes, body.count - offset)
            bytes += Self.frame(
                type: FrameType.body,
                channel: channel,
                payload: Array(body[offset..<offset + piece])
            )
            offset += piece
        }
        return bytes
    }

    /// Publishes.
    public func publish(
        exchange: ShortString = "",
        routingKey: ShortString,
        mandatory: Bool = false,
        properties: BasicProperties = BasicProperties(),
        body: [UInt8],
        channel: UInt16 = 1
    ) {
        let method = BasicPublish(exchange: exchange, routingKey: routingKey, mandatory: mandatory, immediate: false)
        self.sendBytes(self.encodePublish(method, properties: properties, body: body, channel: channel))
    }

    /// The whole handshake, and channel 1 opened, in one write.
    public static func greeting(
        user: String = "guest",
        password: String = "guest",
        virtualHost: ShortString = "/",
        frameMaxBytes: UInt32 = 131_072,
        channelMax: UInt16 = 2047,
        heartbeat: UInt16 = 0,
        product: String = "Martlet simulation",
        further: [ShortString] = [],
        channel: UInt16? = 1
    ) -> [UInt8] {
        let usual: [ShortString] = [
            "consumer_cancel_notify", "connection.blocked", "authentication_failure_close", "basic.nack",
        ]
        let capabilities = usual + further
        let properties = FieldTable([
            ("product", .longString(Array(product.utf8))),
            ("capabilities", .table(FieldTable(capabilities.map { ($0, .boolean(true)) }))),
        ])
        var bytes: [UInt8] = [65, 77, 81, 80, 0, 0, 9, 1]
        bytes += Self.frame(
            ConnectionStartOk(
                clientProperties: properties,
                mechanism: "PLAIN",
                response: [0] + Array(user.utf8) + [0] + Array(password.utf8),
                locale: "en_US"
            ),
            channel: 0
        )
        bytes += Self.frame(
            ConnectionTuneOk(channelMax: channelMax, frameMax: frameMaxBytes, heartbeat: heartbeat),
            channel: 0
        )
        bytes += Self.frame(ConnectionOpen(virtualHost: virtualHost), channel: 0)
        if let channel {
            bytes += Self.frame(ChannelOpen(), channel: channel)
        }
        return bytes
    }

    /// Logs in, opens channel 1, and forgets the answers; `further` are capabilities besides the usual ones.
    @discardableResult
    public func open(
        heartbeat: UInt16 = 0,
        frameMaxBytes: UInt32 = 131_072,
        product: String = "Martlet simulation",
        further: [ShortString] = []
    ) -> SimulatedClient {
        self.frameMaxBytes = Int(frameMaxBytes)
        let greeting = Self.greeting(
            frameMaxBytes: frameMaxBytes,
            heartbeat: heartbeat,
            product: product,
            further: further
        )
        self.sendBytes(greeting)
        self.broker.run()
        _ = self.receive()
        return self
    }

    /// Runs the broker and returns what has arrived since the last time.
    @discardableResult
    public func receive() -> [Received] {
        self.broker.run()
        self.collect()
        let received = self.inbox
        self.inbox = []
        return received
    }

    /// Hands over what has been collected; nothing runs.
    public func takeInbox() -> [Received] {
        let received = self.inbox
        self.inbox = []
        return received
    }

    /// Sends a method and returns what arrives after running the broker.
    @discardableResult
    public func call(_ method: some EncodableMethod, channel: UInt16 = 1) -> [Received] {
        self.send(method, channel: channel)
        return self.receive()
    }

    /// Takes up to `count` octets from the socket and decodes them.
    public func collect(_ count: Int = .max) {
        self.buffer += self.broker.take(from: self.socket, count)
        var offset = 0
        while self.buffer.count - offset >= FrameLimits.frameHeaderBytes {
            if self.buffer[offset] == 65 {
                guard self.buffer.count - offset >= 8 else { break }
                self.inbox.append(.protocolHeader(Array(self.buffer[offset..<offset + 8])))
                offset += 8
                continue
            }
            let header = self.buffer.withUnsafeBytes { bytes in
                bytes.baseAddress.map { FrameHeader.read(from: $0 + offset) }
                    ?? FrameHeader(type: 0, channel: 0, size: 0)
            }
            let size = Int(header.size) + FrameLimits.frameOverheadBytes
            guard self.buffer.count - offset >= size else { break }
            precondition(self.buffer[offset + size - 1] == FrameLimits.frameEnd, "broker sent a bad frame end")
            precondition(size <= self.frameMaxBytes, "broker sent a frame above frame_max")
            let payload = Array(self.buffer[offset + FrameLimits.frameHeaderBytes..<offset + size - 1])
            self.receiveFrame(header, payload)
            offset += size
        }
        self.buffer.removeFirst(offset)
    }

    private func receiveFrame(_ header: FrameHeader, _ payload: [UInt8]) {
        let channel = header.channel
        payload.withUnsafeBytes { bytes in
            var reader = WireReader(bytes)
            do {
                switch header.type {
                case FrameType.heartbeat:
                    self.inbox.append(.heartbeat)
                case FrameType.method:
                    let id = MethodID(classID: try reader.readUInt16(), methodID: try reader.readUInt16())
                    let method = try Method.decode(id, &reader)
                    switch method {
                    case .basicDeliver, .basicGetOk, .basicReturn:
                        self.pendingContent[channel] = method
                    default:
                        self.inbox.append(.method(channel: channel, method))
                    }
                case FrameType.header:
                    guard let method = self.pendingContent.removeValue(forKey: channel) else {
                        preconditionFailure("content header without a method")
                    }
                    _ = try reader.readUInt32()
                    let size = Int(try reader.readUInt64())
                    let properties = try BasicProperties(from: &reader)
                    self.partial[channel] = (method, properties, size, [])
                    self.finishContent(channel)
                default:
                    self.partial[channel]?.body += payload
                    self.partial[channel]?.remaining -= payload.count
                    self.finishContent(channel)
                }
            } catch {
                preconditionFailure("broker sent what cannot be decoded: \(error)")
            }
        }
    }

    private func finishContent(_ channel: UInt16) {
        guard let content = self.partial[channel], content.remaining == 0 else { return }
        self.partial[channel] = nil
        self.inbox.append(.content(channel: channel, content.method, content.properties, body: content.body))
    }

    /// The socket breaks.
    public func disconnect() {
        self.broker.disconnect(self.socket)
    }
}
