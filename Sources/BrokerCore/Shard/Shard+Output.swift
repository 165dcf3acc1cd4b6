internal import AMQPProtocol

/// Writing to connections: frames go into memory lent by the driver, in the order they are decided.
extension Shard {
    /// Room for `size` octets in a row; ``commit(_:_:)`` makes them count.
    @inline(__always)
    func reserve(_ connection: UnsafeMutablePointer<ConnectionState>, _ size: Int) -> UnsafeMutableRawPointer {
        if connection.pointee.outCapacity &- connection.pointee.outCount < size {
            self.startBlock(connection, size)
        }
        // `startBlock` has set it, or there was room, which only a block has.
        return connection.pointee.outBase.unsafelyUnwrapped + connection.pointee.outCount
    }

    @inline(__always)
    func commit(_ connection: UnsafeMutablePointer<ConnectionState>, _ size: Int) {
        connection.pointee.outCount &+= size
        connection.pointee.pendingBytes &+= size
        if !connection.pointee.isDirty {
            self.markDirty(connection)
        }
    }

    @inline(never)
    private func startBlock(_ connection: UnsafeMutablePointer<ConnectionState>, _ size: Int) {
        if let base = connection.pointee.outBase {
            var block = OutputBlock(
                base: base,
                capacity: connection.pointee.outCapacity,
                token: connection.pointee.outToken
            )
            block.count = connection.pointee.outCount
            connection.pointee.fullBlocks.append(block)
        }
        let wanted = connection.pointee.pendingBytes == 0 ? ShardLimits.firstOutputBlock : ShardLimits.outputBlock
        let block = self.outputMemory.lend(atLeast: max(wanted, size))
        connection.pointee.outBase = block.base
        connection.pointee.outCapacity = block.capacity
        connection.pointee.outToken = block.token
        connection.pointee.outCount = 0
    }

    @inline(never)
    func markDirty(_ connection: UnsafeMutablePointer<ConnectionState>) {
        connection.pointee.isDirty = true
        // What a socket does not take yet waits here, not in the driver: ``setWritable(_:_:now:)`` queues it again.
        if connection.pointee.isWritable {
            self.dirtyConnections.append(connection.pointee.id)
        }
    }

    /// Gives back what nobody will read.
    func discardOutput(_ connection: UnsafeMutablePointer<ConnectionState>) {
        for block in connection.pointee.fullBlocks {
            self.outputMemory.giveBack(block)
        }
        connection.pointee.fullBlocks = []
        if let base = connection.pointee.outBase {
            self.outputMemory.giveBack(
                OutputBlock(
                    base: base,
                    capacity: connection.pointee.outCapacity,
                    token: connection.pointee.outToken
                )
            )
        }
        connection.pointee.outBase = nil
        connection.pointee.outCapacity = 0
        connection.pointee.outCount = 0
        connection.pointee.pendingBytes = 0
    }

    /// Whether a connection takes deliveries now.
    @inline(__always)
    func hasRoom(_ connection: UnsafeMutablePointer<ConnectionState>) -> Bool {
        connection.pointee.pendingBytes < ShardLimits.outputBytes && connection.pointee.isWritable
    }

    /// Writes one method frame.
    func sendMethod(
        _ method: some EncodableMethod,
        _ connection: UnsafeMutablePointer<ConnectionState>,
        channel: UInt16
    ) {
        guard !connection.pointee.isSocketLost else { return }
        let size = method.frameSize
        let base = self.reserve(connection, size)
        var writer = WireWriter(UnsafeMutableRawBufferPointer(start: base, count: size))
        method.encodeFrame(channel: channel, into: &writer)
        self.commit(connection, size)
    }

    /// Writes one method frame of a channel.
    func sendMethod(_ method: some EncodableMethod, _ channel: UnsafeMutablePointer<ChannelState>) {
        self.sendMethod(method, channel.pointee.connection, channel: channel.pointee.number)
    }

    /// Writes content header and body of a stored message in frames the client accepts.
    func writeContent(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        channel: UInt16,
        _ message: MessageView
    ) {
        let size = self.contentSize(connection, message)
        let out = self.reserve(connection, size)
        self.encodeContent(out, channel: channel, message, size)
        self.commit(connection, size)
        self.writeLongBody(connection, channel, message)
    }

