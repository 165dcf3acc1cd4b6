/// A file with records.
struct HeldFile {
    let sequence: UInt64
    let firstPosition: UInt64
    /// Octets of the whole file.
    let capacity: UInt64
}

/// A file of the full size without records.
struct SpareFile {
    /// The number in its name.
    let sequence: UInt64
    /// Whether it is known to hold nothing but zeros.
    let isZeros: Bool
}

/// The file that is written to.
struct CurrentFile {
    let file: any StoreFile
    let sequence: UInt64
    let capacity: UInt64
    /// Where the next record goes.
    var end: UInt64
    /// Whether it held nothing but zeros when it was taken.
    var wasZeros = false

    /// Octets that fit.
    var room: UInt64 { self.capacity - self.end }
}

/// A spare file that is being made, under a name of its own: it has its full size, and its first octets are zeros on the
/// disk, which makes writing to them cheaper.
struct UnfinishedSpare {
    let file: any StoreFile
    var filledBytes: UInt64
}

extension CommitLog {
    /// Octets of a spare file that are written at a time, so that a commit never waits long for it.
    private static let sparePieceBytes: UInt64 = 1 << 20

    func path(_ name: String) -> String { "\(self.directory)/\(name)" }

    // MARK: The next file

    /// Makes the next file the one that is written to.
    ///
    /// What was written before is synced.
    ///
    /// A full disk may interrupt it anywhere; called again, it goes on where it was.
    func changeFile(firstRecordSize: UInt64) throws(StoreError) {
        let needed = UInt64(LogFileHeader.size) + firstRecordSize
        if let begun = self.begun, begun.capacity < needed { try self.abandon(begun) }
        let next: CurrentFile
        if let begun = self.begun {
            next = begun
        } else {
            next = try self.takeFile(atLeast: Self.rounded(needed))
            self.begun = next
        }
        try self.syncNames()
        let header = LogFileHeader(
            identity: self.options.identity,
            sequence: next.sequence,
            firstPosition: self.writtenPosition,
            capacity: next.capacity,
            wasZeros: next.wasZeros
        )
        try next.file.write(header.encoded, at: 0)
        do throws(StoreError) {
            try next.file.sync()
        } catch {
            // Not `noSpace`, whatever the system says: a failed sync is never tried again.
            throw StoreError(.poisoned, error.operation, error.file, error.text)
        }
        self.begun = nil
        self.current = next
        self.held.append(
            HeldFile(sequence: next.sequence, firstPosition: self.writtenPosition, capacity: next.capacity)
        )
    }

    /// Makes the next piece of a spare file, so that no commit has to wait for it; returns whether there is more to do.
    ///
    /// Writes and syncs a megabyte of zeros at most. A full disk leaves things as they were.
    public func prepareSpare() throws(StoreError) -> Bool {
        guard self.spares.isEmpty, self.options.spareFiles > 0 else { return false }
        let capacity = self.options.fileBytes
        let path = self.path(LogFileName.unfinished)
        do throws(StoreError) {
            if self.unfinishedSpare == nil {
                let file = try self.files.open(path, .replace)
                try file.reserve(size: capacity)
                self.unfinishedSpare = UnfinishedSpare(file: file, filledBytes: 0)
            }
            guard var spare = self.unfinishedSpare else { return false }
            let end = min(spare.filledBytes + Self.sparePieceBytes, capacity)
            try spare.file.fillWithZeros(from: spare.filledBytes, to: end)
            try spare.file.sync()
            spare.filledBytes = end
            self.unfinishedSpare = spare
            guard end == capacity else { return true }
            let sequence = self.nextSequence
            try self.files.rename(path, to: self.path(LogFileName.spare(sequence)))
            try self.syncNames()
            self.unfinishedSpare = nil
            self.spares.append(SpareFile(sequence: sequence, isZeros: true))
            return false
        } catch {
            self.unfinishedSpare = nil
            // Its room is better used by whoever made the disk full; if it cannot be removed, the next start does it.
            if error.reason == .noSpace { try? self.files.remove(path) }
            throw error
        }
    }

    /// Whether a change of files is near and would have to make one, and the disk has room for more than that.
    ///
    /// A spare file is no reason for the disk to be full.
    var wantsSpare: Bool {
        guard let current = self.current, self.spares.isEmpty, self.begun == nil, self.options.spareFiles > 0,
            current.room < self.options.fileBytes / 2
        else { return false }
        let free = (try? self.files.freeBytes(at: self.directory)) ?? 0
        return free / 4 > self.options.fileBytes
    }

