import AMQPProtocol

/// A delivered message as the scanner saw it: what the checks need, not the message.
struct ScannedMessage: Equatable {
    /// The consumer tag read as a decimal number; the load tool gives its consumers such tags.
    var consumer: Int = 0
    var deliveryTag: UInt64 = 0
    var redelivered = false
    var bodySize: UInt64 = 0
    /// The first eight octets of the body, or fewer and then zeros: publisher and sequence, see ``BodyStamp``.
    var word: UInt64 = 0
    /// The second eight octets of the body: the time of sending.
    var time: UInt64 = 0
}

/// What a scanner reports to.
protocol FrameSink: AnyObject {
    /// A message was delivered, to its last octet.
    func receiveMessage(_ message: ScannedMessage)
    /// A message came back through `basic.return`, to its last octet.
    func receiveReturn()
    /// The server confirmed messages, or refused them when not `positive`.
    func receiveConfirm(tag: UInt64, multiple: Bool, positive: Bool)
    /// Any other method arrived; `payload` starts with the two numbers of its ``MethodID``.
    func receiveMethod(channel: UInt16, payload: UnsafeRawBufferPointer)
}

/// Finds frames in what was read and reports them, in place.
///
/// 1. Bytes are looked at where they lie. Only a method or header frame cut by the end of a read is copied, to `carry`.
/// 2. A body is never collected: its first 16 octets go to `message`, the rest is only counted, so that a frame may be
///    as large as it likes.
/// 3. `frameLeft > 0` or `awaitsFrameEnd` holds only inside a body frame, and then `carry` is empty.
/// 4. `content` is not `.none` exactly between a method with content and the last octet of its body.
struct FrameScanner {
    /// The server's stream makes no sense.
    enum Failure: Error, Equatable {
        case badFrameEnd
        case frameTooLarge(UInt32)
        case unexpectedFrame(UInt8)
        case malformedMethod
    }

    private enum Content {
        case none
        /// A method with content was read, its header was not.
        case header(isDelivery: Bool)
        case body(isDelivery: Bool)
    }

    private var carry: [UInt8] = []
    private var content = Content.none
    private var message = ScannedMessage()
    private var bodyLeft: UInt64 = 0
    private var frameLeft = 0
    private var awaitsFrameEnd = false

