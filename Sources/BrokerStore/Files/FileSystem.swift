/// What the store asks of a file system, narrow enough to be replaced by one that loses power on demand.
///
/// Paths are absolute or relative to the working directory, with "/" between names. Nothing here is asynchronous: callers
/// are threads of their own.
public protocol FileSystem: Sendable {
    /// Opens or creates a file. A new file's name is durable only after `syncDirectory`.
    func open(_ path: String, _ mode: OpenMode) throws(StoreError) -> any StoreFile

    /// The names in a directory, sorted, without "." and "..".
    func names(in directory: String) throws(StoreError) -> [String]

    /// Removes a file. Durable only after `syncDirectory`.
    func remove(_ path: String) throws(StoreError)

    /// Renames a file within its directory, replacing the one that has the new name. Durable only after `syncDirectory`.
    func rename(_ path: String, to newPath: String) throws(StoreError)

    /// Makes one directory whose parent exists.
    func makeDirectory(_ path: String) throws(StoreError)

    /// Removes a directory, which is empty. Durable only after `syncDirectory` of the one above it.
    func removeDirectory(_ path: String) throws(StoreError)

    /// Renames a directory within the one above it, where the new name is not in use. Durable only after `syncDirectory` of
    /// that.
    func renameDirectory(_ path: String, to newPath: String) throws(StoreError)

    /// Makes the names in a directory durable.
    func syncDirectory(_ path: String) throws(StoreError)

    /// Octets that an ordinary user may still write to the file system of a path.
    func freeBytes(at path: String) throws(StoreError) -> UInt64
}

/// How to open a file.
public enum OpenMode: Hashable, Sendable {
    /// An existing file, to read.
    case readOnly
    /// An existing file, to read and write.
    case readWrite
    /// A new file; refuses one that exists.
    case create
    /// An existing or a new file, content kept.
    case openOrCreate
    /// An empty file, whatever was there.
    case replace
}

/// An open file.
///
/// Closed when the last reference goes. Used by one thread at a time.
public protocol StoreFile: AnyObject {
    /// The path it was opened with.
    var path: String { get }

    /// Octets in the file.
    func size() throws(StoreError) -> UInt64

    /// Reads until the buffer is full or the file ends; returns the octets read.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StoreError) -> Int

    /// Writes all octets. Durable only after `sync`.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StoreError)

    /// Writes zeros up to `end`, from `start`, and takes the room for them first. Durable only after `sync`.
    func fillWithZeros(from start: UInt64, to end: UInt64) throws(StoreError)

    /// Takes the room for a new file of that size, which reads as zeros. Durable only after `sync`.
    ///
    /// Quick where the system can; elsewhere zeros are written.
    func reserve(size: UInt64) throws(StoreError)

    /// Makes what was written, and the size, durable. After a failure nothing may be assumed, not even by a second call.
    func sync() throws(StoreError)

    /// Takes the exclusive lock that ends with the process; false when another process holds it.
    func lock() throws(StoreError) -> Bool
}

extension FileSystem {
    /// All octets of a file that is small enough to be held.
    func contents(of path: String) throws(StoreError) -> [UInt8] {
        let file = try self.open(path, .readOnly)
        var bytes = [UInt8](repeating: 0, count: Int(try file.size()))
        var failure: StoreError?
        var count = 0
        bytes.withUnsafeMutableBytes { buffer in
            do throws(StoreError) {
                count = try file.read(into: buffer, at: 0)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return Array(bytes[..<count])
    }
}

extension StoreFile {
    /// Writes an array.
    func write(_ bytes: [UInt8], at offset: UInt64) throws(StoreError) {
        var failure: StoreError?
        bytes.withUnsafeBytes { buffer in
            do throws(StoreError) {
                try self.write(buffer, at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }
}
