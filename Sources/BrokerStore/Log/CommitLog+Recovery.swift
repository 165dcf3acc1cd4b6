// Invariants: those of `CommitLog`, 2 and 3 above all. Files are visited oldest first; `LogRecovery` knows how far it has
// come (`end`) and treats each file as one of four:
//
//    header, and a later header     its records reach to where the later file begins: holes are damage
//    header, and none later         the tail: a hole is damage if a later record starts a commit, otherwise the end
//    no header, records in place    damage to the header, which is written anew
//    no header, no records          nothing was ever committed to it, unless a later file begins after a gap

extension CommitLog {
    /// Reads the log, hands over every record in order, and makes it ready to be appended to.
    ///
    /// `onProgress` is told about how much has been read before every record, and after every file.
    ///
    /// Records before `start` are left out, and so are whole files before it: a checkpoint covers them. A torn tail is cut.
    /// Damage is reported, the damaged file copied aside, and what is undamaged behind it handed over. Throws what `body`
    /// throws, `notOurs` or `newerFormat` for files of another directory or a newer version, and what the disk throws.
    public func recover(
        from start: LogPosition? = nil,
        onProgress: (_ octets: UInt64, _ ofOctets: UInt64) -> Void = { _, _ in },
        _ body: (LogPosition, UInt8, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) -> RecoveryReport {
        precondition(!self.isRecovered, "recovered once")
        var recovery = LogRecovery(log: self, start: start)
        try recovery.readNames()
        let total = recovery.found.reduce(0) { $0 + $1.size }
        var done: UInt64 = 0
        for index in recovery.found.indices {
            let first = recovery.nextPosition
            try recovery.visit(index) { (position, type, payload) throws(StoreError) in
                onProgress(done + position.octets - min(first ?? position.octets, position.octets), total)
                try body(position, type, payload)
            }
            done += recovery.found[index].size
            onProgress(done, total)
        }
        return try recovery.finish()
    }
}

/// One recovery under way.
struct LogRecovery {
    /// A file by its name.
    struct Found {
        let sequence: UInt64
        let name: String
        let file: any StoreFile
        let size: UInt64
        let header: LogFileHeader?
        /// The copy of the header that is damaged or was never written.
        let badCopyOffset: Int?
    }

    /// Where the records of a file stand.
    private struct Bounds {
        let firstPosition: UInt64
        /// Where a later file begins.
        let nextFirst: UInt64?
        /// Whether that is the very next file, so that the records reach to it.
        let reachesNext: Bool
    }

    let log: CommitLog
    let start: LogPosition?
    private(set) var found: [Found] = []
    private(set) var report = RecoveryReport()
    /// The copies of damaged files, by the files' numbers.
    private var copies: [UInt64: String] = [:]
    /// Where what was found so far ends; nil before the first file with records.
    private var end: UInt64?
    /// Where the next record of the next file stands, if that is known.
    var nextPosition: UInt64? { self.end }
    private var buffer = RecoveryBuffer()
    /// What was cut off: where it stood, and its octets.
    private var tail: (file: any StoreFile, offset: UInt64, octets: [UInt8])?

    init(log: CommitLog, start: LogPosition?) {
        self.log = log
        self.start = start
    }

    // MARK: Names and headers

    /// Finds the files, and removes those that are worth nothing.
    mutating func readNames() throws(StoreError) {
        for name in try self.log.files.names(in: self.log.directory) {
            let path = self.log.path(name)
            if name == LogFileName.unfinished {
                try self.log.files.remove(path)
            } else if let sequence = LogFileName.spareSequence(name) {
                try self.takeSpare(sequence, path)
            } else if let sequence = LogFileName.logSequence(name) {
                self.found.append(try self.readHeader(sequence, name))
            }
        }
        // Names were sorted, and sort as numbers do.
        try self.checkOrder()
    }

    private func takeSpare(_ sequence: UInt64, _ path: String) throws(StoreError) {
        let size = try self.log.files.open(path, .readOnly).size()
        if size == self.log.options.fileBytes, self.log.spares.count < self.log.options.spareFiles {
            self.log.spares.append(SpareFile(sequence: sequence, isZeros: false))
        } else {
            try self.log.files.remove(path)
        }
    }

