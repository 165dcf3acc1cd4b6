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
    private let trim: Mutex<Trim>
    /// Reads back what was written.
    let reader: LogReader
    /// Where the files are.
    let path: String

    /// When the log is trimmed.
    private struct Trim {
        var isUnderWay = false
        /// Everything live before this was told again the last time.
        var position: UInt64
        /// Octets of live messages in the log, by shard.
        var live: [Int: Int] = [:]
    }

    private init(
        directory: sending DataDirectory,
        writer: LogWriter,
        reader: LogReader,
        firstPosition: LogPosition
    ) {
        self.path = directory.path
        self.directory = Mutex(directory)
        self.writer = writer
        self.reader = reader
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
    static func open(_ path: String, _ logger: Logger) throws(StartFailure) -> sending Opened {
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
            let report = try log.recover { (position, type, payload) throws(StoreError) in
                do throws(RecordError) {
                    try state.apply(type, payload, at: position.octets)
                } catch {
                    // Its checksum is right, so it was written like this: by a newer version, or by a bug.
                    throw StoreError(.damaged, .read, directory.path, "record at \(position.octets): \(error)")
                }
            }
            self.tell(report, logger)
            return Opened(directory: directory, log: log, state: state)
        } catch {
            throw StartFailure("cannot use data directory \(path): \(error)")
        }
    }

    private static func tell(_ report: RecoveryReport, _ logger: Logger) {
        for damage in report.damages {
            let kept = damage.keptAs.map { ", kept as \($0)" } ?? ""
            let what = damage.isCutOff ? "cut off" : "damaged"
            let rest = damage.isCutOff ? ", and what may have followed" : ""
            logger.error(
                "\(damage.file) is \(what) at octet \(damage.offset): \(damage.lostBytes) octets lost\(rest)\(kept)"
            )
        }
        logger.info("read \(report.records) records, \(report.octets) octets, of the commit log")
    }

    /// Begins to write; the callbacks come on the log's thread.
    static func start(
        _ opened: consuming sending Opened,
        logger: Logger,
        onCommitted: @escaping @Sendable (_ shard: Int, _ number: UInt64, _ position: UInt64) -> Void,
        onFailure: @escaping @Sendable (StoreError) -> Void
    ) -> DurableLog {
        let directory = opened.directory
        // Nobody else has it: `opened` is used up here, and only the writer's thread touches the log from now on.
        nonisolated(unsafe) let log = opened.log
        let firstPosition = log.firstPosition
        let reader = LogReader(of: log)
        let writer = LogWriter(
            log: log,
            onCommitted: { shard, batch in onCommitted(shard, batch.mark, batch.firstPosition.octets) },
            onFull: { isFull in
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
        return DurableLog(directory: directory, writer: writer, reader: reader, firstPosition: firstPosition)
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

    /// Notes how many octets of live messages of a shard the log has.
    func note(liveBytes: Int, of shard: Int) {
        self.trim.withLock { $0.live[shard] = liveBytes }
    }

    /// Where everything before is durable, if it is time to trim the log; ``endTrim(from:)`` must follow.
    ///
    /// The caller has every shard tell again what is live. It is time when the log holds more than twice that: a growing
    /// backlog is never written again, and what telling costs is less than what was written since the last time.
    func beginTrimIfDue() -> LogPosition? {
        let position = self.writer.durablePosition
        let held = self.writer.heldBytes
        return self.trim.withLock { trim in
            let live = UInt64(clamping: trim.live.values.reduce(0, +))
            guard !trim.isUnderWay, position.octets > trim.position + ServerLimits.trimmedGrowthBytes,
                held > 2 * live + ServerLimits.trimmedLogBytes
            else { return nil }
            trim.isUnderWay = true
            return position
        }
    }

    /// Everything live is behind `position` now, and durable there.
    func endTrim(from position: LogPosition) {
        self.writer.release(upTo: position)
        self.trim.withLock { trim in
            trim.isUnderWay = false
            trim.position = position.octets
        }
    }

    /// Commits what was submitted, ends the thread, and unlocks the directory.
    func stop(_ logger: Logger) {
        do throws(StoreError) {
            try self.writer.stop()
        } catch {
            logger.error("the commit log did not end cleanly: \(error)")
        }
        self.directory.withLock { $0 = nil }
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
