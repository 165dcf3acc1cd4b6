internal import AMQPProtocol

/// From bytes to frames: the part of the shard that walks what a socket has brought.
///
/// Bytes are read in place. What is kept is the unfinished frame at the end of a read, and everything behind a point
/// where the connection is paused. A body frame that is not complete is streamed into its message piece by piece.
extension Shard {
    /// Handles what came in, after what was left over.
    func consumeInput(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) {
        var offset = 0
        while !connection.pointee.carry.isEmpty && offset < count {
            guard connection.pointee.isReading else {
                self.keep(connection, base + offset, count - offset)
                return
            }
            // Complete the frame that was cut, then go on in place.
            let wanted = self.missingOctets(connection)
            let piece = min(max(wanted, 1), count - offset)
            connection.pointee.carry.append(contentsOf: UnsafeRawBufferPointer(start: base + offset, count: piece))
            offset += piece
            self.resumeInput(connection)
        }
        guard offset < count else { return }
        connection.pointee.isParsing = true
        let consumed = self.parse(connection, base + offset, count - offset)
        connection.pointee.isParsing = false
        offset += consumed
        if offset < count {
            self.keep(connection, base + offset, count - offset)
        }
    }

    /// Handles what was kept, as far as it goes.
    func resumeInput(_ connection: UnsafeMutablePointer<ConnectionState>) {
        guard !connection.pointee.isParsing, !connection.pointee.carry.isEmpty else { return }
        connection.pointee.isParsing = true
        var carry: [UInt8] = []
        swap(&carry, &connection.pointee.carry)
        let consumed = carry.withUnsafeBytes { bytes in
            bytes.baseAddress.map { self.parse(connection, $0, bytes.count) } ?? 0
        }
        connection.pointee.isParsing = false
        if consumed < carry.count {
            if consumed > 0 {
                carry.removeFirst(consumed)
            }
            swap(&carry, &connection.pointee.carry)
        }
    }

    private func keep(_ connection: UnsafeMutablePointer<ConnectionState>, _ base: UnsafeRawPointer, _ count: Int) {
        connection.pointee.carry.append(contentsOf: UnsafeRawBufferPointer(start: base, count: count))
        if connection.pointee.user.isEmpty && connection.pointee.carry.count > ShardLimits.preLoginBytes {
            self.refuse(connection, "more than \(ShardLimits.preLoginBytes) octets before login")
        }
    }

    /// Octets missing to the end of the frame that ``ConnectionState/carry`` begins with.
    private func missingOctets(_ connection: UnsafeMutablePointer<ConnectionState>) -> Int {
        let have = connection.pointee.carry.count
        if connection.pointee.phase == .awaitingHeader {
            return 8 - have
        }
        guard have >= FrameLimits.frameHeaderBytes else { return FrameLimits.frameHeaderBytes - have }
        let size = connection.pointee.carry.withUnsafeBytes { bytes in
            bytes.baseAddress.map { Int(FrameHeader.read(from: $0).size) } ?? 0
        }
        return size + FrameLimits.frameOverheadBytes - have
    }

    /// Walks frames; returns how many octets are done with.
    private func parse(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) -> Int {
        var offset = 0
        while offset < count && connection.pointee.isReading {
            if connection.pointee.streamingRemaining > 0 || connection.pointee.streamingNeedsEnd {
                offset += self.stream(connection, base + offset, count - offset)
                continue
            }
            switch connection.pointee.phase {
            case .running:
                let published = self.publishInPlace(connection, base + offset, count - offset)
                if published > 0 {
                    offset &+= published
                    continue
                }
            case .refused:
                return count
            case .awaitingHeader:
                guard count - offset >= 8 else { return offset }
                offset += 8
                self.receiveProtocolHeader(
                    connection,
                    UnsafeRawBufferPointer(start: base + offset - 8, count: 8)
                )
                continue
            case .draining, .finishing, .closed:
                guard !connection.pointee.isDeaf else { return count }
            case .awaitingStartOk, .awaitingTuneOk, .awaitingOpen, .closing:
                break
            }
            let consumed = self.consumeFrame(connection, base + offset, count - offset)
            guard consumed > 0 else { return offset }
            offset += consumed
            self.updateOutputPause(connection)
        }
        return offset
    }

