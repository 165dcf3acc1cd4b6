internal import AMQPProtocol

/// `x-group-header`: messages with one value of a header go to one consumer at a time, in order.
///
/// ```
/// ready --look--> handed out            the group is nobody's, or this consumer's
///        \------> held back --> handed out   when its owner has room, or the group is nobody's again
/// ```
///
/// A group is its consumer's from the first delivery until nothing of it is out. What came back goes out again before what
/// is newer. Messages without the header go as if there were no groups.
extension Shard {
    /// Gives a queue's ready messages to ready consumers.
    func dispatchGrouped(_ queue: UnsafeMutablePointer<QueueState>) {
        // What is asked for comes first; a consumer whose channel has a limit would ask for grants in vain meanwhile.
        guard !queue.pointee.isStalled, self.knowsGroups(queue) else { return }
        // Consumers for whom there is nothing now, though they have room.
        var idle: [UnsafeMutablePointer<ConsumerState>] = []
        var budget = ShardLimits.groupedMessages
        while queue.pointee.hasReady, budget > 0 {
            let next = queue.pointee.isFair ? self.leastLoaded(queue) : self.nextByTurn(queue)
            guard let consumer = next else { break }
            let isBusy = queue.pointee.isFair && self.isLoadedEnough(consumer, queue)
            guard !isBusy, self.isReadyNow(consumer, queue) else {
                self.makeUnready(consumer, of: queue)
                continue
            }
            guard let (delivery, group) = self.takeNext(queue, for: consumer.pointee.id, &budget) else {
                queue.pointee.rotation.remove(consumer.pointee.id, priority: consumer.pointee.priority)
                idle.append(consumer)
                continue
            }
            budget -= 1
            if let group {
                self.assign(queue, delivery, group, to: consumer)
            }
            self.hand(delivery, to: consumer, of: queue)
            if !queue.pointee.isFair {
                queue.pointee.rotation.rotate()
            }
        }
        for consumer in idle {
            queue.pointee.rotation.append(consumer.pointee.id, priority: consumer.pointee.priority)
        }
        if budget <= 0 && queue.pointee.hasReady && !queue.pointee.rotation.isEmpty {
            self.pendingWork.append(.dispatch(queue.pointee.address))
        }
    }

    /// The consumer whose turn it is.
    private func nextByTurn(
        _ queue: UnsafeMutablePointer<QueueState>
    ) -> UnsafeMutablePointer<ConsumerState>? {
        while let id = queue.pointee.rotation.first {
            if let consumer = queue.pointee.consumers[Int(id)] { return consumer }
            queue.pointee.rotation.removeFirst()
        }
        return nil
    }

    /// Takes the oldest message that a consumer may get; messages that it may not get are held back on the way.
    private func takeNext(
        _ queue: UnsafeMutablePointer<QueueState>,
        for consumer: UInt32,
        _ budget: inout Int
    ) -> (ConsumerState.Delivery, MessageGroup?)? {
        guard let groups = queue.pointee.groups else { return nil }
        while let (delivery, group) = groups.pointee.takeHeld(for: consumer) {
            guard self.store.isResident(delivery.entry.slot) else {
                if self.store.isLost(delivery.entry.slot) {
                    queue.pointee.asideCount -= 1
                    self.noteReady(queue, delivery.entry, -1)
                    self.drop(queue, delivery)
                    groups.pointee.pass(group)
                    continue
                }
                if self.store.isUnread(delivery.entry.slot) {
                    queue.pointee.asideCount -= 1
                    self.setAside(queue, delivery)
                    groups.pointee.pass(group)
                    continue
                }
                groups.pointee.hold(delivery, group)
                self.loadHeld(queue, delivery.entry.slot)
                return nil
            }
            queue.pointee.asideCount -= 1
            self.noteReady(queue, delivery.entry, -1)
            return (delivery, group)
        }
        while budget > 0, let next = queue.pointee.nextUnseen {
            let isLost = self.store.isLost(next.slot)
            if self.store.isUnread(next.slot), let delivery = queue.pointee.takeUnseen() {
                self.setAside(queue, delivery)
                continue
            }
            guard isLost || self.store.isResident(next.slot) else {
                self.awaitDisk(queue, for: next.slot)
                return nil
            }
            guard let delivery = queue.pointee.takeUnseen() else { return nil }
            guard !isLost else {
                self.noteReady(queue, delivery.entry, -1)
                self.drop(queue, delivery)
                continue
            }
            let message = self.store.record(delivery.entry.slot).view
            guard let group = groups.pointee.group(of: message) else {
                self.noteReady(queue, delivery.entry, -1)
                return (delivery, nil)
            }
            if groups.pointee.mayGo(group, to: consumer) {
                self.noteReady(queue, delivery.entry, -1)
                return (delivery, group)
            }
            groups.pointee.hold(delivery, group)
            queue.pointee.asideCount += 1
            budget -= 1
        }
        return nil
    }

