#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Where `martlet ctl` finds a broker: a UNIX socket that only its user can open.
enum ControlSocket {
    /// The socket's name in a data directory.
    static let name = "ctl.sock"

    /// The path of a broker with a data directory.
    static func path(inDataDirectory directory: String) -> String {
        "\(directory)/\(self.name)"
    }

    /// The path of a broker that keeps nothing, by the port it serves.
    static func path(ofPort port: Int) -> String {
        let user = geteuid()
        if let runtime = getenv("XDG_RUNTIME_DIR").map({ String(cString: $0) }), runtime.hasPrefix("/") {
            return "\(runtime)/martlet-\(port).sock"
        }
        return "/tmp/martlet-\(user)/\(port).sock"
    }

    /// A bound socket that nobody else may open.
    ///
    /// The socket has its mode before it has a name, so that there is no moment at which somebody else can connect. One that
    /// a dead process has left is removed; one that somebody listens on is not.
    static func open(_ path: String) throws(StartFailure) -> CInt {
        let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        try self.checkDirectory(directory)
        let folder = Self.openDirectory(directory)
        guard folder >= 0 else { throw self.failure(path) }
        defer { close(folder) }
        var address = try self.address(path, in: folder)
        let probe = self.makeSocket()
        guard probe >= 0 else { throw self.failure(path) }
        let isTaken = self.call(&address) { connect(probe, $0, $1) } == 0
        close(probe)
        guard !isTaken else { throw StartFailure("\(path): another process listens there") }
        unlink(path)
        let descriptor = self.makeSocket()
        guard descriptor >= 0 else { throw self.failure(path) }
        _ = fchmod(descriptor, 0o600)
        guard self.call(&address, { bind(descriptor, $0, $1) }) == 0, chmod(path, 0o600) == 0 else {
            let failure = self.failure(path)
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    /// Removes the socket of a broker that ends.
    static func remove(_ path: String) {
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
        return socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        #else
        return socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
    }

    /// A directory in `/tmp` could be made by anybody: only one of ours will do.
    private static func checkDirectory(_ path: String) throws(StartFailure) {
        guard path == "/tmp/martlet-\(geteuid())" else { return }
        mkdir(path, 0o700)
        var information = stat()
        guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFDIR,
            information.st_uid == geteuid(), information.st_mode & 0o077 == 0
        else { throw StartFailure("\(path) is not a directory of this user alone") }
    }

    /// The address of a path; one that is too long for the system is named by its directory's descriptor.
    private static func address(_ path: String, in folder: CInt) throws(StartFailure) -> sockaddr_un {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        var text = path
        if text.utf8.count > room {
            let name = path.split(separator: "/").last ?? ""
            text = "/proc/self/fd/\(folder)/\(name)"
        }
        guard text.utf8.count <= room else { throw StartFailure("\(path): the path is too long for a socket") }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: text.utf8) }
        return address
    }

    private static func call(_ address: inout sockaddr_un, _ body: (UnsafePointer<sockaddr>, socklen_t) -> CInt) -> CInt {
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}
