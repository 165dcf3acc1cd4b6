internal import AMQPProtocol

/// The windows of the exchanges that have their home on a shard, and who waits for a first message.
struct DeduplicationWindows {
    /// Somebody who is answered when a first message has arrived everywhere.
    struct Waiter {
        let channel: ChannelAddress
        /// 0 wants no answer.
        let sequence: UInt64
        /// Octets that go back to the connection's window.
        let bytes: Int
    }

    /// A first message that other shards have not answered.
    struct Pending {
        let station: Station
        let key: [UInt8]
        let deadline: UInt64
        /// Whether the log is told of the key, and whether answers wait for the log.
        let isLogged: Bool
        let isPersistent: Bool
        /// What stood for the key before, and does again if a queue refuses this one; only what was not to last.
        var former: DeduplicationWindow.Entry?
        var waiters: [Waiter] = []

        /// What stood for the key before has arrived, or not.
        mutating func formerArrived(_ ticket: UInt64, isRejected: Bool) {
            guard self.former?.ticket == ticket else { return }
            if isRejected {
                self.former = nil
            } else {
                self.former?.ticket = 0
            }
        }
    }

    /// The windows, by the number of their station.
    private(set) var byStation: [UInt32: DeduplicationWindow] = [:]
    /// Octets that the keys of all windows take.
    private(set) var bytes = 0
    /// First messages under way, by ticket.
    var pending: [UInt64: Pending] = [:]
    /// Where a snapshot goes on: stations that have still to be told, the next one last, and a place in that one.
    var untold: [UInt32] = []
    var untoldPlace: UInt64 = 0
    private var nextTicket: UInt64 = 1

    /// The ticket of one more message.
    mutating func takeTicket() -> UInt64 {
        defer { self.nextTicket += 1 }
        return self.nextTicket
    }

    /// Changes a window, one without keys if there was none.
    mutating func change(_ number: UInt32, _ arguments: FieldTable, _ body: (inout DeduplicationWindow) -> Void) {
        // Taken out while it changes, so that it is not copied.
        var window = self.byStation.removeValue(forKey: number) ?? DeduplicationWindow(arguments)
        let before = window.bytes
        body(&window)
        self.bytes += window.bytes - before
        self.byStation[number] = window
    }

    /// Takes over a window that was built elsewhere.
    mutating func restore(_ window: DeduplicationWindow, _ number: UInt32) {
        self.remove(number)
        self.bytes += window.bytes
        self.byStation[number] = window
    }

    /// Forgets a window.
    mutating func remove(_ number: UInt32) {
        self.bytes -= self.byStation.removeValue(forKey: number)?.bytes ?? 0
    }
}

/// How far a message at a window has come.
enum UniqueOutcome: Equatable {
    /// It is where it belongs.
    case done(isRejected: Bool)
    /// It is where it belongs when the batch under way is durable.
    case logged(isRejected: Bool)
    /// Other shards have still to answer; ``Shard/wait(for:_:)`` takes who is to be told.
    case later(ticket: UInt64)
}

