internal import AMQPProtocol

/// Messages that wait: from their publish to the day they go to their queues.
///
/// ```
/// publish ─► delay ─► wheel ─► publishDelayed ─► queues of this shard have it ─► done
///                      │             └─► inFlight ─► other shards have answered ─┘
///                      └─► cancelDelayedMessage
/// ```
extension Shard {
    /// Keeps a message until its time has come, in memory or on disk; its reference, the only one, is ours.
    ///
    /// Returns whether the log has to have it.
    func delay(_ slot: UInt32, _ flags: QueueEntry.Flags, until deadline: UInt64, _ origin: DelayOrigin) -> Bool {
        let isLogged = self.isDelayLogged(flags) {
            self.topology.virtualHost(named: origin.virtualHost)?.exchange(named: origin.exchange)
        }
        self.delay(slot, until: deadline, origin: self.delays.origins.retain(origin, isLogged: isLogged))
        return isLogged
    }

    /// Whether the log has to have a message that waits, which comes from an exchange.
    private func isDelayLogged(_ flags: QueueEntry.Flags, from exchange: () -> Exchange?) -> Bool {
        guard self.log.isOn && flags.contains(.persistent) else { return false }
        return exchange()?.definition.isDurable ?? false
    }

    /// Keeps a message until its time has come and tells the log if the origin's number says so.
    @inline(__always)
    func delay(_ slot: UInt32, until deadline: UInt64, origin: UInt32) {
        let entry = DelayedEntry(deadline: deadline, id: self.delays.takeID(), slot: slot, origin: origin)
        self.delays.wheel.insert(entry)
        if entry.isLogged {
            self.logDelayed(entry)
        }
    }

    /// Keeps a message for as long as its headers say; see ``delay(_:_:until:_:)``.
    func delayByHeaders(_ slot: UInt32, _ flags: QueueEntry.Flags, _ origin: DelayOrigin) -> Bool {
        let now = self.epochMilliseconds(at: self.now)
        let record = self.store.record(slot)
        let properties = UnsafeRawBufferPointer(start: record.properties, count: record.propertiesSize)
        let range = (try? PropertyScan.scan(properties))?.headers
        let table = range.map { UnsafeRawBufferPointer(rebasing: properties[$0]) }
        // None is left of a point in time that has come meanwhile: then it goes at once, behind those before it.
        let deadline = table.flatMap { DelayHeaders(in: $0).deadline($0, now) } ?? now
        return self.delay(slot, flags, until: deadline, origin)
    }

    /// When the first message's time comes, at the soonest.
    var nextDelayDeadline: BrokerInstant? {
        guard let next = self.delays.wheel.nextDeadline else { return nil }
        let deadline = max(self.wallClock.instant(epochMilliseconds: next), self.delays.heldUntil)
        return self.store.pagedCount == 0 ? deadline : self.deadlineOfPaged(deadline)
    }

    /// Publishes messages whose time has come; the next call goes on when they are many.
    func fireDelays() {
        self.delays.isBehind = false
        guard self.delays.wheel.count > 0, self.delays.heldUntil <= self.now else { return }
        let now = self.epochMilliseconds(at: self.now)
        var remaining = ShardLimits.delaysInOneGo
        if self.store.pagedCount > 0 {
            self.lookAhead()
        }
        while true {
            let due = self.dueHere(now)
            guard !due.isEmpty else { break }
            guard remaining > 0 else {
                self.delays.isBehind = true
                break
            }
            self.warm(due)
            let octets = self.batchOctets
            for entry in due where !self.enqueueDelayed(entry) {
                self.publishDelayed(entry)
            }
            self.delays.wheel.dropDue(due.count)
            self.delays.firedSinceLook &+= due.count
            remaining -= due.count
            self.noteMoved(since: octets)
            guard self.internalPublishes.bytes < ShardLimits.delayWindowBytes, !self.log.moves.isFull else {
                self.delays.heldUntil = self.now.advanced(milliseconds: ShardLimits.delayPauseMilliseconds)
                break
            }
        }
        self.dispatchTouchedQueues()
    }

