internal import AMQPProtocol

/// Taking a message into a queue that has limits or deadlines.
extension Shard {
    /// No limit of a message's time.
    static let unlimited = UInt64.max

    /// How many milliseconds a message's own `expiration` gives it in a queue; ``unlimited`` when it has none.
    func timeToLive(_ message: MessageView, _ flags: QueueEntry.Flags) -> UInt64 {
        guard flags.contains(.hasExpiration) else { return Self.unlimited }
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        guard let range = (try? PropertyScan.scan(properties))?.expiration else { return Self.unlimited }
        // Checked at publish: digits, perhaps behind a sign, of a number that fits.
        var value: UInt64 = 0
        for digit in properties[range] where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(digit) {
            value = value &* 10 &+ UInt64(digit &- UInt8(ascii: "0"))
        }
        return value
    }

    /// How many milliseconds a message with such a time of its own may stay in a queue.
    @inline(__always)
    func timeToLive(_ queue: UnsafeMutablePointer<QueueState>, _ own: UInt64) -> UInt64 {
        min(own, queue.pointee.settings.messageTTLMilliseconds ?? Self.unlimited)
    }

    /// Whether a queue takes no further message of that size.
    ///
    /// The limit is looked at before consumers that wait, as in RabbitMQ: a queue of length 0 that refuses takes nothing.
    /// Dead letters that must arrive and that nobody took take their room here.
    @inline(never)
    func refuses(_ queue: UnsafeMutablePointer<QueueState>, bodySize: Int) -> Bool {
        guard queue.pointee.settings.overflow != .dropHead else { return false }
        if queue.pointee.nextExpiry <= self.now.nanoseconds {
            _ = self.expireDue(queue)
        }
        self.dispatchBeforeLimits(queue)
        if let limit = queue.pointee.settings.maxLengthBytes,
            UInt64(queue.pointee.extra.readyBytes) + UInt64(queue.pointee.extra.stuckBytes) + UInt64(bodySize) > limit
        {
            self.noteRefusal(queue, .bytes, bodySize: bodySize)
            return true
        }
        let count = queue.pointee.limitedCount + queue.pointee.extra.stuckDeaths.count
        if let limit = queue.pointee.settings.maxLength, UInt64(count) >= limit {
            self.noteRefusal(queue, .messages, bodySize: bodySize)
            return true
        }
        return false
    }

    /// Lets a queue with limits or a message with a deadline in, unless the queue refuses it: notes its place for the log,
    /// behind whose record ``enqueueAdmitted(_:_:timeToLive:)`` puts it into the queue.
    ///
    /// A queue may have done with a message as soon as it gets it, and that must not be in the log first.
    /// Returns whether the publisher has to wait for the log though nothing is written: for a duplicate's original.
    @inline(never)
    func admit(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        timeToLive: UInt64,
        _ isRejected: inout Bool
    ) -> Bool {
        if queue.pointee.unique != nil && self.isDuplicate(queue, message, flags) {
            return queue.pointee.isLogged && flags.contains(.persistent)
        }
        if queue.pointee.hasFeatures && self.refuses(queue, bodySize: message.bodySize) {
            self.dropRefused(queue, message, flags)
            isRejected = true
            return false
        }
        if queue.pointee.isLogged && flags.contains(.persistent) {
            self.notePlace(queue, timeToLive: timeToLive)
        }
        self.admitted.append(queue)
        return false
    }

    /// Puts a stored message into the queues that have let it in, with a reference for each.
    @inline(never)
    func enqueueAdmitted(_ slot: UInt32, _ flags: QueueEntry.Flags, timeToLive: UInt64) {
        // All at once: each of the queues may let go of it.
        self.store.retain(slot, count: UInt32(self.admitted.count))
        for queue in self.admitted {
            self.enqueue(queue, QueueEntry(slot: slot, flags: flags), timeToLive: timeToLive)
        }
        self.admitted.removeAll(keepingCapacity: true)
    }

    /// What a queue that refuses does with a message: with `reject-publish-dlx` it becomes a dead letter.
    func dropRefused(_ queue: UnsafeMutablePointer<QueueState>, _ message: MessageView, _ flags: QueueEntry.Flags) {
        guard queue.pointee.settings.overflow == .rejectPublishDlx,
            queue.pointee.settings.deadLetterExchange != nil
        else { return }
        self.deadLetter(queue, neverEnqueued: QueueEntry(slot: self.storeCopy(message), flags: flags), .maxLength)
    }

