/// What the log is told of deliveries that came back.
struct ReturnLog {
    /// Messages of one queue that came back equally often and that no record tells yet.
    var countedQueue: UInt64 = 0
    var count: UInt16 = 0
    var counted: [SequenceRange] = []
    /// Messages of one queue that wait and that no record tells yet.
    var retriedQueue: UInt64 = 0
    var retries: [RetryRecord.Retry] = []
}

extension Shard {
    /// A message has come back.
    func logReturned(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) {
        guard queue.pointee.isLogged, delivery.entry.flags.contains(.persistent) else { return }
        let number = queue.pointee.durableID
        let count = delivery.entry.flags.deliveryCount
        let isOther = self.log.returns.countedQueue != number || self.log.returns.count != count
        if isOther || self.log.returns.counted.count == ShardLimits.settledRanges {
            self.flushCounted()
            self.log.returns.countedQueue = number
            self.log.returns.count = count
        }
        if let last = self.log.returns.counted.last, last.first + last.count == delivery.sequence {
            self.log.returns.counted[self.log.returns.counted.count - 1].count += 1
        } else {
            self.log.returns.counted.append(SequenceRange(first: delivery.sequence, count: 1))
        }
    }

    /// A message waits.
    func logRetry(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, at epochMilliseconds: UInt64) {
        let number = queue.pointee.durableID
        let isFull = self.log.returns.retries.count == ShardLimits.settledRanges
        if self.log.returns.retriedQueue != number || isFull {
            self.flushRetries()
            self.log.returns.retriedQueue = number
        }
        self.log.returns.retries.append(
            RetryRecord.Retry(sequence: sequence, epochMilliseconds: epochMilliseconds)
        )
    }

    /// A message gets another place: at once, because whatever is told of that place must stand behind.
    func logMoved(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery, to sequence: UInt64) {
        let base = self.appendLog(.move, size: MoveRecord.size)
        MoveRecord.write(
            queue: queue.pointee.durableID,
            deliveryCount: delivery.entry.flags.deliveryCount,
            from: delivery.sequence,
            to: sequence,
            at: base
        )
    }

    /// A message gets another place while live state is told again: whole, because where it was may not have been told yet
    /// and where it is may not be told any more.
    func logAgain(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery, to sequence: UInt64) {
        var place = DurablePlace(queue: queue.pointee.durableID, sequence: sequence)
        if delivery.entry.flags.contains(.hasDeadline) {
            let deadline = queue.pointee.extra.expiry.deadline(of: delivery.sequence)
            place.deadline = deadline.map { self.epochMilliseconds(ofDeadline: $0) } ?? 1
            self.log.isTimed = true
        }
        self.log.places.append(place)
        let location = self.logMessage(self.store.record(delivery.entry.slot).view, delivery.entry.flags)
        self.noteLogged(delivery.entry.slot, at: location)
        self.logReturned(queue, ConsumerState.Delivery(sequence: sequence, entry: delivery.entry))
        self.logSettled(queue, delivery.sequence, delivery.entry.flags)
    }

    /// Tells a message's count and wait once more, for a snapshot.
    func tellReturned(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ entry: QueueEntry) {
        // A queue that counted before it was altered has nothing else that tells of a redelivery.
        let isToldElsewhere = queue.pointee.returnRules.isPlain && sequence < queue.pointee.deliveredUpTo
        guard entry.flags.deliveryCount > 0, !isToldElsewhere else { return }
        self.logReturned(queue, ConsumerState.Delivery(sequence: sequence, entry: entry))
    }

    /// Writes what came back in the turn.
    func flushReturns() {
        self.flushCounted()
        self.flushRetries()
    }

    private func flushCounted() {
        guard !self.log.returns.counted.isEmpty else { return }
        let size = DeliveryCountRecord.size(ranges: self.log.returns.counted.count)
        let base = self.appendLog(.deliveryCount, size: size)
        DeliveryCountRecord.write(
            queue: self.log.returns.countedQueue,
            deliveryCount: self.log.returns.count,
            ranges: self.log.returns.counted,
            at: base
        )
        self.log.returns.counted.removeAll(keepingCapacity: true)
    }

    private func flushRetries() {
        guard !self.log.returns.retries.isEmpty else { return }
        let base = self.appendLog(.retry, size: RetryRecord.size(retries: self.log.returns.retries.count))
        RetryRecord.write(queue: self.log.returns.retriedQueue, retries: self.log.returns.retries, at: base)
        self.log.returns.retries.removeAll(keepingCapacity: true)
    }
}
