// Invariants
// 1. The directory gets its name when everything in it is durable: under that name it is whole, or not there.
// 2. A failure removes what was made. Only a process that is killed leaves something, under a name that says so and with
//    a marker in it, which is locked while somebody works there. The next snapshot of that name takes its place; what is
//    anybody else's, or has no marker, is left alone.
// 3. What is copied does not change meanwhile: records before the pin's end are never written again.

/// A copy of a data directory that is in use: another broker starts from it as this one would if it were killed at the
/// moment at which its log was pinned.
public struct DirectorySnapshot: Sendable {
    private let files: any FileSystem
    private let source: String
    /// The path of the copy.
    public let target: String
    private let reserveBytes: UInt64

    /// Octets copied with one call.
    private static let pieceBytes = 1 << 20
    /// Octets copied between two syncs: the log's own syncs wait for no more than that.
    private static let syncBytes = 4 << 20
    private static let unfinishedSuffix = ".unfinished"
    /// The marker.
    private static let markerName = "snapshot-under-way"
    private static let markerText = "A snapshot of a martlet data directory, which is not complete.\n"

    /// A snapshot to be made of the data directory `source`; at least `reserveBytes` must be free afterwards.
    public init(of source: String, at target: String, files: any FileSystem, reserveBytes: UInt64 = 0) {
        self.files = files
        self.source = source
        var path = Substring(target)
        while path.count > 1, path.last == "/" { path.removeLast() }
        self.target = String(path)
        self.reserveBytes = reserveBytes
    }

    private var parent: String {
        let end = self.target.lastIndex(of: "/") ?? self.target.startIndex
        return end == self.target.startIndex ? "/" : String(self.target[..<end])
    }

    private var unfinished: String { self.target + Self.unfinishedSuffix }

    private func failure(_ reason: StoreError.Reason, _ text: String) -> StoreError {
        StoreError(reason, .snapshot, self.target, text)
    }

    /// Whether something was made on the way there.
    private enum Trace {
        case nothing
        case unfinished
        case finished
    }

    /// Makes it, of files that stay as they are meanwhile.
    ///
    /// `progress` is told the octets that are copied and on the disk, and says whether to go on.
    public func write(
        _ pin: LogPin,
        progress: (_ octets: UInt64) -> Bool = { _ in true }
    ) throws(StoreError) {
        var trace = Trace.nothing
        // Locked as long as it is here.
        var marker: (any StoreFile)?
        defer { withExtendedLifetime(marker) {} }
        do throws(StoreError) {
            try self.check()
            marker = try self.begin()
            trace = .unfinished
            try self.checkRoom(for: pin)
            try self.copyAll(pin, progress)
            try self.files.syncDirectory(self.unfinished)
            try self.files.renameDirectory(self.unfinished, to: self.target)
            trace = .finished
            try self.files.syncDirectory(self.parent)
            // It is of no use to anybody now, nor in the way.
            try? self.files.remove("\(self.target)/\(Self.markerName)")
        } catch {
            switch trace {
            case .nothing: break
            case .unfinished: self.removeAll(in: self.unfinished)
            case .finished: self.removeAll(in: self.target)
            }
            throw error
        }
    }

    /// Throws if a snapshot cannot be made there; changes nothing.
    public func check() throws(StoreError) {
        guard self.target.hasPrefix("/"), self.target.count > 1, !self.target.utf8.contains(0) else {
            throw self.failure(.unusable, "the path is not absolute")
        }
        do throws(StoreError) {
            _ = try self.files.names(in: self.target)
        } catch {
            guard error.reason == .missing else { throw self.failure(.exists, "it exists already") }
            do throws(StoreError) {
                _ = try self.files.names(in: self.parent)
            } catch {
                throw self.failure(error.reason, "there is no directory \(self.parent): \(error.text)")
            }
            return
        }
        throw self.failure(.exists, "it exists already")
    }

    /// Makes the directory, or takes that of a snapshot that was killed; returns its marker, which is locked.
    private func begin() throws(StoreError) -> any StoreFile {
        do throws(StoreError) {
            try self.files.makeDirectory(self.unfinished)
        } catch  where error.reason == .exists {
            return try self.takeOver()
        }
        return try self.mark()
    }

    private var markerPath: String { "\(self.unfinished)/\(Self.markerName)" }

    private var isBusy: StoreError {
        self.failure(.exists, "\(self.unfinished) is there: another broker is making it")
    }

