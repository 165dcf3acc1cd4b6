internal import AMQPProtocol

/// `basic.publish` and the frames that follow it, when they do not lie in the read buffer in one piece.
extension Shard {
    /// `basic.publish`: remembers where the content goes.
    func receivePublish(_ method: BasicPublish, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard !method.immediate else {
            self.closeConnection(channel.pointee.connection, .notImplemented, "immediate=true", BasicPublish.id)
            return
        }
        var names: [UInt8] = []
        names.reserveCapacity(2 + method.exchange.bytes.count + method.routingKey.bytes.count)
        names.append(UInt8(method.exchange.bytes.count))
        names.append(contentsOf: method.exchange.bytes)
        names.append(UInt8(method.routingKey.bytes.count))
        names.append(contentsOf: method.routingKey.bytes)
        channel.pointee.content.names = names
        channel.pointee.content.isMandatory = method.mandatory
        channel.pointee.content.phase = .header
    }

    /// The frame after `basic.publish`.
    func receiveContentHeader(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        let connection = channel.pointee.connection
        func unexpected(_ text: ReplyText) {
            self.closeConnection(
                connection,
                .unexpectedFrame,
                "expected content header for class 60, got \(text) instead",
                BasicPublish.id
            )
        }
        guard header.type == FrameType.header else {
            unexpected("non content header frame")
            return
        }
        // Shorter ones have been refused.
        guard payload.count >= 12 else { return }
        let classID = UInt16(bigEndian: payload.loadUnaligned(as: UInt16.self))
        let weight = UInt16(bigEndian: payload.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        let bodySize = UInt64(bigEndian: payload.loadUnaligned(fromByteOffset: 4, as: UInt64.self))
        guard weight == 0 else {
            unexpected("non content header frame")
            return
        }
        guard classID == 60 else {
            unexpected("one for class \(classID)")
            return
        }
        let properties = UnsafeRawBufferPointer(rebasing: payload[12...])
        guard properties.count <= MessageRecord.maxPropertiesSize,
            let scan = try? PropertyScan.scan(properties)
        else {
            self.closeConnection(connection, .internalError, "", MethodID(classID: 0, methodID: 0))
            return
        }
        let limit = min(self.settings.maxMessageBytes, UInt64(MessageRecord.maxBodySize))
        guard bodySize <= limit else {
            self.closeChannel(
                channel,
                .preconditionFailed,
                "message size \(bodySize) is larger than configured max size \(limit)",
                BasicPublish.id
            )
            return
        }
        channel.pointee.content.propertyFlags = scan.flags | (scan.isOfUnknownMode ? Self.unknownMode : 0)
        channel.pointee.content.deliveryMode = scan.deliveryMode
        channel.pointee.content.begin(properties: properties, bodySize: Int(bodySize))
        self.assemblyBytes += channel.pointee.content.heldBytes
        channel.pointee.connection.pointee.openBodies += 1
        if bodySize == 0 {
            self.finishContent(channel)
        }
    }

    /// A whole body frame.
    func receiveBody(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: FrameHeader,
        _ payload: UnsafeRawBufferPointer
    ) {
        // A body longer than announced is noticed here as well: what follows the last octet must be a method.
        guard header.type == FrameType.body else {
            self.closeConnection(
                channel.pointee.connection,
                .unexpectedFrame,
                "expected content body, got non content body frame instead",
                BasicPublish.id
            )
            return
        }
        if channel.pointee.connection.pointee.begunBodies > 0 && self.refuseBegunBodies(channel) { return }
        guard payload.count <= channel.pointee.content.remaining else {
            // RabbitMQ notices only when the next method comes: it keeps waiting for body frames.
            channel.pointee.content.overflow()
            return
        }
        if let base = payload.baseAddress {
            self.appendBody(channel, base, payload.count)
        }
        if channel.pointee.content.remaining == 0 && !channel.pointee.content.isOverflown {
            self.finishContent(channel)
        }
    }

    /// Appends a piece of a body, keeping count of the memory it takes.
    func appendBody(_ channel: UnsafeMutablePointer<ChannelState>, _ bytes: UnsafeRawPointer, _ count: Int) {
        guard !channel.pointee.content.isOverflown else { return }
        let before = channel.pointee.content.heldBytes
        channel.pointee.content.append(bytes, count: count)
        self.assemblyBytes += channel.pointee.content.heldBytes - before
    }

    /// Forgets the message that is coming in on a channel.
    func dropContent(_ channel: UnsafeMutablePointer<ChannelState>) {
        self.assemblyBytes -= channel.pointee.content.heldBytes
        if channel.pointee.content.phase == .body { channel.pointee.connection.pointee.openBodies -= 1 }
        if channel.pointee.content.isCounted { self.endBegunBody(channel) }
        channel.pointee.content.reset()
    }

    /// The last octet of a message has come.
    func finishContent(_ channel: UnsafeMutablePointer<ChannelState>) {
        self.assemblyBytes -= channel.pointee.content.heldBytes
        channel.pointee.connection.pointee.openBodies -= 1
        if channel.pointee.content.isCounted { self.endBegunBody(channel) }
        let namesSize = channel.pointee.content.names.count
        let propertiesSize = channel.pointee.content.propertiesSize
        let bodySize = channel.pointee.content.bodySize
        let propertyFlags = channel.pointee.content.propertyFlags
        let deliveryMode = channel.pointee.content.deliveryMode
        let isMandatory = channel.pointee.content.isMandatory
        guard let buffer = channel.pointee.content.takeBuffer() else { return }
        let bytes = buffer + MessageRecord.headerSize
        let isLarge =
            MessageRecord.allocatedSize(MessageRecord.headerSize + namesSize + propertiesSize + bodySize)
            > MessageStore.largeRecordSize
        var message = IncomingMessage(
            names: UnsafeRawPointer(bytes),
            namesSize: namesSize,
            properties: UnsafeRawPointer(bytes + namesSize),
            propertiesSize: propertiesSize,
            body: UnsafeRawPointer(bytes + namesSize + propertiesSize),
            bodySize: bodySize,
            isMandatory: isMandatory,
            propertyFlags: propertyFlags,
            deliveryMode: deliveryMode
        )
        message.ownBuffer = isLarge ? buffer : nil
        let isTaken = self.publish(&message, on: channel)
        if !isTaken {
            buffer.deallocate()
        }
    }
}

/// A complete message that is not in the store yet; its bytes lie in the read buffer or in memory of its own.
struct IncomingMessage {
    /// Exchange and routing key with their length octets.
    var names: UnsafeRawPointer
    var namesSize: Int
    /// Flags and values.
    var properties: UnsafeRawPointer
    var propertiesSize: Int
    var body: UnsafeRawPointer
    var bodySize: Int
    var isMandatory: Bool
    /// Which properties are there.
    var propertyFlags: UInt16
    /// 2 is persistent, 0 absent.
    var deliveryMode: UInt8
    /// No queue gets it now, whatever stations it passes.
    var isUnroutable = false
    /// Memory laid out as a large ``MessageRecord`` that the store may take over.
    var ownBuffer: UnsafeMutableRawPointer?
    /// The content header frame and, unless the body is empty, its one body frame, in a row as they came; nil when they
    /// do not lie so.
    var contentFrames: UnsafeRawPointer?
    /// Milliseconds that its own expiration gives it in a queue, where ``Shard/publishAgain(_:to:on:)`` is used.
    var timeToLive = Shard.unlimited

