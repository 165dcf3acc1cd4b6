internal import AMQPProtocol

/// From a routed message to its queues, on this shard and on others.
extension Shard {
    /// Hands a stored message to its queues and drops our reference.
    ///
    /// Returns how many answers come: one from each other shard, one from the log. Allocates nothing: fanout to many queues
    /// is a hot path too.
    func deliverStored(
        _ slot: UInt32,
        _ flags: QueueEntry.Flags,
        _ targets: UnsafeBufferPointer<QueueAddress>,
        from channel: UnsafeMutablePointer<ChannelState>
    ) -> Int {
        if !self.remoteShards.isEmpty {
            self.remoteShards.removeAll(keepingCapacity: true)
        }
        let isTimed = flags.contains(.hasExpiration)
        let time = isTimed ? self.timeToLive(self.store.record(slot).view, flags) : Self.unlimited
        var isRejected = false
        var isKept = false
        var hasWindow = false
        var windowsElsewhere = 0
        for target in targets {
            if target.shard == self.index {
                guard let queue = self.queue(target) else {
                    if let (station, task) = Station.at(target) {
                        if task == .deduplicate {
                            hasWindow = true
                            continue
                        }
                        isKept = self.arrive(self.ownCopy(slot, targets), flags, at: station, task) || isKept
                    }
                    continue
                }
                if queue.pointee.hasFeatures || isTimed {
                    let view = self.store.record(slot).view
                    isKept = self.admit(queue, view, flags, timeToLive: time, &isRejected) || isKept
                    continue
                }
                if queue.pointee.isLogged && flags.contains(.persistent) {
                    self.notePlace(queue)
                }
                self.store.retain(slot)
                self.enqueue(queue, QueueEntry(slot: slot, flags: flags))
            } else if Station.isWindow(target) {
                // A record of its own, with an answer of its own.
                windowsElsewhere += 1
            } else if !self.remoteShards.contains(target.shard) {
                self.remoteShards.append(target.shard)
            }
        }
        var answers = self.remoteShards.count + windowsElsewhere
        let isPlaced = !self.log.places.isEmpty
        if isPlaced {
            self.logPlaced(slot, flags, from: channel)
        }
        if !self.admitted.isEmpty {
            self.enqueueAdmitted(slot, flags, timeToLive: time)
        }
        // Windows publish on their own, so what this publish shares with others has been used up.
        var isRefused = isRejected
        let tickets = hasWindow ? self.passWindows(slot, flags, targets, channel, &isKept, &isRejected, &isRefused) : []
        answers += tickets.count
        if isKept {
            let view = self.store.record(slot).view
            self.waitForLog(channel, bytes: view.namesSize + view.propertiesSize + view.bodySize)
        }
        // One answer for all that the log is told of it.
        let isLogged = isPlaced || isKept
        if isLogged {
            answers += 1
        }
        if isRejected || isRefused {
            self.returnRefused(self.store.record(slot).view, channel)
        }
        let sequence = self.sequence(answers: answers, isRejected: isRejected, channel)
        if isLogged {
            self.waitForLog(channel, sequence)
        }
        if !tickets.isEmpty {
            self.wait(for: tickets, slot, sequence, channel)
        }
        for index in self.remoteShards.indices {
            self.forward(slot, flags, to: self.remoteShards[index], targets, sequence: sequence, from: channel)
        }
        if windowsElsewhere > 0 {
            self.forwardToWindows(slot, flags, targets, sequence: sequence, from: channel)
        }
        self.store.release(slot)
        return answers
    }

