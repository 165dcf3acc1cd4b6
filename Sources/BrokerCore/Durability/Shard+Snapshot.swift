internal import AMQPProtocol

/// Telling the log again what is live, so that its older files can go.
///
/// Every record is a fact, and facts may be told twice; so publishing and settling go on meanwhile, and a crash in the
/// middle costs nothing. The topology must be in the log before the first message: shard 0 comes first.
///
/// Messages that the log has behind the place up to which its files go are left alone, and with them what was told of them
/// later. What is on disk only is read first, some at a time, and may leave memory again as soon as it is committed.
extension Shard {
    /// Begins to tell, because what the log has before `floor` goes; shard 0 tells the topology at once.
    ///
    /// Without `tellsMessages` no message that is live stands there: see ``LogCensus``.
    public func beginSnapshot(upTo floor: UInt64, tellsMessages: Bool = true) {
        if self.index == 0 {
            let changes = self.topology.durableChanges
            var first = 0
            while first < changes.count {
                let next = min(first + ShardLimits.snapshotChanges, changes.count)
                if let record = TopologyRecord.encode(Array(changes[first..<next])) {
                    self.logTopologyAgain(record)
                }
                first = next
            }
        }
        self.log.floor = max(self.log.floor, floor)
        self.log.needed = nil
        for death in self.paging.unread.deaths where death.orphan != nil { self.noteNeeded(death.entry.slot) }
        // Messages of queues that are not durable may be read from the log's files, too.
        let addresses = self.queues.compactMap { queue in
            queue.flatMap { $0.pointee.isLogged || tellsMessages ? $0.pointee.address : nil }
        }
        self.log.snapshot = SnapshotCursor(
            queues: addresses,
            tellsMessages: tellsMessages,
            firstBatch: self.log.batch?.number ?? self.log.nextNumber
        )
        self.beginTellingDelays()
        self.beginTellingWindows()
    }

    /// Whether ``continueSnapshot()`` can do nothing before the disk has answered.
    ///
    /// Dead messages without a queue are not told: they are read before the files go that have them.
    public var isSnapshotWaiting: Bool { self.paging.snapshotReads > 0 || self.paging.orphanCount > 0 }

    /// The records written last; durable when ``logCommitted(upTo:at:now:)`` says this number or a higher one.
    public var lastLogNumber: UInt64 { self.log.nextNumber - 1 }

    /// Tells the next messages; returns whether there are more.
    public func continueSnapshot() -> Bool {
        guard var cursor = self.log.snapshot else { return false }
        guard !self.isSnapshotWaiting else { return true }
        var step = SnapshotStep()
        while !step.isOver, let address = cursor.queues.last {
            if let queue = self.queue(address), !self.tell(queue, &cursor, &step) {
                break
            }
            cursor.endQueue()
        }
        let hasDelays = cursor.queues.isEmpty && self.continueTellingDelays(&step)
        if !step.isAllTold {
            self.paging.snapshotReads += 1
            self.paging.requests.append(.read(step.read))
        }
        let hasWindows = cursor.queues.isEmpty && !hasDelays && self.continueTellingWindows(&step.octets)
        let isOver = cursor.queues.isEmpty && !hasDelays && !hasWindows && self.paging.orphanCount == 0
        self.log.snapshot = isOver ? nil : cursor
        return self.log.snapshot != nil
    }

    // MARK: One queue

    /// Tells a queue from the cursor on; returns whether all of it is told.
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> Bool {
        guard cursor.tellsMessages else {
            self.tellDelivered(queue, &step)
            return true
        }
        if cursor.part == nil {
            cursor.part = .ring(from: 0)
            cursor.deadlines = queue.pointee.extra.expiry.runsByPlace
        }
        while let part = cursor.part {
            guard let next = self.tell(part, of: queue, &cursor, &step) else { return false }
            cursor.part = next
            if case .ring = next {
                guard cursor.mustRepeat else { break }
                cursor.mustRepeat = false
            }
        }
        self.tellDelivered(queue, &step)
        return true
    }

