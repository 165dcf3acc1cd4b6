// Invariants
// 1. A checkpoint gets its name when its content is durable, and older ones go when the name is.
// 2. What is handed out passed its checksum, over all of it.

internal import CChecksum

/// A state that was written as a whole.
public struct Checkpoint: Equatable, Sendable {
    /// What orders checkpoints: the octets of the log position from which the log goes on.
    public let number: UInt64

    /// What was written.
    public let contents: [UInt8]
}

/// The checkpoints in a directory: written whole or not at all, the newest one kept.
public struct Checkpoints: Sendable {
    private let files: any FileSystem
    private let directory: String
    private let identity: UInt64

    private static let prefix = "checkpoint-"
    private static let unfinishedName = "checkpoint-new"
    private static let version: UInt32 = 1
    private static let magic: UInt64 = 0x5450_4B43_5452_414D
    private static let headSize = 48

    /// The checkpoints of a data directory.
    public init(files: any FileSystem, directory: String, identity: UInt64) {
        self.files = files
        self.directory = directory
        self.identity = identity
    }

    /// Writes a checkpoint; when it returns, it is durable and the older ones are gone.
    ///
    /// A failure leaves the one before as it was; after `noSpace` the call can be repeated.
    public func write(_ number: UInt64, contents: UnsafeRawBufferPointer) throws(StoreError) {
        let unfinished = self.path(Self.unfinishedName)
        do throws(StoreError) {
            let file = try self.files.open(unfinished, .replace)
            try file.write(self.head(number, contents), at: 0)
            try file.write(contents, at: UInt64(Self.headSize))
            try file.sync()
        } catch {
            // Half a checkpoint only takes room; the next one replaces it if it cannot be removed.
            try? self.files.remove(unfinished)
            throw error
        }
        try self.files.rename(unfinished, to: self.path(Self.prefix + LogFileName.digits(number)))
        try self.files.syncDirectory(self.directory)
        for (older, name) in try self.numbered() where older < number {
            try self.files.remove(self.path(name))
        }
    }

    /// The newest checkpoint that is undamaged, or nil.
    ///
    /// Damaged ones are renamed to `damaged-…` and handed to `onDamage`. Throws `newerFormat` and `notOurs` rather than
    /// passing over a file that another version or directory could read.
    public func newest(onDamage: (StoreError) -> Void = { _ in }) throws(StoreError) -> Checkpoint? {
        for (number, name) in try self.numbered().reversed() {
            let path = self.path(name)
            let bytes = try self.files.contents(of: path)
            if let contents = try self.contents(bytes, number, path) {
                return Checkpoint(number: number, contents: contents)
            }
            let aside = self.path(LogFileName.damaged(name))
            try self.files.rename(path, to: aside)
            try self.files.syncDirectory(self.directory)
            onDamage(StoreError(.damaged, .read, path, "it is damaged; kept as \(aside)"))
        }
        return nil
    }

    private func path(_ name: String) -> String { "\(self.directory)/\(name)" }

    /// Checkpoints by their names, oldest first.
    private func numbered() throws(StoreError) -> [(number: UInt64, name: String)] {
        try self.files.names(in: self.directory).compactMap { name in
            LogFileName.sequence(name, Self.prefix).map { ($0, name) }
        }
    }

    private func head(_ number: UInt64, _ contents: UnsafeRawBufferPointer) -> [UInt8] {
        var head: [UInt8] = []
        head.append(littleEndian: Self.magic)
        head.append(littleEndian: UInt64(Self.version))
        head.append(littleEndian: self.identity)
        head.append(littleEndian: number)
        head.append(littleEndian: UInt64(contents.count))
        head.append(littleEndian: martlet_crc32c(0, contents.baseAddress, contents.count))
        head.append(littleEndian: martlet_crc32c(0, head, head.count))
        return head
    }

    /// What a file holds, or nil when it is damaged.
    private func contents(_ bytes: [UInt8], _ number: UInt64, _ path: String) throws(StoreError) -> [UInt8]? {
        let contents = bytes.withUnsafeBytes { buffer -> Result<[UInt8]?, StoreError> in
            guard buffer.count >= Self.headSize, buffer.littleEndian64(at: 0) == Self.magic else {
                return .success(nil)
            }
            let sums = buffer.littleEndian64(at: 40)
            guard UInt32(sums >> 32) == martlet_crc32c(0, buffer.baseAddress, 44) else { return .success(nil) }
            let version = UInt32(truncatingIfNeeded: buffer.littleEndian64(at: 8))
            guard version <= Self.version else {
                return .failure(StoreError(.newerFormat(version), .read, path, "it was written by a newer version"))
            }
            guard buffer.littleEndian64(at: 16) == self.identity else {
                return .failure(StoreError(.notOurs, .read, path, "it belongs to another data directory"))
            }
            let contents = UnsafeRawBufferPointer(rebasing: buffer[Self.headSize...])
            guard buffer.littleEndian64(at: 24) == number, buffer.littleEndian64(at: 32) == UInt64(contents.count),
                UInt32(truncatingIfNeeded: sums) == martlet_crc32c(0, contents.baseAddress, contents.count)
            else { return .success(nil) }
            return .success(Array(contents))
        }
        return try contents.get()
    }
}
