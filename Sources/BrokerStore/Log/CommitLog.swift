// Invariants
// 1. What stood before `durablePosition` when `commit` returned is found by `recover`, in order, whatever happens to power.
// 2. A record is flagged as the start of a commit only if everything before it was synced before it is written; a file is
//    begun only after the file before it was synced, and its header is synced before its first record. So whoever finds
//    such a record, or such a file, knows that a hole before it is damage; a hole with neither behind it is the torn end
//    of a commit that nobody was told about.
// 3. Nothing beyond the end that `recover` found could be taken for a record later: it is overwritten with zeros and
//    synced before the first append.
// 4. After a failed write or sync nothing more is promised: `poison` is set, and every call throws it.
// 5. A full disk is not a failure: what was staged stays staged, and `commit` can be called again.
// 6. Names change one at a time, oldest file first, each synced: the files of a log are without a gap at any moment.
//
//    new ──recover──► open ──failed write or sync──► poisoned

internal import CChecksum

/// The log of everything durable: records appended in memory, written and synced together.
///
/// One owner, no threads of its own, and every call may block on the disk: `LogWriter` gives it a thread.
public final class CommitLog {
    let files: any FileSystem
    let directory: String
    let options: CommitLogOptions
    let seed: UInt32

    /// Files with records, oldest first; the last one is written to.
    var held: [HeldFile] = [] {
        didSet { self.table.set(self.held) }
    }
    /// The same for readers on other threads.
    let table = LogFileTable()
    /// Files to be used again, oldest first.
    var spares: [SpareFile] = []
    /// The next spare file, as far as it has come.
    var unfinishedSpare: UnfinishedSpare?
    /// The file that is written to, and where its next record goes.
    var current: CurrentFile?
    /// A file that has its name already but no synced header: where a full disk interrupted the change of files.
    var begun: CurrentFile?

    /// Whoever needs the files as they are; see ``pin()``.
    var pinCount = 0
    /// What was released while files were pinned.
    var heldBack: LogPosition?

    /// Records that are not written yet, from `stagedStart` on.
    private var staged: RawBlock
    private var stagedStart = 0
    /// Where the first record that is not written will stand.
    var writtenPosition: UInt64 = 0
    /// Where the next record will stand.
    private var endOctets: UInt64 = 0
    /// Whether something was written and not synced.
    private var hasUnsynced = false
    private var durableOctets: UInt64 = 0
    private var endsWithMarker = true
    private(set) var isRecovered = false
    private var poison: StoreError?

    /// A log in a directory that exists and that this process has locked.
    ///
    /// `recover` comes before anything else.
    public init(files: any FileSystem, directory: String, options: CommitLogOptions) {
        self.files = files
        self.directory = directory
        self.options = options
        self.seed = RecordFormat.seed(identity: options.identity)
        self.staged = RawBlock(capacity: min(64 << 10, options.stagingBytes))
    }

    /// Where the next record will stand.
    public var endPosition: LogPosition { LogPosition(self.endOctets) }

    /// Everything before this was synced.
    public var durablePosition: LogPosition { LogPosition(self.durableOctets) }

    /// Where the oldest record that is held stands.
    public var firstPosition: LogPosition { LogPosition(self.held.first?.firstPosition ?? self.writtenPosition) }

    /// Octets of records that are staged and not written.
    public var stagedBytes: Int { self.staged.count - self.stagedStart }

    /// Octets on disk: files with records, and spare ones.
    public var heldBytes: UInt64 {
        self.held.reduce(0) { $0 + $1.capacity } + UInt64(self.spares.count) * self.options.fileBytes
            + (self.begun?.capacity ?? 0) + (self.unfinishedSpare == nil ? 0 : self.options.fileBytes)
    }

    // MARK: Appending

    /// Stages a record; returns where it stands.
    ///
    /// It is durable when a later `commit` returns.
    @discardableResult
    public func append(type: UInt8, payload: UnsafeRawBufferPointer) throws(StoreError) -> LogPosition {
        try self.checkUsable()
        precondition(payload.count <= RecordFormat.maxPayloadSize)
        let flags = self.nextFlags
        let record = self.staged.extend(by: RecordFormat.size(payload: payload.count))
        RecordFormat.begin(record, type: type, payload: payload.count)
        UnsafeMutableRawBufferPointer(start: record + RecordFormat.headSize, count: payload.count)
            .copyMemory(from: payload)
        let position = LogPosition(self.endOctets)
        self.finish(record, flags: flags)
        return position
    }

    /// Stages all records of a batch and tells it where they stand.
    public func append(batch: LogBatch) throws(StoreError) {
        try self.checkUsable()
        batch.firstPosition = LogPosition(self.endOctets)
        let bytes = batch.bytes
        guard let source = bytes.baseAddress, !bytes.isEmpty else { return }
        var flags = self.nextFlags
        let start = self.staged.extend(by: bytes.count)
        start.copyMemory(from: source, byteCount: bytes.count)
        var offset = 0
        while offset < bytes.count {
            offset += self.finish(start + offset, flags: flags)
            flags = 0
        }
    }