    /// Octets of a message's content header frame, and of its body frame if there is just one.
    @inline(__always)
    func contentSize(_ connection: UnsafeMutablePointer<ConnectionState>, _ message: MessageView) -> Int {
        let headerSize = 7 &+ 12 &+ message.propertiesSize &+ 1
        let hasOneBody = message.bodySize > 0 && message.bodySize <= connection.pointee.maxPayload
        return headerSize &+ (hasOneBody ? 8 &+ message.bodySize : 0)
    }

    /// Writes as many octets of a message's content as ``contentSize(_:_:)`` says.
    @inline(__always)
    func encodeContent(_ out: UnsafeMutableRawPointer, channel: UInt16, _ message: MessageView, _ size: Int) {
        let propertiesSize = message.propertiesSize
        out.storeBytes(of: FrameType.header, as: UInt8.self)
        out.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: 12 &+ propertiesSize).bigEndian, toByteOffset: 3, as: UInt32.self)
        out.storeBytes(of: UInt32(60 << 16).bigEndian, toByteOffset: 7, as: UInt32.self)
        out.storeBytes(of: UInt64(truncatingIfNeeded: message.bodySize).bigEndian, toByteOffset: 11, as: UInt64.self)
        Bytes.copy(out + 19, message.properties, propertiesSize)
        out.storeBytes(of: FrameLimits.frameEnd, toByteOffset: 19 &+ propertiesSize, as: UInt8.self)
        let headerSize = 20 &+ propertiesSize
        if size > headerSize {
            self.writeBodyFrame(out + headerSize, channel, message.body, message.bodySize)
        }
    }

    @inline(__always)
    private func writeBodyFrame(
        _ out: UnsafeMutableRawPointer,
        _ channel: UInt16,
        _ body: UnsafeRawPointer,
        _ size: Int
    ) {
        out.storeBytes(of: FrameType.body, as: UInt8.self)
        out.storeBytes(of: channel.bigEndian, toByteOffset: 1, as: UInt16.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: size).bigEndian, toByteOffset: 3, as: UInt32.self)
        Bytes.copy(out + 7, body, size)
        out.storeBytes(of: FrameLimits.frameEnd, toByteOffset: 7 &+ size, as: UInt8.self)
    }

    /// Writes the body of a message that needs several frames.
    @inline(__always)
    func writeLongBody(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ channel: UInt16,
        _ message: MessageView
    ) {
        if message.bodySize > connection.pointee.maxPayload {
            self.writeBodyInPieces(connection, channel, message.body, message.bodySize)
        }
    }

    @inline(never)
    private func writeBodyInPieces(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ channel: UInt16,
        _ body: UnsafeRawPointer,
        _ bodySize: Int
    ) {
        let maxPayload = connection.pointee.maxPayload
        var offset = 0
        while offset < bodySize {
            let piece = min(maxPayload, bodySize - offset)
            self.writeBodyFrame(self.reserve(connection, piece + 8), channel, body + offset, piece)
            self.commit(connection, piece + 8)
            offset += piece
        }
    }

    /// A client that lets answers (not deliveries, which wait in their queues) pile up is not read until it takes them.
    @inline(__always)
    func updateOutputPause(_ connection: UnsafeMutablePointer<ConnectionState>) {
        let isFull = !connection.pointee.isWritable && connection.pointee.pendingBytes > 2 * ShardLimits.outputBytes
        if isFull != connection.pointee.pause.contains(.output) {
            self.setPause(connection, .output, isFull)
        }
    }

    /// Sets or clears one reason not to read a connection, and resumes what was held back.
    func setPause(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ reason: PauseReasons,
        _ isPaused: Bool
    ) {
        if isPaused {
            connection.pointee.pause.insert(reason)
        } else {
            connection.pointee.pause.remove(reason)
        }
        let mayRead = connection.pointee.pause.isEmpty
        if mayRead != connection.pointee.isReading {
            connection.pointee.isReading = mayRead
            self.effects.append(.setReading(connection.pointee.id, mayRead))
            if mayRead && (self.isRunningLocalCommands || !self.resumableChannels.isEmpty) {
                // Frames that channels held back go first.
                self.resumableConnections.append(connection.pointee.id)
            } else if mayRead {
                self.resumeInput(connection)
            }
        }
    }
}
