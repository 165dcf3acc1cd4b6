internal import BrokerCore
internal import BrokerStore
internal import Logging
internal import Synchronization

/// The commit log of a running broker: read back once at the start, then written by a thread of its own.
///
/// A failed write or sync is the end: nothing more is confirmed, and the process stops.
final class DurableLog: Sendable {
    /// Held for its lock on the directory until the log has ended.
    private let directory: Mutex<DataDirectory?>
    private let writer: LogWriter
    private let space: SpaceWatch
    private let trim: Mutex<Trim>
    private let snapshots: SnapshotMaker
    /// Reads back what was written.
    let reader: LogReader
    /// Where the files are.
    let path: String

    /// When the log is trimmed.
    private struct Trim {
        var isUnderWay = false
        /// Octets of live messages in the log, about, by shard.
        var live: [Int: Int] = [:]
        /// Octets of the log that were no live messages' when it was trimmed last.
        var garbage: UInt64 = 0
        /// How many more there may be before it is trimmed again.
        var growth = ServerLimits.trimmedLogBytes
        /// The end of the log when the trim under way began.
        var begin: UInt64 = 0
    }

    private init(
        directory: sending DataDirectory,
        writer: LogWriter,
        space: SpaceWatch,
        reader: LogReader,
        reserveBytes: UInt64
    ) {
        self.path = directory.path
        self.snapshots = SnapshotMaker(of: directory.path, writer, reserveBytes: reserveBytes)
        self.directory = Mutex(directory)
        self.writer = writer
        self.space = space
        self.reader = reader
        self.trim = Mutex(Trim())
    }

    /// What a directory held, before the log is written to.
    struct Opened: ~Copyable {
        fileprivate let directory: DataDirectory
        fileprivate let log: CommitLog
        /// What is live.
        let state: RecoveredState
    }

    /// Opens a data directory, makes it if there is none, and reads what it holds.
    static func open(
        _ path: String,
        _ logger: Logger,
        _ progress: inout RecoveryProgress
    ) throws(StartFailure) -> sending Opened {
        do throws(StoreError) {
            let files = SystemFileSystem()
            let directory = try DataDirectory.open(path, files: files)
            try ScratchFiles.removeAll(in: directory.path, files: files)
            let log = CommitLog(
                files: files,
                directory: directory.path,
                options: CommitLogOptions(identity: directory.identity)
            )
            var state = RecoveredState()
            let report = try log.recover { done, total in
                progress.note(done, of: total)
            } _: { (position, type, payload) throws(StoreError) in
                do throws(RecordError) {
                    try state.apply(type, payload, at: position.octets)
                } catch {
                    // Its checksum is right, so it was written like this: by a newer version, or by a bug.
                    throw StoreError(.damaged, .read, directory.path, "record at \(position.octets): \(error)")
                }
            }
            self.tell(report, state, logger)
            return Opened(directory: directory, log: log, state: state)
        } catch {
            throw StartFailure("cannot use data directory \(path): \(error)")
        }
    }

    private static func tell(_ report: RecoveryReport, _ state: RecoveredState, _ logger: Logger) {
        for damage in report.damages {
            let kept = damage.keptAs.map { ", kept as \($0)" } ?? ""
            let what = damage.isCutOff ? "cut off" : "damaged"
            let rest = damage.isCutOff ? ", and what may have followed" : ""
            logger.error(
                "\(damage.file) is \(what) at octet \(damage.offset): \(damage.lostBytes) octets lost\(rest)\(kept)"
            )
        }
        if let tail = report.tornTail {
            logger.warning(
                """
                \(tail.file) ends at octet \(tail.offset): \(tail.bytes) octets behind it are no whole commit, and are left \
                out; it was being written when the process ended, unless the file is damaged
                """
            )
        }
        for (queue, count) in state.strays.sorted(by: { $0.key < $1.key }) where !report.damages.isEmpty {
            logger.error(
                """
                \(count) messages are of queue number \(queue), which nothing defines: they are not served; \
                its definition was in the damaged octets, or it was being deleted
                """
            )
        }
        logger.info("read \(report.records) records, \(report.octets) octets, of the commit log")
    }

