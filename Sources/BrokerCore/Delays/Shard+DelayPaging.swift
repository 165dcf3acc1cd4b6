internal import AMQPProtocol

/// Messages on disk that wait for their time: they come back before it.
///
/// What comes next is looked at half a second ahead, two windows at most, as for a queue. When the time of a message on
/// disk has come all the same, those behind it wait, too, until the disk has answered: order is kept.
extension Shard {
    /// When something must be done about messages that wait, some of which are on disk; `deadline` is the next one's time.
    func deadlineOfPaged(_ deadline: BrokerInstant) -> BrokerInstant? {
        // The disk answers.
        if self.delays.isStalled { return nil }
        let ahead = ShardLimits.delayReadAheadMilliseconds * 1_000_000
        let look = deadline.nanoseconds - min(deadline.nanoseconds, ahead)
        return min(deadline, max(BrokerInstant(nanoseconds: look), self.delays.nextLook))
    }

    /// The next messages whose time has come and that are in memory, some of them; what is on disk is asked for.
    @inline(__always)
    func dueHere(_ now: UInt64) -> Slice<UnsafeBufferPointer<DelayedEntry>> {
        let due = self.delays.wheel.due(at: now).prefix(ShardLimits.delaysAtOnce)
        return self.store.pagedCount == 0 ? due : self.duePerhapsOnDisk(due, now)
    }

    @inline(never)
    private func duePerhapsOnDisk(
        _ due: Slice<UnsafeBufferPointer<DelayedEntry>>,
        _ now: UInt64
    ) -> Slice<UnsafeBufferPointer<DelayedEntry>> {
        var due = due
        while let next = due.first, !self.store.isResident(next.slot) {
            if self.store.isUnread(next.slot) {
                self.putOff(next, now)
                due = self.delays.wheel.due(at: now).prefix(ShardLimits.delaysAtOnce)
                continue
            }
            guard self.store.isLost(next.slot) else {
                self.delays.isStalled = true
                if !self.paging.refused.contains(next.slot) { self.loadDelays() }
                return due.prefix(0)
            }
            // Damaged on disk: it is gone. The log is not told, for a start may be able to read it.
            self.delays.wheel.dropDue(1)
            self.forgetOrigin(of: next)
            self.store.release(next.slot)
            due = self.delays.wheel.due(at: now).prefix(ShardLimits.delaysAtOnce)
        }
        return due.prefix { self.store.isResident($0.slot) }
    }

    /// The message whose time has come is one that the disk refuses to read: its time is later, and those behind it go on.
    private func putOff(_ next: DelayedEntry, _ now: UInt64) {
        var entry = next
        entry.deadline = now &+ ShardLimits.unreadMilliseconds
        if self.delays.isTelling && self.mustTell(entry) { self.noteNeeded(entry.slot) }
        self.delays.wheel.dropDue(1)
        self.delays.wheel.insert(entry)
    }

    /// Reads ahead when it is time to, or much has been published since the last time.
    func lookAhead() {
        let window = self.delays.window == 0 ? ShardLimits.pageReadMessages : self.delays.window
        guard self.now >= self.delays.nextLook || self.delays.firedSinceLook > window / 2 else { return }
        self.delays.readsAhead = 0
        self.loadDelays()
    }

    /// The disk has answered somebody.
    func resumeDelays() {
        self.delays.isStalled = false
        guard self.delays.wheel.count > 0 else { return }
        // At once: what was read may have to leave memory again at the end of the turn.
        self.delays.heldUntil = min(self.delays.heldUntil, self.now)
        self.fireDelays()
        // And what comes behind it. No more before some have gone: what does not stay in memory would be read for ever.
        if self.delays.readsAhead < 2 {
            self.loadDelays()
        }
    }

    /// Asks for the next messages that are on disk and not asked for yet.
    private func loadDelays() {
        self.delays.firedSinceLook = 0
        self.delays.nextLook = self.now.advanced(milliseconds: ShardLimits.delayReadAheadMilliseconds / 2)
        guard self.delays.loads < 2 else { return }
        guard !self.log.moves.isFull, self.mayReadToMove(&self.delays.nextAlarmedRead) else {
            // Time has to pass instead.
            self.delays.isStalled = false
            self.delays.heldUntil = max(
                self.delays.nextAlarmedRead,
                self.now.advanced(milliseconds: ShardLimits.delayPauseMilliseconds)
            )
            return
        }
        let horizon = self.epochMilliseconds(at: self.now) &+ ShardLimits.delayReadAheadMilliseconds
        let read = PageRead(for: .delays)
        var scanned = 0
        let limit = self.delays.window == 0 ? ShardLimits.pageReadMessages : 2 * self.delays.window
        self.delays.wheel.forEachNear(to: horizon) { entry in
            scanned += 1
            self.want(entry.slot, read, isDelayed: true)
            return scanned < limit && read.octets < ShardLimits.pageReadBytes
                && read.wanted.count < ShardLimits.pageReadMessages
        }
        if scanned < limit, let start = self.delays.wheel.nextFarSlot(to: horizon), start != self.delays.lookedFarSlot {
            // What comes first in it is not sorted out before its time comes: once, for that looks at all of it.
            self.delays.lookedFarSlot = start
            for entry in self.delays.wheel.elementsOfFarSlot(to: start + ShardLimits.delayReadAheadMilliseconds) {
                guard read.octets < ShardLimits.pageReadBytes, read.wanted.count < ShardLimits.pageReadMessages else {
                    break
                }
                self.want(entry.slot, read, isDelayed: true)
            }
        }
        if read.octets >= ShardLimits.pageReadBytes || read.wanted.count >= ShardLimits.pageReadMessages {
            self.delays.window = read.wanted.count
        }
        guard !read.wanted.isEmpty else { return }
        // Times and places in the log need not go together: neighbours are read at once.
        read.wanted.sort { ($0.isScratch ? 1 : 0, $0.position) < ($1.isScratch ? 1 : 0, $1.position) }
        self.delays.loads += 1
        self.delays.readsAhead += 1
        self.paging.requests.append(.read(read))
    }