    /// Has messages come into the cache, all at once.
    ///
    /// They have lain in memory for a while, and not in the order in which they are due: one by one, each of them is
    /// waited for.
    private func warm(_ due: Slice<UnsafeBufferPointer<DelayedEntry>>) {
        var octets: UInt8 = 0
        for entry in due {
            octets &+= self.store.record(entry.slot).base.load(as: UInt8.self)
        }
        for entry in due {
            let record = self.store.record(entry.slot)
            octets &+= record.base.load(fromByteOffset: record.totalSize &- 1, as: UInt8.self)
        }
        // Kept, or nobody would need to read them.
        self.delays.warmth = octets
    }

    /// Gives a message to the queues that its exchange leads to now.
    @inline(never)
    private func publishDelayed(_ entry: DelayedEntry) {
        let origin = self.delays.origins[entry.origin]
        guard let host = self.topology.virtualHost(named: origin.virtualHost) else {
            self.delayedDone(entry)
            self.store.release(entry.slot)
            return
        }
        var view = self.store.record(entry.slot).view
        let properties = UnsafeRawBufferPointer(start: view.properties, count: view.propertiesSize)
        let (replacement, extraKeys) = DelayHeaders.afterwards(properties)
        let scan = try? PropertyScan.scan(properties)
        var flags: QueueEntry.Flags = scan?.deliveryMode == 2 ? .persistent : []
        if scan?.expiration != nil {
            flags.insert(.hasExpiration)
        }
        let octets = replacement ?? Array(properties)
        let outcome = octets.withUnsafeBytes { octets -> InternalPublishOutcome in
            if let base = octets.baseAddress {
                view.properties = base
                view.propertiesSize = octets.count
            }
            let headers = (try? PropertyScan.scan(octets))?.headers.map { UnsafeRawBufferPointer(rebasing: octets[$0]) }
            let key = view.names + (1 + Int(view.names.load(as: UInt8.self)))
            let found = origin.exchange.bytes.withUnsafeBytes { exchange in
                host.route(
                    exchange: exchange,
                    routingKey: UnsafeRawBufferPointer(start: key + 1, count: Int(key.load(as: UInt8.self))),
                    extraKeys: extraKeys,
                    headers: headers,
                    isInternal: true,
                    properties: octets,
                    into: &self.routeTargets
                )
            }
            // Without an exchange, or a route, it is gone: nobody is there to be told.
            guard found == .routed, !self.routeTargets.isEmpty else {
                self.noteUnroutable(view, .delayed, in: host)
                return .taken(isRejected: false)
            }
            self.cacheDelayedRoute(view, entry, hasExtraKeys: !extraKeys.isEmpty)
            return self.publishInternally(view, flags, to: self.routeTargets.queues, then: .delayed(id: entry.id))
        }
        switch outcome {
        case .taken:
            self.delayedDone(entry)
            self.store.release(entry.slot)
        case .pending:
            // Not for long, and what is told of it needs its octets.
            self.store.record(entry.slot).isKept = true
            self.delays.inFlight[entry.id] = entry
            if self.delays.isTelling && entry.isLogged {
                // It has left the wheel, and perhaps not been told; the files that know it are about to go.
                self.logDelayed(entry)
            }
        }
    }

    /// Remembers where messages of an origin with these names go, if it is one queue of this shard.
    private func cacheDelayedRoute(_ view: MessageView, _ entry: DelayedEntry, hasExtraKeys: Bool) {
        let targets = self.routeTargets.queues
        guard self.routeTargets.isKeepable, self.routeTargets.isForHeaders, !hasExtraKeys, targets.count == 1,
            targets[0].shard == self.index, let queue = self.queue(targets[0])
        else { return }
        if !self.delays.route.hasMemory {
            self.delays.route = RouteCache(capacity: MessageRecord.maxNamesSize)
        }
        self.delays.routeOrigin = entry.origin & DelayOrigins.numberMask
        self.delays.route.store(
            view.names,
            size: view.namesSize,
            version: self.routeEpoch,
            channel: 0,
            isForHeaders: true,
            targets: targets,
            localQueue: queue,
            remoteQueue: nil
        )
    }

