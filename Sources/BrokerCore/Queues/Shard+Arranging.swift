/// A queue begins to tell priorities apart, or ceases to, or tells more or fewer, while it has messages.
///
/// ```
/// levels ──(another number)──► requeued ─┬─► levels of the new number
///                                  ring ─┘
/// ```
///
/// 1. Some thousands a turn; until all are where they belong nothing is delivered and nothing dropped for a limit, so that
///    nobody sees an order in between. What comes meanwhile goes to the ring, what comes back to where it belongs.
/// 2. A message is in one of the three all the time, where whoever looks for it finds it: it can expire, be purged and be
///    told to the log.
/// 3. In a level the order is that of publishing, and so it is when there are no levels any more.
/// 4. The log is told nothing: a start puts every message where the queue's arguments say.
extension Shard {
    /// Other priorities count than did.
    func beginArranging(_ queue: UnsafeMutablePointer<QueueState>) {
        let isUnderWay = queue.pointee.isArranging
        queue.pointee.beginArranging()
        if !isUnderWay {
            self.arrange(queue)
        }
    }

    /// Goes on with putting messages where they belong.
    func arrange(_ queue: UnsafeMutablePointer<QueueState>, limit: Int = ShardLimits.arrangedMessages) {
        if self.log.snapshot?.queues.last == queue.pointee.address, self.log.snapshot?.part != nil {
            // Messages go to parts that have been told.
            self.log.snapshot?.mustRepeat = true
        }
        guard queue.pointee.arrange(limit) else {
            self.pendingWork.append(.arrange(queue.pointee.address))
            return
        }
        queue.pointee.isArranging = false
        if queue.pointee.settings.isLimited {
            self.dropHead(queue)
        }
        if queue.pointee.hasReady && !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }
}

extension QueueState {
    /// Messages go out of the levels that are there, if there are, and into those that the settings want.
    ///
    /// Even when the same ones are wanted again before all were out: what stands in them could be older than what is out.
    mutating func beginArranging() {
        self.isArranging = true
        self.isEmptyingLevels = self.levels != nil
    }

    /// Puts at most `limit` messages where the settings want them; returns whether all are there.
    mutating func arrange(_ limit: Int) -> Bool {
        var budget = limit
        if self.isEmptyingLevels, let levels = self.levels {
            while levels.pointee.count > 0 {
                guard budget > 0 else { return false }
                budget -= 1
                let delivery = levels.pointee.removeFirst()
                self.extra.requeued.insert(delivery.sequence, delivery.entry)
            }
            levels.deinitialize(count: 1)
            levels.deallocate()
            self.levels = nil
            self.isEmptyingLevels = false
        }
        if self.levels == nil {
            self.makeLevels(self.settings.maxPriority)
        }
        // Without levels they stay: what is set apart is older than the ring.
        guard let levels = self.levels else { return true }
        while !self.extra.requeued.isEmpty {
            guard budget > 0 else { return false }
            budget -= 1
            let element = self.extra.requeued.removeFirst()
            levels.pointee.putBack(element.sequence, element.entry)
        }
        while !self.ready.isEmpty {
            guard budget > 0 else { return false }
            budget -= 1
            let delivery = self.takeFromRing()
            levels.pointee.putBack(delivery.sequence, delivery.entry)
            self.asideCount &+= 1
        }
        return true
    }
}