    /// The number of the next file: above every number in use, as spare files keep theirs.
    private var nextSequence: UInt64 {
        max(self.held.last?.sequence ?? 0, self.spares.map(\.sequence).max() ?? 0, self.begun?.sequence ?? 0) + 1
    }

    /// Takes a file of the usual size, or a smaller one when there is no room for that: what consumers settle while the disk
    /// is nearly full goes somewhere.
    private func takeFile(atLeast needed: UInt64) throws(StoreError) -> CurrentFile {
        var capacity = max(self.options.fileBytes, needed)
        while true {
            do throws(StoreError) {
                return try self.takeFile(of: capacity)
            } catch  where error.reason == .noSpace {
                let smaller = max(capacity / 4 & ~4095, needed)
                guard smaller < capacity, smaller >= Self.leastFileBytes else { throw error }
                capacity = smaller
            }
        }
    }

    /// Octets of the smallest file that is made when the disk is nearly full.
    private static var leastFileBytes: UInt64 { 256 << 10 }

    private func takeFile(of capacity: UInt64) throws(StoreError) -> CurrentFile {
        let sequence = self.nextSequence
        let name = LogFileName.log(sequence)
        let file: any StoreFile
        var wasZeros = true
        if capacity == self.options.fileBytes, let spare = self.spares.first {
            wasZeros = spare.isZeros
            let path = self.path(LogFileName.spare(spare.sequence))
            try self.files.rename(path, to: self.path(name))
            self.spares.removeFirst()
            file = try self.files.open(self.path(name), .readWrite)
        } else {
            file = try self.makeFile(name, capacity: capacity)
        }
        return CurrentFile(
            file: file,
            sequence: sequence,
            capacity: capacity,
            end: UInt64(LogFileHeader.size),
            wasZeros: wasZeros
        )
    }

    /// Makes a file and gives it its name when its size is durable, so that no file of a log is ever too short.
    ///
    /// It is not written first: a commit waits for it.
    private func makeFile(_ name: String, capacity: UInt64) throws(StoreError) -> any StoreFile {
        let unfinished = self.path(LogFileName.unfinished)
        // Whoever needs a file now takes what there is of a spare one.
        let begun = capacity == self.options.fileBytes ? self.unfinishedSpare?.file : nil
        self.unfinishedSpare = nil
        do throws(StoreError) {
            let file: any StoreFile
            if let begun {
                file = begun
            } else {
                file = try self.files.open(unfinished, .replace)
                try file.reserve(size: capacity)
            }
            try file.sync()
            try self.files.rename(unfinished, to: self.path(name))
            // By its new name, for errors to come.
            return try self.files.open(self.path(name), .readWrite)
        } catch {
            // Its room is better used by whoever made the disk full; if it cannot be removed, the next start does it.
            if error.reason == .noSpace { try? self.files.remove(unfinished) }
            throw error
        }
    }

    /// Gives up a file that has its name but no records, because the next record needs a larger one.
    private func abandon(_ file: CurrentFile) throws(StoreError) {
        try self.files.remove(self.path(LogFileName.log(file.sequence)))
        self.begun = nil
        try self.syncNames()
    }

    func syncNames() throws(StoreError) {
        try self.files.syncDirectory(self.directory)
    }

    /// Files of one large record end at a page.
    private static func rounded(_ octets: UInt64) -> UInt64 { (octets + 4095) & ~4095 }

    // MARK: Releasing

    /// Gives back the files whose records all stand before a position: nothing needs them any more.
    ///
    /// Some are kept to be used again, the others removed. The file that is written to stays. A failure leaves the log
    /// usable; the call can be repeated. While files are pinned it waits for the last pin's end.
    public func release(upTo position: LogPosition) throws(StoreError) {
        guard self.pinCount == 0 else {
            self.heldBack = max(self.heldBack ?? position, position)
            return
        }
        while self.held.count > 1, self.held[1].firstPosition <= position.octets {
            let oldest = self.held[0]
            let path = self.path(LogFileName.log(oldest.sequence))
            if oldest.capacity == self.options.fileBytes, self.spares.count < self.options.spareFiles {
                try self.files.rename(path, to: self.path(LogFileName.spare(oldest.sequence)))
                self.spares.append(SpareFile(sequence: oldest.sequence, isZeros: false))
            } else {
                try self.files.remove(path)
            }
            self.held.removeFirst()
            // Before the next file: without this, the names of some later files could go and those of earlier ones stay.
            try self.syncNames()
        }
    }
}