    /// A message of a group is about to be handed to a consumer.
    private func assign(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        _ group: MessageGroup,
        to consumer: UnsafeMutablePointer<ConsumerState>
    ) {
        if consumer.pointee.noAck {
            queue.pointee.groups?.pointee.pass(group)
        } else {
            queue.pointee.groups?.pointee.deliver(delivery.sequence, group, to: consumer.pointee.id)
        }
    }

    /// Takes the oldest message that `basic.get` may have; `getter` is the channel's, nil without acknowledgement.
    func takeForGet(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ getter: UnsafeMutablePointer<ConsumerState>?
    ) -> ConsumerState.Delivery? {
        guard self.knowsGroups(queue) else { return nil }
        var budget = Int.max
        let id = getter?.pointee.id ?? MessageGroup.noOwner
        guard let (delivery, group) = self.takeNext(queue, for: id, &budget) else { return nil }
        guard let group else { return delivery }
        if let getter {
            queue.pointee.groups?.pointee.deliver(delivery.sequence, group, to: getter.pointee.id)
        } else {
            queue.pointee.groups?.pointee.pass(group)
        }
        return delivery
    }

    /// A getter that was made for a message has it.
    func claimGroup(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        _ getter: UnsafeMutablePointer<ConsumerState>
    ) {
        let message = self.store.record(delivery.entry.slot).view
        if let group = queue.pointee.groups?.pointee.group(of: message) {
            queue.pointee.groups?.pointee.deliver(delivery.sequence, group, to: getter.pointee.id)
        }
    }

    // MARK: After a start

    /// Whether the groups of all messages that wait are known.
    ///
    /// Those on disk are asked for, and nothing of the queue goes out until they are known: it might belong behind one of
    /// them.
    private func knowsGroups(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        guard let groups = queue.pointee.groups, !groups.pointee.unknown.isEmpty else { return true }
        let read = PageRead(for: .queue(queue.pointee.address))
        var isMissing = false
        queue.pointee.withheld?.pointee.forEach { element in
            let slot = element.entry.slot
            guard groups.pointee.unknown.contains(element.sequence), !self.store.isLost(slot),
                !self.store.isUnread(slot)
            else { return }
            if self.store.isResident(slot) {
                groups.pointee.restoreWaiting(element.sequence, self.store.record(slot).view)
                return
            }
            isMissing = true
            if read.octets < ShardLimits.pageReadBytes && read.wanted.count < ShardLimits.pageReadMessages {
                self.want(slot, read)
            }
        }
        guard isMissing else { return true }
        self.noteStalled(queue)
        if !read.wanted.isEmpty {
            queue.pointee.extra.loads += 1
            self.paging.requests.append(.read(read))
        }
        return false
    }

    // MARK: What becomes of messages

    /// A message that was out is done with.
    @inline(never)
    func settleInGroup(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64) {
        queue.pointee.groups?.pointee.settle(sequence)
        if queue.pointee.groups?.pointee.heldCount ?? 0 > 0 && !queue.pointee.rotation.isEmpty {
            // The group may be somebody else's now.
            self.touch(queue)
        }
    }

    /// A message that was out, or waited, is ready again; returns whether it is held back, and not to be put elsewhere.
    func becomeReadyInGroup(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ delivery: ConsumerState.Delivery,
        wasWaiting: Bool
    ) -> Bool {
        guard let groups = queue.pointee.groups else { return false }
        if wasWaiting && groups.pointee.isRestored(delivery.sequence) {
            // Older ones of the group may never have been looked at, newer ones be held back: all take their places.
            groups.pointee.takeHeld(behind: delivery.sequence) { self.release($0, heldIn: queue) }
            groups.pointee.forgetWaiting(delivery.sequence)
            return false
        }
        guard groups.pointee.takeBack(delivery, wasWaiting: wasWaiting) else { return false }
        queue.pointee.asideCount += 1
        return true
    }

    /// Puts everything that is held back where other ready messages are.
    func releaseHeld(_ queue: UnsafeMutablePointer<QueueState>) {
        guard let groups = queue.pointee.groups else { return }
        groups.pointee.takeAllHeld { self.release($0, heldIn: queue) }
    }

    private func release(_ delivery: ConsumerState.Delivery, heldIn queue: UnsafeMutablePointer<QueueState>) {
        if self.log.snapshot != nil {
            self.tellMoving(queue, delivery.sequence, delivery.entry)
        }
        queue.pointee.asideCount -= 1
        queue.pointee.putBack(delivery.sequence, delivery.entry)
    }

    /// The queue's groups are told by another header, or by none: what is out is forgotten.
    ///
    /// Or other priorities count, which decide what of a group is first.
    func regroup(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.groups?.pointee.header != queue.pointee.settings.groupHeader else {
            let highest = queue.pointee.settings.maxPriority ?? 0
            if let groups = queue.pointee.groups, groups.pointee.highest != highest {
                self.releaseHeld(queue)
                groups.pointee.highest = highest
            }
            return
        }
        self.releaseHeld(queue)
        queue.pointee.makeGroups(queue.pointee.settings.groupHeader)
    }
}