    private func readHeader(_ sequence: UInt64, _ name: String) throws(StoreError) -> Found {
        let path = self.log.path(name)
        let file = try self.log.files.open(path, .readWrite)
        let size = try file.size()
        let bytes = try file.prefix(LogFileHeader.size)
        var header: LogFileHeader?
        var badCopyOffset: Int?
        for offset in LogFileHeader.copyOffsets {
            switch bytes.withUnsafeBytes({ LogFileHeader.decode($0, copyAt: offset) }) {
            case .newer(let version):
                throw StoreError(
                    .newerFormat(version),
                    .recover,
                    path,
                    "it was written by a newer version (log format \(version), this is \(LogFileHeader.version))"
                )
            case .valid(let copy) where copy.identity != self.log.options.identity:
                throw StoreError(.notOurs, .recover, path, "it belongs to another data directory")
            case .valid(let copy) where copy.sequence == sequence && header == nil:
                header = copy
            case .valid(let copy) where copy == header:
                break
            case .valid, .invalid:
                badCopyOffset = offset
            }
        }
        return Found(
            sequence: sequence,
            name: name,
            file: file,
            size: size,
            header: header,
            badCopyOffset: badCopyOffset
        )
    }

    private func checkOrder() throws(StoreError) {
        var last: UInt64 = 0
        for file in self.found {
            guard let header = file.header else { continue }
            guard header.firstPosition >= last else {
                throw StoreError(.damaged, .recover, self.log.path(file.name), "it begins before the file before it")
            }
            last = header.firstPosition
        }
    }

    // MARK: One file

