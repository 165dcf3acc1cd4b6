internal import AMQPProtocol

/// Messages at exchanges with `x-message-deduplication`.
///
/// 1. A key, or a publisher's number, is told to the log behind the message it stands for, never before: a crash in between
///    lets a retry through that nobody was told to be unneeded, and loses nothing. Of a publisher that is one record a turn.
/// 2. A duplicate is acknowledged when its original is safe, never before. What is to outlive the process is no duplicate
///    of what is not: it goes through, and stands for the key from then on.
/// 3. A message that a queue has refused leaves no key, but what stood for it before.
extension Shard {
    /// A message has come to a window; its reference is the window's.
    ///
    /// `wantsReason` when its publisher is to be told why queues refuse it.
    func deduplicate(
        _ slot: UInt32,
        _ flags: QueueEntry.Flags,
        at station: Station,
        wantsReason: Bool
    ) -> UniqueOutcome {
        defer { self.store.release(slot) }
        guard let (host, exchange) = self.topology.exchange(at: station) else { return .done(isRejected: false) }
        let record = self.store.record(slot)
        let properties = UnsafeRawBufferPointer(start: record.properties, count: record.propertiesSize)
        let range = (try? PropertyScan.scan(properties))?.headers
        var headers = MessageHeaders(encoded: range.map { UnsafeRawBufferPointer(rebasing: properties[$0]) })
        let entries = headers.entries()
        let arguments = exchange.definition.arguments
        let now = self.epochMilliseconds(at: self.now)
        // The window is asked for messages with a key or a number only.
        let isPersistent = self.log.isOn && flags.contains(.persistent)
        guard let identity = MessageIdentity(entries, arguments, isPersistent: isPersistent) else {
            return .done(isRejected: false)
        }
        let known = self.windows.byStation[station.number]?.knowledge(
            of: identity,
            isPersistent: isPersistent,
            now: now
        )
        self.windows.count(station.number, isDuplicate: known?.isDuplicate ?? false)
        switch known {
        case .underWay(let ticket): return .later(ticket: ticket, isRefused: false)
        case .known(let isLogged):
            return isPersistent || isLogged ? .logged(isRejected: false) : .done(isRejected: false)
        case .new, nil: break
        }
        let deadline = DeduplicationArguments.deadline(entries, arguments, now: now)
        var pending = DeduplicationWindows.Pending(
            station: station,
            identity: identity,
            deadline: deadline,
            isLogged: isPersistent && exchange.definition.isDurable,
            isPersistent: isPersistent
        )
        if case .new(let former) = known { pending.former = former }
        let ticket = self.windows.takeTicket()
        // A queue that the message goes to besides may have refused it.
        let refusal = self.refusal
        self.refusal = nil
        defer { self.refusal = self.refusal ?? refusal }
        let outcome: InternalPublishOutcome
        if DelayHeaders.deadline(entries, now: now) != nil {
            // A copy of its own: the log has this one elsewhere if a queue has got it, too.
            let copy = self.storeCopy(record.view, isLogged: record.hasLocation)
            let origin = DelayOrigin(virtualHost: host.name, exchange: exchange.name)
            _ = self.delayByHeaders(copy, flags, origin)
            outcome = .taken(isRejected: false)
        } else {
            let (_, extraKeys) = DelayHeaders.afterwards(properties)
            host.route(
                from: exchange,
                routingKey: record.routingKey,
                extraKeys: extraKeys,
                headers: range.map { UnsafeRawBufferPointer(rebasing: properties[$0]) },
                properties: properties,
                into: &self.routeTargets
            )
            outcome = self.publishInternally(
                record.view,
                flags,
                to: self.routeTargets.queues,
                wantsReason: wantsReason,
                then: .unique(ticket: ticket)
            )
        }
        switch outcome {
        case .taken(let isRejected):
            self.remember(pending, .arrived(isRejected: isRejected))
            return isPersistent ? .logged(isRejected: isRejected) : .done(isRejected: isRejected)
        case .pending:
            pending.waiters.reserveCapacity(1)
            self.remember(pending, .underWay(ticket: ticket))
            self.windows.pending[ticket] = pending
            return .later(ticket: ticket, isRefused: self.refusal != nil)
        }
    }

    /// Has somebody told when a first message has arrived everywhere.
    func wait(for ticket: UInt64, _ waiter: DeduplicationWindows.Waiter) {
        self.windows.pending[ticket]?.waiters.append(waiter)
    }

