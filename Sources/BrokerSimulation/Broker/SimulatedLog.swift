internal import BrokerCore
internal import BrokerStore

/// What differs from one simulated log to another.
struct SimulatedLogOptions {
    /// Octets of a log file: small ones change often.
    var fileBytes: UInt64 = 64 << 10
    /// Files that are kept to be used again.
    var spareFiles = 2
    /// When the log is synced; not at intervals, which are measured by a clock.
    var policy = SyncPolicy.always
    /// Messages stay in the log at a start, and are read when they are needed.
    var staysInLog = false
    /// What a new directory is named by.
    var identity: UInt64 = 0x5EED_0F_51_AB
}

/// The commit log of a simulated broker: the real one, in a real data directory, on a disk that can fail.
///
/// Its writer works in steps that the simulation chooses, and shards hear later of what it has done.
final class SimulatedLog {
    static let directoryPath = "data"

    /// Where it is.
    let disk: SimulatedFileSystem
    let options: SimulatedLogOptions
    /// Who tells lies about records.
    private let liar: Liar
    /// What the directory held.
    let state: RecoveredState
    /// What was found when it was read.
    let report: RecoveryReport
    /// Held for its lock.
    private let directory: DataDirectory
    private let writer: SteppedLogWriter
    /// Batches that are committed, and of which their shard has not been told; in order.
    private var untold: [(shard: Int, number: UInt64, position: UInt64)] = []
    /// Reads back what was committed.
    let reader: LogReader

    /// Opens the data directory of a disk and reads its log, as a start does.
    init(
        _ disk: SimulatedFileSystem,
        _ options: SimulatedLogOptions,
        _ liar: Liar = Liar(nil)
    ) throws(StoreError) {
        let directory = try DataDirectory.open(Self.directoryPath, files: disk, newIdentity: options.identity)
        let log = Self.log(disk, options, identity: directory.identity)
        (self.state, self.report) = try Self.read(log, from: nil, staysInLog: options.staysInLog)
        self.reader = LogReader(of: log)
        self.disk = disk
        self.options = options
        self.liar = liar
        self.directory = directory
        self.writer = SteppedLogWriter(log: log, policy: options.policy)
    }

    private static func log(
        _ disk: SimulatedFileSystem,
        _ options: SimulatedLogOptions,
        identity: UInt64
    ) -> CommitLog {
        CommitLog(
            files: disk,
            directory: Self.directoryPath,
            options: CommitLogOptions(
                identity: identity,
                fileBytes: options.fileBytes,
                spareFiles: options.spareFiles,
                stagingBytes: 4096
            )
        )
    }

    private static func read(
        _ log: CommitLog,
        from start: LogPosition?,
        staysInLog: Bool = false
    ) throws(StoreError) -> (RecoveredState, RecoveryReport) {
        var state = RecoveredState()
        let report = try log.recover(from: start) { (position, type, payload) throws(StoreError) in
            do throws(RecordError) {
                try state.apply(type, payload, at: staysInLog ? position.octets : nil)
            } catch {
                throw StoreError(.damaged, .read, Self.directoryPath, "record at \(position.octets): \(error)")
            }
        }
        return (state, report)
    }

    /// What a start would find now, in records from a position on; the disk stays as it is.
    func stateOnDisk(from start: LogPosition? = nil) throws(StoreError) -> RecoveredState {
        try Self.read(Self.log(self.disk.copy(), self.options, identity: self.directory.identity), from: start).0
    }

    /// What a start would find if power went now.
    func reportAfterPowerLoss(seed: UInt64) throws(StoreError) -> RecoveryReport {
        let disk = self.disk.copy()
        disk.losePower(seed: seed)
        return try Self.read(Self.log(disk, self.options, identity: self.directory.identity), from: nil).1
    }

    /// The records a start would find now.
    func records() throws(StoreError) -> [DurableRecord] {
        var records: [DurableRecord] = []
        let log = Self.log(self.disk.copy(), self.options, identity: self.directory.identity)
        _ = try log.recover { _, type, payload in
            records.append(DurableRecord(type: type, payload: Array(payload)))
        }
        return records
    }

    // MARK: Writing

    /// Writes records that nobody waits for.
    func write(_ records: [DurableRecord]) {
        let batch = LogBatch()
        for record in records {
            record.payload.withUnsafeBytes { batch.append(type: record.type, payload: $0) }
        }
        self.writer.submit(batch, from: 0)
        _ = self.writer.step()
    }

    /// Hands over what a shard has written in a turn.
    func submit(_ records: LogRecords, from shard: Int) {
        let batch = self.liar.isAboutRecords ? self.liar.batch(of: records) : Self.batch(of: records)
        batch.mark = records.number
        self.writer.submit(batch, from: shard)
    }

    private static func batch(of records: LogRecords) -> LogBatch {
        let (base, capacity) = records.giveAway()
        return LogBatch(
            adopting: base,
            count: records.count,
            capacity: capacity,
            recordCount: records.recordCount
        )
    }

    /// Whether the writer has something to do.
    var hasWork: Bool { self.writer.hasWork }

    /// Whether the disk was full at the last step.
    var isFull: Bool { self.writer.isFull }

    /// Why the log has failed, if it has.
    var failure: StoreError? { self.writer.failure }

    /// Where its files begin, oldest first.
    var filePositions: [UInt64] { self.reader.filePositions }

    /// Everything before this is synced.
    var durablePosition: LogPosition { self.writer.durablePosition }

    /// Has the writer do what it would do next.
    func step() {
        self.untold += self.writer.step().map { ($0.shard, $0.mark, $0.position.octets) }
    }

    /// Has the files before a position given back.
    func release(upTo position: LogPosition) { self.writer.release(upTo: position) }

    /// Somebody has made room.
    func retry() { self.writer.retry() }

    /// Commits what was handed over, and ends.
    func stop() throws(StoreError) { try self.writer.stop() }

    // MARK: Telling

    /// Shards that have not been told of everything that is committed, in order of their numbers.
    var shardsToTell: [Int] { Set(self.untold.map(\.shard)).sorted() }

    /// The oldest number of which a shard has not been told.
    func takeCommitted(_ shard: Int) -> (number: UInt64, position: UInt64)? {
        guard let index = self.untold.firstIndex(where: { $0.shard == shard }) else { return nil }
        let told = self.untold.remove(at: index)
        return (told.number, told.position)
    }
}
