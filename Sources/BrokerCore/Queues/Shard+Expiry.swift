internal import AMQPProtocol

/// Messages leave on time, wherever they stand in their queue.
///
/// ```
/// enqueue --addDeadline--> in the index --armExpiry--> timer --expireDue--> dead, or noted as overdue
/// requeue --(overdue?)---> dead
/// ```
///
/// 1. A message that is due is never delivered: queues are freed of what is due before they are dispatched.
/// 2. A message with a consumer does not expire; when it comes back due, it does at once.
/// 3. A turn takes out a bounded number; a queue is not dispatched until the rest is out, too.
extension Shard {
    private static let nanosecondsPerMillisecond: UInt64 = 1_000_000

    /// Notes when a message that stands in a queue must leave.
    func addDeadline(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ deadline: BrokerInstant) {
        // Rounded up: never too early, and at most a millisecond late.
        let milliseconds = deadline.nanoseconds / Self.nanosecondsPerMillisecond
        let isWhole = deadline.nanoseconds % Self.nanosecondsPerMillisecond == 0
        queue.pointee.extra.expiry.add(sequence, deadline: isWhole ? milliseconds : milliseconds + 1)
        self.updateExpiry(queue)
        let living = queue.pointee.limitedCount + self.awayCount(queue)
        if queue.pointee.extra.expiry.runCount > 2 * living + ExpiryIndex.keptRuns {
            self.compactExpiry(queue)
        }
    }

    /// A message has got another place: its deadline goes with it.
    func moveDeadline(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        to sequence: UInt64
    ) {
        guard delivery.entry.flags.contains(.hasDeadline),
            let deadline = queue.pointee.extra.expiry.deadline(of: delivery.sequence)
        else { return }
        queue.pointee.extra.expiry.add(sequence, deadline: deadline)
        self.updateExpiry(queue)
    }

    /// A queue has nothing left that could be due.
    func forgetDeadlines(_ queue: UnsafeMutablePointer<QueueState>) {
        if queue.pointee.extra.expiry.runCount > 0 || queue.pointee.extra.expiry.overdueCount > 0 {
            queue.pointee.extra.expiry.removeAll()
        }
        queue.pointee.nextExpiry = .max
    }

    /// Messages that are neither ready nor gone: with consumers, or held back for a while.
    private func awayCount(_ queue: UnsafeMutablePointer<QueueState>) -> Int {
        queue.pointee.unacknowledged + (queue.pointee.withheld?.pointee.count ?? 0)
    }

    /// Keeps the copy of the soonest deadline and a timer for it.
    private func updateExpiry(_ queue: UnsafeMutablePointer<QueueState>) {
        guard let next = queue.pointee.extra.expiry.nextDeadline else {
            queue.pointee.nextExpiry = .max
            return
        }
        let (product, overflow) = next.multipliedReportingOverflow(by: Self.nanosecondsPerMillisecond)
        let nanoseconds = overflow ? .max - 1 : product
        queue.pointee.nextExpiry = nanoseconds
        if nanoseconds < queue.pointee.extra.armedExpiry {
            queue.pointee.extra.armedExpiry = nanoseconds
            self.timers.schedule(at: BrokerInstant(nanoseconds: nanoseconds), .expiry(queue.pointee.address))
        }
    }

    /// A queue's timer has fired.
    func expiryTimerFired(_ address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        if queue.pointee.extra.armedExpiry <= self.now.nanoseconds {
            queue.pointee.extra.armedExpiry = .max
        }
        guard !queue.pointee.isTrimming else { return }
        self.trim(queue)
        self.updateExpiry(queue)
    }

    /// Takes out what is due, at most a turn's worth; returns whether that was all.
    func expireDue(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        guard queue.pointee.nextExpiry <= self.now.nanoseconds else { return true }
        let milliseconds = self.now.nanoseconds / Self.nanosecondsPerMillisecond
        var budget = ShardLimits.deathsPerTurn
        while let run = queue.pointee.extra.expiry.takeDue(at: milliseconds) {
            if let rest = self.expire(run, in: queue, &budget) {
                queue.pointee.extra.expiry.putBack(rest)
                self.updateExpiry(queue)
                self.trimLater(queue)
                return false
            }
        }
        self.compactOverdueIfWorthwhile(queue)
        self.updateExpiry(queue)
        return true
    }