    /// Puts the marker into a directory in which there is nothing.
    private func mark() throws(StoreError) -> any StoreFile {
        do throws(StoreError) {
            let marker = try self.files.open(self.markerPath, .create)
            guard try marker.lock() else { throw self.isBusy }
            try marker.write(Array(Self.markerText.utf8), at: 0)
            try marker.sync()
            try self.files.syncDirectory(self.unfinished)
            return marker
        } catch  where error.reason == .exists {
            // Somebody was quicker.
            throw self.isBusy
        } catch {
            self.removeAll(in: self.unfinished)
            throw error
        }
    }

    /// Removes what a snapshot has left that was killed, if it is evidently that.
    private func takeOver() throws(StoreError) -> any StoreFile {
        let foreign = self.failure(
            .exists,
            "\(self.unfinished) is there and is not what a snapshot leaves: remove or rename that directory"
        )
        let before: [String]
        do throws(StoreError) {
            before = try self.files.names(in: self.unfinished)
        } catch {
            throw foreign
        }
        // It was killed before the marker was there.
        if before.isEmpty { return try self.mark() }
        guard before.contains(Self.markerName) else { throw foreign }
        let marker = try self.files.open(self.markerPath, .readWrite)
        guard try marker.lock() else { throw self.isBusy }
        // Who had the lock until now may have finished.
        try self.check()
        let names = try self.files.names(in: self.unfinished).filter { $0 != Self.markerName }
        let text = try self.files.contents(of: self.markerPath)
        let isOurs = text == Array(Self.markerText.utf8) || (text.isEmpty && names.isEmpty)
        let known = names.allSatisfy { $0 == DataDirectory.formatName || LogFileName.logSequence($0) != nil }
        guard isOurs, known else { throw foreign }
        for name in names {
            try self.files.remove("\(self.unfinished)/\(name)")
        }
        if text.isEmpty {
            try marker.write(Array(Self.markerText.utf8), at: 0)
            try marker.sync()
        }
        return marker
    }

    private func checkRoom(for pin: LogPin) throws(StoreError) {
        let needed = pin.files.reduce(self.reserveBytes) { $0 + $1.capacity }
        let free = try self.files.freeBytes(at: self.unfinished)
        guard free >= needed else {
            throw self.failure(
                .noSpace,
                "no room: \((needed + (1 << 20) - 1) >> 20) MiB must be free there, and \(free >> 20) MiB are"
            )
        }
    }

    // MARK: Copying

    private func copyAll(_ pin: LogPin, _ progress: (UInt64) -> Bool) throws(StoreError) {
        let format = try self.files.contents(of: "\(self.source)/\(DataDirectory.formatName)")
        let file = try self.files.open("\(self.unfinished)/\(DataDirectory.formatName)", .create)
        try file.write(format, at: 0)
        try file.sync()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.pieceBytes, alignment: 4096)
        defer { buffer.deallocate() }
        var done: UInt64 = 0
        for file in pin.files {
            try self.copy(file, buffer, &done, progress)
        }
    }

    private func copy(
        _ file: LogPin.File,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ done: inout UInt64,
        _ progress: (UInt64) -> Bool
    ) throws(StoreError) {
        let name = LogFileName.log(file.sequence)
        let source = try self.files.open("\(self.source)/\(name)", .readOnly)
        let copy = try self.files.open("\(self.unfinished)/\(name)", .create)
        // At its full size, as every file of a log: what is behind the records is zeros here.
        try copy.reserve(size: file.capacity)
        var offset: UInt64 = 0
        var unsynced = 0
        while offset < file.octets {
            let count = Int(min(UInt64(Self.pieceBytes), file.octets - offset))
            try copy.copy(count, of: source, at: offset, through: buffer)
            offset += UInt64(count)
            unsynced += count
            if unsynced >= Self.syncBytes || offset == file.octets {
                try copy.sync()
                done += UInt64(unsynced)
                unsynced = 0
                guard progress(done) else { throw self.failure(.cancelled, "it was called off") }
            }
        }
    }

    private func removeAll(in directory: String) {
        for name in (try? self.files.names(in: directory)) ?? [] {
            try? self.files.remove("\(directory)/\(name)")
        }
        try? self.files.removeDirectory(directory)
        try? self.files.syncDirectory(self.parent)
    }
}

extension StoreFile {
    /// Copies octets of another file to the same place here.
    fileprivate func copy(
        _ count: Int,
        of source: any StoreFile,
        at offset: UInt64,
        through buffer: UnsafeMutableRawBufferPointer
    ) throws(StoreError) {
        let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
        guard try source.read(into: piece, at: offset) == count else {
            throw StoreError(.damaged, .read, source.path, "it ends before octet \(offset + UInt64(count))")
        }
        try self.write(UnsafeRawBufferPointer(piece), at: offset)
    }
}
