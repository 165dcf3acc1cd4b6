internal import AMQPProtocol

/// What becomes of deliveries that come back, in queues that have rules for them.
///
/// ```
/// outstanding --takeBack--> dead            the delivery limit is exceeded
///                      \--> withheld --fireRetries--> ready, old place
///                      \--> ready, end of the queue (quorum queues without a limit, given back by a consumer)
///                      \--> ready, old place
/// ```
extension Shard {
    /// Takes a delivery back that its consumer had, whatever the queue's rules.
    @inline(never)
    func takeBack(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        _ cause: ReturnCause
    ) {
        // What is dead keeps the count that the log has: should a start find it in its queue after all, it comes once more,
        // and no consumer is told of more returns than there may be, nor of fewer than before.
        let dead = delivery
        var delivery = delivery
        delivery.entry.flags.countReturn()
        if delivery.entry.flags.contains(.hasDeadline) && queue.pointee.extra.expiry.isOverdue(delivery.sequence) {
            self.expireReturned(queue, dead, wasWaiting: false)
            return
        }
        guard !queue.pointee.returnRules.isPlain else {
            self.becomeReady(queue, delivery)
            return
        }
        let count = delivery.entry.flags.deliveryCount
        if let limit = queue.pointee.returnRules.limit, count > limit {
            self.exceedLimit(queue, dead)
            return
        }
        if cause != .returned && queue.pointee.returnRules.goesToTail {
            self.moveToTail(queue, delivery)
            return
        }
        self.logReturned(queue, delivery)
        if let wait = queue.pointee.returnRules.wait(cause, count: count) {
            self.withhold(queue, delivery, until: self.now.advanced(milliseconds: wait))
        } else {
            self.becomeReady(queue, delivery)
        }
    }

    /// A message comes back, from a consumer or after it has waited, and its time is over.
    private func expireReturned(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        wasWaiting: Bool
    ) {
        if wasWaiting {
            queue.pointee.groups?.pointee.forgetWaiting(delivery.sequence)
        } else if queue.pointee.groups != nil {
            self.settleInGroup(queue, delivery.sequence)
        }
        self.deadLetter(queue, delivery, .expired)
    }

    /// A message has been tried too often.
    private func exceedLimit(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) {
        if queue.pointee.groups != nil {
            self.settleInGroup(queue, delivery.sequence)
        }
        self.deadLetter(queue, delivery, .deliveryLimit)
    }

    /// A message can be delivered again, at its old place, unless its time is over or there is no room.
    func becomeReady(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        wasWaiting: Bool = false
    ) {
        if delivery.entry.flags.contains(.hasDeadline) && queue.pointee.extra.expiry.isOverdue(delivery.sequence) {
            self.expireReturned(queue, delivery, wasWaiting: wasWaiting)
            return
        }
        if self.log.snapshot != nil {
            self.tellMoving(queue, delivery.sequence, delivery.entry)
        }
        if queue.pointee.groups == nil || !self.becomeReadyInGroup(queue, delivery, wasWaiting: wasWaiting) {
            queue.pointee.putBack(delivery.sequence, delivery.entry)
        }
        if queue.pointee.hasFeatures {
            // Before consumers that wait get it, as in RabbitMQ.
            self.noteReady(queue, delivery.entry, 1)
            self.dropHead(queue)
        }
        if !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }

    /// A message gets a place at the end of its queue.
    private func moveToTail(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) {
        let sequence = queue.pointee.nextSequence
        if queue.pointee.isLogged && delivery.entry.flags.contains(.persistent) {
            if !self.mustTell(queue, delivery.entry) {
                self.logMoved(queue, delivery, to: sequence)
            } else if self.store.isResident(delivery.entry.slot) {
                self.logAgain(queue, delivery, to: sequence)
            } else {
                // It cannot be told before it is read from disk.
                self.logMoved(queue, delivery, to: sequence)
            }
        }
        queue.pointee.ready.append(delivery.entry)
        self.moveDeadline(queue, delivery, to: sequence)
        queue.pointee.unique?.move(delivery.sequence, to: sequence)
        if self.log.snapshot != nil {
            self.tellMovedLater(queue, delivery.entry)
        }
        if queue.pointee.hasFeatures {
            self.noteReady(queue, delivery.entry, 1)
            self.dropHead(queue)
        }
        if !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }

    // MARK: Waiting

    /// Keeps a message from being delivered until its time has come.
    func withhold(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        until due: BrokerInstant
    ) {
        if queue.pointee.isLogged && delivery.entry.flags.contains(.persistent) {
            self.logRetry(queue, delivery.sequence, at: self.epochMilliseconds(at: due))
        }
        queue.pointee.groups?.pointee.wait(delivery.sequence)
        self.addWithheld(queue, delivery, until: due)
    }

    /// Keeps a message from being delivered; the log knows.
    func addWithheld(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        until due: BrokerInstant
    ) {
        let withheld = queue.pointee.makeWithheld()
        withheld.pointee.insert(
            WithheldMessages.Element(due: due, sequence: delivery.sequence, entry: delivery.entry)
        )
        self.scheduleRetries(queue, withheld)
    }