    /// Sends a message to the windows of other shards, each in a record of its own.
    @inline(never)
    private func forwardToWindows(
        _ slot: UInt32,
        _ flags: QueueEntry.Flags,
        _ targets: UnsafeBufferPointer<QueueAddress>,
        sequence: UInt64,
        from channel: UnsafeMutablePointer<ChannelState>
    ) {
        for window in targets where window.shard != self.index && Station.isWindow(window) {
            let view = self.store.record(slot).view
            let base = self.beginForward(view, flags, to: window.shard, count: 1, sequence: sequence, from: channel)
            base.storeBytes(of: window.slot, toByteOffset: 40, as: UInt32.self)
            base.storeBytes(of: window.generation, toByteOffset: 44, as: UInt32.self)
        }
    }

    /// Takes a message to the windows that live here; returns the tickets of those that answer later.
    ///
    /// `isRefused` when one of those has been refused already by a queue of this shard, and there is a reason to be told.
    @inline(never)
    private func passWindows(
        _ slot: UInt32,
        _ flags: QueueEntry.Flags,
        _ targets: UnsafeBufferPointer<QueueAddress>,
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ isKept: inout Bool,
        _ isRejected: inout Bool,
        _ isRefused: inout Bool
    ) -> [UInt64] {
        var tickets: [UInt64] = []
        let wantsReason = channel.pointee.connection.pointee.wantsNackReason && channel.pointee.mode != .plain
        // Other shards that the message goes to are still to be told.
        for target in targets where target.shard == self.index {
            guard let (station, task) = Station.at(target), task == .deduplicate else { continue }
            self.store.retain(slot)
            switch self.deduplicate(slot, flags, at: station, wantsReason: wantsReason) {
            case .done(let isRefusedHere):
                isRejected = isRejected || isRefusedHere
            case .logged(let isRefusedHere):
                isRejected = isRejected || isRefusedHere
                isKept = true
            case .later(let ticket, let isRefusedHere):
                isRefused = isRefused || isRefusedHere
                tickets.append(ticket)
            }
        }
        return tickets
    }

    private func wait(
        for tickets: [UInt64],
        _ slot: UInt32,
        _ sequence: UInt64,
        _ channel: UnsafeMutablePointer<ChannelState>
    ) {
        let view = self.store.record(slot).view
        let bytes = view.namesSize + view.propertiesSize + view.bodySize + 64
        for ticket in tickets {
            self.takeCredit(channel.pointee.connection, bytes)
            let waiter = DeduplicationWindows.Waiter(
                channel: self.address(of: channel),
                sequence: sequence,
                bytes: bytes,
                wantsReason: channel.pointee.connection.pointee.wantsNackReason && sequence != 0
            )
            self.wait(for: ticket, waiter)
        }
    }