    /// Handles the next frame if it is complete; returns its size, or 0.
    private func consumeFrame(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) -> Int {
        guard count >= FrameLimits.frameHeaderBytes else { return 0 }
        let header = FrameHeader.read(from: base)
        let size = Int(header.size)
        let maxPayload = connection.pointee.frameMaxBytes - FrameLimits.frameOverheadBytes
        guard size <= maxPayload + ShardLimits.frameTolerance else {
            // The text gives the frame's size with its overhead and the largest payload, as RabbitMQ does.
            self.refuseFrame(
                connection,
                "type \(header.type), all octets = <<>>: {frame_too_large,\(size),\(maxPayload)}"
            )
            return count
        }
        guard count >= size + FrameLimits.frameOverheadBytes else {
            if header.type == FrameType.body, self.canStream(connection, header) {
                connection.pointee.streamingChannel = header.channel
                connection.pointee.streamingRemaining = size
                connection.pointee.streamingNeedsEnd = true
                return FrameLimits.frameHeaderBytes
            }
            return 0
        }
        let payload = UnsafeRawBufferPointer(start: base + FrameLimits.frameHeaderBytes, count: size)
        let end = base.load(fromByteOffset: FrameLimits.frameHeaderBytes + size, as: UInt8.self)
        guard end == FrameLimits.frameEnd else {
            self.refuseFrame(connection, ErlangTerm.frame(header.type, payload, .invalidEnd(end)))
            return count
        }
        switch connection.pointee.phase {
        case .closing, .draining, .finishing, .closed:
            self.receiveWhileClosing(connection, header, payload)
        case .awaitingHeader, .awaitingStartOk, .awaitingTuneOk, .awaitingOpen, .running, .refused:
            self.handleFrame(connection, header, payload)
        }
        self.runLocalCommands()
        return size + FrameLimits.frameOverheadBytes
    }

    /// Whether a body frame's payload can go into its message as it comes.
    private func canStream(_ connection: UnsafeMutablePointer<ConnectionState>, _ header: FrameHeader) -> Bool {
        guard connection.pointee.phase == .running, header.size > 0, !self.isAlarmed || self.goesOn(connection),
            let channel = connection.pointee.channels[header.channel],
            channel.pointee.phase == .open, !channel.pointee.isWaiting,
            channel.pointee.content.phase == .body, Int(header.size) <= channel.pointee.content.remaining
        else { return false }
        return true
    }

    /// Takes a piece of the body frame that is under way.
    private func stream(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) -> Int {
        let channel = connection.pointee.channels[connection.pointee.streamingChannel]
        let remaining = connection.pointee.streamingRemaining
        if remaining > 0 {
            let piece = min(remaining, count)
            connection.pointee.streamingRemaining -= piece
            // The channel may have been closed meanwhile; then the rest is skipped.
            if let channel, channel.pointee.phase == .open, channel.pointee.content.phase == .body,
                piece <= channel.pointee.content.remaining
            {
                self.appendBody(channel, base, piece)
            }
            return piece
        }
        connection.pointee.streamingNeedsEnd = false
        let end = base.load(as: UInt8.self)
        guard end == FrameLimits.frameEnd else {
            self.refuseFrame(
                connection,
                "type 3, all octets = <<>>: {invalid_frame_end_marker,\(end)}"
            )
            return count
        }
        if let channel, channel.pointee.phase == .open, channel.pointee.content.phase == .body,
            channel.pointee.content.remaining == 0
        {
            self.finishContent(channel)
            self.runLocalCommands()
        }
        return 1
    }

    /// One complete frame.
    func handleFrame(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        let noMethod = MethodID(classID: 0, methodID: 0)
        guard connection.pointee.phase != .closing else {
            self.receiveWhileClosing(connection, header, payload)
            return
        }
        // Before anything else a frame must be of some use in itself.
        if payload.count < 12 || header.type == FrameType.heartbeat, Self.isMalformed(header, payload.count) {
            self.refuseUnknownFrame(connection, header, payload)
            return
        }
        switch header.type {
        case FrameType.heartbeat:
            if header.channel != 0 {
                self.closeConnection(connection, .unexpectedFrame, ErlangTerm.frame(header.type, payload), noMethod)
            }
        case FrameType.method where header.channel == 0:
            self.receiveConnectionMethod(connection, payload)
        case FrameType.header where header.channel == 0, FrameType.body where header.channel == 0:
            switch connection.pointee.phase {
            case .awaitingStartOk, .awaitingTuneOk: self.refuse(connection, "content on channel 0 before tune-ok")
            default:
                self.closeConnection(connection, .unexpectedFrame, ErlangTerm.frame(header.type, payload), noMethod)
            }
        case FrameType.method, FrameType.header, FrameType.body:
            guard connection.pointee.phase == .running || connection.pointee.phase == .draining else {
                if connection.pointee.phase == .awaitingOpen {
                    self.closeConnection(
                        connection,
                        .unexpectedFrame,
                        ErlangTerm.frame(header.type, payload),
                        noMethod
                    )
                } else {
                    self.refuse(connection, "frame on channel \(header.channel) before connection.open")
                }
                return
            }
            self.handleChannelFrame(connection, header, payload)
        default:
            self.refuseUnknownFrame(connection, header, payload)
        }
    }

