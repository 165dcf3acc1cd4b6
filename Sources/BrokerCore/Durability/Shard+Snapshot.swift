internal import AMQPProtocol

/// How far a shard has told again what is live.
struct SnapshotCursor {
    /// Durable queues that have still to be told, the next one last.
    var queues: [QueueAddress]
    /// Messages of the next queue below this sequence have been told.
    var sequence: UInt64 = 0
    /// Messages of the next queue from this sequence on came after the telling began: the log has them behind that.
    var end: UInt64 = 0
    /// Deadlines in the next queue, by place, as they were when its telling began.
    var deadlines: [ExpiryIndex.Run] = []
}

/// Telling the log again what is live, so that its older files can go.
///
/// Every record is a fact, and facts may be told twice; so publishing and settling go on meanwhile, and a crash in the
/// middle costs nothing. The topology must be in the log before the first message: shard 0 comes first.
extension Shard {
    /// Begins to tell; shard 0 tells the topology at once.
    public func beginSnapshot() {
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
        let addresses = self.queues.compactMap { queue in
            queue.flatMap { $0.pointee.isLogged ? $0.pointee.address : nil }
        }
        self.log.snapshot = SnapshotCursor(queues: addresses)
        self.beginTellingDelays()
        self.beginTellingWindows()
    }

    /// Tells the next messages; returns whether there are more.
    public func continueSnapshot() -> Bool {
        guard var cursor = self.log.snapshot else { return false }
        var budget = ShardLimits.snapshotBytes
        while budget > 0, let address = cursor.queues.last {
            if let queue = self.queue(address) {
                if cursor.sequence == 0 {
                    cursor.end = queue.pointee.nextSequence
                    cursor.deadlines = queue.pointee.expiry.runsByPlace
                }
                if let next = self.tell(queue, from: cursor.sequence, cursor, &budget) {
                    cursor.sequence = next
                    continue
                }
            }
            cursor.queues.removeLast()
            cursor.sequence = 0
        }
        let hasDelays = cursor.queues.isEmpty && self.continueTellingDelays(&budget)
        let hasWindows = cursor.queues.isEmpty && !hasDelays && self.continueTellingWindows(&budget)
        self.log.snapshot = cursor.queues.isEmpty && !hasDelays && !hasWindows ? nil : cursor
        return self.log.snapshot != nil
    }

    /// The records written last; durable when ``logCommitted(upTo:now:)`` says this number or a higher one.
    public var lastLogNumber: UInt64 { self.log.nextNumber - 1 }

    /// Tells messages of a queue; returns where to go on, or nil when all are told.
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        from sequence: UInt64,
        _ cursor: SnapshotCursor,
        _ budget: inout Int
    ) -> UInt64? {
        // Those that left the ring since the last time are here; so everything from `sequence` on is told.
        func tell(_ place: UInt64, _ entry: QueueEntry) {
            if place >= sequence && place < cursor.end {
                budget -= self.tell(queue, place, entry, cursor.deadlines)
            }
        }
        queue.pointee.requeued.forEach { tell($0.sequence, $0.entry) }
        queue.pointee.dying.forEach { tell($0.sequence, $0.entry) }
        for consumer in queue.pointee.consumers {
            consumer?.pointee.outstanding.forEach { _, delivery in tell(delivery.sequence, delivery.entry) }
        }
        queue.pointee.groups?.pointee.forEachHeld { tell($0.sequence, $0.entry) }
        queue.pointee.withheld?.pointee.forEach { element in
            if element.sequence >= sequence {
                tell(element.sequence, element.entry)
                if element.entry.flags.contains(.persistent) {
                    self.logRetry(queue, element.sequence, at: self.epochMilliseconds(at: element.due))
                }
            }
        }
        if let levels = queue.pointee.levels {
            var next = sequence
            while budget > 0 {
                let (end, overflow) = next.addingReportingOverflow(ShardLimits.snapshotPlaces)
                let following = levels.pointee.forEach(from: next, to: overflow ? .max : end) { place, entry in
                    tell(place, entry)
                }
                guard let following else { return self.tellDelivered(queue) }
                next = following
            }
            return next
        }
        let head = queue.pointee.headSequence
        let end = min(queue.pointee.nextSequence, cursor.end)
        var next = max(sequence, head)
        while next < end {
            guard budget > 0 else { return next }
            tell(next, queue.pointee.ready.entry(at: Int(next - head)))
            next += 1
        }
        return self.tellDelivered(queue)
    }

    /// Tells how far a queue was handed out, which is all there was to tell.
    private func tellDelivered(_ queue: UnsafeMutablePointer<QueueState>) -> UInt64? {
        if queue.pointee.deliveredUpTo > 0 {
            let base = self.appendLog(.delivered, size: DeliveredRecord.size)
            DeliveredRecord.write(queue: queue.pointee.info.durableID, upTo: queue.pointee.deliveredUpTo, at: base)
        }
        return nil
    }

    /// Tells one message, if it is persistent; returns the octets written.
    private func tell(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ entry: QueueEntry,
        _ deadlines: [ExpiryIndex.Run]
    ) -> Int {
        guard entry.flags.contains(.persistent) else { return 0 }
        var place = DurablePlace(queue: queue.pointee.info.durableID, sequence: sequence)
        if entry.flags.contains(.hasDeadline) {
            place.deadline = self.epochDeadline(of: sequence, in: deadlines)
            self.log.isTimed = true
        }
        self.log.places.append(place)
        let view = self.store.record(entry.slot).view
        self.logMessage(view, entry.flags)
        self.tellReturned(queue, sequence, entry)
        return view.namesSize + view.propertiesSize + view.bodySize + 64
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
