/// A thread for reads and writes that somebody waits for, reads first.
///
/// Writes get their turn after some reads, so that a draining queue does not keep memory from becoming free.
public final class DiskWorker: Sendable {
    private let line: Line
    private let thread: WorkerThread

    /// Reads in a row before a write.
    private static let readsInRow = 8

    /// `@unchecked Sendable`: everything is touched with the lock held.
    private final class Line: @unchecked Sendable {
        private let lock = WaitLock()
        private var reads: [@Sendable () -> Void] = []
        private var writes: [@Sendable () -> Void] = []
        private var readsInRow = 0
        private var isStopping = false

        func add(_ work: @escaping @Sendable () -> Void, isRead: Bool) {
            self.lock.lock()
            if isRead { self.reads.append(work) } else { self.writes.append(work) }
            self.lock.wake()
            self.lock.unlock()
        }

        func stop() {
            self.lock.lock()
            self.isStopping = true
            self.lock.wake()
            self.lock.unlock()
        }

        /// Waits for work; nil when there will be none.
        func next() -> (@Sendable () -> Void)? {
            self.lock.lock()
            defer { self.lock.unlock() }
            while !self.isStopping {
                if !self.reads.isEmpty && (self.readsInRow < DiskWorker.readsInRow || self.writes.isEmpty) {
                    self.readsInRow += 1
                    return self.reads.removeFirst()
                }
                self.readsInRow = 0
                if !self.writes.isEmpty { return self.writes.removeFirst() }
                self.lock.wait(nanoseconds: nil)
            }
            return nil
        }
    }

    /// Starts the thread.
    public init() {
        let line = Line()
        self.line = line
        self.thread = WorkerThread {
            while let work = line.next() { work() }
        }
    }

    /// Has work done by the thread, in the order of the calls among reads and among the others.
    public func submit(isRead: Bool, _ work: @escaping @Sendable () -> Void) {
        self.line.add(work, isRead: isRead)
    }

    /// Ends the thread after what it is doing, once; the rest is dropped.
    public func stop() {
        self.line.stop()
        self.thread.join()
    }
}
