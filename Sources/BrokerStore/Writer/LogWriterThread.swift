internal import Synchronization

/// What the writer's thread does and knows.
///
/// `@unchecked Sendable`: made by one thread, given to the writer's, and touched by no other from then on.
final class LogWriterThread: @unchecked Sendable {
    private let log: CommitLog
    private let inbox: Inbox
    private let options: LogWriterOptions
    private let onCommitted: @Sendable (Int, LogBatch) -> Void
    private let onFull: @Sendable (Bool) -> Void
    private let onFailure: @Sendable (StoreError) -> Void

    /// Batches that the log has staged and not committed, or that are about to be staged.
    private var taken: [Submission] = []
    /// How many of them are staged.
    private var stagedCount = 0
    private(set) var isFull = false
    /// When the first octet was written that is not synced.
    private var unsyncedSince: UInt64?
    private var released: LogPosition?
    /// Somebody made room since the disk was last found full.
    private var mustRetry = false
    private var mustStop = false
    /// Who wants the files pinned, and pins that are over.
    private var pins: [@Sendable (LogPin?) -> Void] = []
    private var unpins = 0

    init(
        log: CommitLog,
        inbox: Inbox,
        options: LogWriterOptions,
        onCommitted: @escaping @Sendable (Int, LogBatch) -> Void,
        onFull: @escaping @Sendable (Bool) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) {
        self.log = log
        self.inbox = inbox
        self.options = options
        self.onCommitted = onCommitted
        self.onFull = onFull
        self.onFailure = onFailure
    }

    /// Works until told to stop, or until the log fails.
    func run() {
        while self.turn(sleeping: true) {}
    }

    /// Does what there is to do; returns false at the end, which is a stop or a failure.
    ///
    /// With nothing to do it sleeps until there is, if it may.
    func turn(sleeping: Bool) -> Bool {
        do throws(StoreError) {
            self.look(sleeping: false)
            if self.isIdle {
                let hasMore = try self.useQuietMoment()
                if sleeping { self.look(sleeping: !hasMore) }
            }
            try self.work()
            if !self.mustStop { return true }
            try self.log.close()
            self.publish()
        } catch {
            let failure = error
            self.inbox.change { $0.failure = failure }
            // A disk that is full at the end is told by `stop` alone: the log is as good as it was.
            if error.reason != .noSpace { self.onFailure(error) }
        }
        let unanswered = self.inbox.change { content in
            content.hasEnded = true
            defer { content.pins = [] }
            return content.pins
        }
        for answer in unanswered + self.pins { answer(nil) }
        self.pins = []
        return false
    }

    // MARK: Taking

    private var isIdle: Bool {
        !self.mustStop && self.released == nil && self.pins.isEmpty && self.unpins == 0
            && ((self.isFull && !self.mustRetry) || self.taken.isEmpty)
            && self.syncDelay != 0
    }

    private func look(sleeping: Bool) {
        let isFull = self.isFull
        let canTake = !isFull
        let wait = isFull ? UInt64(self.options.fullRetryMilliseconds) * 1_000_000 : self.syncDelay
        let taken = self.inbox.take(sleeping: sleeping, nanoseconds: wait) { content in
            if canTake || content.mustStop {
                if self.taken.isEmpty {
                    // The empty array goes the other way, so that neither side allocates.
                    swap(&self.taken, &content.pending)
                } else {
                    self.taken += content.pending
                    content.pending.removeAll(keepingCapacity: true)
                }
            }
            let taken = (content.released, content.mustRetry, content.mustStop)
            content.released = nil
            content.mustRetry = false
            if content.hasPinChanges {
                self.pins += content.pins
                self.unpins += content.unpins
                content.pins = []
                content.unpins = 0
            }
            return taken
        } isWork: { content in
            content.mustStop || content.hasPinChanges || content.mustRetry || content.released != nil
                || (canTake && !content.pending.isEmpty)
        }
        if let released = taken.0 { self.released = max(self.released ?? released, released) }
        self.mustRetry = self.mustRetry || taken.1
        self.mustStop = self.mustStop || taken.2
    }

    /// Nanoseconds until the log must be synced; nil when it need not be.
    private var syncDelay: UInt64? {
        guard case .interval(let milliseconds) = self.options.policy, let since = self.unsyncedSince else { return nil }
        let end = since + UInt64(max(0, milliseconds)) * 1_000_000
        return end - min(end, WaitLock.now)
    }

    // MARK: Working

    private func work() throws(StoreError) {
        self.mustRetry = false
        if let position = self.released {
            self.released = nil
            try self.unlessFull { () throws(StoreError) in try self.log.release(upTo: position) }
            self.publish()
        }
        if self.syncDelay == 0 {
            try self.log.sync()
            self.unsyncedSince = nil
            self.publish()
        }
        try self.changePins()
        guard !self.taken.isEmpty else { return }
        while self.stagedCount < self.taken.count {
            try self.log.append(batch: self.taken[self.stagedCount].batch)
            self.stagedCount += 1
        }
        do throws(StoreError) {
            try self.log.commit(synced: self.options.policy == .always)
        } catch  where error.reason == .noSpace {
            if !self.isFull { self.onFull(true) }
            self.isFull = true
            if self.mustStop { throw error }
            return
        }
        if self.options.policy != .always, self.unsyncedSince == nil { self.unsyncedSince = WaitLock.now }
        self.publish()
        if self.isFull {
            self.isFull = false
            self.onFull(false)
        }
        self.giveBack()
    }

    /// Pins and unpins files, between commits.
    private func changePins() throws(StoreError) {
        while self.unpins > 0 {
            self.unpins -= 1
            try self.unlessFull { () throws(StoreError) in try self.log.unpin() }
            self.publish()
        }
        for answer in self.pins { answer(self.log.pin()) }
        self.pins.removeAll()
    }

    private func giveBack() {
        for submission in self.taken {
            // Before the callback, which may use the batch again.
            self.inbox.pendingBytes.subtract(submission.batch.octetCount, ordering: .relaxed)
            self.onCommitted(submission.shard, submission.batch)
        }
        self.taken.removeAll(keepingCapacity: true)
        self.stagedCount = 0
    }

    /// Before sleep: proves to a later start that all is synced, and makes a piece of the next file if this one is half
    /// full; returns whether there is more to do.
    private func useQuietMoment() throws(StoreError) -> Bool {
        guard !self.isFull else { return false }
        var hasMore = false
        try self.unlessFull { () throws(StoreError) in
            try self.log.mark()
            if self.log.wantsSpare { hasMore = try self.log.prepareSpare() }
        }
        self.publish()
        return hasMore
    }

    /// Does what can wait until there is room.
    private func unlessFull(_ work: () throws(StoreError) -> Void) throws(StoreError) {
        do throws(StoreError) {
            try work()
        } catch  where error.reason == .noSpace {}
    }

    private func publish() {
        self.inbox.heldBytes.store(self.log.heldBytes, ordering: .relaxed)
        self.inbox.durableOctets.store(self.log.durablePosition.octets, ordering: .releasing)
    }
}
