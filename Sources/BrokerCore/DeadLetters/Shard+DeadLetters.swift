internal import AMQPProtocol
internal import DequeModule

/// From a message's death to the queues of its dead letter exchange.
///
/// ```
/// in the queue --deadLetter--> dying, in line --runDeaths--> published --finishDeath--> settled
///                    |                              |
///                    no exchange: settled           at least once, nobody took it: stuck --timer--> in line
/// ```
///
/// 1. A dead message is settled in the log behind its dead letter: a crash in between brings it back, never loses it.
///    When a dead letter goes to other shards that is when they, and their part of the log, have it.
/// 2. Deaths are worked off in line, not where they happen: chains of full queues do not nest, and a million of them is
///    done in pieces.
/// 3. Octets are needed only when a dead letter is made.
extension Shard {
    /// A message that has left its queue (``QueueState/takeNext()`` and the like) is dead.
    func deadLetter(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        _ reason: DeathReason
    ) {
        queue.pointee.unique?.remove(delivery.sequence)
        guard queue.pointee.settings.deadLetterExchange != nil else {
            self.logSettled(queue, delivery.sequence, delivery.entry.flags)
            self.store.release(delivery.entry.slot)
            return
        }
        queue.pointee.extra.dying.insert(delivery.sequence, delivery.entry)
        self.deaths.append(
            Death(queue: queue.pointee.address, sequence: delivery.sequence, entry: delivery.entry, reason: reason)
        )
    }

    /// A stored message, with one reference, that its queue refused is dead.
    func deadLetter(
        _ queue: UnsafeMutablePointer<QueueState>,
        neverEnqueued entry: QueueEntry,
        _ reason: DeathReason
    ) {
        self.deaths.append(Death(queue: queue.pointee.address, sequence: nil, entry: entry, reason: reason))
    }

    /// Hands dead messages on, as many as fit into a turn; the rest later.
    @inline(never)
    func runDeaths() {
        var budget = ShardLimits.deadLetterBytesPerTurn
        while !self.deaths.isEmpty {
            guard budget > 0, self.mayMoveDeaths else {
                self.runDeathsLater()
                return
            }
            if self.store.unreadCount > 0 { self.setAsideDeaths() }
            guard let first = self.deaths.first, !self.mustLoad(first) else { return }
            let octets = self.batchOctets
            budget -= self.run(self.deaths.removeFirst())
            self.noteMoved(since: octets)
        }
    }

    /// Whether not too much is under way to other shards and to the log.
    private var mayMoveDeaths: Bool {
        self.internalPublishes.bytes < ShardLimits.internalPublishBytes && !self.log.moves.isFull
    }

    /// Has the deaths in line worked off in another turn.
    ///
    /// When other shards have too much of ours, their answers come first; see ``internalPublishAnswered(_:isRejected:)``. So
    /// does the log; see ``logCommitted(upTo:at:now:)``. When the next one is on disk, the disk does; see
    /// ``pageLoaded(_:now:)``.
    func runDeathsLater() {
        guard !self.deaths.isEmpty, !self.areDeathsPending, !self.paging.areDeathsAwaited,
            self.mayMoveDeaths
        else { return }
        self.areDeathsPending = true
        self.pendingWork.append(.deaths)
    }

    /// Hands on all dead messages of a queue that goes, so that what died before is not lost with it.
    ///
    /// Those on disk stay in line, and remember what is needed of the queue.
    func runDeaths(of queue: UnsafeMutablePointer<QueueState>) {
        self.orphanUnreadDeaths(of: queue)
        guard !self.deaths.isEmpty else { return }
        let address = queue.pointee.address
        let orphan = DeathSource(queue.pointee).map { OrphanSource($0) }
        var others: Deque<Death> = []
        while var death = self.deaths.popFirst() {
            guard death.queue == address, death.orphan == nil else {
                others.append(death)
                continue
            }
            guard let orphan, !self.store.isResident(death.entry.slot), !self.store.isLost(death.entry.slot) else {
                _ = self.run(death)
                continue
            }
            if let sequence = death.sequence {
                _ = queue.pointee.extra.dying.remove(sequence)
            }
            death.sequence = nil
            death.orphan = orphan
            self.paging.orphanCount += 1
            others.append(death)
        }
        self.deaths = others
        self.runDeathsLater()
    }

