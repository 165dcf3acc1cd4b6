internal import Synchronization

/// The files of a log by their positions, as the log has them now; for other threads.
final class LogFileTable: Sendable {
    private let held = Mutex<[HeldFile]>([])

    func set(_ files: [HeldFile]) {
        self.held.withLock { $0 = files }
    }

    /// Where the files begin, oldest first.
    var positions: [UInt64] { self.held.withLock { files in files.map(\.firstPosition) } }

    /// The file that holds a position, and where the next one begins, if there is one.
    ///
    /// A file may end before it is full: a record that does not fit into the rest stands in the next one.
    func file(holding position: UInt64) -> (file: HeldFile, end: UInt64?)? {
        self.held.withLock { files in
            var low = 0
            var high = files.count
            while low < high {
                let middle = (low + high) / 2
                if files[middle].firstPosition <= position {
                    low = middle + 1
                } else {
                    high = middle
                }
            }
            return low == 0 ? nil : (files[low - 1], low < files.count ? files[low].firstPosition : nil)
        }
    }
}

/// Reads records back from the log's files while the log is written; for one thread.
///
/// A record's checksum is over its position, too: a file that was trimmed, or used again, while it was read is noticed.
///
/// `@unchecked Sendable`: made by one thread, used by another alone from then on.
public final class LogReader: @unchecked Sendable {
    private let files: any FileSystem
    private let directory: String
    private let reader: RecordReader
    private let table: LogFileTable
    /// The file read last.
    private var open: (sequence: UInt64, file: any StoreFile)?

    /// A reader of a log that has been recovered.
    public init(of log: CommitLog) {
        self.files = log.files
        self.directory = log.directory
        self.reader = RecordReader(seed: log.seed)
        self.table = log.table
    }

    /// Where the log's files begin, oldest first; for any thread.
    ///
    /// The last one is written to.
    public var filePositions: [UInt64] { self.table.positions }

    /// Reads records, neighbours at once, and hands over the payloads of those that are whole; they lie in memory that
    /// `allocate` gave.
    ///
    /// Returns what is wrong with the others.
    public func read(
        _ places: [RecordPlace],
        isSplit: Bool = false,
        allocate: (Int) -> UnsafeMutableRawBufferPointer,
        found: (Int, UnsafeRawBufferPointer) -> Void
    ) -> [ReadProblem] {
        self.reader.read(
            places,
            isSplit: isSplit,
            allocate: allocate,
            source: { (position) throws(StoreError) in try self.source(position) },
            found: found
        )
    }

    private func source(_ position: UInt64) throws(StoreError) -> RecordSource? {
        guard let (held, end) = self.table.file(holding: position) else { return nil }
        let offset = UInt64(LogFileHeader.size) + (position - held.firstPosition)
        guard offset < held.capacity else { return nil }
        let file: any StoreFile
        if let open = self.open, open.sequence == held.sequence {
            file = open.file
        } else {
            file = try self.files.open("\(self.directory)/\(LogFileName.log(held.sequence))", .readOnly)
            self.open = (held.sequence, file)
        }
        return RecordSource(file: file, offset: offset, room: min(held.capacity - offset, (end ?? .max) - position))
    }
}
