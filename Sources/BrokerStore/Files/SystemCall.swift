#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// The system calls of the store, interrupted ones repeated, under names that do not collide with our own.
///
/// Every function returns 0 or a count when it succeeded and the negative error number when not.
enum SystemCall {
    /// Opens a file; the flags are the system's, close-on-exec is added.
    static func openFile(_ path: String, flags: Int32) -> Int32 {
        Int32(self.repeating { Int(open(path, flags | O_CLOEXEC, 0o640)) })
    }

    /// Flags of a mode.
    static func flags(of mode: OpenMode) -> Int32 {
        switch mode {
        case .readOnly: O_RDONLY
        case .readWrite: O_RDWR
        case .create: O_RDWR | O_CREAT | O_EXCL
        case .openOrCreate: O_RDWR | O_CREAT
        case .replace: O_RDWR | O_CREAT | O_TRUNC
        }
    }

    /// Flags for a directory that is to be synced.
    static var directoryFlags: Int32 { O_RDONLY | O_DIRECTORY }

    static func closeFile(_ descriptor: Int32) {
        // Never repeated: after an interruption the number may already belong to another file.
        _ = close(descriptor)
    }

    static func readSome(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) -> Int {
        self.repeating { pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    static func writeSome(_ descriptor: Int32, _ buffer: UnsafeRawBufferPointer, at offset: UInt64) -> Int {
        self.repeating { pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) }
    }

    /// Makes content and size durable, in the drive too where the system leaves that to the caller.
    static func syncData(_ descriptor: Int32) -> Int {
        #if canImport(Darwin)
        self.repeating { Int(fcntl(descriptor, F_FULLFSYNC)) }
        #else
        self.repeating { Int(fdatasync(descriptor)) }
        #endif
    }

    static func syncAll(_ descriptor: Int32) -> Int {
        self.repeating { Int(fsync(descriptor)) }
    }

    static func sizeOfFile(_ descriptor: Int32) -> Int {
        var status = stat()
        let result = self.repeating { Int(fstat(descriptor, &status)) }
        return result < 0 ? result : Int(status.st_size)
    }

    /// Takes room for a range, where the system can; 0 where it cannot, and writing takes the room.
    static func reserve(_ descriptor: Int32, from start: UInt64, count: UInt64) -> Int {
        #if canImport(Darwin)
        return 0
        #else
        let code = posix_fallocate(descriptor, off_t(start), off_t(count))
        return code == EOPNOTSUPP || code == EINVAL || code == EINTR ? 0 : -Int(code)
        #endif
    }

    /// 0 when the lock was taken, `EWOULDBLOCK` negated when another process has it.
    static func lockFile(_ descriptor: Int32) -> Int {
        self.repeating { Int(flock(descriptor, LOCK_EX | LOCK_NB)) }
    }

    static func removeFile(_ path: String) -> Int {
        self.repeating { Int(unlink(path)) }
    }

    static func renameFile(_ path: String, to newPath: String) -> Int {
        self.repeating { Int(rename(path, newPath)) }
    }

    static func removeDirectory(_ path: String) -> Int {
        self.repeating { Int(rmdir(path)) }
    }

    static func makeDirectory(_ path: String) -> Int {
        self.repeating { Int(mkdir(path, 0o750)) }
    }

    /// The names in a directory, in no order, or the negative error number.
    static func namesInDirectory(_ path: String) -> (names: [String], result: Int) {
        guard let directory = opendir(path) else { return ([], -Int(errno)) }
        defer { closedir(directory) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(directory) else { return (names, -Int(errno)) }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
    }

    static func freeOctets(_ path: String) -> (octets: UInt64, result: Int) {
        var status = statvfs()
        let result = self.repeating { Int(statvfs(path, &status)) }
        guard result >= 0 else { return (0, result) }
        let (octets, overflow) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return (overflow ? .max : octets, 0)
    }

    /// This process's number.
    static var processNumber: Int32 { getpid() }

    /// The error for a negative result.
    static func error(_ result: Int, _ operation: StoreError.Operation, _ path: String) -> StoreError {
        let code = Int32(truncatingIfNeeded: -result)
        let text = String(cString: strerror(code))
        return switch code {
        case ENOSPC, EDQUOT: StoreError(.noSpace, operation, path, text)
        case EMFILE, ENFILE, ENOMEM, EAGAIN: StoreError(.shortage, operation, path, text)
        case ENOENT: StoreError(.missing, operation, path, text)
        case EEXIST: StoreError(.exists, operation, path, text)
        default: StoreError(.system(code), operation, path, text)
        }
    }

    /// The error number that says that a device failed.
    static var deviceError: Int32 { EIO }

    /// The result that says that another process has the lock.
    static var wouldBlock: Int { -Int(EWOULDBLOCK) }

    /// Makes a call until no signal interrupts it; a failure becomes the negative error number.
    private static func repeating(_ call: () -> Int) -> Int {
        while true {
            let result = call()
            if result >= 0 { return result }
            let code = errno
            if code != EINTR { return -Int(code) }
        }
    }
}