    /// Deaths that a client has put into its headers; the flags of ``QueueEntry/Flags/ownDeaths``.
    var deathFlags: QueueEntry.Flags = []

    /// What queues remember of it.
    @inline(__always)
    var flags: QueueEntry.Flags {
        var flags: QueueEntry.Flags = self.deliveryMode == 2 ? .persistent : []
        if self.propertyFlags & (PropertyFlags.expiration | PropertyFlags.priority) != 0 {
            if self.propertyFlags & PropertyFlags.expiration != 0 {
                flags.insert(.hasExpiration)
            }
            // Whatever the queue: it may come to tell priorities apart, and the message be on disk by then.
            flags.priority = self.view.priority
        }
        return flags.union(self.deathFlags)
    }

    /// The message's parts.
    var view: MessageView {
        MessageView(
            names: self.names,
            namesSize: self.namesSize,
            properties: self.properties,
            propertiesSize: self.propertiesSize,
            body: self.body,
            bodySize: self.bodySize
        )
    }

    var exchange: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.names + 1, count: Int(self.names.load(as: UInt8.self)))
    }

    var routingKey: UnsafeRawBufferPointer {
        let start = self.names + 1 + Int(self.names.load(as: UInt8.self))
        return UnsafeRawBufferPointer(start: start + 1, count: Int(start.load(as: UInt8.self)))
    }
}
