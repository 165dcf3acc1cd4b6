internal import AMQPProtocol

/// Messages come back from disk before they are needed, or when they are.
///
/// A queue whose next message is on disk is *stalled*: nothing of it is delivered, others go on. It asks for a window of
/// what comes next, and for the one behind it while that is delivered.
extension Shard {
    /// The next message of a queue is not in memory: it goes back to its place, and is asked for.
    ///
    /// Returns whether the queue can go on: the message is lost, and gone now.
    @inline(never)
    func stall(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) -> Bool {
        if self.store.isLost(delivery.entry.slot) {
            // Not settled in the log: a later start may be able to read it.
            self.store.release(delivery.entry.slot)
            return true
        }
        queue.pointee.putBackFirst(delivery.sequence, delivery.entry)
        self.noteStalled(queue)
        self.load(queue)
        return false
    }

    /// A message that was held back for its group may go, and is not in memory: it is asked for, at its place.
    @inline(never)
    func loadHeld(_ queue: UnsafeMutablePointer<QueueState>, _ slot: UInt32) {
        self.noteStalled(queue)
        let read = PageRead(queue: queue.pointee.address)
        self.want(slot, read)
        if !read.wanted.isEmpty {
            queue.pointee.loads += 1
            self.paging.requests.append(.read(read))
        }
    }

    private func noteStalled(_ queue: UnsafeMutablePointer<QueueState>) {
        guard !queue.pointee.isStalled else { return }
        queue.pointee.isStalled = true
        self.paging.stalled.append(queue.pointee.address)
    }

    /// A `basic.get` waits for a message that is on disk.
    func park(_ get: ShardCommand) {
        self.paging.gets.append(get)
    }

    /// The getter goes: nothing is got for it any more.
    func dropParkedGets(of channel: ChannelAddress, consumer: UInt32, at queue: QueueAddress) {
        guard !self.paging.gets.isEmpty else { return }
        self.paging.gets.removeAll { get in
            guard case .get(let address, let asker, _, let id, _) = get, address == queue, asker == channel,
                id == consumer
            else { return false }
            self.send(.getEmpty(channel), to: channel.shard)
            return true
        }
    }

    /// Asks for the next messages of a queue that are on disk and not asked for yet.
    func load(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.loads < 2 else { return }
        let read = PageRead(queue: queue.pointee.address)
        var scanned = 0
        let window = queue.pointee.window
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
            self.want(queue.pointee.ready.entry(at: offset).slot, read)
            offset += 1
            scanned += 1
        }
        if read.octets >= ShardLimits.pageReadBytes || read.wanted.count >= ShardLimits.pageReadMessages {
            // Full: this is how many messages a window is.
            queue.pointee.window = max(1, read.wanted.count)
        }
        if read.wanted.isEmpty {
            queue.pointee.loadTrigger = queue.pointee.headSequence &+ UInt64(max(1, window / 2))
            if !queue.pointee.isStalled && scanned < limit {
                // All the rest is in memory.
                queue.pointee.loadTrigger = .max
            }
            return
        }
        queue.pointee.loads += 1
        queue.pointee.loadTrigger = queue.pointee.headSequence &+ UInt64(max(1, queue.pointee.window / 2))
        self.paging.requests.append(.read(read))
    }

    /// Adds a message to a read if it is on disk and nobody has asked for it.
    func want(_ slot: UInt32, _ read: PageRead) {
        guard let word = self.store.paged(slot), !word.isLoading, !self.store.isLost(slot) else { return }
        let size = self.store.pagedSize(slot, word)
        read.wanted.append(
            PageRead.Wanted(
                isScratch: word.isScratch,
                position: self.store.position(word),
                size: size + 16,
                slot: slot,
                word: word
            )
        )
        read.octets += size + MessageStore.logOverhead
        self.store.setLoading(slot, true)
    }

    /// Messages were read, or could not be.
    public func pageLoaded(_ read: PageRead, now: BrokerInstant) {
        self.now = now
        var lost = 0
        for wanted in read.wanted {
            // Released meanwhile, or told to the log again?
            guard var word = self.store.paged(wanted.slot) else { continue }
            guard word.isLoading else { continue }
            word.isLoading = false
            // References change a word, too; its place does not.
            guard word.isScratch == wanted.isScratch, self.store.position(word) == wanted.position else { continue }
            self.store.setLoading(wanted.slot, false)
            if let payload = wanted.payload, let view = PublishRecord.view(of: payload),
                view.namesSize + view.propertiesSize + view.bodySize == self.store.pagedSize(wanted.slot, word)
            {
                self.store.revive(wanted.slot, view)
            } else {
                self.store.lose(wanted.slot)
                lost += 1
            }
        }
        if lost > 0 {
            let name = read.queue.flatMap { self.queue($0) }.map { "queue '\($0.pointee.info.name)'" } ?? "the log"
            self.log(
                .error,
                "default",
                "\(lost) messages of \(name) are damaged on disk and not delivered: \(read.problem ?? "not there")"
            )
        }
        if let address = read.queue {
            if let queue = self.queue(address) {
                queue.pointee.loads -= 1
                if !queue.pointee.isStalled && !queue.pointee.rotation.isEmpty {
                    self.load(queue)
                }
            }
        } else {
            self.paging.snapshotReads -= 1
            // At once: what was read may have to leave memory again at the end of the turn.
            _ = self.continueSnapshot()
        }
        self.resumeStalled()
        self.runLocalCommands()
        self.dispatchTouchedQueues()
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