    // MARK: Telling the log again

    /// Begins to tell the log again what waits.
    func beginTellingDelays() {
        self.delays.wheel.beginTelling()
        self.delays.isTelling = true
        self.delays.untold.removeAll()
        for id in self.delays.inFlight.keys.sorted() {
            if let entry = self.delays.inFlight[id], entry.isLogged {
                self.logDelayed(entry)
            }
        }
    }

    /// Tells the next messages that wait, or asks the disk for them, as long as the step may; returns whether there are
    /// more.
    func continueTellingDelays(_ step: inout SnapshotStep) -> Bool {
        for id in self.delays.untold.keys.sorted() {
            guard let entry = self.delays.untold[id] else { continue }
            self.tell(entry, &step)
        }
        while !step.isOver {
            guard let entry = self.delays.wheel.nextToTell() else {
                self.delays.isTelling = !self.delays.untold.isEmpty
                return self.delays.isTelling
            }
            self.tell(entry, &step)
        }
        return true
    }

    private func tell(_ entry: DelayedEntry, _ step: inout SnapshotStep) {
        step.messages -= 1
        guard self.mustTell(entry) else {
            self.delays.untold[entry.id] = nil
            return
        }
        if self.store.isUnread(entry.slot) {
            self.delays.untold[entry.id] = nil
            self.noteNeeded(entry.slot)
            return
        }
        guard self.store.isResident(entry.slot) else {
            self.delays.untold[entry.id] = entry
            // Perhaps somebody else has asked; when it is here it is looked at again.
            self.store.setLoading(entry.slot, false)
            self.want(entry.slot, step.read, isDelayed: true)
            return
        }
        self.delays.untold[entry.id] = nil
        step.octets -= self.store.bodySize(entry.slot) + MessageStore.logOverhead
        self.logDelayed(entry)
    }

    /// Whether the log has a message only where it goes.
    private func mustTell(_ entry: DelayedEntry) -> Bool {
        guard entry.isLogged, !self.store.isLost(entry.slot), let cursor = self.log.snapshot else { return false }
        guard let word = self.store.paged(entry.slot) else {
            return self.log.mustTell(self.store.record(entry.slot), firstBatch: cursor.firstBatch)
        }
        return word.isScratch || self.store.position(word) < self.log.floor
    }

    /// Tells what has moved to where telling has been, or has it told when the disk has given it.
    func tellDisplaced() {
        for entry in self.delays.wheel.takeDisplaced() where self.mustTell(entry) {
            if self.store.isResident(entry.slot) {
                self.delays.untold[entry.id] = nil
                self.logDelayed(entry)
            } else {
                self.delays.untold[entry.id] = entry
            }
        }
    }

    // MARK: Administration

    /// Lists messages that wait; nil when the disk must be asked for some of their names first.
    func listDelayed(_ ticket: UInt64, _ virtualHost: String, limit: Int) -> AdministrationAnswer? {
        let list = DelayListing(ticket: ticket)
        var onDisk: [Int: UInt32] = [:]
        let waiting = self.delayedMessages(virtualHost: virtualHost, limit: limit) { onDisk[$0] = $1 }
        var rows = waiting.enumerated().map { (info: $0.element, onDisk: onDisk[$0.offset]) }
        rows += self.withheldMessages(virtualHost: virtualHost, limit: limit)
        rows.sort { $0.info.isBefore($1.info) }
        list.rows = rows.prefix(max(limit, 0)).map(\.info)
        for (row, (info, slot)) in rows.prefix(list.rows.count).enumerated() {
            guard let slot, !self.store.isLost(slot) else { continue }
            if let place = self.glance(slot, isDelayed: info.queue == nil) {
                list.names.add(row, place)
            }
        }
        return self.readOn(list) ? nil : .delayedMessages(list.rows)
    }

    /// Asks for the next names of a list; returns whether there are some.
    private func readOn(_ list: DelayListing) -> Bool {
        let read = PageRead(for: .delayList(list))
        guard list.names.ask(read) else { return false }
        self.paging.requests.append(.read(read))
        return true
    }

    /// The disk has given some names of a list; those of messages that have gone meanwhile stay empty.
    func fill(_ list: DelayListing, _ read: PageRead) {
        list.names.answer(read) { row, view in
            guard let view else { return }
            list.rows[row].routingKey = String(decoding: view.routingKey, as: UTF8.self)
            if list.rows[row].queue != nil {
                list.rows[row].exchange = String(decoding: view.exchange, as: UTF8.self)
            }
        }
        if !self.readOn(list) {
            self.effects.append(.answer(list.ticket, .delayedMessages(list.rows)))
        }
    }
}

/// A list of messages that wait, some of whose names are on disk.
final class DelayListing {
    /// Whom to answer.
    let ticket: UInt64
    /// The list.
    var rows: [DelayedMessageInfo] = []
    /// Names that are on disk, by row.
    var names = Glances<Int>()

    init(ticket: UInt64) {
        self.ticket = ticket
    }
}
