internal import AMQPProtocol

/// Messages come back from disk before they are needed, or when they are.
///
/// A queue whose next message is on disk is *stalled*: nothing of it is delivered, others go on. It asks for a window of
/// what comes next, and for the one behind it while that is delivered.
extension Shard {
    /// Whether the message whose turn it is, of a queue that has one, is in memory.
    @inline(__always)
    func isNextResident(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        self.store.pagedCount == 0 || self.store.isResident(queue.pointee.nextEntry.slot)
    }

    /// The message whose turn it is, is not in memory: it is asked for.
    ///
    /// Returns whether the queue can go on: the message is lost, and gone now, or set aside.
    @inline(never)
    func stall(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        let slot = queue.pointee.nextEntry.slot
        if self.store.isLost(slot) {
            self.drop(queue, self.takeNext(queue))
            return true
        }
        if self.store.isUnread(slot) {
            self.setAside(queue, queue.pointee.takeNext())
            return true
        }
        self.awaitDisk(queue, for: slot)
        return false
    }

    /// Nothing of a queue is delivered until the disk has given a message.
    func awaitDisk(_ queue: UnsafeMutablePointer<QueueState>, for slot: UInt32) {
        guard !queue.pointee.isStalled else { return }
        self.noteStalled(queue)
        guard !self.paging.refused.contains(slot) else { return }
        self.load(queue)
    }

    /// Lets go of a message that is damaged on disk.
    func drop(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) {
        queue.pointee.unique?.remove(delivery.sequence)
        self.store.release(delivery.entry.slot)
    }

    /// A message that was held back for its group may go, and is not in memory: it is asked for, at its place.
    @inline(never)
    func loadHeld(_ queue: UnsafeMutablePointer<QueueState>, _ slot: UInt32) {
        self.noteStalled(queue)
        let read = PageRead(for: .queue(queue.pointee.address))
        self.want(slot, read)
        if !read.wanted.isEmpty {
            queue.pointee.extra.loads += 1
            self.paging.requests.append(.read(read))
        }
    }

    /// The dead message whose turn it is is not in memory: it is asked for, and those behind it.
    @inline(never)
    func loadDeaths() {
        self.paging.areDeathsAwaited = true
        // Whoever answers or brings something has us look again.
        guard self.paging.deathLoads < 2 else { return }
        guard self.mayReadToMove(&self.paging.nextAlarmedDeaths) else {
            if !self.paging.isMoveTimerSet {
                self.paging.isMoveTimerSet = true
                self.timers.schedule(at: self.paging.nextAlarmedDeaths, .deaths)
            }
            return
        }
        if let next = self.deaths.first, self.paging.refused.contains(next.entry.slot) { return }
        let read = PageRead(for: .deaths)
        for death in self.deaths.prefix(ShardLimits.pageReadMessages) {
            self.want(death.entry.slot, read)
            if read.octets >= ShardLimits.pageReadBytes { break }
        }
        if !read.wanted.isEmpty {
            self.paging.deathLoads += 1
            self.paging.requests.append(.read(read))
        }
    }

    /// Nothing of a queue is delivered until the disk has answered somebody.
    func noteStalled(_ queue: UnsafeMutablePointer<QueueState>) {
        guard !queue.pointee.isStalled else { return }
        queue.pointee.isStalled = true
        self.paging.stalled.append(queue.pointee.address)
    }

    /// A `basic.get` waits for a message that is on disk.
    func park(_ get: ShardCommand) {
        self.paging.gets.append(get)
    }

