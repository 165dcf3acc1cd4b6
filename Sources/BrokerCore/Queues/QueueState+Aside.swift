internal import AMQPProtocol

/// Ready messages that are not in the ring.
extension QueueState {
    /// Gives the queue levels, if it has priorities; it has none.
    mutating func makeLevels(_ highest: UInt8?) {
        guard let highest else { return }
        let levels = UnsafeMutablePointer<PriorityLevels>.allocate(capacity: 1)
        levels.initialize(to: PriorityLevels(highest: highest, counting: self.ready.memory))
        self.levels = levels
    }

    /// Takes all levels away with what is in them; empty ones take their place.
    mutating func takeLevels() -> UnsafeMutablePointer<PriorityLevels>? {
        guard let levels = self.levels else { return nil }
        self.makeLevels(levels.pointee.highest)
        return levels
    }

    /// Appends a message of a queue with priorities.
    mutating func appendToLevel(_ entry: QueueEntry) {
        self.levels?.pointee.append(self.headSequence, entry)
        self.headSequence &+= 1
        self.asideCount &+= 1
    }

    /// Appends a message that was there before a restart to its level; places ascend.
    ///
    /// `isReturned` when an older or newer one may still come back: then it must stand with those that did.
    mutating func restoreToLevel(_ sequence: UInt64, _ entry: QueueEntry, isReturned: Bool) {
        guard let levels = self.levels else { return }
        if isReturned {
            levels.pointee.putBack(sequence, entry)
        } else {
            levels.pointee.append(sequence, entry)
        }
        self.asideCount &+= 1
    }

    /// Puts a message that was there before a restart in front of the ring, by its place.
    mutating func restoreAside(_ sequence: UInt64, _ entry: QueueEntry) {
        self.extra.requeued.insert(sequence, entry)
        self.asideCount &+= 1
    }

    /// Puts a message back to its old place, whatever the order in which others come back.
    mutating func returnToPlace(_ sequence: UInt64, _ entry: QueueEntry) {
        guard self.levels == nil else {
            self.putBack(sequence, entry)
            return
        }
        self.restoreAside(sequence, entry)
    }

    /// Puts a message back to its old place.
    mutating func putBack(_ sequence: UInt64, _ entry: QueueEntry) {
        if let levels = self.levels {
            levels.pointee.putBack(sequence, entry)
        } else {
            var order = sequence
            if self.returnRules.isFirstInFirstOut {
                // Behind everything that has its order from its place.
                order = 1 << 63 | self.extra.returnCount
                self.extra.returnCount &+= 1
            }
            self.extra.requeued.insert(sequence, entry, order: order)
        }
        self.asideCount &+= 1
    }

    /// Begins to take each message once, or ceases to; what is there already does not count.
    mutating func makeUnique(_ isUnique: Bool) {
        guard isUnique != (self.unique != nil) else { return }
        self.unique = isUnique ? UniqueMessages(counting: self.ready.memory) : nil
        self.followsMessages = isUnique || self.groups != nil
        self.updateFeatures()
    }

    /// Begins to tell groups apart, or ceases to; nothing is held back.
    mutating func makeGroups(_ header: ShortString?) {
        self.groups?.deinitialize(count: 1)
        self.groups?.deallocate()
        self.groups = nil
        self.followsMessages = header != nil || self.unique != nil
        guard let header else { return }
        let groups = UnsafeMutablePointer<MessageGroups>.allocate(capacity: 1)
        groups.initialize(to: MessageGroups(header: header, counting: self.ready.memory))
        groups.pointee.highest = self.settings.maxPriority ?? 0
        self.groups = groups
    }

    /// Removes the first ready message that is not held back for its group; nil when there is none.
    mutating func takeUnseen() -> ConsumerState.Delivery? {
        let heldCount = self.groups?.pointee.heldCount ?? 0
        if self.asideCount > heldCount {
            self.asideCount -= 1
            return self.takeReturned()
        }
        guard !self.ready.isEmpty else { return nil }
        return self.takeFromRing()
    }

    /// The message that ``takeUnseen()`` would remove; nil when there is none.
    var nextUnseen: QueueEntry? {
        if self.asideCount > self.groups?.pointee.heldCount ?? 0 { return self.nextReturned }
        return self.ready.isEmpty ? nil : self.ready.entry(at: 0)
    }

    /// The message that ``takeNext()`` would remove; there is one, and none is held back for its group.
    @inline(__always)
    var nextEntry: QueueEntry {
        self.asideCount != 0 ? self.nextReturned : self.ready.entry(at: 0)
    }

    private var nextReturned: QueueEntry {
        if let levels = self.levels { return levels.pointee.first }
        return self.extra.requeued.first.entry
    }

    /// Hands over ready messages outside of the ring, what is delivered next rather first, until `body` has enough.
    func forEachNextAside(_ body: (QueueEntry) -> Bool) {
        if let levels = self.levels {
            levels.pointee.forEachNext(body)
        } else {
            self.extra.requeued.forEachNext(body)
        }
    }

    /// The messages that wait; makes room for them if there was none.
    mutating func makeWithheld() -> UnsafeMutablePointer<WithheldMessages> {
        if let withheld = self.withheld { return withheld }
        let withheld = UnsafeMutablePointer<WithheldMessages>.allocate(capacity: 1)
        withheld.initialize(to: WithheldMessages(counting: self.ready.memory))
        self.withheld = withheld
        return withheld
    }

    /// Removes the message whose turn it is, when there are some outside of the ring: those come first.
    @inline(never)
    mutating func takeAside() -> ConsumerState.Delivery {
        self.asideCount &-= 1
        if let groups = self.groups, let held = groups.pointee.takeOldestHeld() {
            // Held back, so older than what has not been looked at.
            return held
        }
        return self.takeReturned()
    }

    private mutating func takeReturned() -> ConsumerState.Delivery {
        if let levels = self.levels {
            return levels.pointee.removeFirst()
        }
        let element = self.extra.requeued.removeFirst()
        return ConsumerState.Delivery(sequence: element.sequence, entry: element.entry)
    }
}

extension Shard {
    /// Enqueues a message of a queue with priorities.
    @inline(never)
    func enqueueByPriority(_ queue: UnsafeMutablePointer<QueueState>, _ entry: QueueEntry) {
        if queue.pointee.isArranging {
            // Behind everything that has no level yet.
            queue.pointee.ready.append(entry)
        } else {
            queue.pointee.appendToLevel(entry)
        }
    }
}
