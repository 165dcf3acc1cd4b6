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
        var waiters: [Waiter] = []
    }

    /// The windows, by the number of their station.
    var byStation: [UInt32: DeduplicationWindow] = [:]
    /// First messages under way, by ticket.
    var pending: [UInt64: Pending] = [:]
    /// Where a snapshot goes on; stations that have still to be told.
    var untold: [UInt32] = []
    private var nextTicket: UInt64 = 1

    /// The ticket of one more message.
    mutating func takeTicket() -> UInt64 {
        defer { self.nextTicket += 1 }
        return self.nextTicket
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
/// 2. A duplicate is acknowledged when its original is safe, never before.
/// 3. A message that a queue has refused leaves no key.
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
        if let entry = self.windows.byStation[station.number]?.entry(of: key, now: now) {
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
            isPersistent: isPersistent
        )
        let ticket = self.windows.takeTicket()
        let outcome: InternalPublishOutcome
        if DelayHeaders.deadline(entries, now: now) != nil {
            self.store.retain(slot)
            let origin = DelayOrigin(virtualHost: host.name, exchange: exchange.name)
            _ = self.delayByHeaders(slot, flags, origin)
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
        // Taken out while it changes, so that it is not copied.
        var window =
            self.windows.byStation.removeValue(forKey: pending.station.number)
            ?? DeduplicationWindow(exchange.definition.arguments)
        window.insert(pending.key, deadline: pending.deadline, isLogged: pending.isLogged, ticket: ticket)
        self.windows.byStation[pending.station.number] = window
    }

    /// All shards have answered for a first message.
    func uniqueArrived(_ ticket: UInt64, isRejected: Bool) {
        guard let pending = self.windows.pending.removeValue(forKey: ticket) else { return }
        let number = pending.station.number
        self.windows.byStation[number]?.settle(pending.key, ticket: ticket, isRejected: isRejected)
        if !isRejected, pending.isLogged, let (host, exchange) = self.topology.exchange(at: pending.station) {
            self.logKey(pending.key, pending.deadline, host.name, exchange.name)
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
    }

    /// Tells the next windows, each whole; returns whether there are more.
    func continueTellingWindows(_ budget: inout Int) -> Bool {
        while budget > 0, let number = self.windows.untold.popLast() {
            guard let window = self.windows.byStation[number],
                let (host, exchange) = self.topology.exchange(at: Station(number: number))
            else { continue }
            window.forEachLogged { key, deadline in
                budget -= key.count + ShardLimits.windowKeyBytes
                self.logKey(key, deadline, host.name, exchange.name)
            }
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
            self.windows.byStation[station.number] = recovered.window
        }
    }
}
