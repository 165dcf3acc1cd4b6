#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// A connection to the broker's socket; calls block for as long as the timeout says.
struct CtlConnection: ~Copyable {
    /// A broker's line is no longer; a row with the largest arguments is not either.
    static let maxLineBytes = 64 << 20

    private let descriptor: CInt
    private let path: String
    private let timeoutSeconds: Int
    private var buffer: [UInt8] = []
    private var position = 0

    /// Connects.
    init(_ path: String, timeoutSeconds: Int) throws(CtlFailure) {
        self.descriptor = try Self.connected(to: path, timeoutSeconds)
        self.path = path
        self.timeoutSeconds = timeoutSeconds
    }

    private static func connected(to path: String, _ timeoutSeconds: Int) throws(CtlFailure) -> CInt {
        let directory = path.lastIndex(of: "/").map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let folder = self.openDirectory(directory)
        defer { if folder >= 0 { close(folder) } }
        guard var address = self.address(path, in: folder) else {
            throw CtlFailure(.unavailable, "Error: \(path): the path is too long for a socket")
        }
        let descriptor = self.makeSocket()
        guard descriptor >= 0 else { throw self.unreachable(path, errno) }
        var time = timeval()
        time.tv_sec = timeoutSeconds
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &time, socklen_t(MemoryLayout<timeval>.size))
        }
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard code == 0 else {
            let failure = self.unreachable(path, errno)
            close(descriptor)
            throw failure
        }
        return descriptor
    }

    deinit {
        close(self.descriptor)
    }

    private static func unreachable(_ path: String, _ code: CInt) -> CtlFailure {
        if code == EAGAIN { return CtlFailure(.timeout, "Error: the broker at \(path) takes no more callers") }
        return CtlFailure(
            .unavailable,
            """
            Error: unable to reach a broker at \(path): \(String(cString: strerror(code)))

            No broker runs with this data directory, or it runs without a socket. Name its data directory with --data-dir, \
            or its socket with --socket. A broker that is started with --ephemeral has a socket if --ctl-socket says where.
            """
        )
    }

    /// Sends a line.
    mutating func send(_ line: String) throws(CtlFailure) {
        var octets = Array(line.utf8) + [UInt8(ascii: "\n")]
        while !octets.isEmpty {
            #if os(Linux)
            let count = Self.send(self.descriptor, octets, CInt(MSG_NOSIGNAL))
            #else
            let count = Self.send(self.descriptor, octets, 0)
            #endif
            if count < 0 && errno == EINTR { continue }
            // It has said no and gone; what it said can be read.
            if count < 0 && errno == EPIPE { return }
            guard count > 0 else { throw self.broken(errno) }
            octets.removeFirst(count)
        }
    }

    /// Reads a line; nil when the broker says no more.
    mutating func line() throws(CtlFailure) -> [UInt8]? {
        var searched = self.position
        while true {
            if let end = self.buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = Array(self.buffer[self.position..<end])
                self.position = end + 1
                return line
            }
            searched = self.buffer.count
            if self.position > 0 {
                self.buffer.removeFirst(self.position)
                searched -= self.position
                self.position = 0
            }
            guard self.buffer.count <= Self.maxLineBytes else {
                throw CtlFailure(.unavailable, "Error: the broker's answer makes no sense")
            }
            guard try self.fill() else { return nil }
        }
    }

    private mutating func fill() throws(CtlFailure) -> Bool {
        var piece = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = read(self.descriptor, &piece, piece.count)
            if count < 0 && errno == EINTR { continue }
            if count == 0 || (count < 0 && errno == ECONNRESET) { return false }
            guard count > 0 else { throw self.broken(errno) }
            self.buffer += piece[..<count]
            return true
        }
    }

    private func broken(_ code: CInt) -> CtlFailure {
        guard code == EAGAIN else {
            return CtlFailure(.unavailable, "Error: \(self.path): \(String(cString: strerror(code)))")
        }
        return CtlFailure(
            .timeout,
            "Error: the broker at \(self.path) has not answered in time. Timeout value used: \(self.timeoutSeconds)000"
        )
    }

    // MARK: The C library

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
        return socket(AF_UNIX, CInt(bitPattern: SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        #else
        return socket(AF_UNIX, SOCK_STREAM, 0)
        #endif
    }

    private static func send(_ descriptor: CInt, _ octets: [UInt8], _ flags: CInt) -> Int {
        #if canImport(Glibc)
        return Glibc.send(descriptor, octets, octets.count, flags)
        #elseif canImport(Musl)
        return Musl.send(descriptor, octets, octets.count, flags)
        #else
        return Darwin.send(descriptor, octets, octets.count, flags)
        #endif
    }

    /// The address of a path; one that is too long for the system is named by its directory's descriptor.
    private static func address(_ path: String, in folder: CInt) -> sockaddr_un? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let room = MemoryLayout.size(ofValue: address.sun_path) - 1
        var text = path
        #if os(Linux)
        if text.utf8.count > room, folder >= 0 {
            text = "/proc/self/fd/\(folder)/\(path.split(separator: "/").last ?? "")"
        }
        #endif
        guard text.utf8.count <= room else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: text.utf8) }
        return address
    }
}