    /// Whether a dead message must be read from disk first; it is asked for, and its arrival goes on.
    private func mustLoad(_ death: Death) -> Bool {
        let slot = death.entry.slot
        guard death.orphan != nil || self.queue(death.queue) != nil, !self.store.isResident(slot),
            !self.store.isLost(slot)
        else { return false }
        self.loadDeaths()
        return true
    }

    /// Makes one dead letter; returns about how many octets that has moved.
    private func run(_ death: Death) -> Int {
        let queue = self.queue(death.queue)
        guard queue != nil || death.orphan != nil else {
            // The queue is gone, and with it everything that was its.
            if death.sequence == nil { self.store.release(death.entry.slot) }
            return 1
        }
        guard self.store.isResident(death.entry.slot) else {
            self.forgetDamaged(queue, death)
            return 1
        }
        let message = self.store.record(death.entry.slot).view
        let size = ShardLimits.deadLetterCost + message.propertiesSize + message.bodySize
        guard let source = death.orphan?.source ?? queue.flatMap({ DeathSource($0.pointee) }),
            let host = self.topology.virtualHost(named: source.virtualHost),
            let letter = self.deadLetter(of: message, death, source)
        else {
            self.finishDeath(queue, death, isRejected: false)
            return size
        }
        let outcome = self.publish(letter, message, death, in: host)
        switch outcome {
        case nil: self.finishDeath(queue, death, isRejected: true)
        case .taken(let isRejected): self.finishDeath(queue, death, isRejected: isRejected)
        case .pending:
            if death.sequence == nil { self.letGo(death) }
        }
        return size
    }

    /// A dead message's new names and headers.
    private struct Letter {
        var names: [UInt8]
        var headers: DeathHeaders
    }

    private func deadLetter(
        of message: MessageView,
        _ death: Death,
        _ source: DeathSource
    ) -> Letter? {
        let exchangeSize = Int(message.names.load(as: UInt8.self))
        let oldExchange = ShortString(UnsafeRawBufferPointer(start: message.names + 1, count: exchangeSize))
        let oldKey = ShortString(
            UnsafeRawBufferPointer(
                start: message.names + (2 + exchangeSize),
                count: message.namesSize - exchangeSize - 2
            )
        )
        let newKey = source.routingKey
        let event = DeathHeaders.Event(
            reason: death.reason,
            queue: source.queue,
            exchange: oldExchange,
            routingKey: oldKey,
            epochSeconds: self.epochMilliseconds(at: self.now) / 1000
        )
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        let headers = DeathHeaders(
            properties,
            event,
            hasNewKey: newKey != nil,
            ownDeathCount: death.entry.flags.ownDeathCount
        )
        guard let headers,
            headers.properties.count <= MessageRecord.maxPropertiesSize
        else { return nil }
        let key = newKey ?? oldKey
        let exchange = source.exchange
        let names = [UInt8(exchange.bytes.count)] + exchange.bytes + [UInt8(key.bytes.count)] + key.bytes
        return Letter(names: names, headers: headers)
    }

    /// Publishes a dead letter; nil when it has no route.
    private func publish(
        _ letter: Letter,
        _ message: MessageView,
        _ death: Death,
        in host: VirtualHost
    ) -> InternalPublishOutcome? {
        letter.names.withUnsafeBytes { names in
            letter.headers.properties.withUnsafeBytes { properties in
                guard let namesBase = names.baseAddress, let propertiesBase = properties.baseAddress else { return nil }
                let view = MessageView(
                    names: namesBase,
                    namesSize: names.count,
                    properties: propertiesBase,
                    propertiesSize: properties.count,
                    body: message.body,
                    bodySize: message.bodySize
                )
                self.routeInternally(view, extraKeys: letter.headers.extraKeys, in: host)
                let targets = self.targets(of: letter, death, in: host)
                guard !targets.isEmpty else {
                    if !self.routeTargets.hasQueue { self.noteUnroutable(view, .deadLetter, in: host) }
                    return nil
                }
                return self.publishInternally(
                    view,
                    death.entry.flags.intersection(.persistent).union(letter.headers.flags),
                    to: targets,
                    then: death.sequence.map { .deadLetter(death.queue, sequence: $0, death.reason) } ?? .nothing
                )
            }
        }
    }

