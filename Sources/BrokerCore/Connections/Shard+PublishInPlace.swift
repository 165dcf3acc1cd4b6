internal import AMQPProtocol

/// `basic.publish` whose frames lie in the read buffer whole: the way nearly every message comes.
///
/// Whole is: method, content header and at most one body frame. A publisher that says the same exchange and key as last
/// time is recognised by its method frame alone.
extension Shard {
    /// What stands behind the method frame of a publish.
    private struct ContentInPlace {
        /// Octets of the content header's payload.
        var headerSize = 0
        var bodySize = 0
        /// Octets of all frames of the content; 0 when they are not whole, or not as usual.
        var size = 0
    }

    /// Handles a publish that lies in the read buffer whole and needs nothing unusual.
    ///
    /// Returns the octets of its frames, or 0: then the frames are walked one by one.
    @inline(__always)
    func publishInPlace(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) -> Int {
        if let channel = connection.pointee.lastChannel {
            let frameSize = channel.pointee.route.frameSize
            if frameSize > 0, count > frameSize, channel.pointee.route.matchesFrame(base, version: self.routeEpoch),
                let queue = channel.pointee.route.localQueue, self.canPublish(channel)
            {
                let content = self.contentInPlace(connection, channel, base + frameSize, count &- frameSize)
                guard content.size > 0 else { return 0 }
                // The frame's overhead, two numbers of the method, a reserved one and the flags are not names.
                return self.publishInPlace(
                    channel,
                    names: base + 13,
                    namesSize: frameSize &- 15,
                    base + frameSize,
                    content,
                    to: queue
                )
            }
        }
        return self.publishAnywhereInPlace(connection, base, count)
    }