    /// Messages that wait only for the end of this read are not in a consumer's way.
    private func dispatchBeforeLimits(_ queue: UnsafeMutablePointer<QueueState>) {
        if queue.pointee.isTouched && !queue.pointee.rotation.isEmpty {
            self.dispatch(queue)
        }
    }

    /// ``enqueue(_:_:timeToLive:)`` for queues with limits and messages with deadlines.
    @inline(never)
    func enqueueSpecially(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ entry: QueueEntry,
        timeToLive own: UInt64
    ) {
        let time = self.timeToLive(queue, own)
        let sequence = queue.pointee.nextSequence
        var entry = entry
        if time != Self.unlimited {
            entry.flags.insert(.hasDeadline)
        }
        self.noteReady(queue, entry, 1)
        if queue.pointee.levels == nil {
            queue.pointee.ready.append(entry)
        } else {
            self.enqueueByPriority(queue, entry)
        }
        if queue.pointee.unique != nil {
            self.noteUnique(queue, sequence, entry)
        }
        if time == 0 {
            self.deliverOrExpire(queue, sequence)
            return
        }
        if time != Self.unlimited {
            self.addDeadline(queue, sequence, self.now.advanced(milliseconds: time))
        }
        if let header = queue.pointee.settings.delayHeader, self.withholdNew(queue, sequence, entry, header) {
            return
        }
        if !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
        if queue.pointee.settings.isLimited && self.isBeyondLimits(queue) {
            // A consumer that waits gets it before the limit counts.
            self.dispatchBeforeLimits(queue)
            self.dropHead(queue)
        }
    }

    /// A message that may not wait at all: a consumer takes it now, or it is over.
    private func deliverOrExpire(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64) {
        self.dispatch(queue)
        guard let entry = queue.pointee.removeReady(sequence) else {
            queue.pointee.extra.expiry.noteOverdue(SequenceRange(first: sequence, count: 1))
            self.compactOverdueIfWorthwhile(queue)
            return
        }
        self.noteReady(queue, entry, -1)
        self.deadLetter(queue, ConsumerState.Delivery(sequence: sequence, entry: entry), .expired)
    }

    /// A ready message has come (`change` 1) or gone (-1).
    @inline(__always)
    func noteReady(_ queue: UnsafeMutablePointer<QueueState>, _ entry: QueueEntry, _ change: Int) {
        if queue.pointee.settings.maxLengthBytes != nil {
            queue.pointee.extra.readyBytes += change * self.store.bodySize(entry.slot)
        }
    }

    /// Takes the next message out of a queue that has one.
    @inline(__always)
    func takeNext(_ queue: UnsafeMutablePointer<QueueState>) -> ConsumerState.Delivery {
        let delivery = queue.pointee.takeNext()
        if queue.pointee.hasFeatures {
            self.noteReady(queue, delivery.entry, -1)
        }
        return delivery
    }

    // MARK: Limits

    /// Whether a queue has more than it may.
    func isBeyondLimits(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        if let limit = queue.pointee.settings.maxLength, UInt64(queue.pointee.limitedCount) > limit { return true }
        if let limit = queue.pointee.settings.maxLengthBytes, UInt64(queue.pointee.extra.readyBytes) > limit {
            return true
        }
        return false
    }

    /// Drops what would be delivered next until the queue is within its limits; much of it in pieces.
    func dropHead(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.settings.overflow == .dropHead, !queue.pointee.isArranging else { return }
        var budget = ShardLimits.deathsPerTurn
        while self.isBeyondLimits(queue), queue.pointee.hasReady || !queue.pointee.extra.setAside.isEmpty {
            guard budget > 0 else {
                self.trimLater(queue)
                return
            }
            budget -= 1
            if let element = queue.pointee.takeFirstSetAside() {
                self.noteReady(queue, element.entry, -1)
                self.deadLetter(queue, element, .maxLength)
                continue
            }
            self.deadLetter(queue, self.takeNext(queue), .maxLength)
        }
    }

    /// Goes on with what is due or beyond the limits in another turn.
    func trimLater(_ queue: UnsafeMutablePointer<QueueState>) {
        guard !queue.pointee.isTrimming else { return }
        queue.pointee.isTrimming = true
        self.pendingWork.append(.trim(queue.pointee.address))
    }

    /// Goes on with what is due or beyond the limits.
    func trim(_ queue: UnsafeMutablePointer<QueueState>) {
        queue.pointee.isTrimming = false
        let isDone = self.expireDue(queue)
        if queue.pointee.settings.isLimited {
            self.dropHead(queue)
        }
        if isDone && queue.pointee.hasReady && !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }
}
