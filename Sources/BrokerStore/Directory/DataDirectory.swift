// Invariants
// 1. Nothing is written into a directory that has no `format` file of ours, unless it is empty or holds only what a start
//    that was interrupted leaves there.
// 2. The `format` file gets its name when its content is durable: a start that is interrupted anywhere leaves a directory
//    that starts.
// 3. A directory in use has a durable name, and so have those above it, whoever made them and however that start ended.
// 4. The lock is held from before the first write until the directory is given up, and ends with the process.

internal import CChecksum

/// The directory that holds everything durable, checked, locked and ready.
public final class DataDirectory {
    /// The path it was opened with, without a slash at the end.
    public let path: String

    /// A random number given at the first start, which ties every file to this directory.
    public let identity: UInt64

    /// The format this code writes, and the newest it reads.
    public static let version: UInt32 = 1

    private let lock: any StoreFile

    /// The file that says what a directory is; see invariant 2.
    static let formatName = "format"
    private static let unfinishedName = "format.new"
    private static let lockName = "lock"
    private static let formatSize = 32
    private static let magic: UInt64 = 0x4154_4144_5452_414D

    /// What may be in a directory that is not in use yet; the last is what new file systems begin with.
    private static let harmlessNames: Set<String> = [lockName, unfinishedName, "lost+found"]

    private init(path: String, identity: UInt64, lock: any StoreFile) {
        self.path = path
        self.identity = identity
        self.lock = lock
    }

    /// Opens a data directory, making it if it is missing or empty.
    ///
    /// Throws, naming the path, `notOurs` for a directory with other things in it, `newerFormat`, `damaged`, `locked` when
    /// another process uses it, and what the system throws. `newIdentity` is used at the first start only.
    public static func open(
        _ path: String,
        files: any FileSystem,
        newIdentity: UInt64 = .random(in: 1 ... .max)
    ) throws(StoreError) -> DataDirectory {
        let path = self.withoutSlash(path)
        // Before the lock file is made: what is not ours is left without a trace of us.
        if try !self.makeIfMissing(path, files) { try self.checkContent(path, files) }
        let lock = try self.takeLock(path, files)
        // Again: who had the lock until now may have been making the directory.
        let isNew = try self.checkContent(path, files)
        let identity = try isNew ? self.initialise(path, files, newIdentity) : self.readFormat(path, files)
        return DataDirectory(path: path, identity: identity, lock: lock)
    }

    // MARK: Steps

    /// Makes a directory and those above it; true if it was missing.
    private static func makeIfMissing(_ path: String, _ files: any FileSystem) throws(StoreError) -> Bool {
        do throws(StoreError) {
            _ = try files.names(in: path)
            return false
        } catch  where error.reason == .missing {
            let parent = self.parent(of: path)
            if parent != path { _ = try self.makeIfMissing(parent, files) }
            try files.makeDirectory(path)
            try files.syncDirectory(parent)
            return true
        }
    }

    /// Whether the directory has yet to be initialised; throws if it is neither that nor ours.
    @discardableResult
    private static func checkContent(_ path: String, _ files: any FileSystem) throws(StoreError) -> Bool {
        let names = try files.names(in: path)
        if names.contains(self.formatName) {
            _ = try self.readFormat(path, files)
            return false
        }
        if let other = names.first(where: { !self.harmlessNames.contains($0) }) {
            throw StoreError(
                .notOurs,
                .use,
                path,
                "it is not a data directory and not empty: it has no file '\(self.formatName)', but '\(other)'"
            )
        }
        return true
    }

    private static func takeLock(_ path: String, _ files: any FileSystem) throws(StoreError) -> any StoreFile {
        let lockPath = "\(path)/\(self.lockName)"
        let file = try files.open(lockPath, .openOrCreate)
        guard try file.lock() else {
            let text = String(decoding: try files.contents(of: lockPath).prefix { $0 != 0x20 }, as: UTF8.self)
            let process = Int32(text)
            let owner = process.map { "process \($0)" } ?? "another process"
            throw StoreError(.locked(process: process), .use, path, "\(owner) is using it")
        }
        let number = String(SystemCall.processNumber)
        let text = number + String(repeating: " ", count: 15 - number.utf8.count) + "\n"
        // For people. That there is no room for it is no reason not to start.
        do throws(StoreError) {
            try file.write(Array(text.utf8), at: 0)
        } catch  where error.reason == .noSpace {}
        return file
    }

    private static func initialise(
        _ path: String,
        _ files: any FileSystem,
        _ identity: UInt64
    ) throws(StoreError) -> UInt64 {
        var bytes: [UInt8] = []
        bytes.append(littleEndian: self.magic)
        bytes.append(littleEndian: UInt64(self.version))
        bytes.append(littleEndian: identity)
        bytes.append(littleEndian: UInt32(0))
        bytes.append(littleEndian: martlet_crc32c(0, bytes, bytes.count))
        try self.syncNamesAbove(path, files)
        let unfinished = "\(path)/\(self.unfinishedName)"
        let file = try files.open(unfinished, .replace)
        try file.write(bytes, at: 0)
        try file.sync()
        try files.rename(unfinished, to: "\(path)/\(self.formatName)")
        try files.syncDirectory(path)
        return identity
    }

    /// Makes the names on the way to a directory durable: an earlier start, or an operator, may have made them a moment ago.
    ///
    /// What we may not even read we have not made either.
    private static func syncNamesAbove(_ path: String, _ files: any FileSystem) throws(StoreError) {
        var path = path
        while case let parent = self.parent(of: path), parent != path {
            do throws(StoreError) {
                try files.syncDirectory(parent)
            } catch  where error.reason != .system(SystemCall.deviceError) && error.reason != .noSpace {
                return
            }
            path = parent
        }
    }

    /// The identity in the format file.
    private static func readFormat(_ path: String, _ files: any FileSystem) throws(StoreError) -> UInt64 {
        let formatPath = "\(path)/\(self.formatName)"
        let bytes = try files.contents(of: formatPath)
        let identity = bytes.withUnsafeBytes { buffer -> Result<UInt64, StoreError> in
            guard buffer.count >= 16, buffer.littleEndian64(at: 0) == self.magic else {
                return .failure(StoreError(.notOurs, .use, path, "its file '\(self.formatName)' is not ours"))
            }
            let version = UInt32(truncatingIfNeeded: buffer.littleEndian64(at: 8))
            // First: a newer version may sum otherwise.
            guard version <= self.version else {
                return .failure(
                    StoreError(
                        .newerFormat(version),
                        .use,
                        path,
                        "it was written by a newer version (format \(version), this version reads up to \(self.version))"
                    )
                )
            }
            guard buffer.count == self.formatSize,
                UInt32(buffer.littleEndian64(at: 24) >> 32) == martlet_crc32c(0, buffer.baseAddress, 28)
            else { return .failure(StoreError(.damaged, .use, formatPath, "it is damaged")) }
            return .success(buffer.littleEndian64(at: 16))
        }
        return try identity.get()
    }

    // MARK: Paths

    private static func withoutSlash(_ path: String) -> String {
        var path = Substring(path)
        while path.count > 1, path.last == "/" { path.removeLast() }
        return String(path)
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : self.withoutSlash(String(path[..<slash]))
    }
}
