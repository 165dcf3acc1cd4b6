/// The machine's file system.
public struct SystemFileSystem: FileSystem {
    /// There is only one.
    public init() {}

    /// Does what the protocol says.
    public func open(_ path: String, _ mode: OpenMode) throws(StoreError) -> any StoreFile {
        let descriptor = SystemCall.openFile(path, flags: SystemCall.flags(of: mode))
        guard descriptor >= 0 else {
            let operation: StoreError.Operation = mode == .readOnly || mode == .readWrite ? .open : .create
            throw SystemCall.error(Int(descriptor), operation, path)
        }
        return SystemFile(descriptor: descriptor, path: path)
    }

    /// Does what the protocol says.
    public func names(in directory: String) throws(StoreError) -> [String] {
        let (names, result) = SystemCall.namesInDirectory(directory)
        guard result >= 0 else { throw SystemCall.error(result, .list, directory) }
        return names.sorted()
    }

    /// Does what the protocol says.
    public func remove(_ path: String) throws(StoreError) {
        let result = SystemCall.removeFile(path)
        guard result >= 0 else { throw SystemCall.error(result, .remove, path) }
    }

    /// Does what the protocol says.
    public func rename(_ path: String, to newPath: String) throws(StoreError) {
        let result = SystemCall.renameFile(path, to: newPath)
        guard result >= 0 else { throw SystemCall.error(result, .rename, path) }
    }

    /// Does what the protocol says.
    public func makeDirectory(_ path: String) throws(StoreError) {
        let result = SystemCall.makeDirectory(path)
        guard result >= 0 else { throw SystemCall.error(result, .makeDirectory, path) }
    }

    /// Does what the protocol says.
    public func removeDirectory(_ path: String) throws(StoreError) {
        let result = SystemCall.removeDirectory(path)
        guard result >= 0 else { throw SystemCall.error(result, .remove, path) }
    }

    /// Does what the protocol says.
    public func renameDirectory(_ path: String, to newPath: String) throws(StoreError) {
        try self.rename(path, to: newPath)
    }

    /// Does what the protocol says.
    public func syncDirectory(_ path: String) throws(StoreError) {
        let descriptor = SystemCall.openFile(path, flags: SystemCall.directoryFlags)
        guard descriptor >= 0 else { throw SystemCall.error(Int(descriptor), .syncDirectory, path) }
        defer { SystemCall.closeFile(descriptor) }
        let result = SystemCall.syncAll(descriptor)
        guard result >= 0 else { throw SystemCall.error(result, .syncDirectory, path) }
    }

    /// Does what the protocol says.
    public func freeBytes(at path: String) throws(StoreError) -> UInt64 {
        let (octets, result) = SystemCall.freeOctets(path)
        guard result >= 0 else { throw SystemCall.error(result, .findFreeSpace, path) }
        return octets
    }
}

/// A file of the machine.
final class SystemFile: StoreFile {
    let path: String
    private let descriptor: Int32

    /// Zeros are written in pieces of this many octets.
    private static let zeroPieceBytes = 1 << 20

    init(descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    deinit {
        SystemCall.closeFile(self.descriptor)
    }

    func size() throws(StoreError) -> UInt64 {
        let result = SystemCall.sizeOfFile(self.descriptor)
        guard result >= 0 else { throw SystemCall.error(result, .measure, self.path) }
        return UInt64(result)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StoreError) -> Int {
        var done = 0
        while done < buffer.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[done...])
            let result = SystemCall.readSome(self.descriptor, rest, at: offset + UInt64(done))
            guard result >= 0 else { throw SystemCall.error(result, .read, self.path) }
            if result == 0 { break }
            done += result
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StoreError) {
        var done = 0
        while done < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[done...])
            let result = SystemCall.writeSome(self.descriptor, rest, at: offset + UInt64(done))
            guard result >= 0 else { throw SystemCall.error(result, .write, self.path) }
            done += result
        }
    }

    func fillWithZeros(from start: UInt64, to end: UInt64) throws(StoreError) {
        guard start < end else { return }
        let result = SystemCall.reserve(self.descriptor, from: start, count: end - start)
        guard result >= 0 else { throw SystemCall.error(result, .fill, self.path) }
        let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: Self.zeroPieceBytes, alignment: 4096)
        defer { zeros.deallocate() }
        zeros.initializeMemory(as: UInt8.self, repeating: 0)
        var offset = start
        while offset < end {
            let count = Int(min(UInt64(Self.zeroPieceBytes), end - offset))
            try self.write(UnsafeRawBufferPointer(rebasing: zeros[..<count]), at: offset)
            offset += UInt64(count)
        }
    }

    func reserve(size: UInt64) throws(StoreError) {
        let result = SystemCall.reserve(self.descriptor, from: 0, count: size)
        guard result >= 0 else { throw SystemCall.error(result, .fill, self.path) }
        // Where the system cannot, the file has not grown.
        try self.fillWithZeros(from: self.size(), to: size)
    }

    func sync() throws(StoreError) {
        let result = SystemCall.syncData(self.descriptor)
        guard result >= 0 else { throw SystemCall.error(result, .sync, self.path) }
    }

    func lock() throws(StoreError) -> Bool {
        let result = SystemCall.lockFile(self.descriptor)
        if result == SystemCall.wouldBlock { return false }
        guard result >= 0 else { throw SystemCall.error(result, .lock, self.path) }
        return true
    }
}
