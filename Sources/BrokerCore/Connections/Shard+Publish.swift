internal import AMQPProtocol

/// From a complete message to its queues: checks, routing, storing, confirms.
extension Shard {
    /// Handles a `basic.publish` that lies in the read buffer whole and needs nothing unusual.
    ///
    /// Whole is: method, content header and at most one body frame. Returns the octets of all three, or 0: then the
    /// frames are walked one by one.
    @inline(__always)
    func publishInPlace(
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
        let header = base + (methodSize &+ 8)
        let numberOctets = base.loadUnaligned(fromByteOffset: 1, as: UInt16.self)
        guard header.load(as: UInt8.self) == FrameType.header,
            header.loadUnaligned(fromByteOffset: 1, as: UInt16.self) == numberOctets,
            header.loadUnaligned(fromByteOffset: 7, as: UInt32.self) == UInt32(60 << 16).bigEndian
        else { return 0 }
        let headerSize = Int(UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 3, as: UInt32.self)))
        let maxPayload = connection.pointee.maxPayload
        guard headerSize >= 14, headerSize <= maxPayload, count >= methodSize &+ 16 &+ headerSize,
            header.load(fromByteOffset: headerSize &+ 7, as: UInt8.self) == FrameLimits.frameEnd
        else { return 0 }
        let bodySize64 = UInt64(bigEndian: header.loadUnaligned(fromByteOffset: 11, as: UInt64.self))
        guard bodySize64 <= UInt64(maxPayload), bodySize64 <= self.settings.maxMessageBytes else { return 0 }
        let bodySize = Int(bodySize64)
        let body = header + (headerSize &+ 8)
        var total = methodSize &+ 16 &+ headerSize
        if bodySize > 0 {
            guard count >= total &+ 8 &+ bodySize,
                body.load(as: UInt8.self) == FrameType.body,
                body.loadUnaligned(fromByteOffset: 1, as: UInt16.self) == numberOctets,
                UInt32(bigEndian: body.loadUnaligned(fromByteOffset: 3, as: UInt32.self))
                    == UInt32(truncatingIfNeeded: bodySize),
                body.load(fromByteOffset: 7 &+ bodySize, as: UInt8.self) == FrameLimits.frameEnd
            else { return 0 }
            total &+= 8 &+ bodySize
        }
        guard let channel = self.publishingChannel(connection, number) else { return 0 }
        let properties = UnsafeRawBufferPointer(start: header + 19, count: headerSize &- 12)
        // No property at all, or just a delivery mode, is read here; anything else is scanned (and refused) properly.
        let flags = UInt16(bigEndian: header.loadUnaligned(fromByteOffset: 19, as: UInt16.self))
        var deliveryMode: UInt8 = 0
        if flags == 0x1000 && properties.count == 3 {
            deliveryMode = header.load(fromByteOffset: 21, as: UInt8.self)
        } else if flags != 0 || properties.count != 2 {
            guard let scanned = Self.scanDeliveryMode(properties) else { return 0 }
            deliveryMode = scanned
        }
        var message = IncomingMessage(
            names: base + 13,
            namesSize: namesSize,
            properties: header + 19,
            propertiesSize: headerSize &- 12,
            body: body + 7,
            bodySize: bodySize,
            isMandatory: false,
            propertyFlags: flags,
            deliveryMode: deliveryMode
        )
        _ = self.publish(&message, on: channel)
        if !self.localCommands.isEmpty {
            self.runLocalCommands()
        }
        return total
    }

    /// Validates properties; their delivery mode (0 if absent), or nil if they are malformed.
    @inline(never)
    private static func scanDeliveryMode(_ properties: UnsafeRawBufferPointer) -> UInt8? {
        (try? PropertyScan.scan(properties))?.deliveryMode
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

    /// Properties that make a message more than bytes to copy.
    static let specialProperties: UInt16 = 0x2000 | 0x0200 | 0x0100 | 0x0010

    /// Publishes a complete message.
    ///
    /// Returns whether the message's own buffer has been taken over.
    @inline(__always)
    func publish(
        _ message: inout IncomingMessage,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        if message.propertyFlags & Self.specialProperties == 0,
            channel.pointee.mode != .transaction,
            channel.pointee.route.matches(message.names, size: message.namesSize, version: self.routeEpoch),
            let queue = channel.pointee.route.localQueue
        {
            // The usual publisher: the same exchange and key as last time, one queue, on this shard.
            let flags = message.flags
            if queue.pointee.hasFeatures && self.refuses(queue, bodySize: message.bodySize) {
                self.dropRefused(queue, message.view, flags)
                self.rejectPublish(channel)
                return false
            }
            if self.handOver(message.view, flags, queue) {
                self.settlePublish(channel)
                return false
            }
            let slot = self.storeMessage(message, references: 1)
            if queue.pointee.isLogged && message.deliveryMode == 2 {
                self.enqueueDurably(queue, QueueEntry(slot: slot, flags: flags), from: channel)
                return message.ownBuffer != nil
            }
            self.settlePublish(channel)
            self.enqueue(queue, QueueEntry(slot: slot, flags: flags))
            return message.ownBuffer != nil
        }
        if message.propertyFlags & Self.specialProperties == 0,
            channel.pointee.mode != .transaction,
            channel.pointee.route.remoteQueue != nil,
            channel.pointee.route.matches(message.names, size: message.namesSize, version: self.routeEpoch),
            let queue = channel.pointee.route.remoteQueue
        {
            // The same, with the queue on another shard.
            var sequence: UInt64 = 0
            if channel.pointee.mode == .confirm {
                sequence = channel.pointee.confirms.addOpen(count: 1)
            }
            self.forward(message, to: queue, sequence: sequence, from: channel)
            return false
        }
        return self.publishRouted(&message, on: channel)
    }

    /// Copies a message into the store, or hands its buffer over.
    @inline(__always)
    func storeMessage(_ message: IncomingMessage, references: UInt32) -> UInt32 {
        if let buffer = message.ownBuffer {
            return self.store.adoptLarge(
                buffer,
                namesSize: message.namesSize,
                propertiesSize: message.propertiesSize,
                bodySize: message.bodySize,
                references: references
            )
        }
        let (slot, record) = self.store.add(
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            bodySize: message.bodySize,
            references: references
        )
        let names = record.names
        Bytes.copy(names, message.names, message.namesSize)
        Bytes.copy(names + message.namesSize, message.properties, message.propertiesSize)
        Bytes.copy(names + (message.namesSize &+ message.propertiesSize), message.body, message.bodySize)
        return slot
    }

    /// Publishes a message that has to be routed, or looked at more closely.
    @inline(never)
    private func publishRouted(
        _ message: inout IncomingMessage,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        let isSimple = message.propertyFlags & Self.specialProperties == 0
        let isCached =
            isSimple
            && channel.pointee.route.matches(message.names, size: message.namesSize, version: self.routeEpoch)
        if isCached {
            return self.publish(message, targets: channel.pointee.route.targets, on: channel)
        }
        guard let virtualHost = channel.pointee.connection.pointee.virtualHost else { return false }
        var rewritten = PublishRewrite()
        var problem: Violation?
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        var headerRange: Range<Int>?
        if !isSimple {
            // Validated when the content header came.
            guard let scan = try? PropertyScan.scan(properties) else { return false }
            headerRange = scan.headers
            problem = self.inspect(properties, scan, channel, &rewritten)
            message.deathFlags = rewritten.hasDeaths ? .ownDeaths(0) : []
        }
        self.routeTargets.reset()
        if message.exchange.isEmpty, let reply = ReplyAddress(message.routingKey) {
            guard problem == nil else {
                self.refuse(channel, problem)
                return false
            }
            return self.publishReply(message, to: reply, on: channel)
        }
        let headers = headerRange.map { UnsafeRawBufferPointer(rebasing: properties[$0]) }
        let outcome = virtualHost.route(
            exchange: message.exchange,
            routingKey: message.routingKey,
            extraKeys: rewritten.extraKeys,
            headers: headers,
            properties: properties,
            into: &self.routeTargets
        )
        let exchange = ReplyText(message.exchange)
        switch outcome {
        case .noExchange:
            problem = .channel(
                .notFound,
                text: "no exchange '\(exchange)' in vhost '\(virtualHost.name)'",
                method: BasicPublish.id
            )
        case .internalExchange:
            problem = .channel(
                .accessRefused,
                text: "cannot publish to internal exchange '\(exchange)' in vhost '\(virtualHost.name)'",
                method: BasicPublish.id
            )
        case .routed:
            break
        }
        guard problem == nil else {
            self.refuse(channel, problem)
            return false
        }
        message.isUnroutable = !self.routeTargets.hasQueue
        if self.routeTargets.hasWindow, message.isMandatory, message.isUnroutable {
            message.isUnroutable = !self.leadsPastWindows(message, rewritten.extraKeys, headers, virtualHost)
        }
        if virtualHost.isTraced {
            let keys = rewritten.extraKeys
            self.tracePublish(message.view, rewritten: rewritten.properties, extraKeys: keys, on: channel)
        }
        // A window at the exchange itself comes before the delay, which it sees to.
        let isAtWindow = self.routeTargets.hasWindow && self.routeTargets.count == 1
        if rewritten.isDelayed && !isAtWindow {
            self.routeTargets.reset()
            self.routeTargets.add(Station(number: virtualHost.number), .delayAnywhere)
        } else if isSimple && self.routeTargets.isKeepable && !virtualHost.isTraced {
            self.cacheRoute(message, self.routeTargets.queues, channel)
        }
        // Ours alone while the message is handed on: nothing is routed meanwhile.
        let targets = self.routeTargets.queues
        guard let replacement = rewritten.properties else {
            return targets.withUnsafeBufferPointer { self.publish(message, targets: $0, on: channel) }
        }
        // The properties have changed (BCC taken out, reply-to filled in): the message is no longer its own buffer.
        return replacement.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return false }
            var changed = message
            changed.ownBuffer = nil
            changed.properties = base
            changed.propertiesSize = bytes.count
            _ = targets.withUnsafeBufferPointer { self.publish(changed, targets: $0, on: channel) }
            return false
        }
    }

    private func refuse(_ channel: UnsafeMutablePointer<ChannelState>, _ problem: Violation?) {
        if let problem {
            self.refuse(channel, problem)
        }
    }

    private func cacheRoute(
        _ message: IncomingMessage,
        _ targets: [QueueAddress],
        _ channel: UnsafeMutablePointer<ChannelState>
    ) {
        if !channel.pointee.route.hasMemory {
            channel.pointee.route = RouteCache(capacity: MessageRecord.maxNamesSize)
        }
        let only = targets.count == 1 ? targets[0] : nil
        let isLocal = only?.shard == self.index
        channel.pointee.route.store(
            message.names,
            size: message.namesSize,
            version: self.routeEpoch,
            targets: targets,
            localQueue: isLocal ? only.flatMap { self.queue($0) } : nil,
            remoteQueue: isLocal ? nil : only
        )
    }

    /// Gives a routed message to its queues.
    ///
    /// Returns whether the message's own buffer has been taken over.
    private func publish(
        _ message: IncomingMessage,
        targets: UnsafeBufferPointer<QueueAddress>,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        let flags = message.flags
        let isReturned = message.isMandatory && (targets.isEmpty || message.isUnroutable)
        if isReturned && channel.pointee.mode != .transaction {
            self.returnMessage(message.view, channel)
        }
        if targets.isEmpty && !(isReturned && channel.pointee.mode == .transaction) {
            self.settlePublish(channel)
            return false
        }
        // One reference for us while the targets are served.
        let slot = self.storeMessage(message, references: 1)
        if channel.pointee.mode == .transaction, channel.pointee.transaction != nil {
            channel.pointee.transaction?.publishes.append(
                Transaction.Publish(slot: slot, flags: flags, targets: Array(targets), isReturned: isReturned)
            )
            channel.pointee.transaction?.bytes += message.bodySize
            if channel.pointee.transaction?.bytes ?? 0 > ShardLimits.transactionBytes {
                self.closeChannel(
                    channel,
                    .preconditionFailed,
                    "transaction larger than \(ShardLimits.transactionBytes) octets",
                    BasicPublish.id
                )
            }
            return message.ownBuffer != nil
        }
        _ = self.deliverStored(slot, flags, targets, from: channel)
        return message.ownBuffer != nil
    }

    /// A publish that no queue has to answer for.
    @inline(__always)
    func settlePublish(_ channel: UnsafeMutablePointer<ChannelState>) {
        if channel.pointee.mode == .confirm {
            channel.pointee.confirms.addSettled()
            self.confirmsChanged(channel)
        }
    }

    /// A publish that a queue has refused.
    func rejectPublish(_ channel: UnsafeMutablePointer<ChannelState>) {
        if channel.pointee.mode == .confirm {
            channel.pointee.confirms.addRejected()
            self.confirmsChanged(channel)
        }
    }

    /// `basic.return` of a mandatory message without a route.
    func returnMessage(_ message: MessageView, _ channel: UnsafeMutablePointer<ChannelState>) {
        let exchangeSize = Int(message.names.load(as: UInt8.self))
        let exchange = UnsafeRawBufferPointer(start: message.names + 1, count: exchangeSize)
        let routingKey = UnsafeRawBufferPointer(
            start: message.names + 2 + exchangeSize,
            count: message.namesSize - exchangeSize - 2
        )
        self.sendMethod(
            BasicReturn(
                replyCode: ReplyCode.noRoute.rawValue,
                replyText: "NO_ROUTE",
                exchange: ShortString(Array(exchange)) ?? "",
                routingKey: ShortString(Array(routingKey)) ?? ""
            ),
            channel
        )
        self.writeContent(channel.pointee.connection, channel: channel.pointee.number, message)
    }
}
