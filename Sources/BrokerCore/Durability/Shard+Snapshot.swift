internal import AMQPProtocol

/// How far a shard has told again what is live.
struct SnapshotCursor {
    /// Messages of a queue, in the order in which they are gone through.
    ///
    /// A message on its way from ready to unacknowledged while this goes on is told as it is handed out; one that comes back
    /// from there gets to a part that is gone through later.
    enum Part {
        case ready
        case outstanding(consumer: Int, serial: UInt64)
        case aside
    }

    /// Queues that have still to be told, the next one last.
    var queues: [QueueAddress]
    var part = Part.ready
    /// Ready messages of the next queue below this sequence have been told.
    var sequence: UInt64 = 0
    /// Messages of the next queue's last part that were told.
    var told: Set<UInt64> = []
    /// Batches from this one on are kept.
    let firstBatch: UInt64
}

/// What one step of telling may still do.
struct SnapshotStep {
    /// Octets written.
    var octets = ShardLimits.snapshotBytes
    /// Messages looked at.
    var messages = ShardLimits.snapshotMessages
    /// Messages that are on disk and must be loaded first.
    let read = PageRead(queue: nil)

    var isOver: Bool { self.octets <= 0 || self.messages <= 0 || self.read.octets >= ShardLimits.snapshotBytes }
}

/// Telling the log again what is live, so that its older files can go.
///
/// Every record is a fact, and facts may be told twice; so publishing and settling go on meanwhile, and a crash in the
/// middle costs nothing. The topology must be in the log before the first message: shard 0 comes first.
///
/// Messages that the log has behind the place up to which its files go are left alone. What is on disk only is read first,
/// some at a time, and may leave memory again as soon as it is committed.
extension Shard {
    /// Begins to tell, because what the log has before `floor` goes; shard 0 tells the topology at once.
    public func beginSnapshot(upTo floor: UInt64) {
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
        // Of queues that are not logged only what is read from the log's files matters.
        let addresses = self.queues.compactMap { $0?.pointee.address }
        self.log.snapshot = SnapshotCursor(
            queues: addresses,
            firstBatch: self.log.batch?.number ?? self.log.nextNumber
        )
    }

    /// Whether ``continueSnapshot()`` can do nothing before the disk has answered.
    public var isSnapshotWaiting: Bool { self.paging.snapshotReads > 0 }

    /// Tells the next messages; returns whether there are more.
    public func continueSnapshot() -> Bool {
        guard var cursor = self.log.snapshot else { return false }
        guard !self.isSnapshotWaiting else { return true }
        var step = SnapshotStep()
        while !step.isOver, let address = cursor.queues.last {
            guard let queue = self.queue(address), !self.tell(queue, &cursor, &step) else {
                if !step.read.wanted.isEmpty { break }
                cursor.queues.removeLast()
                cursor.sequence = 0
                cursor.part = .ready
                cursor.told = []
                continue
            }
        }
        if !step.read.wanted.isEmpty {
            self.paging.snapshotReads += 1
            self.paging.requests.append(.read(step.read))
        }
        self.log.snapshot = cursor.queues.isEmpty ? nil : cursor
        return self.log.snapshot != nil
    }

    /// The records written last; durable when ``logCommitted(upTo:at:now:)`` says this number or a higher one.
    public var lastLogNumber: UInt64 { self.log.nextNumber - 1 }

    /// Tells messages of a queue; returns whether all are told, or asked for and not here yet.
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> Bool {
        switch cursor.part {
        case .ready:
            guard self.tellReady(queue, &cursor, &step) else { return false }
            // What was asked for is told when it is here: the part is gone through once more.
            guard step.read.wanted.isEmpty else { return true }
            cursor.part = .outstanding(consumer: 0, serial: 0)
            return false
        case .outstanding(let consumer, let serial):
            self.tellOutstanding(queue, consumer, serial, &cursor, &step)
            return !step.read.wanted.isEmpty
        case .aside:
            // In one go, for it changes its order: but no more is told than fits.
            var isComplete = true
            func tellOnce(_ sequence: UInt64, _ entry: QueueEntry) -> Bool {
                guard !cursor.told.contains(sequence) else { return false }
                guard step.octets > 0 && step.read.octets < ShardLimits.snapshotBytes else {
                    isComplete = false
                    return false
                }
                guard self.tell(queue, sequence, entry, cursor.firstBatch, &step) else { return false }
                cursor.told.insert(sequence)
                return true
            }
            queue.pointee.forEachAside { sequence, entry in
                _ = tellOnce(sequence, entry)
            }
            queue.pointee.withheld?.pointee.forEach { element in
                if tellOnce(element.sequence, element.entry) {
                    self.logRetry(queue, element.sequence, at: self.epochMilliseconds(at: element.due))
                }
            }
            guard isComplete && step.read.wanted.isEmpty else {
                step.messages = 0
                return false
            }
            self.tellDelivered(queue)
            return true
        }
    }

