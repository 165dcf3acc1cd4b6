internal import Synchronization

/// A log writer without a thread: what it would do next is done when somebody says so.
///
/// The code that works is the thread's own. Not to be shared between threads.
public final class SteppedLogWriter {
    private let inbox: Inbox
    private let writer: LogWriterThread
    private var hasEnded = false

    /// What callbacks have brought; they are made for another thread, and here come on ours.
    private final class Told: @unchecked Sendable {
        // `@unchecked Sendable`: a stepped writer has one thread.
        var committed: [(shard: Int, mark: UInt64, position: LogPosition)] = []
        var failure: StoreError?
    }

    private let told = Told()

    /// Begins to write a recovered log.
    ///
    /// The policy is not `interval`, which looks at the time.
    public init(log: sending CommitLog, policy: SyncPolicy = .always) {
        let told = self.told
        self.inbox = Inbox(heldBytes: log.heldBytes, durable: log.durablePosition)
        self.writer = LogWriterThread(
            log: log,
            inbox: self.inbox,
            options: LogWriterOptions(policy: policy),
            onCommitted: { shard, batch in told.committed.append((shard, batch.mark, batch.firstPosition)) },
            onFull: { _ in },
            onFailure: { told.failure = $0 }
        )
    }

    /// Hands a batch over, as `LogWriter.submit` does.
    public func submit(_ batch: LogBatch, from shard: Int) {
        self.inbox.change { content in
            guard !content.mustStop, content.failure == nil else { return }
            self.inbox.pendingBytes.add(batch.octetCount, ordering: .relaxed)
            content.pending.append(Submission(shard: shard, batch: batch))
        }
    }

    /// Whether a step would do more than use a quiet moment.
    public var hasWork: Bool {
        guard !self.hasEnded else { return false }
        let isFull = self.writer.isFull
        return self.inbox.change { content in
            content.released != nil || content.mustRetry || content.hasPinChanges
                || (!content.pending.isEmpty && !isFull)
        }
    }

    /// Whether the disk was full at the last step.
    public var isFull: Bool { self.writer.isFull }

    /// Why nothing more is committed, if the log has failed.
    public var failure: StoreError? { self.told.failure }

    /// Everything before this was synced.
    public var durablePosition: LogPosition { LogPosition(self.inbox.durableOctets.load(ordering: .relaxed)) }

    /// Has the files before a position given back at the next step.
    public func release(upTo position: LogPosition) {
        self.inbox.change { $0.released = max($0.released ?? position, position) }
    }

    /// Has the files pinned at the next step, as `LogWriter.pin` does.
    public func pin(_ answer: @escaping @Sendable (LogPin?) -> Void) {
        self.inbox.change { $0.pins.append(answer) }
    }

    /// Ends a pin at the next step.
    public func unpin() {
        self.inbox.change { $0.unpins += 1 }
    }

    /// Has a full disk tried again at the next step.
    public func retry() {
        self.inbox.change { $0.mustRetry = true }
    }

    /// Does what the thread would do until it looked for work again; returns whose batches were committed by it, in order.
    public func step() -> [(shard: Int, mark: UInt64, position: LogPosition)] {
        if !self.hasEnded {
            self.hasEnded = !self.writer.turn(sleeping: false)
        }
        let committed = self.told.committed
        self.told.committed = []
        return committed
    }

    /// Commits what was submitted and ends; throws why not everything is durable, if it is not.
    public func stop() throws(StoreError) {
        self.inbox.change { $0.mustStop = true }
        _ = self.step()
        if let failure = self.inbox.change({ $0.failure }) { throw failure }
    }
}