    /// Scans one read and reports each frame that is complete.
    mutating func scan(_ bytes: UnsafeRawBufferPointer, into sink: some FrameSink) throws(Failure) {
        guard let start = bytes.baseAddress else { return }
        var position = start
        let end = start + bytes.count
        if !self.carry.isEmpty {
            position = try self.completeCarry(position, end, into: sink)
        }
        while position < end {
            if self.frameLeft > 0 || self.awaitsFrameEnd {
                position = try self.continueBody(position, end, into: sink)
                continue
            }
            guard end - position >= 8 else { break }
            let type = position.load(as: UInt8.self)
            let size = UInt32(bigEndian: position.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
            if type == FrameType.body {
                try self.startBodyFrame(size)
                position += 7
                if end - position > size, self.takeWholePrefix(position, Int(size)) {
                    try self.endBodyFrame(position.load(fromByteOffset: Int(size), as: UInt8.self), into: sink)
                    position += Int(size) + 1
                }
                continue
            }
            guard size <= PerfLimits.incomingFrameBytes else { throw .frameTooLarge(size) }
            guard end - position >= Int(size) + 8 else { break }
            try self.takeFrame(position, type: type, size: Int(size), into: sink)
            position += Int(size) + 8
        }
        if position < end {
            self.carry.append(contentsOf: UnsafeRawBufferPointer(start: position, count: end - position))
        }
    }

    // MARK: Method and header frames

    /// Handles a frame other than a body frame, which lies whole at `position`.
    @inline(__always)
    private mutating func takeFrame(
        _ position: UnsafeRawPointer,
        type: UInt8,
        size: Int,
        into sink: some FrameSink
    ) throws(Failure) {
        guard position.load(fromByteOffset: size + 7, as: UInt8.self) == FrameLimits.frameEnd else {
            throw .badFrameEnd
        }
        let payload = UnsafeRawBufferPointer(start: position + 7, count: size)
        switch type {
        case FrameType.method:
            let channel = UInt16(bigEndian: position.loadUnaligned(fromByteOffset: 1, as: UInt16.self))
            try self.takeMethod(payload, channel: channel, into: sink)
        case FrameType.header:
            try self.takeHeader(payload, into: sink)
        case FrameType.heartbeat:
            break
        default:
            throw .unexpectedFrame(type)
        }
    }

    @inline(__always)
    private mutating func takeMethod(
        _ payload: UnsafeRawBufferPointer,
        channel: UInt16,
        into sink: some FrameSink
    ) throws(Failure) {
        guard payload.count >= 4 else { throw .malformedMethod }
        guard case .none = self.content else { throw .unexpectedFrame(FrameType.method) }
        switch UInt32(bigEndian: payload.loadUnaligned(as: UInt32.self)) {
        case MethodNumber.basicDeliver:
            try self.takeDeliver(payload)
        case MethodNumber.basicAck:
            guard payload.count >= 13 else { throw .malformedMethod }
            sink.receiveConfirm(tag: Self.tag(payload, at: 4), multiple: payload[12] & 1 != 0, positive: true)
        case MethodNumber.basicNack:
            guard payload.count >= 13 else { throw .malformedMethod }
            sink.receiveConfirm(tag: Self.tag(payload, at: 4), multiple: payload[12] & 1 != 0, positive: false)
        case MethodNumber.basicReturn:
            self.content = .header(isDelivery: false)
        default:
            sink.receiveMethod(channel: channel, payload: payload)
        }
    }

    /// Reads `basic.deliver` up to `redelivered`; exchange and routing key are of no interest here.
    @inline(__always)
    private mutating func takeDeliver(_ payload: UnsafeRawBufferPointer) throws(Failure) {
        guard payload.count >= 5 else { throw .malformedMethod }
        let tagLength = Int(payload[4])
        guard payload.count >= 5 + tagLength + 9 else { throw .malformedMethod }
        var consumer = 0
        for index in 5..<5 + tagLength {
            // Wraps instead of trapping when the tag is none of ours; the consumer checks the number.
            consumer = consumer &* 10 &+ Int(payload[index]) &- 0x30
        }
        self.message.consumer = consumer
        self.message.deliveryTag = Self.tag(payload, at: 5 + tagLength)
        self.message.redelivered = payload[13 + tagLength] & 1 != 0
        self.content = .header(isDelivery: true)
    }

    @inline(__always)
    private static func tag(_ payload: UnsafeRawBufferPointer, at offset: Int) -> UInt64 {
        UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    private mutating func takeHeader(_ payload: UnsafeRawBufferPointer, into sink: some FrameSink) throws(Failure) {
        guard case .header(let isDelivery) = self.content, payload.count >= 14 else {
            throw .unexpectedFrame(FrameType.header)
        }
        let bodySize = Self.tag(payload, at: 4)
        self.message.bodySize = bodySize
        self.message.word = 0
        self.message.time = 0
        self.bodyLeft = bodySize
        self.content = .body(isDelivery: isDelivery)
        if bodySize == 0 {
            self.endContent(into: sink)
        }
    }

    // MARK: Body frames

    @inline(__always)
    private mutating func startBodyFrame(_ size: UInt32) throws(Failure) {
        guard case .body = self.content, size <= self.bodyLeft else { throw .unexpectedFrame(FrameType.body) }
        self.frameLeft = Int(size)
        self.awaitsFrameEnd = true
    }

    /// The usual case: the whole frame was read, and it holds the first 16 octets of the body, or they were seen.
    @inline(__always)
    private mutating func takeWholePrefix(_ position: UnsafeRawPointer, _ size: Int) -> Bool {
        let seen = self.message.bodySize - self.bodyLeft
        if seen == 0 {
            guard size >= 16 else { return false }
            self.message.word = UInt64(littleEndian: position.loadUnaligned(as: UInt64.self))
            self.message.time = UInt64(littleEndian: position.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        } else if seen < 16 {
            return false
        }
        self.bodyLeft -= UInt64(size)
        self.frameLeft = 0
        return true
    }

    /// Takes what there is of a body frame that was cut, or whose octets among the first 16 come one by one.
    private mutating func continueBody(
        _ start: UnsafeRawPointer,
        _ end: UnsafeRawPointer,
        into sink: some FrameSink
    ) throws(Failure) -> UnsafeRawPointer {
        var position = start
        while self.frameLeft > 0, position < end {
            let seen = self.message.bodySize - self.bodyLeft
            var step = min(self.frameLeft, end - position)
            if seen < 16 {
                step = 1
                let octet = UInt64(position.load(as: UInt8.self))
                if seen < 8 {
                    self.message.word |= octet << (seen * 8)
                } else {
                    self.message.time |= octet << ((seen - 8) * 8)
                }
            }
            position += step
            self.frameLeft -= step
            self.bodyLeft -= UInt64(step)
        }
        guard position < end else { return position }
        try self.endBodyFrame(position.load(as: UInt8.self), into: sink)
        return position + 1
    }

    @inline(__always)
    private mutating func endBodyFrame(_ marker: UInt8, into sink: some FrameSink) throws(Failure) {
        guard marker == FrameLimits.frameEnd else { throw .badFrameEnd }
        self.awaitsFrameEnd = false
        if self.bodyLeft == 0 {
            self.endContent(into: sink)
        }
    }

    @inline(__always)
    private mutating func endContent(into sink: some FrameSink) {
        guard case .body(let isDelivery) = self.content else { return }
        self.content = .none
        if isDelivery {
            sink.receiveMessage(self.message)
        } else {
            sink.receiveReturn()
        }
    }

    // MARK: Frames cut by the end of a read

    /// Adds to the carried octets until their frame is whole, handles it, and returns where the next one starts.
    private mutating func completeCarry(
        _ start: UnsafeRawPointer,
        _ end: UnsafeRawPointer,
        into sink: some FrameSink
    ) throws(Failure) -> UnsafeRawPointer {
        var position = start
        while true {
            var needed = 8
            if self.carry.count >= 7 {
                let header = self.carry.withUnsafeBytes { bytes in
                    (type: bytes[0], size: bytes.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
                }
                let size = UInt32(bigEndian: header.size)
                if header.type == FrameType.body {
                    // A carried body frame has at most its first seven octets here, see the guard in `scan`.
                    self.carry.removeAll(keepingCapacity: true)
                    try self.startBodyFrame(size)
                    return position
                }
                guard size <= PerfLimits.incomingFrameBytes else { throw .frameTooLarge(size) }
                needed = Int(size) + 8
            } else {
                needed = 7
            }
            if self.carry.count == needed {
                let frame = self.carry
                self.carry.removeAll(keepingCapacity: true)
                try frame.withUnsafeBufferPointer { (bytes) throws(Failure) -> Void in
                    guard let base = UnsafeRawPointer(bytes.baseAddress) else { return }
                    try self.takeFrame(base, type: bytes[0], size: bytes.count - 8, into: sink)
                }
                return position
            }
            guard position < end else { return position }
            let step = min(needed - self.carry.count, end - position)
            self.carry.append(contentsOf: UnsafeRawBufferPointer(start: position, count: step))
            position += step
        }
    }
}

/// The methods of the message path, as numbers to switch over.
enum MethodNumber {
    static let basicReturn: UInt32 = 60 << 16 | 50
    static let basicDeliver: UInt32 = 60 << 16 | 60
    static let basicAck: UInt32 = 60 << 16 | 80
    static let basicNack: UInt32 = 60 << 16 | 120
}

/// The first eight octets of a body: who sent it and its number.
///
/// The publisher is in the upper 16 bits, the sequence below it; stored with the lowest octet first.
enum BodyStamp {
    /// Octets from which a body carries publisher and sequence.
    static let sequenceBytes = 8
    /// Octets from which it also carries the time of sending.
    static let timeBytes = 16

    @inline(__always)
    static func word(publisher: Int, sequence: UInt64) -> UInt64 {
        UInt64(publisher) << 48 | sequence
    }

    @inline(__always)
    static func publisher(of word: UInt64) -> Int { Int(word >> 48) }

    @inline(__always)
    static func sequence(of word: UInt64) -> UInt64 { word & 0xFFFF_FFFF_FFFF }
}