    /// Asks for the next messages of a queue that are on disk and not asked for yet.
    func load(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.extra.loads < 2 else { return }
        let read = PageRead(for: .queue(queue.pointee.address))
        var scanned = 0
        let window = queue.pointee.extra.window
        // Two windows ahead, once it is known how many messages one is.
        let limit = window == 0 ? ShardLimits.pageReadMessages : 2 * window
        if queue.pointee.asideCount > 0 {
            queue.pointee.forEachNextAside { entry in
                scanned += 1
                self.want(entry.slot, read)
                return scanned < limit && read.octets < ShardLimits.pageReadBytes
            }
        }
        var offset = 0
        let count = queue.pointee.ready.count
        while scanned < limit && offset < count && read.octets < ShardLimits.pageReadBytes
            && read.wanted.count < ShardLimits.pageReadMessages
        {
            let entry = queue.pointee.ready.entry(at: offset)
            if !entry.isHole {
                self.want(entry.slot, read)
            }
            offset += 1
            scanned += 1
        }
        if read.octets >= ShardLimits.pageReadBytes || read.wanted.count >= ShardLimits.pageReadMessages {
            // Full: this is how many messages a window is.
            queue.pointee.extra.window = max(1, read.wanted.count)
        }
        if read.wanted.isEmpty {
            queue.pointee.loadTrigger = queue.pointee.headSequence &+ UInt64(max(1, window / 2))
            if !queue.pointee.isStalled && scanned < limit {
                // All the rest is in memory.
                queue.pointee.loadTrigger = .max
            }
            return
        }
        queue.pointee.extra.loads += 1
        queue.pointee.loadTrigger = queue.pointee.headSequence &+ UInt64(max(1, queue.pointee.extra.window / 2))
        self.paging.requests.append(.read(read))
    }

    /// Adds a message to a read if it is on disk and nobody has asked for it.
    ///
    /// `isDelayed` when it waits for its time.
    func want(_ slot: UInt32, _ read: PageRead, isDelayed: Bool = false) {
        guard let word = self.store.paged(slot), !word.isLoading, !self.store.isLost(slot),
            !self.store.isUnread(slot)
        else { return }
        let size = self.store.bodySize(slot, word) + MessageStore.logOverhead
        read.wanted.append(
            PageRead.Wanted(
                isScratch: word.isScratch,
                position: self.store.position(word),
                size: size,
                slot: slot,
                isDelayed: isDelayed
            )
        )
        read.octets += size
        self.store.setLoading(slot, true)
    }

    /// Messages were read, or could not be.
    public func pageLoaded(_ read: PageRead, now: BrokerInstant) {
        self.now = now
        // What is tried again counts on.
        let isOver = read.isToStay ? self.takeBack(read) : true
        switch read.reason {
        case .queue(let address):
            if let queue = self.queue(address) {
                queue.pointee.extra.loads -= isOver ? 1 : 0
                if !queue.pointee.isStalled && !queue.pointee.rotation.isEmpty {
                    self.load(queue)
                }
            }
        case .deaths:
            self.paging.deathLoads -= isOver ? 1 : 0
        case .delays:
            self.delays.loads -= isOver ? 1 : 0
            self.resumeDelays()
        case .delayList(let list):
            self.fill(list, read)
        case .snapshot:
            self.paging.snapshotReads -= isOver ? 1 : 0
            // At once: what was read may have to leave memory again at the end of the turn.
            _ = self.continueSnapshot()
        case .unread:
            self.askForUnread(after: read)
        }
        // Whoever has asked for it: what comes may be the one whose turn it is.
        self.paging.areDeathsAwaited = false
        if !self.deaths.isEmpty {
            // At once, too.
            self.runDeaths()
        }
        if self.delays.isStalled {
            // What comes next may have been read for somebody else.
            self.resumeDelays()
        }
        self.resumeStalled()
        self.runLocalCommands()
        self.dispatchTouchedQueues()
        if !self.paging.grants.isEmpty {
            self.returnKeptGrants()
            self.runLocalCommands()
        }
    }

    static func message(in payload: UnsafeRawBufferPointer, _ wanted: PageRead.Wanted) -> MessageView? {
        if wanted.isScratch { return PagedRecord.view(of: payload) }
        return wanted.isDelayed ? DelayedRecord.view(of: payload) : (try? PublishRecord(payload))?.view
    }

    /// Whatever was loaded, other queues may have waited for it, too.
    private func resumeStalled() {
        let stalled = self.paging.stalled
        self.paging.stalled.removeAll(keepingCapacity: true)
        for address in stalled {
            guard let queue = self.queue(address) else { continue }
            queue.pointee.isStalled = false
            if !queue.pointee.rotation.isEmpty {
                self.touch(queue)
            }
        }
        let gets = self.paging.gets
        self.paging.gets = []
        for get in gets {
            self.send(get, to: self.index)
        }
    }

    /// A queue goes: `basic.get`s that wait for its messages get nothing.
    func resumeGets() {
        guard !self.paging.gets.isEmpty else { return }
        let gets = self.paging.gets
        self.paging.gets = []
        for get in gets {
            self.send(get, to: self.index)
        }
    }
}