    /// Begins to write, and to watch the disk; the callbacks come on threads of their own.
    static func start(
        _ opened: consuming sending Opened,
        options: ServerOptions,
        logger: Logger,
        onDiskAlarm: @escaping @Sendable (Bool) -> Void,
        onCommitted: @escaping @Sendable (_ shard: Int, _ number: UInt64, _ position: UInt64) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) -> DurableLog {
        let directory = opened.directory
        let path = directory.path
        let alarm = DiskAlarm(tell: onDiskAlarm)
        // Nobody else has it: `opened` is used up here, and only the writer's thread touches the log from now on.
        nonisolated(unsafe) let log = opened.log
        let reader = LogReader(of: log)
        let writer = LogWriter(
            log: log,
            options: LogWriterOptions(policy: options.sync.policy),
            onCommitted: { shard, batch in onCommitted(shard, batch.mark, batch.firstPosition.octets) },
            onFull: { isFull in
                alarm.set(.isFull, isFull)
                if isFull {
                    logger.error("no space left for the commit log: persistent messages wait for confirmation")
                } else {
                    logger.notice("the commit log has space again")
                }
            },
            onFailure: { error in
                logger.critical("the commit log failed, nothing more is confirmed: \(error)")
                onFailure(error)
            }
        )
        let limit = options.diskFreeLimitBytes
        let space = SpaceWatch(
            files: SystemFileSystem(),
            directory: path,
            limitBytes: limit,
            onChange: { isShort, free in
                let word = isShort ? "insufficient" : "sufficient"
                logger.info("Free disk space is \(word). Free bytes: \(free). Limit: \(limit)")
                alarm.set(.isLow, isShort)
                if !isShort { writer.retry() }
            },
            onFailure: { error in
                logger.error("the disk is not watched: \(error)")
            }
        )
        return DurableLog(directory: directory, writer: writer, space: space, reader: reader, reserveBytes: limit)
    }

    /// Hands over what a shard has written in a turn.
    func submit(_ records: LogRecords, from shard: Int) {
        let (base, capacity) = records.giveAway()
        let batch = LogBatch(
            adopting: base,
            count: records.count,
            capacity: capacity,
            recordCount: records.recordCount
        )
        batch.mark = records.number
        self.writer.submit(batch, from: shard)
    }

    /// Begins to copy everything that is durable to a new directory.
    func snapshot(in directory: String) -> AsyncStream<SnapshotProgress> {
        self.snapshots.begin(in: directory)
    }

    // MARK: Trimming

    /// Notes how many octets of live messages of a shard the log has.
    func note(liveBytes: Int, of shard: Int) {
        self.trim.withLock { $0.live[shard] = liveBytes }
    }

    /// Octets of the log that are no live messages'.
    private func garbage(_ trim: borrowing Trim) -> UInt64 {
        let end = self.writer.durablePosition.octets
        let start = self.reader.filePositions.first ?? end
        let live = UInt64(clamping: trim.live.values.reduce(0, +))
        return end > start + live ? end - start - live : 0
    }

    /// Whether it is time to trim the log; ``endTrim(_:)`` must follow.
    func beginTrimIfDue() -> Bool {
        self.trim.withLock { trim in
            guard !trim.isUnderWay, self.garbage(trim) > trim.garbage + trim.growth else { return false }
            trim.isUnderWay = true
            trim.begin = self.writer.durablePosition.octets
            return true
        }
    }

    /// What can go, knowing the octets of live messages in each file.
    func planTrim(files: [UInt64], live: [Int], firstUnread: Int) -> TrimPlan? {
        TrimPlan(
            files: files,
            live: live,
            firstUnread: firstUnread,
            end: self.writer.durablePosition.octets,
            slack: ServerLimits.trimmedSlackBytes
        )
    }

    /// Everything that is live is behind the plan's position now, and durable there; nil when nothing can go.
    func endTrim(_ plan: TrimPlan?) {
        if let plan {
            self.writer.release(upTo: LogPosition(plan.position))
        }
        self.trim.withLock { trim in
            let told = self.writer.durablePosition.octets - trim.begin
            let garbage = self.garbage(trim)
            // The files go a moment later.
            let released = plan.map { $0.position - min(self.reader.filePositions.first ?? 0, $0.position) } ?? 0
            trim.garbage = garbage > released ? garbage - released : 0
            trim.growth = max(ServerLimits.trimmedLogBytes, 3 * told)
            trim.isUnderWay = false
        }
    }

    /// Commits what was submitted, ends the thread, and unlocks the directory.
    func stop(_ logger: Logger) {
        self.snapshots.stop()
        self.space.stop()
        do throws(StoreError) {
            try self.writer.stop()
        } catch {
            logger.error("the commit log did not end cleanly: \(error)")
        }
        self.directory.withLock { $0 = nil }
    }
}

extension SyncMode {
    /// What the log's thread is told.
    var policy: SyncPolicy {
        switch self {
        case .always: .always
        case .interval(let milliseconds): .interval(milliseconds: milliseconds)
        case .never: .never
        }
    }
}

extension BrokerSettings {
    /// The same settings, with or without a commit log.
    func with(isDurable: Bool) -> BrokerSettings {
        var settings = self
        settings.isDurable = isDurable
        // Without a directory nothing touches a disk: what does not fit into memory has to wait outside.
        settings.pagesMessages = isDurable
        return settings
    }
}