    /// What the next record can prove about those before it.
    private var nextFlags: UInt8 {
        self.stagedBytes == 0 && !self.hasUnsynced ? RecordFormat.startsCommit : 0
    }

    @discardableResult
    private func finish(_ record: UnsafeMutableRawPointer, flags: UInt8) -> Int {
        RecordFormat.finish(record, position: self.endOctets, flags: flags, seed: self.seed)
        let size = RecordFormat.sizeOfBegun(record)
        self.endOctets += UInt64(size)
        return size
    }

    // MARK: Committing

    /// Writes everything staged, with one write a file, and syncs it; what was staged before is durable on return.
    ///
    /// Throws `noSpace` when the disk is full: what was committed before is safe, what is staged stays so, and the call can
    /// be repeated. After any other error the log is poisoned. `synced: false` leaves the sync to a later call.
    public func commit(synced: Bool = true) throws(StoreError) {
        try self.checkUsable()
        while self.stagedBytes > 0 {
            try self.guarded { () throws(StoreError) in try self.writeNextPart() }
        }
        self.staged.reset(keeping: self.options.stagingBytes)
        self.stagedStart = 0
        if synced { try self.syncCurrent() }
    }

    /// Ends a quiet moment with a mark that proves, to a later `recover`, that all before it had been synced.
    ///
    /// Costs one small write and no sync: that the mark is there is proof enough. Does nothing while something is staged or
    /// unsynced, or when there is no room for it.
    public func mark() throws(StoreError) {
        try self.checkUsable()
        let size = RecordFormat.size(payload: 0)
        guard self.stagedBytes == 0, !self.hasUnsynced, !self.endsWithMarker,
            let current = self.current, current.room >= UInt64(size)
        else { return }
        let flags = self.nextFlags | RecordFormat.marker
        let record = self.staged.extend(by: size)
        RecordFormat.begin(record, type: 0, payload: 0)
        self.finish(record, flags: flags)
        try self.guarded { () throws(StoreError) in try self.writeNextPart() }
        self.staged.reset(keeping: self.options.stagingBytes)
        self.stagedStart = 0
        self.endsWithMarker = true
    }

    /// Syncs what was written without a sync, and leaves alone what is staged.
    public func sync() throws(StoreError) {
        try self.checkUsable()
        try self.syncCurrent()
    }

    /// Commits, marks and syncs: what a clean stop leaves needs no guess at the next start.
    public func close() throws(StoreError) {
        try self.commit()
        try self.mark()
        try self.syncCurrent()
    }

    /// Writes as many staged records as the current file takes, after changing files if it takes none.
    private func writeNextPart() throws(StoreError) {
        let rest = UnsafeRawBufferPointer(rebasing: self.staged.bytes[self.stagedStart...])
        guard let base = rest.baseAddress else { return }
        let firstSize = UInt64(RecordFormat.sizeOfBegun(base))
        if self.current.map({ $0.room < firstSize }) ?? true {
            try self.syncCurrent()
            try self.changeFile(firstRecordSize: firstSize)
        }
        guard var current = self.current else { preconditionFailure("a file was just begun") }
        let count = Self.wholeRecords(rest, room: current.room)
        let part = UnsafeRawBufferPointer(rebasing: rest[..<count])
        // Before the write: half of it may be in the file when it fails.
        self.hasUnsynced = true
        try current.file.write(part, at: current.end)
        current.end += UInt64(count)
        self.current = current
        self.stagedStart += count
        self.writtenPosition += UInt64(count)
        self.endsWithMarker = false
    }

    /// Octets of the records that fit into `room`; the first one does.
    private static func wholeRecords(_ bytes: UnsafeRawBufferPointer, room: UInt64) -> Int {
        guard UInt64(bytes.count) > room, let base = bytes.baseAddress else { return bytes.count }
        var count = 0
        while true {
            let size = RecordFormat.sizeOfBegun(base + count)
            if UInt64(count + size) > room { return count }
            count += size
        }
    }

    private func syncCurrent() throws(StoreError) {
        guard self.hasUnsynced, let current = self.current else { return }
        do throws(StoreError) {
            try current.file.sync()
        } catch {
            // Even a full disk: what the system has dropped of a failed sync it does not tell, and will not write again.
            throw self.poisoned(by: error)
        }
        self.hasUnsynced = false
        self.durableOctets = self.writtenPosition
    }

    // MARK: Failing

    /// Runs what may find the disk full; any other failure is the last.
    private func guarded(_ work: () throws(StoreError) -> Void) throws(StoreError) {
        do throws(StoreError) {
            try work()
        } catch {
            if error.reason == .noSpace { throw error }
            throw self.poisoned(by: error)
        }
    }

    private func poisoned(by error: StoreError) -> StoreError {
        if let poison = self.poison { return poison }
        self.poison = StoreError(.poisoned, .commit, self.directory, "\(error)")
        return error
    }

    private func checkUsable() throws(StoreError) {
        precondition(self.isRecovered, "recover comes first")
        if let poison = self.poison { throw poison }
    }

    /// Begins to take appends where recovery found the end.
    func open(at position: UInt64) {
        self.writtenPosition = position
        self.endOctets = position
        self.durableOctets = position
        self.isRecovered = true
    }
}