    /// How far a first message has come.
    private enum Progress {
        case arrived(isRejected: Bool)
        case underWay(ticket: UInt64)
    }

    /// A first message has gone its way.
    private func remember(_ pending: DeduplicationWindows.Pending, _ progress: Progress) {
        guard let (host, exchange) = self.topology.exchange(at: pending.station) else { return }
        let now = self.epochMilliseconds(at: self.now)
        let room = Int(clamping: self.settings.memoryLimitBytes >> ShardLimits.windowMemoryShift) / Int(self.count)
        let others = self.windows.bytes
        self.windows.change(pending.station.number, exchange.definition.arguments) { window in
            let most = min(max(room - (others - window.bytes), ShardLimits.windowShareBytes), ShardLimits.windowBytes)
            switch (pending.identity, progress) {
            case (.key, .arrived(isRejected: true)):
                break
            case (.key(let key), .arrived):
                window.insert(key, pending, ticket: 0, now: now, most: most)
            case (.key(let key), .underWay(let ticket)):
                window.insert(key, pending, ticket: ticket, now: now, most: most)
            case (.number(let number, let name), .arrived(let isRejected)):
                window.changePublisher(name, deadline: pending.deadline, now: now, most: most) {
                    $0.arrive(number, isRejected: isRejected)
                }
            case (.number(let number, let name), .underWay(let ticket)):
                window.changePublisher(name, deadline: pending.deadline, now: now, most: most) {
                    $0.begin(number, ticket: ticket)
                }
            }
        }
        guard pending.isLogged else { return }
        switch (pending.identity, progress) {
        case (.key(let key), .arrived(isRejected: false)): self.logKey(key, pending.deadline, host.name, exchange.name)
        case (.key, _): break
        case (.number(_, let name), _):
            // Under way, too: a snapshot counts on it that whoever has had something new is told.
            self.windows.noteUntold(name, pending.station.number, exchange.definition.arguments)
        }
    }

    /// All shards have answered for a first message.
    func uniqueArrived(_ ticket: UInt64, isRejected: Bool) {
        guard let pending = self.windows.pending.removeValue(forKey: ticket) else { return }
        if let (host, exchange) = self.topology.exchange(at: pending.station) {
            let (number, arguments) = (pending.station.number, exchange.definition.arguments)
            switch pending.identity {
            case .key(let key):
                let successor = self.windows.byStation[number]?.ticket(of: key) ?? 0
                self.windows.pending[successor]?.formerArrived(ticket, isRejected: isRejected)
                self.windows.change(number, arguments) {
                    $0.settle(key, ticket: ticket, isRejected: isRejected, former: pending.former)
                }
                if !isRejected, pending.isLogged { self.logKey(key, pending.deadline, host.name, exchange.name) }
            case .number(let ordinal, let name):
                let isChanged = self.windows.change(number, arguments) {
                    $0.publishers.settle(name, ordinal, ticket: ticket, isRejected: isRejected)
                }
                if isChanged, pending.isLogged { self.windows.noteUntold(name, number, arguments) }
            }
        }
        for waiter in pending.waiters {
            self.answer(waiter, isRejected: isRejected, isLogged: pending.isPersistent)
        }
    }

    private func answer(_ waiter: DeduplicationWindows.Waiter, isRejected: Bool, isLogged: Bool) {
        let origin = waiter.channel
        let connection = ConnectionAddress(shard: origin.shard, id: origin.connection)
        if isLogged {
            self.waitForCredit(connection, waiter.bytes)
        } else if origin.shard == self.index {
            self.returnCredit(ConnectionID(rawValue: connection.id), waiter.bytes)
        } else {
            self.sendCredit(connection, waiter.bytes)
        }
        guard waiter.sequence != 0 else { return }
        guard origin.shard == self.index else {
            if isLogged {
                self.waitToAccept(origin, waiter.sequence, isRejected: isRejected)
            } else {
                self.sendAccepted(origin, waiter.sequence, isRejected: isRejected)
            }
            return
        }
        guard let channel = self.channel(origin) else { return }
        if waiter.sequence == .max {
            self.commitAnswered(channel, isRejected: isRejected)
        } else if isLogged && !isRejected {
            self.waitToConfirm(origin, waiter.sequence)
        } else {
            channel.pointee.confirms.answer(waiter.sequence, isRejected: isRejected)
            self.confirmsChanged(channel)
        }
    }
}
