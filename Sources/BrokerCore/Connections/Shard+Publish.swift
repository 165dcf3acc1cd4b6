internal import AMQPProtocol

/// From a complete message to its queues: checks, routing, storing, confirms.
extension Shard {
    /// Properties that make a message more than bytes to copy.
    static let specialProperties: UInt16 = 0x2000 | 0x0200 | 0x0100 | 0x0010 | unknownMode
    /// What is added to the flags of a message whose delivery mode is to be refused: a flag that no property has.
    static let unknownMode: UInt16 = 0x0002

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
            return self.publishAgain(message, to: queue, on: channel)
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

    /// Publishes for the usual publisher: the same exchange and key as last time, one queue, on this shard, and nothing
    /// special about the message but perhaps its time to live.
    ///
    /// Returns whether the message's own buffer has been taken over.
    @inline(__always)
    func publishAgain(
        _ message: IncomingMessage,
        to queue: UnsafeMutablePointer<QueueState>,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        if queue.pointee.hasFeatures || message.timeToLive != Self.unlimited {
            return self.publishSpecially(message, to: queue, on: channel)
        }
        let flags = message.flags
        if self.handOver(message.view, flags, queue, contentFrames: message.contentFrames) {
            self.settlePublish(channel)
            return false
        }
        let isLogged = queue.pointee.isLogged && message.deliveryMode == 2
        let slot = self.storeMessage(message, references: 1, hasLocation: isLogged)
        if isLogged {
            self.enqueueDurably(queue, QueueEntry(slot: slot, flags: flags), from: channel)
            return message.ownBuffer != nil
        }
        self.settlePublish(channel)
        self.enqueue(queue, QueueEntry(slot: slot, flags: flags))
        return message.ownBuffer != nil
    }

    /// ``publishAgain(_:to:on:)`` for queues with limits or times and messages with times.
    @inline(never)
    private func publishSpecially(
        _ message: IncomingMessage,
        to queue: UnsafeMutablePointer<QueueState>,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        let flags = message.flags
        if queue.pointee.unique != nil && self.isDuplicate(queue, message.view, flags) {
            self.settleDuplicate(queue, flags, on: channel)
            return false
        }
        if queue.pointee.hasFeatures && self.refuses(queue, bodySize: message.bodySize) {
            self.dropRefused(queue, message.view, flags)
            self.returnRefused(message.view, channel)
            self.rejectPublish(channel)
            return false
        }
        if queue.pointee.settings.delayHeader == nil
            && self.handOver(message.view, flags, queue, contentFrames: message.contentFrames)
        {
            self.settlePublish(channel)
            return false
        }
        let isLogged = queue.pointee.isLogged && message.deliveryMode == 2
        let slot = self.storeMessage(message, references: 1, hasLocation: isLogged)
        let entry = QueueEntry(slot: slot, flags: flags)
        if isLogged {
            self.enqueueDurably(queue, entry, timeToLive: message.timeToLive, from: channel)
        } else {
            self.settlePublish(channel)
            self.enqueue(queue, entry, timeToLive: message.timeToLive)
        }
        return message.ownBuffer != nil
    }

    /// Copies a message into the store, or hands its buffer over.
    @inline(__always)
    func storeMessage(_ message: IncomingMessage, references: UInt32, hasLocation: Bool) -> UInt32 {
        if let buffer = message.ownBuffer {
            return self.store.adoptLarge(
                buffer,
                namesSize: message.namesSize,
                propertiesSize: message.propertiesSize,
                bodySize: message.bodySize,
                references: references,
                hasLocation: hasLocation
            )
        }
        let (slot, record) = self.store.add(
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            bodySize: message.bodySize,
            references: references,
            hasLocation: hasLocation
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
        if self.settings.stamps.isOn { return self.publishStamped(&message, on: channel) }
        return self.publishUnstamped(&message, on: channel)
    }

    /// ``publishRouted(_:on:)`` for a message that has its stamps, if any are wanted.
    @inline(__always)
    func publishUnstamped(
        _ message: inout IncomingMessage,
        on channel: UnsafeMutablePointer<ChannelState>
    ) -> Bool {
        let isSimple = message.propertyFlags & Self.specialProperties == 0
        let isCached =
            isSimple
            && channel.pointee.route.matches(message.names, size: message.namesSize, version: self.routeEpoch)
            && !(message.isMandatory && channel.pointee.mode == .transaction)
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
        if self.routeTargets.isKeepable, !virtualHost.isTraced, !self.settings.stamps.isOn, rewritten.extraKeys.isEmpty,
            headerRange == nil || self.routeTargets.isForHeaders
        {
            self.cacheRoute(message, self.routeTargets.queues, channel)
        }
        if rewritten.isDelayed && !isAtWindow {
            self.routeTargets.reset()
            self.routeTargets.add(Station(number: virtualHost.number), .delayAnywhere)
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
            channel: channel.pointee.number,
            isForHeaders: self.routeTargets.isForHeaders,
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
            if !isReturned { self.noteUnroutable(message.view, isReturned: false, from: channel) }
            self.settlePublish(channel)
            return false
        }
        // One reference for us while the targets are served.
        let hasLocation = self.log.isOn && flags.contains(.persistent)
        let slot = self.storeMessage(message, references: 1, hasLocation: hasLocation)
        if channel.pointee.mode == .transaction, channel.pointee.transaction != nil {
            // Until it is committed it stays in memory.
            self.store.record(slot).isKept = true
            channel.pointee.transaction?.publishes.append(
                Transaction.Publish(
                    slot: slot,
                    flags: flags,
                    targets: Array(targets),
                    isReturned: isReturned,
                    queues: message.isMandatory ? self.routeTargets.infos : []
                )
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
        self.noteUnroutable(message, isReturned: true, from: channel)
        self.returnMessage(message, .noRoute, "NO_ROUTE", channel)
    }

    /// `basic.return`.
    func returnMessage(
        _ message: MessageView,
        _ code: ReplyCode,
        _ text: ShortString,
        _ channel: UnsafeMutablePointer<ChannelState>
    ) {
        let exchangeSize = Int(message.names.load(as: UInt8.self))
        let exchange = UnsafeRawBufferPointer(start: message.names + 1, count: exchangeSize)
        let routingKey = UnsafeRawBufferPointer(
            start: message.names + 2 + exchangeSize,
            count: message.namesSize - exchangeSize - 2
        )
        self.sendMethod(
            BasicReturn(
                replyCode: code.rawValue,
                replyText: text,
                exchange: ShortString(Array(exchange)) ?? "",
                routingKey: ShortString(Array(routingKey)) ?? ""
            ),
            channel
        )
        self.writeContent(channel.pointee.connection, channel: channel.pointee.number, message)
    }
}
