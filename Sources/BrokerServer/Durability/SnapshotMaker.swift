internal import BrokerCore
internal import BrokerStore
internal import Synchronization

/// Makes snapshots of the data directory while the log is written, one at a time, on a thread of its own.
///
/// The log's files are pinned meanwhile: what trimming gives back is given back afterwards.
final class SnapshotMaker: Sendable {
    private let source: String
    private let writer: LogWriter
    private let files: any FileSystem
    private let reserveBytes: UInt64
    private let state = Mutex(State())

    private struct State {
        /// Made with the first snapshot.
        var worker: DiskWorker?
        /// The one that is under way.
        var current: Job?
        var isStopping = false
    }

    /// A snapshot under way.
    private final class Job: Sendable {
        let steps: AsyncStream<SnapshotProgress>.Continuation
        private let isCalledOffFlag = Atomic(false)

        init(_ steps: AsyncStream<SnapshotProgress>.Continuation) {
            self.steps = steps
        }

        var isCalledOff: Bool { self.isCalledOffFlag.load(ordering: .relaxed) }

        func callOff() { self.isCalledOffFlag.store(true, ordering: .relaxed) }
    }

    /// A maker for a data directory that a writer writes to; a snapshot leaves at least so many octets free.
    init(of source: String, _ writer: LogWriter, files: any FileSystem = SystemFileSystem(), reserveBytes: UInt64) {
        self.source = source
        self.writer = writer
        self.files = files
        self.reserveBytes = reserveBytes
    }

    /// Says at once why there is none.
    static func failing(_ text: String) -> AsyncStream<SnapshotProgress> {
        let (stream, steps) = AsyncStream.makeStream(of: SnapshotProgress.self)
        steps.yield(.failed(text))
        steps.finish()
        return stream
    }

    /// Begins a snapshot.
    func begin(in directory: String) -> AsyncStream<SnapshotProgress> {
        let (stream, steps) = AsyncStream.makeStream(of: SnapshotProgress.self, bufferingPolicy: .bufferingNewest(1))
        let job = Job(steps)
        steps.onTermination = { _ in job.callOff() }
        let (worker, refusal) = self.state.withLock { state -> (DiskWorker?, String?) in
            if state.isStopping { return (nil, "the broker is stopping") }
            if state.current != nil { return (nil, "another snapshot is being made; try again when it is done") }
            state.current = job
            let worker = state.worker ?? DiskWorker()
            state.worker = worker
            return (worker, nil)
        }
        guard let worker else { return Self.failing(refusal ?? "") }
        let snapshot = DirectorySnapshot(
            of: self.source,
            at: directory,
            files: self.files,
            reserveBytes: self.reserveBytes
        )
        worker.submit(isRead: false) {
            // What cannot be made is refused before anything is pinned.
            do throws(StoreError) {
                try snapshot.check()
            } catch {
                self.end(job, .failed("\(error)"))
                return
            }
            self.writer.pin { pin in
                guard let pin else {
                    self.end(job, .failed("the commit log is not written any more"))
                    return
                }
                worker.submit(isRead: false) { self.make(snapshot, pin, job) }
            }
        }
        return stream
    }

    private func make(_ snapshot: DirectorySnapshot, _ pin: LogPin, _ job: Job) {
        var result = SnapshotProgress.done
        do throws(StoreError) {
            try snapshot.write(pin) { octets in
                job.steps.yield(.copied(octets: octets, of: pin.octets))
                return !job.isCalledOff
            }
        } catch {
            result = .failed("\(error)")
        }
        self.writer.unpin()
        self.end(job, result)
    }

    private func end(_ job: Job, _ result: SnapshotProgress) {
        self.state.withLock { $0.current = nil }
        job.steps.yield(result)
        job.steps.finish()
    }

    /// Calls off what is under way and waits until nothing is left of it.
    func stop() {
        let (worker, job) = self.state.withLock { state in
            state.isStopping = true
            defer { state.worker = nil }
            return (state.worker, state.current)
        }
        job?.callOff()
        worker?.stop()
        // If it had not come to begin.
        job?.steps.finish()
    }
}
