internal import Synchronization

/// A thread that watches the free space of a directory's file system.
///
/// However much there is, somebody may take all of it at once, and publishers shall hear of it within a tenth of a second.
public final class SpaceWatch: Sendable {
    /// Milliseconds from one look to the next; a look costs about a microsecond.
    private static let pauseMilliseconds: UInt64 = 50
    /// The same when the system could not tell.
    private static let failurePauseMilliseconds: UInt64 = 1_000

    private let state = State()
    private let thread: WorkerThread

    /// What the thread and its owner share.
    private final class State: @unchecked Sendable {
        // `@unchecked Sendable`: `mustStop` is touched with the lock held.
        let lock = WaitLock()
        var mustStop = false

        /// Sleeps; returns whether to go on.
        func sleep(milliseconds: UInt64) -> Bool {
            self.lock.lock()
            defer { self.lock.unlock() }
            let end = WaitLock.now + milliseconds * 1_000_000
            while !self.mustStop {
                let now = WaitLock.now
                guard now < end else { return true }
                self.lock.wait(nanoseconds: end - now)
            }
            return false
        }
    }

    /// Looks once, before it returns, and goes on looking on a thread of its own.
    ///
    /// `onChange` is called whenever space has become short (`true`) or enough again (`false`), with the free octets.
    /// `onFailure` is called when the system cannot tell, once until it can again.
    public init(
        files: any FileSystem,
        directory: String,
        limitBytes: UInt64,
        onChange: @escaping @Sendable (_ isShort: Bool, _ freeBytes: UInt64) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) {
        var look = Look(files: files, directory: directory, limitBytes: limitBytes)
        let first = look.perform(onChange, onFailure)
        let state = self.state
        let begun = look
        self.thread = WorkerThread {
            var look = begun
            var pause = first
            while state.sleep(milliseconds: pause) {
                pause = look.perform(onChange, onFailure)
            }
        }
    }

    /// Ends the thread; not to be called from a callback, and once.
    public func stop() {
        self.state.lock.lock()
        self.state.mustStop = true
        self.state.lock.wake()
        self.state.lock.unlock()
        self.thread.join()
    }

    /// One look after the other.
    private struct Look: Sendable {
        let files: any FileSystem
        let directory: String
        var gauge: SpaceGauge
        var hasFailed = false

        init(files: any FileSystem, directory: String, limitBytes: UInt64) {
            self.files = files
            self.directory = directory
            self.gauge = SpaceGauge(limitBytes: limitBytes)
        }

        /// Looks; returns after how many milliseconds to look again.
        mutating func perform(
            _ onChange: (Bool, UInt64) -> Void,
            _ onFailure: (StoreError) -> Void
        ) -> UInt64 {
            do throws(StoreError) {
                let free = try self.files.freeBytes(at: self.directory)
                self.hasFailed = false
                if let isShort = self.gauge.note(freeBytes: free) { onChange(isShort, free) }
                return SpaceWatch.pauseMilliseconds
            } catch {
                if !self.hasFailed { onFailure(error) }
                self.hasFailed = true
                return SpaceWatch.failurePauseMilliseconds
            }
        }
    }
}