    /// Whether a frame is too short, or too long, for one of its type, whatever is in it.
    private static func isMalformed(_ header: FrameHeader, _ size: Int) -> Bool {
        switch header.type {
        case FrameType.method: size < 4
        case FrameType.header: size < 12
        case FrameType.heartbeat: size > 0
        default: false
        }
    }

    /// A frame of a channel: handled, or kept until the channel's answer has come.
    private func handleChannelFrame(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        guard let channel = connection.pointee.channels[header.channel] else {
            self.receiveOnClosedChannel(connection, header, payload)
            return
        }
        if channel.pointee.phase == .finishing {
            // `close` was the client's last word here; after its `close-ok` the number is free for a new channel, which
            // waits until all queues have let go of the old one.
            if !channel.pointee.owesCloseOk && connection.pointee.phase == .running {
                self.deferFrame(channel, payload)
            }
            return
        }
        if channel.pointee.isWaiting {
            if channel.pointee.deferred.isEmpty, let method = self.methodAhead(channel, header, payload) {
                self.receiveTopologyMethod(method, channel)
            } else {
                self.deferFrame(channel, payload)
            }
            return
        }
        self.receiveChannelFrame(channel, header, payload)
    }

    private func deferFrame(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ payload: UnsafeRawBufferPointer
    ) {
        let connection = channel.pointee.connection
        connection.pointee.deferredBytes += channel.pointee.deferred.append(payload)
        if connection.pointee.deferredBytes > ShardLimits.deferredBytes {
            self.setPause(connection, .deferredFrames, true)
        }
    }

    /// The answer a channel waited for has come: its frames go on once the commands under way are done.
    func resume(_ channel: UnsafeMutablePointer<ChannelState>) {
        channel.pointee.isWaiting = false
        if !channel.pointee.deferred.isEmpty {
            self.resumableChannels.append(self.address(of: channel))
        }
    }

    /// Handles the next deferred frame of a channel.
    func resumeDeferredFrame(_ address: ChannelAddress) {
        guard let channel = self.channel(address), !channel.pointee.deferred.isEmpty else { return }
        let connection = channel.pointee.connection
        guard channel.pointee.phase != .finishing else { return }
        var ahead: Method?
        if channel.pointee.isWaiting {
            ahead = channel.pointee.deferred.withFirst { self.methodAhead(channel, $0, $1) }
            guard ahead != nil else { return }
        }
        let (header, frame) = channel.pointee.deferred.removeFirst()
        let size = frame.count
        connection.pointee.deferredBytes -= size
        if connection.pointee.phase == .running || connection.pointee.phase == .draining {
            if let ahead {
                self.receiveTopologyMethod(ahead, channel)
            } else {
                frame.withUnsafeBytes { bytes in
                    let payload = UnsafeRawBufferPointer(
                        rebasing: bytes[FrameLimits.frameHeaderBytes..<size - 1]
                    )
                    self.receiveChannelFrame(channel, header, payload)
                }
            }
        }
        // The frame may have closed the channel, or made it wait again.
        if let channel = self.channel(address), !channel.pointee.isWaiting, !channel.pointee.deferred.isEmpty {
            self.resumableChannels.append(address)
        }
        self.endDeferralPause(connection)
    }

    /// Handles frames that came for a number whose old channel was still finishing.
    func handleHeldBack(_ frames: DeferredFrames, _ connection: UnsafeMutablePointer<ConnectionState>) {
        var frames = frames
        guard !frames.isEmpty else { return }
        while !frames.isEmpty {
            let (header, frame) = frames.removeFirst()
            connection.pointee.deferredBytes -= frame.count
            frame.withUnsafeBytes { bytes in
                let payload = UnsafeRawBufferPointer(
                    rebasing: bytes[FrameLimits.frameHeaderBytes..<frame.count - 1]
                )
                self.handleFrame(connection, header, payload)
            }
        }
        self.endDeferralPause(connection)
    }

    /// Reads a connection again when its channels hold back little enough.
    private func endDeferralPause(_ connection: UnsafeMutablePointer<ConnectionState>) {
        if connection.pointee.pause.contains(.deferredFrames),
            connection.pointee.deferredBytes < ShardLimits.deferredBytes / 2
        {
            self.setPause(connection, .deferredFrames, false)
        }
    }

    /// Forgets the deferred and parked frames of a channel that has ended.
    func dropDeferred(_ channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        connection.pointee.deferredBytes -= channel.pointee.deferred.count
        channel.pointee.deferred = DeferredFrames()
        self.dropParked(channel)
        self.endDeferralPause(connection)
    }
}
