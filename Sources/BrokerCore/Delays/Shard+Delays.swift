internal import AMQPProtocol

/// Messages that wait: from their publish to the day they go to their queues.
///
/// ```
/// publish ─► delay ─► heap ─► publishDelayed ─► queues of this shard have it ─► done
///                      │            └─► inFlight ─► other shards have answered ─┘
///                      └─► cancelDelayedMessage
/// ```
extension Shard {
    /// Keeps a message until its time has come; its reference is ours.
    ///
    /// Returns whether the log has to have it.
    func delay(_ slot: UInt32, _ flags: QueueEntry.Flags, until deadline: UInt64, _ origin: DelayOrigin) -> Bool {
        let exchange = self.topology.virtualHost(named: origin.virtualHost)?.exchange(named: origin.exchange)
        let isLogged = self.log.isOn && flags.contains(.persistent) && exchange?.definition.isDurable ?? false
        let entry = DelayHeap.Entry(
            deadline: deadline,
            id: self.delays.takeID(),
            slot: slot,
            origin: self.delays.origins.retain(origin, isLogged: isLogged)
        )
        self.delays.heap.insert(entry)
        self.tellDisplaced()
        if isLogged {
            self.logDelayed(entry)
        }
        return isLogged
    }

    /// Keeps a message for as long as its headers say; see ``delay(_:_:until:_:)``.
    func delayByHeaders(_ slot: UInt32, _ flags: QueueEntry.Flags, _ origin: DelayOrigin) -> Bool {
        let now = self.epochMilliseconds(at: self.now)
        let record = self.store.record(slot)
        let properties = UnsafeRawBufferPointer(start: record.properties, count: record.propertiesSize)
        let range = (try? PropertyScan.scan(properties))?.headers
        var headers = MessageHeaders(encoded: range.map { UnsafeRawBufferPointer(rebasing: properties[$0]) })
        // None is left of a point in time that has come meanwhile: then it goes at once, behind those before it.
        let deadline = DelayHeaders.deadline(headers.entries(), now: now) ?? now
        return self.delay(slot, flags, until: deadline, origin)
    }

    /// When the first message's time comes.
    var nextDelayDeadline: BrokerInstant? {
        self.delays.heap.first.map {
            max(self.wallClock.instant(epochMilliseconds: $0.deadline), self.delays.heldUntil)
        }
    }

    /// Publishes messages whose time has come; the next call goes on when they are many.
    func fireDelays() {
        guard self.delays.heap.count > 0, self.delays.heldUntil <= self.now else { return }
        let now = self.epochMilliseconds(at: self.now)
        var remaining = ShardLimits.delaysInOneGo
        while remaining > 0, let first = self.delays.heap.first, first.deadline <= now {
            guard self.internalPublishes.bytes < ShardLimits.delayWindowBytes else {
                self.delays.heldUntil = self.now.advanced(milliseconds: ShardLimits.delayPauseMilliseconds)
                break
            }
            remaining -= 1
            let entry = self.delays.heap.remove(at: 0)
            self.tellDisplaced()
            self.publishDelayed(entry)
        }
        self.dispatchTouchedQueues()
    }

    /// Gives a message to the queues that its exchange leads to now.
    private func publishDelayed(_ entry: DelayHeap.Entry) {
        let origin = self.delays.origins[entry.origin]
        guard let host = self.topology.virtualHost(named: origin.virtualHost) else {
            self.delayedDone(entry)
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
            return self.publishInternally(view, flags, to: self.routeTargets.queues, then: .delayed(id: entry.id))
        }
        switch outcome {
        case .taken:
            self.delayedDone(entry)
        case .pending:
            self.delays.inFlight[entry.id] = entry
            if self.delays.isTelling && entry.isLogged {
                // It has left the heap, and perhaps not been told; the files that know it are about to go.
                self.logDelayed(entry)
            }
        }
    }

    /// All queues have a delayed message.
    func delayedArrived(_ id: UInt64) {
        guard let entry = self.delays.inFlight.removeValue(forKey: id) else { return }
        self.delayedDone(entry)
    }

    private func delayedDone(_ entry: DelayHeap.Entry) {
        if entry.isLogged {
            self.delays.unlogged.append((entry.id, 0))
        }
        self.delays.origins.release(entry.origin)
        self.store.release(entry.slot)
    }

    // MARK: The log

    private func logDelayed(_ entry: DelayHeap.Entry) {
        let view = self.store.record(entry.slot).view
        let origin = self.delays.origins[entry.origin]
        let base = self.appendLog(.delayed, size: DelayedRecord.size(view, origin))
        DelayedRecord.write(view, origin, id: entry.id, deadline: entry.deadline, at: base)
    }