    /// Tells a part of a queue from where it says on; returns the next part, the first one behind the last.
    ///
    /// Returns nil when the step is over before, or messages must be loaded; the cursor says where to go on.
    private func tell(
        _ part: SnapshotCursor.Part,
        of queue: UnsafeMutablePointer<QueueState>,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> SnapshotCursor.Part? {
        // Where to go on: at the first one that is not told. Levels are gone through one by one.
        var resumption: UInt64?
        func tellNext(_ key: UInt64, _ sequence: UInt64, _ entry: QueueEntry) -> Bool {
            guard !step.isOver else { return false }
            if self.tell(queue, sequence, entry, cursor, &step) == nil {
                resumption = min(resumption ?? .max, key)
            }
            return true
        }
        switch part {
        case .ring(let from):
            let end = self.tellRing(queue, from: from, tellNext)
            guard let rest = resumption ?? end else { return .levels(from: 0) }
            cursor.part = .ring(from: rest)
        case .levels(let from):
            let end = self.tellLevels(queue, from: from, tellNext)
            guard let rest = resumption ?? end else { return .requeued(from: 0) }
            cursor.part = .levels(from: rest)
        case .requeued(let from):
            let end = queue.pointee.extra.requeued.forEach(from: from) { tellNext($0.order, $0.sequence, $0.entry) }
            guard let rest = resumption ?? end else { return .outstanding(consumer: 0, serial: 0) }
            cursor.part = .requeued(from: rest)
        case .outstanding(let index, let serial):
            guard index < queue.pointee.consumers.count else { return .heldBack }
            guard let consumer = queue.pointee.consumers[index] else {
                return .outstanding(consumer: index + 1, serial: 0)
            }
            let end = consumer.pointee.outstanding.forEach(from: serial) { tellNext($0, $1.sequence, $1.entry) }
            guard let rest = resumption ?? end else { return .outstanding(consumer: index + 1, serial: 0) }
            cursor.part = .outstanding(consumer: index, serial: rest)
        case .heldBack:
            guard !self.tellHeldBack(queue, &cursor, &step) else { return .dying(from: 0) }
        case .dying(let from):
            let end = queue.pointee.extra.dying.forEach(from: from) { tellNext($0.order, $0.sequence, $0.entry) }
            guard let rest = resumption ?? end else { return .setAside(from: 0) }
            cursor.part = .dying(from: rest)
        case .setAside(let from):
            let end = queue.pointee.extra.setAside.forEach(from: from) { tellNext($0.order, $0.sequence, $0.entry) }
            guard let rest = resumption ?? end else { return .ring(from: 0) }
            cursor.part = .setAside(from: rest)
        }
        return nil
    }

    private func tellRing(
        _ queue: UnsafeMutablePointer<QueueState>,
        from sequence: UInt64,
        _ tellNext: (UInt64, UInt64, QueueEntry) -> Bool
    ) -> UInt64? {
        let head = queue.pointee.headSequence
        let end = head + UInt64(queue.pointee.ready.count)
        var next = max(sequence, head)
        while next < end {
            let entry = queue.pointee.ready.entry(at: Int(next - head))
            guard entry.isHole || tellNext(next, next, entry) else { return next }
            next += 1
        }
        return nil
    }

    private func tellLevels(
        _ queue: UnsafeMutablePointer<QueueState>,
        from sequence: UInt64,
        _ tellNext: (UInt64, UInt64, QueueEntry) -> Bool
    ) -> UInt64? {
        guard let levels = queue.pointee.levels else { return nil }
        var rest: UInt64?
        var next: UInt64? = sequence
        while rest == nil, let first = next {
            let (end, overflow) = first.addingReportingOverflow(ShardLimits.snapshotPlaces)
            next = levels.pointee.forEach(from: first, to: overflow ? .max : end) { place, entry in
                if !tellNext(place, place, entry) {
                    // They come level by level: the lowest of those that were not told.
                    rest = min(rest ?? .max, place)
                }
            }
        }
        return rest
    }

    /// Tells what is held back; returns whether that was all.
    ///
    /// Gone through as a whole each time, for it changes its order.
    private func tellHeldBack(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> Bool {
        var isComplete = true
        func tellOnce(_ sequence: UInt64, _ entry: QueueEntry) -> Bool {
            guard !cursor.toldHeldBack.contains(sequence) else { return false }
            guard !step.isOver else {
                isComplete = false
                return false
            }
            let isTold = self.tell(queue, sequence, entry, cursor, &step)
            guard isTold != nil else { return false }
            cursor.toldHeldBack.insert(sequence)
            return isTold ?? false
        }
        queue.pointee.groups?.pointee.forEachHeld { element in
            _ = tellOnce(element.sequence, element.entry)
        }
        queue.pointee.withheld?.pointee.forEach { element in
            if tellOnce(element.sequence, element.entry) {
                self.logRetry(queue, element.sequence, at: self.epochMilliseconds(at: element.due))
            }
        }
        return isComplete && step.isAllTold
    }

    /// Tells how far a queue was handed out.
    private func tellDelivered(_ queue: UnsafeMutablePointer<QueueState>, _ step: inout SnapshotStep) {
        step.messages -= 1
        guard queue.pointee.isLogged && queue.pointee.deliveredUpTo > 0 else { return }
        let base = self.appendLog(.delivered, size: DeliveredRecord.size)
        DeliveredRecord.write(queue: queue.pointee.durableID, upTo: queue.pointee.deliveredUpTo, at: base)
        step.octets -= 64
    }

    // MARK: One message

    /// Tells a message, or asks the disk for it, if it is persistent and the log has it only where it goes.
    ///
    /// Returns whether it was told; nil when it is not here yet.
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ entry: QueueEntry,
        _ cursor: SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> Bool? {
        step.messages -= 1
        guard self.mustTell(queue, entry, cursor) else { return false }
        guard self.store.isResident(entry.slot) else {
            if self.store.isUnread(entry.slot) {
                self.noteNeeded(entry.slot)
                return false
            }
            // Perhaps somebody else has asked; when it is here it is looked at again.
            self.store.setLoading(entry.slot, false)
            self.want(entry.slot, step.read)
            return nil
        }
        guard queue.pointee.isLogged else { return false }
        step.octets -= self.tellNow(queue, sequence, entry, cursor.deadlines)
        return true
    }

    /// Whether the log has a message only where it goes.
    private func mustTell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ entry: QueueEntry,
        _ cursor: SnapshotCursor
    ) -> Bool {
        guard cursor.tellsMessages, entry.flags.contains(.persistent) else { return false }
        guard let word = self.store.paged(entry.slot) else {
            return queue.pointee.isLogged
                && self.log.mustTell(self.store.record(entry.slot), firstBatch: cursor.firstBatch)
        }
        if self.store.isLost(entry.slot) { return false }
        if word.isScratch { return queue.pointee.isLogged }
        return self.store.position(word) < self.log.floor
    }

    /// Whether telling is under way and a message has to be told before the log's files go.
    func mustTell(_ queue: UnsafeMutablePointer<QueueState>, _ entry: QueueEntry) -> Bool {
        guard let cursor = self.log.snapshot else { return false }
        return self.mustTell(queue, entry, cursor)
    }

    /// Writes a message that is in memory; returns how many octets that were.
    private func tellNow(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ entry: QueueEntry,
        _ deadlines: [ExpiryIndex.Run]
    ) -> Int {
        var place = DurablePlace(queue: queue.pointee.durableID, sequence: sequence)
        if entry.flags.contains(.hasDeadline) {
            place.deadline = self.epochDeadline(of: sequence, in: deadlines)
            self.log.isTimed = true
        }
        self.log.places.append(place)
        let view = self.store.record(entry.slot).view
        self.noteLogged(entry.slot, at: self.logMessage(view, entry.flags))
        self.tellReturned(queue, sequence, entry)
        return view.namesSize + view.propertiesSize + view.bodySize + 64
    }

    /// A message goes where the telling may have been already: it is told now, or the queue is gone through again.
    @inline(never)
    func tellMoving(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ entry: QueueEntry) {
        guard let cursor = self.log.snapshot, self.mustTell(queue, entry, cursor) else { return }
        guard self.store.isResident(entry.slot) else {
            if cursor.queues.last == queue.pointee.address {
                self.log.snapshot?.mustRepeat = true
            }
            return
        }
        var deadlines: [ExpiryIndex.Run] = []
        if entry.flags.contains(.hasDeadline), let deadline = queue.pointee.extra.expiry.deadline(of: sequence) {
            deadlines.append(ExpiryIndex.Run(deadline: deadline, first: sequence, count: 1))
        }
        _ = self.tellNow(queue, sequence, entry, deadlines)
    }

    /// A message on disk has another place: it is told there, and the queue gone through again if it was told as far already.
    ///
    /// The log knows its old place until then, and that it has moved.
    @inline(never)
    func tellMovedLater(_ queue: UnsafeMutablePointer<QueueState>, _ entry: QueueEntry) {
        guard let cursor = self.log.snapshot, !self.store.isResident(entry.slot), self.mustTell(queue, entry, cursor),
            cursor.queues.last == queue.pointee.address, cursor.part != nil
        else { return }
        self.log.snapshot?.mustRepeat = true
        if entry.flags.contains(.hasDeadline) {
            self.log.snapshot?.deadlines = queue.pointee.extra.expiry.runsByPlace
        }
    }

    /// When a message must leave, in milliseconds since 1970: long ago when no run has it any more.
    private func epochDeadline(of sequence: UInt64, in runs: [ExpiryIndex.Run]) -> UInt64 {
        var low = 0
        var high = runs.count
        while low < high {
            let middle = (low + high) / 2
            if runs[middle].end <= sequence {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < runs.count, runs[low].first <= sequence else { return 1 }
        return self.epochMilliseconds(ofDeadline: runs[low].deadline)
    }

    /// The time of day of a deadline in an ``ExpiryIndex``; never 0, which stands for none.
    func epochMilliseconds(ofDeadline milliseconds: UInt64) -> UInt64 {
        let (nanoseconds, overflow) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
        return max(self.epochMilliseconds(at: BrokerInstant(nanoseconds: overflow ? .max : nanoseconds)), 1)
    }
}