    /// Reads the file at an index, if anything in it is wanted.
    mutating func visit(
        _ index: Int,
        _ body: (LogPosition, UInt8, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        let file = self.found[index]
        let later = self.found[(index + 1)...]
        let nextFirst = later.lazy.compactMap { $0.header?.firstPosition }.first
        let reachesNext = later.first?.header != nil
        guard let header = file.header else {
            return try self.visitHeaderless(file, nextFirst: nextFirst, reachesNext: reachesNext, body)
        }
        self.noteGap(before: header.firstPosition, file)
        let capacity = min(header.capacity, file.size)
        self.hold(file, firstPosition: header.firstPosition, capacity: header.capacity)
        if let nextFirst, let start = self.start, nextFirst <= start.octets {
            self.end = nextFirst
            return
        }
        try self.buffer.read(file.file, count: Int(capacity), path: self.log.path(file.name))
        let before = self.report.records
        let bounds = Bounds(firstPosition: header.firstPosition, nextFirst: nextFirst, reachesNext: reachesNext)
        // Files get their names at full size. Of one with a later file the missing octets are found missing as records.
        let isCutOff = file.size < header.capacity && nextFirst == nil
        if isCutOff { self.keepCopy(file) }
        try self.readRecords(file, bounds, body)
        if isCutOff { try self.mendEnd(of: file, header) }
        // The same is true of the header: see `writeAgain`.
        if nextFirst == nil { try file.file.write(header.encoded, at: 0) }
        guard let badCopyOffset = file.badCopyOffset else { return }
        // A header of which one copy was being written when power went is followed by no record.
        if nextFirst != nil || self.report.records > before {
            self.noteDamage(file, offset: UInt64(badCopyOffset), lost: 0)
        }
        try file.file.write(header.encoded, at: 0)
        try file.file.sync()
    }

    /// Gives a file that was cut off its size again, and tells what is known to be lost: a record of which a part is there.
    ///
    /// The file is in the buffer, as it was.
    private mutating func mendEnd(of file: Found, _ header: LogFileHeader) throws(StoreError) {
        let end = LogFileHeader.size + Int((self.end ?? header.firstPosition) - header.firstPosition)
        let part = self.buffer.isZero(from: end) ? 0 : UInt64(self.buffer.bytes.count - end)
        self.noteDamage(file, offset: file.size, lost: part, isCutOff: true)
        try file.file.fillWithZeros(from: min(UInt64(end), file.size), to: header.capacity)
    }

    /// Octets that a missing file held.
    private mutating func noteGap(before first: UInt64, _ file: Found) {
        let expected = self.end ?? self.start?.octets ?? first
        guard first > expected else { return }
        self.noteDamage(file, offset: 0, lost: first - expected)
        self.end = first
    }

    private mutating func visitHeaderless(
        _ file: Found,
        nextFirst: UInt64?,
        reachesNext: Bool,
        _ body: (LogPosition, UInt8, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        let path = self.log.path(file.name)
        try self.buffer.read(file.file, count: Int(file.size), path: path)
        // The first file of all is the only one whose beginning is known without one before it.
        let expected = self.end ?? (file.sequence == 1 ? 0 : nil)
        if let expected, file.size > UInt64(LogFileHeader.size) {
            let scan = LogScan(bytes: self.buffer.bytes, firstPosition: expected, seed: self.log.seed)
            if scan.next(from: LogFileHeader.size) != nil {
                self.noteDamage(file, offset: 0, lost: 0)
                let header = LogFileHeader(
                    identity: self.log.options.identity,
                    sequence: file.sequence,
                    firstPosition: expected,
                    capacity: file.size
                )
                try file.file.write(header.encoded, at: 0)
                try file.file.sync()
                self.hold(file, firstPosition: expected, capacity: file.size)
                let bounds = Bounds(firstPosition: expected, nextFirst: nextFirst, reachesNext: reachesNext)
                return try self.readRecords(file, bounds, body)
            }
        }
        let known = self.end ?? self.start?.octets
        let gap = nextFirst.flatMap { next in known.map { next - min(next, $0) } }
        // Files before the first one with records were never used again, so they hold zeros or something lost.
        let isUnknown = self.end == nil && !self.buffer.isZero(from: LogFileHeader.size)
        if gap ?? 0 > 0 || isUnknown || file.size < UInt64(LogFileHeader.size) {
            try self.setAside(file, lost: gap ?? file.size - min(file.size, UInt64(LogFileHeader.size)))
            if let gap, let known { self.end = known + gap }
        } else if file.size == self.log.options.fileBytes, self.log.spares.count < self.log.options.spareFiles {
            try self.log.files.rename(path, to: self.log.path(LogFileName.spare(file.sequence)))
            self.log.spares.append(SpareFile(sequence: file.sequence, isZeros: false))
        } else {
            try self.log.files.remove(path)
        }
    }

    private mutating func readRecords(
        _ file: Found,
        _ bounds: Bounds,
        _ body: (LogPosition, UInt8, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        self.report.filesRead += 1
        var bytes = self.buffer.bytes
        let limit = bounds.nextFirst.map { UInt64(LogFileHeader.size) + ($0 - bounds.firstPosition) }
        if let limit, limit < UInt64(bytes.count) { bytes = UnsafeRawBufferPointer(rebasing: bytes[..<Int(limit)]) }
        let scan = LogScan(bytes: bytes, firstPosition: bounds.firstPosition, seed: self.log.seed)
        var offset = LogFileHeader.size
        var lastStart = LogFileHeader.size
        var survey: LogScan.Survey?
        while true {
            if let record = scan.record(at: offset) {
                if record.startsCommit { lastStart = offset }
                try self.serve(record, scan, offset, body)
                offset += record.size
                continue
            }
            if let limit, UInt64(offset) >= limit { break }
            if bounds.nextFirst == nil {
                let known = survey ?? scan.survey(from: offset)
                survey = known
                guard let lastStart = known.lastStart, lastStart > offset else {
                    try self.cut(file, scan, at: offset, validEnd: known.end)
                    break
                }
            }
            guard let next = scan.next(from: offset + RecordFormat.alignment) else {
                // Only in a file with a later one: what is missing reaches to where that begins, unless the file between
                // them has it.
                guard bounds.reachesNext, let limit else { break }
                self.noteDamage(file, offset: UInt64(offset), lost: limit - UInt64(offset))
                offset = Int(limit)
                break
            }
            self.noteDamage(file, offset: UInt64(offset), lost: UInt64(next - offset))
            offset = next
        }
        self.end = scan.position(at: offset)
        if bounds.nextFirst == nil {
            try self.writeAgain(file, from: lastStart, to: offset)
            self.log.current = CurrentFile(
                file: file.file,
                sequence: file.sequence,
                capacity: max(UInt64(offset), min(self.log.held.last?.capacity ?? 0, file.size)),
                end: UInt64(offset)
            )
        }
    }

    /// Writes what no later commit proves to be synced once more, as it was read.
    ///
    /// The sync that ended the last process may have failed. What it left unwritten can be read from the memory of the
    /// system, which takes it for written: no later sync would write it.
    private func writeAgain(_ file: Found, from start: Int, to end: Int) throws(StoreError) {
        guard start < end, end <= self.buffer.bytes.count else { return }
        try file.file.write(UnsafeRawBufferPointer(rebasing: self.buffer.bytes[start..<end]), at: UInt64(start))
    }

    private mutating func serve(
        _ record: RecordHead,
        _ scan: LogScan,
        _ offset: Int,
        _ body: (LogPosition, UInt8, UnsafeRawBufferPointer) throws(StoreError) -> Void
    ) throws(StoreError) {
        let position = LogPosition(scan.position(at: offset))
        guard !record.isMarker, self.start.map({ $0 <= position }) ?? true else { return }
        let payload = offset + RecordFormat.headSize
        try body(
            position,
            record.type,
            UnsafeRawBufferPointer(rebasing: scan.bytes[payload..<(payload + record.payloadSize)])
        )
        self.report.records += 1
        self.report.octets += UInt64(record.size)
    }

    /// Ends the log at an offset of its last file, and makes sure that nothing behind it can come back.
    private mutating func cut(
        _ file: Found,
        _ scan: LogScan,
        at offset: Int,
        validEnd: Int?
    ) throws(StoreError) {
        let claimed = scan.claimedSize(at: offset).map { offset + $0 } ?? offset
        // In a file that was used before, there are records of that time.
        let written = file.header?.wasZeros == true ? self.buffer.lastNonzero(from: offset) : nil
        let end = max(offset, validEnd ?? offset, claimed, written.map { $0 + 1 } ?? offset)
        guard end > offset else { return }
        self.tail = (file.file, UInt64(offset), Array(self.buffer.bytes[offset..<min(end, self.buffer.bytes.count)]))
        try file.file.fillWithZeros(from: UInt64(offset), to: UInt64(end))
        self.report.tornTail = RecoveryReport.TornTail(
            file: self.log.path(file.name),
            offset: UInt64(offset),
            bytes: UInt64(end - offset)
        )
    }

    // MARK: Damage and the end

    private func hold(_ file: Found, firstPosition: UInt64, capacity: UInt64) {
        self.log.held.append(HeldFile(sequence: file.sequence, firstPosition: firstPosition, capacity: capacity))
    }

    private mutating func noteDamage(_ file: Found, offset: UInt64, lost: UInt64, isCutOff: Bool = false) {
        let path = self.log.path(file.name)
        let kept = self.keepCopy(file)
        self.report.damages.append(
            RecoveryReport.Damage(file: path, offset: offset, lostBytes: lost, isCutOff: isCutOff, keptAs: kept)
        )
    }

    /// Copies a file before anything in it is changed; returns the copy's path if there is one.
    ///
    /// A copy of an earlier start is left alone: it has seen more.
    @discardableResult
    private mutating func keepCopy(_ file: Found) -> String? {
        if let path = self.copies[file.sequence] { return path }
        let path = self.log.path(LogFileName.damaged(file.name))
        do throws(StoreError) {
            let copy = try self.log.files.open(path, .create)
            try copy.write(try file.file.prefix(Int(file.size)), at: 0)
            try copy.sync()
        } catch {
            // Serving what is left matters more than the copy.
            guard error.reason == .exists else { return nil }
        }
        self.copies[file.sequence] = path
        return path
    }

    /// Takes a file of which nothing can be read out of the log, as it is.
    private mutating func setAside(_ file: Found, lost: UInt64) throws(StoreError) {
        let path = self.log.path(file.name)
        let aside = self.log.path(LogFileName.damaged(file.name))
        try self.log.files.rename(path, to: aside)
        self.report.damages.append(RecoveryReport.Damage(file: path, offset: 0, lostBytes: lost, keptAs: aside))
    }

    /// Makes durable what was found: it may have come from the memory of the system, written by a process that was killed.
    mutating func finish() throws(StoreError) -> RecoveryReport {
        do throws(StoreError) {
            try self.log.current?.file.sync()
            try self.log.syncNames()
        } catch {
            self.restoreTail()
            throw error
        }
        let found = self.end ?? 0
        let end = max(found, self.start?.octets ?? 0)
        // What a checkpoint covers may not be appended again under its positions: go on behind it, in a new file.
        if end > found { self.log.current = nil }
        self.log.open(at: end)
        self.report.first = self.log.firstPosition
        self.report.end = LogPosition(end)
        return self.report
    }
}

extension LogRecovery {
    /// Puts back what was cut off, when that cannot be made durable: the next start must see it, and cut it off again.
    ///
    /// The system takes the zeros for written, as ``writeAgain(_:from:to:)`` says: no later sync would write them, and the
    /// octets would come back with the next loss of power, behind records of a later time.
    private func restoreTail() {
        guard let tail = self.tail else { return }
        tail.octets.withUnsafeBytes { try? tail.file.write($0, at: tail.offset) }
    }
}

/// The content of one file at a time.
private final class RecoveryBuffer {
    private var block = UnsafeMutableRawBufferPointer.allocate(byteCount: 0, alignment: 16)
    private var count = 0

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: self.block[..<self.count]) }

    deinit {
        self.block.deallocate()
    }

    func read(_ file: any StoreFile, count: Int, path: String) throws(StoreError) {
        if self.block.count < count {
            self.block.deallocate()
            self.block = .allocate(byteCount: count, alignment: 16)
        }
        self.count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: self.block[..<count]), at: 0)
    }

    func isZero(from offset: Int) -> Bool { self.lastNonzero(from: offset) == nil }

    /// Where the last octet that is not zero is, at or after an offset.
    func lastNonzero(from offset: Int) -> Int? {
        let bytes = self.bytes
        var end = self.count
        // By words: most of a file may be empty.
        while end - 8 >= offset, bytes.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == 0 { end -= 8 }
        while end > offset {
            end -= 1
            if bytes[end] != 0 { return end }
        }
        return nil
    }
}

extension StoreFile {
    /// The first octets of a file, fewer if it is shorter.
    fileprivate func prefix(_ count: Int) throws(StoreError) -> [UInt8] {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: count, alignment: 16)
        defer { buffer.deallocate() }
        let read = try self.read(into: buffer, at: 0)
        return Array(buffer[..<read])
    }
}