    /// Tells the log which messages have gone, or wait for another time.
    func flushDelays() {
        guard !self.delays.unlogged.isEmpty else { return }
        let base = self.appendLog(.delaysChanged, size: DelaysChangedRecord.size(self.delays.unlogged.count))
        DelaysChangedRecord.write(self.delays.unlogged, at: base)
        self.delays.unlogged.removeAll(keepingCapacity: true)
    }

    /// Begins to tell the log again what waits.
    func beginTellingDelays() {
        self.delays.heap.beginTelling()
        self.delays.isTelling = true
        for id in self.delays.inFlight.keys.sorted() {
            if let entry = self.delays.inFlight[id], entry.isLogged {
                self.logDelayed(entry)
            }
        }
    }

    /// Tells the next messages that wait, as long as there is budget; returns whether there are more.
    func continueTellingDelays(_ budget: inout Int) -> Bool {
        while budget > 0 {
            guard let entry = self.delays.heap.nextToTell() else {
                self.delays.isTelling = false
                return false
            }
            guard entry.isLogged else { continue }
            let view = self.store.record(entry.slot).view
            budget -= view.namesSize + view.propertiesSize + view.bodySize + 64
            self.logDelayed(entry)
        }
        return true
    }

    private func tellDisplaced() {
        for entry in self.delays.heap.takeDisplaced() where entry.isLogged {
            self.logDelayed(entry)
        }
    }

    /// Takes over what waited when the last process ended, and its ids.
    func restore(_ recovered: [RecoveredDelay], highestID: UInt64) {
        self.delays.skip(beyond: highestID)
        for (number, delay) in recovered.enumerated() where number % Int(self.count) == Int(self.index) {
            let slot = delay.message.withView { self.storeCopy($0) }
            self.delays.heap.insert(
                DelayHeap.Entry(
                    deadline: delay.deadline,
                    id: delay.id,
                    slot: slot,
                    origin: self.delays.origins.retain(delay.origin, isLogged: true)
                )
            )
        }
    }

    // MARK: Administration

    /// Messages of a virtual host that wait, those whose time comes first at the start; at most `limit` of them behind
    /// the one with the id `after`.
    ///
    /// Cost grows with the messages passed over.
    public func delayedMessages(virtualHost: String, after: UInt64? = nil, limit: Int) -> [DelayedMessageInfo] {
        let host = ShortString(truncating: virtualHost)
        var found: [DelayedMessageInfo] = []
        var isPassing = after != nil
        let limit = min(limit, ShardLimits.listedDelays)
        guard limit > 0 else { return [] }
        self.delays.heap.forEachInOrder { entry in
            if isPassing {
                isPassing = entry.id != after
                return true
            }
            let origin = self.delays.origins[entry.origin]
            guard origin.virtualHost == host else { return true }
            let record = self.store.record(entry.slot)
            found.append(
                DelayedMessageInfo(
                    id: entry.id,
                    exchange: origin.exchange.description,
                    routingKey: String(decoding: record.routingKey, as: UTF8.self),
                    dueEpochMilliseconds: entry.deadline,
                    isPersistent: entry.isLogged,
                    bodyBytes: record.bodySize
                )
            )
            return found.count < limit
        }
        return found
    }

    /// The number of messages that wait.
    public var delayedMessageCount: Int { self.delays.heap.count }

    /// Drops a message that waits; false when it does not wait here (any more).
    ///
    /// Looks through all of them.
    public func cancelDelayedMessage(id: UInt64) -> Bool {
        guard let index = self.delays.heap.index(of: id) else { return false }
        let entry = self.delays.heap.remove(at: index)
        self.tellDisplaced()
        self.delayedDone(entry)
        return true
    }

    /// Gives a message that waits another time; false when it does not wait here (any more).
    ///
    /// Looks through all of them.
    public func rescheduleDelayedMessage(id: UInt64, toEpochMilliseconds deadline: UInt64) -> Bool {
        guard let index = self.delays.heap.index(of: id) else { return false }
        let isLogged = self.delays.heap[index].isLogged
        // A deadline of 0 stands for done in the log; a millisecond later it is over as well.
        let deadline = max(deadline, 1)
        self.delays.heap.move(at: index, to: deadline)
        self.tellDisplaced()
        if isLogged {
            self.delays.unlogged.append((id, deadline))
        }
        return true
    }
}

extension DelayHeap.Entry {
    /// Whether the commit log has the message.
    var isLogged: Bool { self.origin & DelayOrigins.loggedBit != 0 }
}