    /// Takes the messages of a run out of a queue; returns what is left of the run when the budget is used up.
    private func expire(
        _ run: ExpiryIndex.Run,
        in queue: UnsafeMutablePointer<QueueState>,
        _ budget: inout Int
    ) -> ExpiryIndex.Run? {
        func rest(from sequence: UInt64) -> ExpiryIndex.Run {
            ExpiryIndex.Run(deadline: run.deadline, first: sequence, count: run.end - sequence)
        }
        var sequence = run.first
        let head = queue.pointee.headSequence
        if queue.pointee.levels != nil {
            // They may stand anywhere.
            if self.awayCount(queue) > 0 {
                queue.pointee.extra.expiry.noteOverdue(SequenceRange(first: run.first, count: run.count))
            }
        } else if sequence < head {
            let end = min(run.end, head)
            while budget > 0 && sequence < end {
                // Nobody is there: what was is with consumers, or done with.
                guard queue.pointee.asideCount > 0 || !queue.pointee.extra.setAside.isEmpty else {
                    sequence = end
                    break
                }
                self.expire(sequence, in: queue, &budget)
                sequence += 1
            }
            if self.awayCount(queue) > 0 {
                queue.pointee.extra.expiry.noteOverdue(SequenceRange(first: run.first, count: sequence - run.first))
            }
        }
        while sequence < run.end {
            guard budget > 0 else { return rest(from: sequence) }
            self.expire(sequence, in: queue, &budget)
            sequence += 1
        }
        return nil
    }

    private func expire(_ sequence: UInt64, in queue: UnsafeMutablePointer<QueueState>, _ budget: inout Int) {
        budget -= 1
        var entry = queue.pointee.removeReady(sequence)
        if entry == nil, !queue.pointee.extra.setAside.isEmpty {
            entry = queue.pointee.extra.setAside.remove(sequence)
        }
        guard let entry else { return }
        self.noteReady(queue, entry, -1)
        self.deadLetter(queue, ConsumerState.Delivery(sequence: sequence, entry: entry), .expired)
    }

    // MARK: Memory

    /// Takes out of the index what consumers have taken out of the queue.
    @inline(never)
    private func compactExpiry(_ queue: UnsafeMutablePointer<QueueState>) {
        let places = self.scatteredPlaces(queue)
        let head = queue.pointee.headSequence
        queue.pointee.extra.expiry.compact { run in
            if run.end > head { return true }
            let index = Self.index(of: run.first, in: places)
            return index < places.count && places[index] < run.end
        }
        self.updateExpiry(queue)
    }

    /// Places of messages that are not in the ring, in order.
    private func scatteredPlaces(_ queue: UnsafeMutablePointer<QueueState>) -> [UInt64] {
        var places = self.awayPlaces(queue)
        queue.pointee.extra.requeued.forEach { places.append($0.sequence) }
        queue.pointee.extra.setAside.forEach { places.append($0.sequence) }
        _ = queue.pointee.levels?.pointee.forEach(from: 0, to: .max) { sequence, _ in places.append(sequence) }
        queue.pointee.groups?.pointee.forEachHeld { places.append($0.sequence) }
        places.sort()
        return places
    }

    /// Places of messages that may come back, in order.
    private func awayPlaces(_ queue: UnsafeMutablePointer<QueueState>) -> [UInt64] {
        var places: [UInt64] = []
        queue.pointee.withheld?.pointee.forEach { places.append($0.sequence) }
        for consumer in queue.pointee.consumers {
            consumer?.pointee.outstanding.forEach { _, delivery in places.append(delivery.sequence) }
        }
        places.sort()
        return places
    }

    private static func index(of place: UInt64, in places: [UInt64]) -> Int {
        var low = 0
        var high = places.count
        while low < high {
            let middle = (low + high) / 2
            if places[middle] < place {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Forgets overdue places whose messages have been acknowledged, when there are many.
    func compactOverdueIfWorthwhile(_ queue: UnsafeMutablePointer<QueueState>) {
        let limit = 2 * self.awayCount(queue) + ExpiryIndex.keptRuns
        if queue.pointee.extra.expiry.overdueCount > limit {
            queue.pointee.extra.expiry.compactOverdue(away: self.awayPlaces(queue))
        }
    }
}