    /// The queues that were found, without those that would see the message go round by itself.
    private func targets(of letter: Letter, _ death: Death, in host: VirtualHost) -> [QueueAddress] {
        guard death.reason != .rejected else { return self.routeTargets.queues }
        var targets: [QueueAddress] = []
        for info in self.routeTargets.infos {
            if letter.headers.isCycle(info.name) {
                self.logCycle(info, host)
            } else {
                targets.append(info.address)
            }
        }
        return targets
    }

    /// Tells of a cycle once.
    private func logCycle(_ info: QueueInfo, _ host: VirtualHost) {
        guard self.loggedCycles.count < ShardLimits.loggedCycles, self.loggedCycles.insert(info.address).inserted else {
            return
        }
        self.log(
            .warning,
            "queue",
            "messages dropped: dead letters without a rejection would come to queue '\(info.name)' in vhost "
                + "'\(host.name)' again"
        )
    }

    // MARK: The end

    /// A dead letter has been taken by other shards, or refused.
    func deadLetterAnswered(_ address: QueueAddress, _ sequence: UInt64, _ reason: DeathReason, isRejected: Bool) {
        guard let queue = self.queue(address) else { return }
        self.finishDeath(queue, sequence, reason, isRejected: isRejected)
    }

    private func finishDeath(_ queue: UnsafeMutablePointer<QueueState>?, _ death: Death, isRejected: Bool) {
        guard let sequence = death.sequence, let queue else {
            self.letGo(death)
            return
        }
        self.finishDeath(queue, sequence, death.reason, isRejected: isRejected)
    }

    /// A dead message that no queue has is done with.
    private func letGo(_ death: Death) {
        if death.orphan != nil {
            self.paging.orphanCount -= 1
        }
        self.store.release(death.entry.slot)
    }

    /// Lets go of a dead message that is damaged on disk.
    ///
    /// The log is not told: a start may be able to read it.
    private func forgetDamaged(_ queue: UnsafeMutablePointer<QueueState>?, _ death: Death) {
        guard let sequence = death.sequence, let queue else {
            self.letGo(death)
            return
        }
        if let entry = queue.pointee.extra.dying.remove(sequence) {
            self.store.release(entry.slot)
        }
    }

    /// Lets go of a dead message, unless it must arrive and nobody took it.
    private func finishDeath(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ reason: DeathReason,
        isRejected: Bool
    ) {
        if isRejected && queue.pointee.settings.deadLettersAtLeastOnce {
            if queue.pointee.extra.stuckDeaths.isEmpty {
                self.timers.schedule(
                    at: self.now.advanced(milliseconds: ShardLimits.deadLetterRetryMilliseconds),
                    .stuckDeaths(queue.pointee.address)
                )
            }
            queue.pointee.extra.stuckDeaths.append(StuckDeath(sequence: sequence, reason: reason))
            queue.pointee.extra.stuckBytes += self.dyingBytes(queue, sequence)
            return
        }
        guard let entry = queue.pointee.extra.dying.remove(sequence) else { return }
        self.logSettled(queue, sequence, entry.flags)
        self.store.release(entry.slot)
    }

    /// Octets of the body of a dead message.
    private func dyingBytes(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64) -> Int {
        var bytes = 0
        _ = queue.pointee.extra.dying.forEach(from: sequence) { element in
            bytes = element.sequence == sequence ? self.store.bodySize(element.entry.slot) : 0
            return false
        }
        return bytes
    }

    /// Tries once more what nobody took.
    func retryStuckDeaths(_ address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        let stuck = queue.pointee.extra.stuckDeaths
        queue.pointee.extra.stuckDeaths = []
        queue.pointee.extra.stuckBytes = 0
        for death in stuck {
            guard let entry = queue.pointee.extra.dying.remove(death.sequence) else { continue }
            self.deadLetter(queue, ConsumerState.Delivery(sequence: death.sequence, entry: entry), death.reason)
        }
        self.runDeaths()
    }
}