    /// Tells messages in the ring from the cursor on; returns whether the end was reached.
    private func tellReady(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) -> Bool {
        let head = queue.pointee.headSequence
        let end = head + UInt64(queue.pointee.ready.count)
        var next = max(cursor.sequence, head)
        var isAllHere = true
        while next < end {
            guard !step.isOver else { return false }
            let entry = queue.pointee.ready.entry(at: Int(next - head))
            self.tell(queue, next, entry, cursor.firstBatch, &step)
            next += 1
            isAllHere = isAllHere && step.read.wanted.isEmpty
            if isAllHere {
                cursor.sequence = next
            }
        }
        return true
    }

    private func tellOutstanding(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ first: Int,
        _ serial: UInt64,
        _ cursor: inout SnapshotCursor,
        _ step: inout SnapshotStep
    ) {
        var index = first
        var serial = serial
        while index < queue.pointee.consumers.count {
            guard let consumer = queue.pointee.consumers[index] else {
                index += 1
                serial = 0
                continue
            }
            var isAllHere = true
            let isComplete = consumer.pointee.outstanding.forEach(from: serial) { key, delivery in
                self.tell(queue, delivery.sequence, delivery.entry, cursor.firstBatch, &step)
                isAllHere = isAllHere && step.read.wanted.isEmpty
                if isAllHere {
                    serial = key + 1
                }
                return !step.isOver
            }
            guard isComplete && isAllHere else {
                cursor.part = .outstanding(consumer: index, serial: serial)
                step.messages = 0
                return
            }
            index += 1
            serial = 0
        }
        cursor.part = .aside
    }

    /// Tells how far a queue was handed out.
    private func tellDelivered(_ queue: UnsafeMutablePointer<QueueState>) {
        if queue.pointee.isLogged && queue.pointee.deliveredUpTo > 0 {
            let base = self.appendLog(.delivered, size: DeliveredRecord.size)
            DeliveredRecord.write(queue: queue.pointee.info.durableID, upTo: queue.pointee.deliveredUpTo, at: base)
        }
    }

    /// Tells one message, if it is persistent and the log has it only where it goes, or asks for it; returns whether it
    /// was told.
    @discardableResult
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ entry: QueueEntry,
        _ firstBatch: UInt64,
        _ step: inout SnapshotStep
    ) -> Bool {
        step.messages -= 1
        guard entry.flags.contains(.persistent) else { return false }
        if let word = self.store.paged(entry.slot) {
            let isShared = word.size == 0 && self.store.asides[entry.slot]?.isShared ?? false
            let isKept =
                word.isScratch
                ? !queue.pointee.isLogged
                : self.store.position(word) >= self.log.floor && !(isShared && queue.pointee.isLogged)
            guard !isKept, !self.store.isLost(entry.slot) else { return false }
            if word.isLoading {
                // Somebody else has asked; when it is here it is looked at again.
                self.store.setLoading(entry.slot, false)
            }
            self.want(entry.slot, step.read)
            return false
        }
        guard queue.pointee.isLogged else { return false }
        let record = self.store.record(entry.slot)
        guard self.mustTell(record, firstBatch) else { return false }
        self.log.places.append(DurablePlace(queue: queue.pointee.info.durableID, sequence: sequence))
        let view = record.view
        self.logMessage(view, entry.flags, record)
        self.tellReturned(queue, sequence, entry)
        step.octets -= view.namesSize + view.propertiesSize + view.bodySize + 64
        return true
    }

    /// Whether what the log has of a message, if anything, goes.
    private func mustTell(_ record: MessageRecord, _ firstBatch: UInt64) -> Bool {
        guard record.isLogged else { return true }
        let location = record.location
        // The log may have been told another queue's place only.
        if location.isShared { return true }
        if let position = location.position { return position < self.log.floor }
        let batch = location.batch(latest: self.log.nextNumber - 1)
        if batch >= firstBatch { return false }
        guard let start = self.log.positions.position(of: batch) else { return batch < firstBatch }
        return start + location.offset < self.log.floor
    }

    /// A message leaves the ready ones while they are told: it is told now.
    @inline(never)
    func tellMoving(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ entry: QueueEntry) {
        guard let cursor = self.log.snapshot else { return }
        var step = SnapshotStep()
        self.tell(queue, sequence, entry, cursor.firstBatch, &step)
    }
}