    /// Gives a message to the queue that the last one went to, as it lies in memory; false when it does not go there or
    /// needs more than that.
    private func enqueueDelayed(_ entry: DelayedEntry) -> Bool {
        let record = self.store.record(entry.slot)
        // Octets that others have, too, stay as they are.
        guard record.references == 1, !self.store.isPinned(record),
            entry.origin & DelayOrigins.numberMask == self.delays.routeOrigin,
            self.delays.route.matches(record.names, size: record.namesSize, version: self.routeEpoch),
            let queue = self.delays.route.localQueue, !queue.pointee.hasFeatures,
            record.hasLocation || !queue.pointee.isLogged,
            let flags = entry.readyFlags ?? Self.wakeInPlace(record)
        else { return false }
        if flags.contains(.persistent) && queue.pointee.isLogged {
            self.notePlace(queue)
            self.store.noteLogged(record, at: self.logMessage(record.view, flags))
        } else {
            // The log has what it was before.
            self.store.forgetLogged(record)
        }
        // Our reference goes with it.
        self.enqueue(queue, QueueEntry(slot: entry.slot, flags: flags))
        self.delayedDone(entry)
        return true
    }

    /// Makes a message in memory one that has waited; returns what a queue is told of it, or nil when that takes more.
    @inline(never)
    private static func wakeInPlace(_ record: MessageRecord) -> QueueEntry.Flags? {
        // Properties were checked when the message came, so that their sizes hold.
        let properties = record.properties
        let flags = record.view.propertyFlags
        guard flags & PropertyFlags.expiration == 0 else { return nil }
        var offset = 2
        if flags & PropertyFlags.contentType != 0 {
            offset += 1 + Int(properties.load(fromByteOffset: offset, as: UInt8.self))
        }
        if flags & PropertyFlags.contentEncoding != 0 {
            offset += 1 + Int(properties.load(fromByteOffset: offset, as: UInt8.self))
        }
        if flags & PropertyFlags.headers != 0 {
            let size = Int(UInt32(bigEndian: properties.loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
            let table = UnsafeMutableRawBufferPointer(start: properties + offset + 4, count: size)
            guard DelayHeaders(in: UnsafeRawBufferPointer(table)).negateDelay(in: table) else { return nil }
            offset += 4 + size
        }
        var entryFlags: QueueEntry.Flags = []
        if flags & PropertyFlags.deliveryMode != 0 {
            if properties.load(fromByteOffset: offset, as: UInt8.self) == 2 { entryFlags.insert(.persistent) }
            offset += 1
        }
        if flags & PropertyFlags.priority != 0 {
            entryFlags.priority = properties.load(fromByteOffset: offset, as: UInt8.self)
        }
        return entryFlags
    }

    /// All queues have a delayed message.
    func delayedArrived(_ id: UInt64) {
        guard let entry = self.delays.inFlight.removeValue(forKey: id) else { return }
        self.delayedDone(entry)
        self.store.release(entry.slot)
    }

    /// A message that has waited does so no more; its reference is somebody else's business.
    @inline(__always)
    func delayedDone(_ entry: DelayedEntry) {
        if entry.isLogged {
            self.delays.unlogged.append((entry.id, 0))
            if !self.delays.untold.isEmpty { self.delays.untold[entry.id] = nil }
        }
        self.forgetOrigin(of: entry)
    }

    /// A message that has waited counts for its origin no more.
    @inline(__always)
    func forgetOrigin(of entry: DelayedEntry) {
        if self.delays.origins.release(entry.origin) {
            self.delays.routeOrigin = .max
        }
    }

    // MARK: The log

    /// Tells the log of a message that waits and is in memory.
    func logDelayed(_ entry: DelayedEntry) {
        let record = self.store.record(entry.slot)
        let view = record.view
        let origin = self.delays.origins[entry.origin]
        let base = self.appendLog(.delayed, size: DelayedRecord.size(view, origin))
        DelayedRecord.write(view, origin, id: entry.id, deadline: entry.deadline, at: base)
        if record.hasLocation {
            self.store.noteLogged(record, at: self.logLocation(of: base, isShared: false))
        }
    }

    /// Tells the log which messages have gone, or wait for another time.
    func flushDelays() {
        guard !self.delays.unlogged.isEmpty else { return }
        let base = self.appendLog(.delaysChanged, size: DelaysChangedRecord.size(self.delays.unlogged.count))
        DelaysChangedRecord.write(self.delays.unlogged, at: base)
        self.delays.unlogged.removeAll(keepingCapacity: true)
    }

    /// Takes over what waited when the last process ended, and its ids.
    func restore(_ recovered: [RecoveredDelay], highestID: UInt64) {
        self.delays.skip(beyond: highestID)
        for (number, delay) in recovered.enumerated() where number % Int(self.count) == Int(self.index) {
            self.delays.wheel.insert(
                DelayedEntry(
                    deadline: delay.deadline,
                    id: delay.id,
                    slot: self.restoreSlot(of: delay.message),
                    origin: self.delays.origins.retain(delay.origin, isLogged: true)
                )
            )
        }
    }

    // MARK: Administration

    /// Messages of a virtual host that wait, those whose time comes first at the start; at most `limit` of them behind
    /// the one with the id `after`.
    ///
    /// Cost grows with the messages passed over. The routing keys of those on disk are empty; `onDisk` is told which ones.
    func delayedMessages(
        virtualHost: String,
        after: UInt64? = nil,
        limit: Int,
        onDisk: (_ row: Int, _ slot: UInt32) -> Void = { _, _ in }
    ) -> [DelayedMessageInfo] {
        let host = ShortString(truncating: virtualHost)
        var found: [DelayedMessageInfo] = []
        var isPassing = after != nil
        let limit = min(limit, ShardLimits.listedDelays)
        guard limit > 0 else { return [] }
        self.delays.wheel.forEachInOrder { entry in
            if isPassing {
                isPassing = entry.id != after
                return true
            }
            let origin = self.delays.origins[entry.origin]
            guard origin.virtualHost == host else { return true }
            let isHere = self.store.isResident(entry.slot)
            let key = isHere ? self.store.record(entry.slot).routingKey : UnsafeRawBufferPointer(start: nil, count: 0)
            found.append(
                DelayedMessageInfo(
                    id: entry.id,
                    exchange: origin.exchange.description,
                    routingKey: String(decoding: key, as: UTF8.self),
                    dueEpochMilliseconds: entry.deadline,
                    isPersistent: entry.isLogged,
                    bodyBytes: self.store.bodySize(entry.slot)
                )
            )
            if !isHere { onDisk(found.count - 1, entry.slot) }
            return found.count < limit
        }
        return found
    }

    /// The number of messages that wait.
    public var delayedMessageCount: Int { self.delays.wheel.count }

    /// Drops a message that waits; false when it does not wait here (any more).
    ///
    /// Looks through all of them.
    public func cancelDelayedMessage(id: UInt64) -> Bool {
        guard let place = self.delays.wheel.firstPlace(where: { $0.id == id }) else { return false }
        let entry = self.delays.wheel.remove(place)
        self.delayedDone(entry)
        self.store.release(entry.slot)
        return true
    }

    /// Gives a message that waits another time; false when it does not wait here (any more).
    ///
    /// Looks through all of them.
    public func rescheduleDelayedMessage(id: UInt64, toEpochMilliseconds deadline: UInt64) -> Bool {
        guard let place = self.delays.wheel.firstPlace(where: { $0.id == id }) else { return false }
        let isLogged = self.delays.wheel[place].isLogged
        // A deadline of 0 stands for done in the log; a millisecond later it is over as well.
        let deadline = max(deadline, 1)
        self.delays.wheel.update(place, deadline: deadline)
        self.tellDisplaced()
        self.delays.untold[id]?.deadline = deadline
        self.delays.nextLook = self.now
        if isLogged {
            self.delays.unlogged.append((id, deadline))
        }
        return true
    }
}
