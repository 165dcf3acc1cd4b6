#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Where `martlet ctl` finds the broker: a UNIX socket that only the broker's user, and root, can open.
///
/// 1. The socket has its mode before it has a name, so that there is no moment at which somebody else can connect.
/// 2. What a dead process has left is replaced. A socket that somebody listens on is not, nor is anything but a socket.
/// 3. Only the socket that was made here is removed at the end.
struct ControlSocket {
    /// The bound socket.
    let descriptor: CInt
    private let path: String
    private let device: dev_t
    private let file: ino_t

    /// Makes the socket; it does not listen yet.
    static func open(_ path: String) throws(StartFailure) -> ControlSocket {
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let folder = self.openDirectory(directory)
        guard folder >= 0 else { throw self.failure(directory) }
        defer { close(folder) }
        var address = try self.address(path, in: folder)
        try self.makeRoom(path, &address)
        let descriptor = self.makeSocket()
        guard descriptor >= 0 else { throw self.failure(path) }
        // Linux gives this mode to the file; elsewhere it gets it below, before anybody listens.
        _ = fchmod(descriptor, 0o600)
        var information = stat()
        guard self.call(&address, { bind(descriptor, $0, $1) }) == 0, chmod(path, 0o600) == 0,
            lstat(path, &information) == 0
        else {
            let failure = self.failure(path)
            close(descriptor)
            throw failure
        }
        return ControlSocket(
            descriptor: descriptor,
            path: path,
            device: information.st_dev,
            file: information.st_ino
        )
    }

    /// Removes the name, if it is still ours.
    func remove() {
        var information = stat()
        guard lstat(self.path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK,
            information.st_dev == self.device, information.st_ino == self.file
        else { return }
        unlink(self.path)
    }

    /// Removes what a dead process has left.
    private static func makeRoom(_ path: String, _ address: inout sockaddr_un) throws(StartFailure) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        guard information.st_mode & S_IFMT == S_IFSOCK else {
            throw StartFailure("\(path): there is something that is no socket")
        }
        let probe = self.makeSocket()
        guard probe >= 0 else { throw self.failure(path) }
        defer { close(probe) }
        // A socket with too long a line of callers says EAGAIN, and somebody serves it.
        let isTaken = self.call(&address) { connect(probe, $0, $1) } == 0 || errno == EAGAIN
        guard !isTaken else { throw StartFailure("\(path): another process listens there") }
        unlink(path)
    }

    private static func failure(_ path: String) -> StartFailure {
        StartFailure("\(path): \(Platform.message(errno))")
    }

    private static func openDirectory(_ path: String) -> CInt {
        #if canImport(Glibc)
        return Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        #elseif canImport(Musl)
        return Musl.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        #else
        return Darwin.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        #endif
    }

    private static func makeSocket() -> CInt {
        #if os(Linux)
        let kind = SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue
        return socket(AF_UNIX, CInt(bitPattern: kind), 0)
        #else
        return socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
    }

    /// The address of a path; one that is too long for the system is named by its directory's descriptor.
    private static func address(_ path: String, in folder: CInt) throws(StartFailure) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        var text = path
        #if os(Linux)
        if text.utf8.count > room {
            text = "/proc/self/fd/\(folder)/\(path.split(separator: "/").last ?? "")"
        }
        #endif
        guard text.utf8.count <= room else { throw StartFailure("\(path): the path is too long for a socket") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: text.utf8) }
        return address
    }

    private static func call(
        _ address: inout sockaddr_un,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt
    ) -> CInt {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