/// Messages at exchanges with `x-message-deduplication`.
///
/// 1. A key is told to the log behind the message it stands for, never before: a crash in between lets a retry through
///    that nobody was told to be unneeded, and loses nothing.
/// 2. A duplicate is acknowledged when its original is safe, never before. What is to outlive the process is no duplicate
///    of what is not: it goes through, and stands for the key from then on.
/// 3. A message that a queue has refused leaves no key, but what stood for it before.
extension Shard {
    /// A message has come to a window; its reference is the window's.
    func deduplicate(_ slot: UInt32, _ flags: QueueEntry.Flags, at station: Station) -> UniqueOutcome {
        defer { self.store.release(slot) }
        guard let (host, exchange) = self.topology.exchange(at: station) else { return .done(isRejected: false) }
        let record = self.store.record(slot)
        let properties = UnsafeRawBufferPointer(start: record.properties, count: record.propertiesSize)
        let range = (try? PropertyScan.scan(properties))?.headers
        var headers = MessageHeaders(encoded: range.map { UnsafeRawBufferPointer(rebasing: properties[$0]) })
        let entries = headers.entries()
        let arguments = exchange.definition.arguments
        let now = self.epochMilliseconds(at: self.now)
        // The window is asked for messages with a key only.
        guard let key = DeduplicationArguments.key(entries, arguments) else { return .done(isRejected: false) }
        let isPersistent = self.log.isOn && flags.contains(.persistent)
        let known = self.windows.byStation[station.number]?.entry(of: key, now: now)
        if let entry = known, entry.isPersistent || !isPersistent {
            if entry.ticket != 0 { return .later(ticket: entry.ticket) }
            return isPersistent || entry.isLogged ? .logged(isRejected: false) : .done(isRejected: false)
        }
        let isLogged = isPersistent && exchange.definition.isDurable
        let deadline = DeduplicationArguments.deadline(entries, arguments, now: now)
        var pending = DeduplicationWindows.Pending(
            station: station,
            key: key,
            deadline: deadline,
            isLogged: isLogged,
            isPersistent: isPersistent,
            former: known
        )
        let ticket = self.windows.takeTicket()
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
                then: .unique(ticket: ticket)
            )
        }
        switch outcome {
        case .taken(let isRejected):
            if !isRejected {
                self.remember(pending, ticket: 0)
                if isLogged { self.logKey(pending.key, deadline, host.name, exchange.name) }
            }
            return isPersistent ? .logged(isRejected: isRejected) : .done(isRejected: isRejected)
        case .pending:
            pending.waiters.reserveCapacity(1)
            self.remember(pending, ticket: ticket)
            self.windows.pending[ticket] = pending
            return .later(ticket: ticket)
        }
    }

    /// Has somebody told when a first message has arrived everywhere.
    func wait(for ticket: UInt64, _ waiter: DeduplicationWindows.Waiter) {
        self.windows.pending[ticket]?.waiters.append(waiter)
    }

    private func remember(_ pending: DeduplicationWindows.Pending, ticket: UInt64) {
        guard let (_, exchange) = self.topology.exchange(at: pending.station) else { return }
        let now = self.epochMilliseconds(at: self.now)
        let room = Int(clamping: self.settings.memoryLimitBytes >> ShardLimits.windowMemoryShift) / Int(self.count)
        let others = self.windows.bytes
        self.windows.change(pending.station.number, exchange.definition.arguments) { window in
            let most = min(max(room - (others - window.bytes), ShardLimits.windowShareBytes), ShardLimits.windowBytes)
            window.insert(
                pending.key,
                deadline: pending.deadline,
                isLogged: pending.isLogged,
                isPersistent: pending.isPersistent,
                ticket: ticket,
                now: now,
                most: most
            )
        }
    }

    /// All shards have answered for a first message.
    func uniqueArrived(_ ticket: UInt64, isRejected: Bool) {
        guard let pending = self.windows.pending.removeValue(forKey: ticket) else { return }
        if let (host, exchange) = self.topology.exchange(at: pending.station) {
            let successor = self.windows.byStation[pending.station.number]?.ticket(of: pending.key) ?? 0
            self.windows.pending[successor]?.formerArrived(ticket, isRejected: isRejected)
            self.windows.change(pending.station.number, exchange.definition.arguments) {
                $0.settle(pending.key, ticket: ticket, isRejected: isRejected, former: pending.former)
            }
            if !isRejected, pending.isLogged {
                self.logKey(pending.key, pending.deadline, host.name, exchange.name)
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

    // MARK: The log

    private func logKey(_ key: [UInt8], _ deadline: UInt64, _ host: ShortString, _ exchange: ShortString) {
        let base = self.appendLog(.window, size: WindowRecord.size(key, host, exchange))
        WindowRecord.write(key, host, exchange, deadline: deadline, at: base)
    }

    /// Begins to tell the log again which keys are known.
    func beginTellingWindows() {
        self.windows.untold = self.windows.byStation.keys.sorted()
        self.windows.untoldPlace = 0
    }

    /// Tells the next keys, as long as there is budget; returns whether there are more.
    func continueTellingWindows(_ budget: inout Int) -> Bool {
        while budget > 0, let number = self.windows.untold.last {
            if let window = self.windows.byStation[number],
                let (host, exchange) = self.topology.exchange(at: Station(number: number)),
                let place = window.forEachLogged(
                    from: self.windows.untoldPlace,
                    &budget,
                    { key, deadline in self.logKey(key, deadline, host.name, exchange.name) }
                )
            {
                self.windows.untoldPlace = place
                return true
            }
            self.windows.untold.removeLast()
            self.windows.untoldPlace = 0
        }
        return !self.windows.untold.isEmpty
    }

    /// Goes on with the windows that the log has, where their exchanges have their home.
    func restore(_ windows: [RecoveredWindow]) {
        for recovered in windows {
            guard
                let exchange = self.topology.virtualHost(named: recovered.virtualHost)?
                    .exchange(named: recovered.exchange),
                let station = exchange.station, station.home(of: self.count) == self.index
            else { continue }
            self.windows.restore(recovered.window, station.number)
        }
    }
}