    /// ``publishInPlace(_:_:_:)`` for what is not the same as last time.
    @inline(never)
    private func publishAnywhereInPlace(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ base: UnsafeRawPointer,
        _ count: Int
    ) -> Int {
        // Method frame: 7 + 4 ids + 2 ticket + two short strings + 1 bits + 1 end; header frame: at least 7 + 14 + 1.
        guard count >= 39, base.load(as: UInt8.self) == FrameType.method,
            base.loadUnaligned(fromByteOffset: 7, as: UInt32.self) == BasicPublish.id.rawValue.bigEndian
        else { return 0 }
        let number = UInt16(bigEndian: base.loadUnaligned(fromByteOffset: 1, as: UInt16.self))
        let methodSize = Int(UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 3, as: UInt32.self)))
        guard methodSize <= 4 + 2 + 512 + 1, count >= methodSize &+ 8 &+ 22 else { return 0 }
        let exchangeSize = Int(base.load(fromByteOffset: 13, as: UInt8.self))
        guard 14 &+ exchangeSize < methodSize &+ 7 else { return 0 }
        let keySize = Int(base.load(fromByteOffset: 14 &+ exchangeSize, as: UInt8.self))
        let namesSize = 2 &+ exchangeSize &+ keySize
        guard methodSize == 4 &+ 2 &+ namesSize &+ 1,
            base.load(fromByteOffset: 13 &+ namesSize, as: UInt8.self) == 0,
            base.load(fromByteOffset: 14 &+ namesSize, as: UInt8.self) == FrameLimits.frameEnd
        else { return 0 }
        let frameSize = methodSize &+ 8
        guard let channel = self.publishingChannel(connection, number) else { return 0 }
        let content = self.contentInPlace(connection, channel, base + frameSize, count &- frameSize)
        guard content.size > 0 else { return 0 }
        return self.publishInPlace(
            channel,
            names: base + 13,
            namesSize: namesSize,
            base + frameSize,
            content,
            to: nil
        )
    }

    /// Looks at the frames behind the method frame of a publish on `channel`.
    @inline(__always)
    private func contentInPlace(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ header: UnsafeRawPointer,
        _ count: Int
    ) -> ContentInPlace {
        let number = channel.pointee.number.bigEndian
        guard count >= 22, header.load(as: UInt8.self) == FrameType.header,
            header.loadUnaligned(fromByteOffset: 1, as: UInt16.self) == number,
            header.loadUnaligned(fromByteOffset: 7, as: UInt32.self) == UInt32(60 << 16).bigEndian
        else { return ContentInPlace() }
        let headerSize = Int(UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 3, as: UInt32.self)))
        let maxPayload = connection.pointee.maxPayload
        guard headerSize >= 14, headerSize <= maxPayload, count >= headerSize &+ 8,
            header.load(fromByteOffset: headerSize &+ 7, as: UInt8.self) == FrameLimits.frameEnd
        else { return ContentInPlace() }
        let bodySize64 = UInt64(bigEndian: header.loadUnaligned(fromByteOffset: 11, as: UInt64.self))
        guard bodySize64 <= UInt64(maxPayload), bodySize64 <= self.settings.maxMessageBytes else {
            return ContentInPlace()
        }
        let bodySize = Int(bodySize64)
        var size = headerSize &+ 8
        if bodySize > 0 {
            let body = header + size
            size &+= 8 &+ bodySize
            guard count >= size, body.load(as: UInt8.self) == FrameType.body,
                body.loadUnaligned(fromByteOffset: 1, as: UInt16.self) == number,
                UInt32(bigEndian: body.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
                    == UInt32(truncatingIfNeeded: bodySize),
                body.load(fromByteOffset: 7 &+ bodySize, as: UInt8.self) == FrameLimits.frameEnd
            else { return ContentInPlace() }
        }
        return ContentInPlace(headerSize: headerSize, bodySize: bodySize, size: size)
    }

    /// Publishes a message whose names and content have been looked at, to `queue` if that is known to be the only one.
    ///
    /// Returns the octets of all its frames, or 0 if its properties are malformed.
    @inline(__always)
    private func publishInPlace(
        _ channel: UnsafeMutablePointer<ChannelState>,
        names: UnsafeRawPointer,
        namesSize: Int,
        _ header: UnsafeRawPointer,
        _ content: ContentInPlace,
        to queue: UnsafeMutablePointer<QueueState>?
    ) -> Int {
        let propertiesSize = content.headerSize &- 12
        // No property at all, or just a delivery mode, is read here; anything else is scanned (and refused) properly.
        let flags = UInt16(bigEndian: header.loadUnaligned(fromByteOffset: 19, as: UInt16.self))
        var deliveryMode: UInt8 = 0
        if flags == 0x1000 && propertiesSize == 3 && header.load(fromByteOffset: 21, as: UInt8.self) &- 1 <= 1 {
            deliveryMode = header.load(fromByteOffset: 21, as: UInt8.self)
        } else if flags != 0 || propertiesSize != 2 {
            return self.publishScanned(channel, names: names, namesSize: namesSize, header, content, to: queue)
        }
        var message = IncomingMessage(
            names: names,
            namesSize: namesSize,
            properties: header + 19,
            propertiesSize: propertiesSize,
            body: header + (content.headerSize &+ 15),
            bodySize: content.bodySize,
            isMandatory: false,
            propertyFlags: flags,
            deliveryMode: deliveryMode,
            contentFrames: header,
            timeToLive: Self.unlimited
        )
        if let queue {
            _ = self.publishAgain(message, to: queue, on: channel)
        } else {
            _ = self.publish(&message, on: channel)
        }
        if !self.localCommands.isEmpty {
            self.runLocalCommands()
        }
        return namesSize &+ 15 &+ content.size
    }

    /// ``publishInPlace(_:names:namesSize:_:_:to:)`` for a message whose properties must be looked at.
    @inline(never)
    private func publishScanned(
        _ channel: UnsafeMutablePointer<ChannelState>,
        names: UnsafeRawPointer,
        namesSize: Int,
        _ header: UnsafeRawPointer,
        _ content: ContentInPlace,
        to queue: UnsafeMutablePointer<QueueState>?
    ) -> Int {
        let propertiesSize = content.headerSize &- 12
        var scanned = ScannedProperties()
        self.scan(UnsafeRawBufferPointer(start: header + 19, count: propertiesSize), into: &scanned)
        guard scanned.isWellFormed else { return 0 }
        let isUsual = !scanned.isSpecial && (!scanned.hasHeaders || channel.pointee.route.isForHeaders)
        var message = IncomingMessage(
            names: names,
            namesSize: namesSize,
            properties: header + 19,
            propertiesSize: propertiesSize,
            body: header + (content.headerSize &+ 15),
            bodySize: content.bodySize,
            isMandatory: false,
            propertyFlags: UInt16(bigEndian: header.loadUnaligned(fromByteOffset: 19, as: UInt16.self))
                | (scanned.isOfUnknownMode ? Self.unknownMode : 0),
            deliveryMode: scanned.deliveryMode,
            contentFrames: header,
            timeToLive: scanned.timeToLive
        )
        if let queue, isUsual {
            if scanned.deadline != 0 {
                self.delayAgain(message, until: scanned.deadline, delayPlace: scanned.delayPlace, on: channel)
            } else {
                _ = self.publishAgain(message, to: queue, on: channel)
            }
        } else {
            _ = self.publish(&message, on: channel)
        }
        if !self.localCommands.isEmpty {
            self.runLocalCommands()
        }
        return namesSize &+ 15 &+ content.size
    }

    /// What a publish in place must know of its message's properties.
    private struct ScannedProperties {
        var isWellFormed = true
        /// There are properties that have to be looked at more closely.
        var isSpecial = false
        /// There are headers, in which ``isSpecial`` sees nothing.
        var hasHeaders = false
        /// Until when it waits, in milliseconds since 1970; 0 when it does not.
        var deadline: UInt64 = 0
        /// Where the value of `x-delay` stands in the headers, if these are the first property and all that will change is
        /// its sign: 0 is nowhere; below 0 when it is not so, or not known.
        var delayPlace = -1
        var deliveryMode: UInt8 = 0
        /// A delivery mode that is neither 1 nor 2.
        var isOfUnknownMode = false
        /// Milliseconds that the message's own expiration gives it.
        var timeToLive = Shard.unlimited
    }

    /// Validates properties and reads what is needed of them.
    @inline(__always)
    private func scan(_ properties: UnsafeRawBufferPointer, into result: inout ScannedProperties) {
        if self.scanDelay(properties, into: &result) || self.scanHeaders(properties, into: &result) { return }
        guard let scan = try? PropertyScan.scan(properties) else {
            result.isWellFormed = false
            return
        }
        result.deliveryMode = scan.deliveryMode
        result.isOfUnknownMode = scan.isOfUnknownMode
        var special = scan.flags & Self.specialProperties
        if let range = scan.expiration, let time = Self.plainExpiration(properties, range) {
            special &= ~PropertyFlags.expiration
            result.timeToLive = time
        }
        if let range = scan.headers {
            let table = UnsafeRawBufferPointer(rebasing: properties[range])
            if self.note(DelayHeaders(in: table), of: table, in: &result) {
                special &= ~PropertyFlags.headers
            }
        }
        result.isSpecial = special != 0 || result.isOfUnknownMode
    }

    /// Where headers begin that are the first property: behind the flags and their own length.
    private static let headersOffset = 6

    /// Reads properties that are `x-delay`, as a number of 32 or 64 bits, and perhaps a delivery mode: those of nearly all
    /// messages that wait; false for all others, valid or not.
    @inline(__always)
    private func scanDelay(_ properties: UnsafeRawBufferPointer, into result: inout ScannedProperties) -> Bool {
        guard let base = properties.baseAddress, properties.count >= Self.headersOffset &+ 13,
            UInt64(littleEndian: (base + Self.headersOffset).loadUnaligned(as: UInt64.self)) == DelayHeaders.delayName
        else { return false }
        let flags = UInt16(bigEndian: base.loadUnaligned(as: UInt16.self))
        let size = Int(UInt32(bigEndian: base.loadUnaligned(fromByteOffset: 2, as: UInt32.self)))
        let hasMode = flags == PropertyFlags.headers | PropertyFlags.deliveryMode
        let end = Self.headersOffset &+ size
        guard hasMode || flags == PropertyFlags.headers, properties.count == end &+ (hasMode ? 1 : 0) else {
            return false
        }
        let value = base + (Self.headersOffset &+ 9)
        let delay: Int64
        switch (base.load(fromByteOffset: Self.headersOffset &+ 8, as: UInt8.self), size) {
        case (FieldTag.int64.rawValue, 17), (FieldTag.int64L.rawValue, 17):
            delay = Int64(bigEndian: value.loadUnaligned(as: Int64.self))
        case (FieldTag.int32.rawValue, 13):
            delay = Int64(Int32(bigEndian: value.loadUnaligned(as: Int32.self)))
        default: return false
        }
        guard delay > 0 else { return false }
        result.hasHeaders = true
        result.delayPlace = 8
        result.deadline = DelayHeaders.deadline(after: delay, now: self.epochMilliseconds(at: self.now))
        if hasMode {
            let mode = base.load(fromByteOffset: end, as: UInt8.self)
            result.deliveryMode = mode
            result.isOfUnknownMode = mode &- 1 > 1
            result.isSpecial = result.isOfUnknownMode
        }
        return true
    }

    /// Reads what is needed of properties that are headers and perhaps a delivery mode, if the headers are plain enough to
    /// be validated by the same walk; false for all others, valid or not.
    @inline(__always)
    private func scanHeaders(_ properties: UnsafeRawBufferPointer, into result: inout ScannedProperties) -> Bool {
        guard properties.count >= Self.headersOffset else { return false }
        let flags = UInt16(bigEndian: properties.loadUnaligned(as: UInt16.self))
        guard flags & ~PropertyFlags.deliveryMode == PropertyFlags.headers else { return false }
        let hasMode = flags != PropertyFlags.headers
        let size = Int(UInt32(bigEndian: properties.loadUnaligned(fromByteOffset: 2, as: UInt32.self)))
        let end = Self.headersOffset &+ size
        guard properties.count == end &+ (hasMode ? 1 : 0) else { return false }
        let table = UnsafeRawBufferPointer(rebasing: properties[Self.headersOffset..<end])
        let headers = DelayHeaders(in: table)
        guard headers.isPlain else { return false }
        if hasMode {
            result.deliveryMode = properties[end]
            result.isOfUnknownMode = result.deliveryMode &- 1 > 1
        }
        result.isSpecial = !self.note(headers, of: table, in: &result) || result.isOfUnknownMode
        result.delayPlace = headers.delayPlace
        return true
    }

    /// Notes what headers ask for; returns whether that is nothing but to wait.
    @inline(__always)
    private func note(
        _ headers: DelayHeaders,
        of table: UnsafeRawBufferPointer,
        in result: inout ScannedProperties
    ) -> Bool {
        result.hasHeaders = headers.names.isDisjoint(with: [.copies, .deaths])
        if headers.names.contains(.delay) {
            result.deadline = headers.deadline(table, self.epochMilliseconds(at: self.now)) ?? 0
        }
        return result.hasHeaders
    }

    /// An expiration that is a number in so few digits that it cannot be too large; nil for all others, valid or not.
    private static func plainExpiration(_ properties: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64? {
        guard 1...11 ~= range.count else { return nil }
        var value: UInt64 = 0
        for digit in properties[range] {
            guard (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) else { return nil }
            value = value &* 10 &+ UInt64(digit &- UInt8(ascii: "0"))
        }
        return value
    }

    /// Keeps a message until its time has come, for a publisher whose exchange is known to be there.
    @inline(never)
    private func delayAgain(
        _ message: IncomingMessage,
        until deadline: UInt64,
        delayPlace: Int,
        on channel: UnsafeMutablePointer<ChannelState>
    ) {
        if channel.pointee.route.delayOrigin.generation == self.delays.origins.generation {
            self.delays.origins.retain(channel.pointee.route.delayOrigin.number)
        } else {
            self.retainOrigin(message, on: channel)
        }
        var origin = channel.pointee.route.delayOrigin.number
        let isLogged = self.log.isOn && message.deliveryMode == 2 && channel.pointee.route.delayOrigin.isDurable
        if isLogged {
            origin |= DelayOrigins.loggedBit
        }
        // With room for its place in the log: where it goes when its time has come is not known yet.
        let slot = self.storeMessage(message, references: 1, hasLocation: self.log.isOn)
        // Made now what it will be, while it is in the cache: when its time comes it is handed on unseen.
        let headers = self.store.record(slot).properties + Self.headersOffset
        if delayPlace == 0 || (delayPlace > 0 && DelayHeaders.negate(in: headers, at: delayPlace)) {
            origin |= DelayOrigins.readyBit
            if message.deliveryMode == 2 {
                origin |= DelayOrigins.persistentBit
            }
        }
        self.delay(slot, until: deadline, origin: origin)
        guard isLogged else {
            self.settlePublish(channel)
            return
        }
        self.waitForLog(channel, bytes: message.namesSize + message.propertiesSize + message.bodySize)
        if channel.pointee.mode == .confirm {
            self.waitToConfirm(self.address(of: channel), channel.pointee.confirms.addOpen(count: 1))
        }
    }

    /// Remembers where messages of a publisher come from, for one message.
    @inline(never)
    private func retainOrigin(_ message: IncomingMessage, on channel: UnsafeMutablePointer<ChannelState>) {
        // Who publishes has a virtual host.
        let host = channel.pointee.connection.pointee.virtualHost
        let exchange = host?.exchange(named: message.exchange)
        let origin = DelayOrigin(
            virtualHost: host?.name ?? "",
            exchange: ShortString(Array(message.exchange)) ?? ""
        )
        let number = self.delays.origins.retain(origin, isLogged: false)
        channel.pointee.route.delayOrigin = CachedOrigin(
            generation: self.delays.origins.generation,
            number: number,
            isDurable: exchange?.definition.isDurable ?? false
        )
    }

    /// The channel `number`, if a publish on it can be handled at once.
    @inline(__always)
    private func publishingChannel(
        _ connection: UnsafeMutablePointer<ConnectionState>,
        _ number: UInt16
    ) -> UnsafeMutablePointer<ChannelState>? {
        var channel = connection.pointee.lastChannel
        if channel == nil || channel?.pointee.number != number {
            channel = connection.pointee.channels[number]
            connection.pointee.lastChannel = channel
        }
        guard !self.isAlarmed, let channel, channel.pointee.phase == .open, !channel.pointee.isWaiting,
            channel.pointee.content.phase == .idle, connection.pointee.pause.isEmpty
        else { return nil }
        return channel
    }

    /// Whether a publish on a channel that is not a transaction's can be handled at once.
    @inline(__always)
    private func canPublish(_ channel: UnsafeMutablePointer<ChannelState>) -> Bool {
        !self.isAlarmed && channel.pointee.phase == .open && !channel.pointee.isWaiting
            && channel.pointee.content.phase == .idle && channel.pointee.mode != .transaction
            && channel.pointee.connection.pointee.pause.isEmpty
    }
}
