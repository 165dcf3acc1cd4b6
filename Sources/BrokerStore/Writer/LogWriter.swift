internal import Synchronization

// Invariants
// 1. `onCommitted` is called once for each batch whose commit succeeded, in the order in which batches were submitted, and
//    never before what the policy promises is true.
// 2. While one commit is written and synced, everything submitted gathers for the next: one sync serves all of it, without
//    a timer. With nothing under way a batch is committed at once.
// 3. A full disk stops commits, not submissions: who submits watches `pendingBytes` and `onFull`. Nothing is lost by it.
// 4. After `onFailure` nothing is committed any more.
//
// The thread owns the log and everything in `LogWriterThread`; the rest of the process reaches it through `Inbox`.

/// The thread that writes the log for all shards.
public final class LogWriter: Sendable {
    private let inbox: Inbox
    private let thread: WorkerThread
    private let hasStopped = Mutex(false)

    /// Starts the thread, which owns a recovered log from now on.
    ///
    /// All callbacks come on that thread.
    ///
    /// `onCommitted` gives a batch back, to be used again. `onFull` says that the disk has become full or has room
    /// again. `onFailure` comes at most once: nothing more will be committed, and the process should tell people and
    /// end.
    public init(
        log: sending CommitLog,
        options: LogWriterOptions = LogWriterOptions(),
        onCommitted: @escaping @Sendable (_ shard: Int, _ batch: LogBatch) -> Void,
        onFull: @escaping @Sendable (Bool) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) {
        let inbox = Inbox(heldBytes: log.heldBytes, durable: log.durablePosition)
        let writer = LogWriterThread(
            log: log,
            inbox: inbox,
            options: options,
            onCommitted: onCommitted,
            onFull: onFull,
            onFailure: onFailure
        )
        self.inbox = inbox
        self.thread = WorkerThread { writer.run() }
    }

    /// Hands a batch over, from any thread.
    ///
    /// The caller leaves it alone until `onCommitted`.
    ///
    /// Costs a lock and, if the thread sleeps, waking it. A batch that is submitted after `stop` or a failure is
    /// dropped.
    public func submit(_ batch: LogBatch, from shard: Int) {
        self.inbox.change { content in
            guard !content.mustStop, content.failure == nil else { return }
            self.inbox.pendingBytes.add(batch.octetCount, ordering: .relaxed)
            content.pending.append(Submission(shard: shard, batch: batch))
        }
    }

    /// Octets that were submitted and are not committed: what shards keep within bounds by not reading from publishers.
    public var pendingBytes: Int { self.inbox.pendingBytes.load(ordering: .relaxed) }

    /// Octets of the log's files, as of the last commit.
    public var heldBytes: UInt64 { self.inbox.heldBytes.load(ordering: .relaxed) }

    /// Everything before this was synced.
    public var durablePosition: LogPosition { LogPosition(self.inbox.durableOctets.load(ordering: .acquiring)) }

    /// Has the files before a position given back, soon.
    public func release(upTo position: LogPosition) {
        self.inbox.change { $0.released = max($0.released ?? position, position) }
    }

    /// Has all files of the log stay as they are; ``unpin()`` must follow.
    ///
    /// Everything that was committed before the call stands before the pin's end. The answer comes on the writer's thread,
    /// which must not wait in it; no pin when the log has failed or ends.
    public func pin(_ answer: @escaping @Sendable (LogPin?) -> Void) {
        let isAccepted = self.inbox.change { content in
            guard !content.mustStop, content.failure == nil, !content.hasEnded else { return false }
            content.pins.append(answer)
            return true
        }
        if !isAccepted { answer(nil) }
    }

    /// Ends a pin.
    public func unpin() {
        self.inbox.change { $0.unpins += 1 }
    }

    /// Tries a full disk again now, as after somebody made room.
    public func retry() {
        self.inbox.change { $0.mustRetry = true }
    }

    /// Commits what was submitted, syncs it whatever the policy, and ends the thread.
    ///
    /// Throws why not everything is durable, if it is not. Not to be called from a callback.
    public func stop() throws(StoreError) {
        self.hasStopped.withLock { hasStopped in
            guard !hasStopped else { return }
            hasStopped = true
            self.inbox.change { $0.mustStop = true }
            self.thread.join()
        }
        if let failure = self.inbox.change({ $0.failure }) { throw failure }
    }
}

/// A batch and who gave it.
struct Submission {
    let shard: Int
    let batch: LogBatch
}

/// What other threads leave for the writer's.
///
/// `@unchecked Sendable`: `content` is touched with the lock held, the rest is atomic.
final class Inbox: @unchecked Sendable {
    struct Content {
        var pending: [Submission] = []
        var released: LogPosition?
        var mustRetry = false
        var mustStop = false
        /// Who wants the files pinned, and pins that are over.
        var pins: [@Sendable (LogPin?) -> Void] = []
        var unpins = 0
        /// The thread does nothing any more.
        var hasEnded = false
        var failure: StoreError?

        var hasPinChanges: Bool { !self.pins.isEmpty || self.unpins > 0 }
    }

    let pendingBytes = Atomic<Int>(0)
    let heldBytes: Atomic<UInt64>
    let durableOctets: Atomic<UInt64>
    private let lock = WaitLock()
    private var content = Content()
    private var isAsleep = false

    init(heldBytes: UInt64, durable: LogPosition) {
        self.heldBytes = Atomic(heldBytes)
        self.durableOctets = Atomic(durable.octets)
    }

    /// Changes the content and wakes the thread if it sleeps.
    func change<Result>(_ body: (inout Content) -> Result) -> Result {
        self.lock.lock()
        defer { self.lock.unlock() }
        let result = body(&self.content)
        if self.isAsleep {
            self.isAsleep = false
            self.lock.wake()
        }
        return result
    }

    /// Looks once, or sleeps until `isWork` says yes or the time is up.
    func take<Result>(
        sleeping: Bool,
        nanoseconds: UInt64?,
        _ take: (inout Content) -> Result,
        isWork: (Content) -> Bool
    ) -> Result {
        self.lock.lock()
        defer { self.lock.unlock() }
        let end = nanoseconds.map { WaitLock.now + $0 }
        while sleeping, !isWork(self.content) {
            let rest = end.map { $0 - min($0, WaitLock.now) }
            if rest == 0 { break }
            self.isAsleep = true
            self.lock.wait(nanoseconds: rest)
            self.isAsleep = false
        }
        return take(&self.content)
    }
}