    /// Whether a message would come to a queue if windows let it through; the targets found before stay.
    @inline(never)
    func leadsPastWindows(
        _ message: IncomingMessage,
        _ extraKeys: [[UInt8]],
        _ headers: UnsafeRawBufferPointer?,
        _ host: VirtualHost
    ) -> Bool {
        let found = self.routeTargets
        _ = host.route(
            exchange: message.exchange,
            routingKey: message.routingKey,
            extraKeys: extraKeys,
            headers: headers,
            isInternal: true,
            properties: UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize),
            into: &self.routeTargets
        )
        let hasQueue = self.routeTargets.hasQueue
        self.routeTargets = found
        return hasQueue
    }

    /// A stored message for a station alone, with a reference of its own.
    private func ownCopy(_ slot: UInt32, _ targets: UnsafeBufferPointer<QueueAddress>) -> UInt32 {
        let record = self.store.record(slot)
        if targets.count > 1 { return self.storeCopy(record.view, isLogged: record.hasLocation) }
        self.store.retain(slot)
        return slot
    }

    /// How other shards name a publish when they answer; 0 asks for no answer.
    ///
    /// `isRejected` when a queue of this shard has refused it.
    private func sequence(
        answers: Int,
        isRejected: Bool,
        _ channel: UnsafeMutablePointer<ChannelState>
    ) -> UInt64 {
        switch channel.pointee.mode {
        case .plain:
            return 0
        case .confirm:
            guard answers > 0 else {
                if isRejected {
                    self.rejectPublish(channel)
                } else {
                    self.settlePublish(channel)
                }
                return 0
            }
            guard isRejected else { return channel.pointee.confirms.addOpen(count: UInt32(answers)) }
            let sequence = channel.pointee.confirms.addOpen(count: UInt32(answers) + 1)
            channel.pointee.confirms.answer(sequence, isRejected: true)
            return sequence
        case .transaction:
            if isRejected {
                channel.pointee.transaction?.isRejected = true
            }
            return .max
        }
    }

    /// Copies a stored message into the batch for another shard, with those of its targets that live there.
    private func forward(
        _ slot: UInt32,
        _ flags: QueueEntry.Flags,
        to shard: UInt16,
        _ targets: UnsafeBufferPointer<QueueAddress>,
        sequence: UInt64,
        from channel: UnsafeMutablePointer<ChannelState>
    ) {
        let view = self.store.record(slot).view
        var count = 0
        for target in targets where target.shard == shard && !Station.isWindow(target) {
            count += 1
        }
        let base = self.beginForward(view, flags, to: shard, count: count, sequence: sequence, from: channel)
        var offset = 40
        for target in targets where target.shard == shard && !Station.isWindow(target) {
            base.storeBytes(of: target.slot, toByteOffset: offset, as: UInt32.self)
            base.storeBytes(of: target.generation, toByteOffset: offset + 4, as: UInt32.self)
            offset += 8
        }
    }

    /// Copies a message from the read buffer into the batch for its only queue's shard.
    @inline(__always)
    func forward(
        _ message: IncomingMessage,
        to queue: QueueAddress,
        sequence: UInt64,
        from channel: UnsafeMutablePointer<ChannelState>
    ) {
        let flags = message.flags
        let base = self.beginForward(
            message.view,
            flags,
            to: queue.shard,
            count: 1,
            sequence: sequence,
            from: channel
        )
        base.storeBytes(of: queue.slot, toByteOffset: 40, as: UInt32.self)
        base.storeBytes(of: queue.generation, toByteOffset: 44, as: UInt32.self)
    }

    /// Writes a record for `count` queues and counts it against the connection's window.
    @inline(__always)
    private func beginForward(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        to shard: UInt16,
        count: Int,
        sequence: UInt64,
        from channel: UnsafeMutablePointer<ChannelState>
    ) -> UnsafeMutableRawPointer {
        let base = self.appendPublish(
            message,
            flags,
            to: shard,
            count: count,
            sequence: sequence,
            from: self.address(of: channel)
        )
        if channel.pointee.connection.pointee.wantsNackReason {
            base.storeBytes(of: 1, toByteOffset: 36, as: UInt32.self)
        }
        let size = 40 &+ 8 &* count &+ BatchedMessage.size(of: message)
        // As many octets as the record says, which are what comes back.
        self.takeCredit(channel.pointee.connection, (size &+ 7) & ~7)
        return base
    }

    /// Writes a record for `count` queues, all but their addresses, which go behind its first 40 octets.
    @inline(__always)
    func appendPublish(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        to shard: UInt16,
        count: Int,
        sequence: UInt64,
        from origin: ChannelAddress
    ) -> UnsafeMutableRawPointer {
        let headerSize = 40 &+ 8 &* count
        let size = headerSize &+ BatchedMessage.size(of: message)
        let base = self.appendRecord(.publish, size: size, to: shard)
        origin.write(at: base + 8)
        base.storeBytes(of: sequence, toByteOffset: 24, as: UInt64.self)
        // Behind the count, whether the publisher wants to know why; see ``beginForward(_:_:to:count:sequence:from:)``.
        base.storeBytes(of: UInt64(truncatingIfNeeded: count), toByteOffset: 32, as: UInt64.self)
        BatchedMessage.write(message, flags: flags, at: base + headerSize)
        return base
    }
}
