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

    /// When the log is trimmed.
    private struct Trim {
        var isUnderWay = false
        /// Everything live before this was told again the last time.
        var position: UInt64
        /// Octets the log grows by before it is trimmed again.
        var growth = ServerLimits.trimmedLogBytes
    }

    private init(
        directory: sending DataDirectory,
        writer: LogWriter,
        space: SpaceWatch,
        firstPosition: LogPosition
    ) {
        self.directory = Mutex(directory)
        self.writer = writer
        self.space = space
        self.trim = Mutex(Trim(position: firstPosition.octets))
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
                    try state.apply(type, payload)
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
        onCommitted: @escaping @Sendable (_ shard: Int, _ number: UInt64) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) -> DurableLog {
        let directory = opened.directory
        let path = directory.path
        let alarm = DiskAlarm(tell: onDiskAlarm)
        // Nobody else has it: `opened` is used up here, and only the writer's thread touches the log from now on.
        nonisolated(unsafe) let log = opened.log
        let firstPosition = log.firstPosition
        let writer = LogWriter(
            log: log,
            options: LogWriterOptions(policy: options.sync.policy),
            onCommitted: { shard, batch in onCommitted(shard, batch.mark) },
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
        return DurableLog(directory: directory, writer: writer, space: space, firstPosition: firstPosition)
    }

    /// Hands over what a shard has written in a turn.
    func submit(_ records: LogRecords, from shard: Int) {
        let batch = LogBatch(capacity: records.count + records.count / 4 + 64)
        batch.mark = records.number
        records.forEach { type, payload in
            batch.append(type: type, payload: payload)
        }
        self.writer.submit(batch, from: shard)
    }

    /// Where everything before is durable, if it is time to trim the log; ``endTrim(from:)`` must follow.
    ///
    /// The caller has every shard tell again what is live. What that costs is in proportion to what was written since the
    /// last time.
    func beginTrimIfDue() -> LogPosition? {
        let position = self.writer.durablePosition
        return self.trim.withLock { trim in
            guard !trim.isUnderWay, position.octets > trim.position + trim.growth else { return nil }
            trim.isUnderWay = true
            return position
        }
    }

    /// Everything live is behind `position` now, and durable there.
    func endTrim(from position: LogPosition) {
        self.writer.release(upTo: position)
        let told = self.writer.durablePosition.octets - position.octets
        self.trim.withLock { trim in
            trim = Trim(position: position.octets, growth: max(ServerLimits.trimmedLogBytes, 3 * told))
        }
    }

    /// Commits what was submitted, ends the thread, and unlocks the directory.
    func stop(_ logger: Logger) {
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
        return settings
    }
}
