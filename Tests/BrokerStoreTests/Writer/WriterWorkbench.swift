import BrokerStore
import Dispatch
import Synchronization

/// A log writer on a simulated disk, and what it called back.
final class WriterWorkbench: Sendable {
    /// A callback, in the order of the calls.
    enum Event: Equatable, Sendable {
        case committed(shard: Int, mark: UInt64)
        case full(Bool)
        case failed(StoreError)
    }

    let disk: SimulatedFileSystem
    let writer: LogWriter
    private let notes: Notes

    private final class Notes: Sendable {
        let events = Mutex<[Event]>([])
        let signal = DispatchSemaphore(value: 0)
        let atFull = Mutex<(@Sendable () -> Void)?>(nil)

        func add(_ event: Event) {
            self.events.withLock { $0.append(event) }
            self.signal.signal()
        }
    }

    init(_ options: LogWriterOptions = LogWriterOptions(), fileBytes: UInt64 = 1 << 16) throws {
        let disk = LogWorkbench.makeDisk()
        let notes = Notes()
        self.disk = disk
        self.notes = notes
        let log = CommitLog(
            files: disk,
            directory: LogWorkbench.directory,
            options: CommitLogOptions(identity: LogWorkbench.identity, fileBytes: fileBytes)
        )
        _ = try log.recover { _, _, _ in }
        // So that the first file is there when a test begins to count.
        try [UInt8](repeating: 0, count: 8).withUnsafeBytes { _ = try log.append(type: 0, payload: $0) }
        try log.commit()
        self.writer = LogWriter(
            log: log,
            options: options,
            onCommitted: { notes.add(.committed(shard: $0, mark: $1.mark)) },
            onFull: { isFull in
                notes.add(.full(isFull))
                if isFull, let action = notes.atFull.withLock({ $0 }) { action() }
            },
            onFailure: { notes.add(.failed($0)) }
        )
    }

    /// Submits a batch of one record.
    func submit(_ mark: UInt64, from shard: Int = 0, size: Int = 8) {
        let batch = LogBatch()
        batch.mark = mark
        LogWorkbench.payload(size, mark).withUnsafeBytes { batch.append(type: 1, payload: $0) }
        self.writer.submit(batch, from: shard)
    }

    /// Waits until so many more callbacks have come.
    func wait(_ count: Int) {
        for _ in 0..<count { self.notes.signal.wait() }
    }

    /// Does something on the writer's thread as soon as it finds the disk full.
    func atFull(_ action: @escaping @Sendable () -> Void) {
        self.notes.atFull.withLock { $0 = action }
    }

    /// The callbacks so far.
    var events: [Event] { self.notes.events.withLock { $0 } }

    /// What a start after a loss of power finds.
    func recoveredCount(afterLosingPower seed: UInt64?) throws -> Int {
        if let seed { self.disk.losePower(seed: seed) }
        return try LogWorkbench(self.disk, fileBytes: 1 << 16).recovered.count - 1
    }
}