    /// Has the shard look at the queue when its first message is due, unless it does so before.
    func scheduleRetries(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ withheld: UnsafeMutablePointer<WithheldMessages>
    ) {
        guard let due = withheld.pointee.nextDue else { return }
        if let timer = withheld.pointee.timer, timer <= due { return }
        withheld.pointee.timer = due
        self.timers.schedule(at: due, .retries(queue.pointee.address))
    }

    /// Messages may have waited long enough.
    func fireRetries(_ address: QueueAddress) {
        guard let queue = self.queue(address), let withheld = queue.pointee.withheld else { return }
        if let timer = withheld.pointee.timer, timer <= self.now {
            withheld.pointee.timer = nil
        }
        var budget = ShardLimits.retriedMessages
        while budget > 0, let element = withheld.pointee.popDue(self.now) {
            budget -= 1
            self.becomeReady(
                queue,
                ConsumerState.Delivery(sequence: element.sequence, entry: element.entry),
                wasWaiting: true
            )
        }
        if let due = withheld.pointee.nextDue, due <= self.now {
            // Many failed at once: the rest behind other inputs.
            self.pendingWork.append(.retries(address))
        } else {
            self.scheduleRetries(queue, withheld)
        }
        self.dispatchTouchedQueues()
    }

    /// Drops all messages that wait; returns how many.
    func dropWithheld(_ queue: UnsafeMutablePointer<QueueState>, isLogged: Bool) -> Int {
        guard let withheld = queue.pointee.withheld else { return 0 }
        var count = 0
        while let element = withheld.pointee.popFirst() {
            queue.pointee.groups?.pointee.forgetWaiting(element.sequence)
            if isLogged {
                self.logSettled(queue, element.sequence, element.entry.flags)
            }
            queue.pointee.unique?.remove(element.sequence)
            self.store.release(element.entry.slot)
            count += 1
        }
        return count
    }

    // MARK: What consumers are told

    /// Lends a message with the header that tells how often it has come back.
    ///
    /// The header table is put in order, as RabbitMQ does when it writes this header.
    @inline(never)
    func withDeliveryCount(
        _ view: MessageView,
        _ count: UInt16,
        _ rules: ReturnRules,
        _ body: (MessageView) -> Void
    ) {
        let properties = UnsafeRawBufferPointer(start: view.properties, count: view.propertiesSize)
        guard let scan = try? PropertyScan.scan(properties) else {
            body(view)
            return
        }
        var counts: [(ShortString, FieldValue)] = [("x-delivery-count", .int64(Int64(count)))]
        if count > 0 && rules.showsAcquired {
            counts.append(("x-acquired-count", .int64(Int64(count))))
        }
        let rewritten = PropertyRewrite.setting(counts, in: properties, scan)
        rewritten.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var changed = view
            changed.properties = base
            changed.propertiesSize = bytes.count
            body(changed)
        }
    }
}

/// Changes of encoded properties.
enum PropertyRewrite {
    /// Sets headers: the first of each name is replaced, and the table is ordered by name.
    static func setting(
        _ headers: [(ShortString, FieldValue)],
        in properties: UnsafeRawBufferPointer,
        _ scan: PropertyScan
    ) -> [UInt8] {
        var entries: [(ShortString, FieldValue)] = []
        if let range = scan.headers,
            let table = try? FieldTable(validating: UnsafeRawBufferPointer(rebasing: properties[range]))
        {
            entries = table.map { ($0.key, $0.value) }
        }
        for (key, value) in headers {
            if let index = entries.firstIndex(where: { $0.0 == key }) {
                entries[index].1 = value
            } else {
                entries.append((key, value))
            }
        }
        let ordered = entries.enumerated()
            .sorted { ($0.element.0, $0.offset) < ($1.element.0, $1.offset) }
            .map(\.element)
        return self.replacingHeaders(of: properties, scan, with: FieldTable(ordered))
    }

    /// Replaces the header table, or adds one.
    private static func replacingHeaders(
        of properties: UnsafeRawBufferPointer,
        _ scan: PropertyScan,
        with table: FieldTable
    ) -> [UInt8] {
        let start: Int
        let end: Int
        if let range = scan.headers {
            // Without the length in front.
            start = range.lowerBound - 4
            end = range.upperBound
        } else {
            start = self.headersOffset(properties, scan.flags)
            end = start
        }
        let flags = scan.flags | PropertyFlags.headers
        var bytes: [UInt8] = []
        bytes.reserveCapacity(properties.count + table.encodedSize)
        bytes.append(UInt8(truncatingIfNeeded: flags >> 8))
        bytes.append(UInt8(truncatingIfNeeded: flags))
        bytes.append(contentsOf: properties[2..<start])
        // A table came in a frame, whose size has 32 bits.
        withUnsafeBytes(of: UInt32(truncatingIfNeeded: table.encodedBytes.count).bigEndian) {
            bytes.append(contentsOf: $0)
        }
        bytes.append(contentsOf: table.encodedBytes)
        bytes.append(contentsOf: properties[end...])
        return bytes
    }

    /// Where the headers belong in properties without them: behind two short strings, if those are there.
    private static func headersOffset(_ properties: UnsafeRawBufferPointer, _ flags: UInt16) -> Int {
        var offset = 2
        for flag in [PropertyFlags.contentType, PropertyFlags.contentEncoding] where flags & flag != 0 {
            // The scan has found the string whole.
            offset += 1 + Int(properties[offset])
        }
        return offset
    }
}
