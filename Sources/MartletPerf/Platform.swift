import Dispatch
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// What the system calls its errors.
enum PosixText {
    /// The text for an error number, such as `Connection refused`.
    static func describe(errno number: Int32) -> String {
        guard let text = strerror(number) else { return "error \(number)" }
        return String(cString: text)
    }
}

/// Writes lines to the standard streams at once, unbuffered.
enum StandardOutput {
    static func write(_ line: String) { self.write(line, to: 1) }

    static func writeError(_ line: String) { self.write(line, to: 2) }

    private static func write(_ line: String, to file: Int32) {
        var bytes = Array((line + "\n").utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { system_write(file, $0) }
            // A reader that went away is no reason to fail: the work was done.
            guard count > 0 else { return }
            bytes = bytes.dropFirst(count)
        }
    }

    private static func system_write(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        #if canImport(Glibc)
        Glibc.write(file, bytes.baseAddress, bytes.count)
        #elseif canImport(Musl)
        Musl.write(file, bytes.baseAddress, bytes.count)
        #else
        Darwin.write(file, bytes.baseAddress, bytes.count)
        #endif
    }
}

/// The limit on open files.
enum OpenFiles {
    /// Raises the limit of this process so that it can have so many connections.
    static func allow(_ connections: Int) throws(PerfFailure) {
        var limit = rlimit()
        // Beside the connections: event loops, standard streams, files of /proc.
        let needed = rlim_t(connections + 256)
        guard getrlimit(Self.resource, &limit) == 0, limit.rlim_cur < needed else { return }
        limit.rlim_cur = needed
        limit.rlim_max = max(limit.rlim_max, needed)
        guard setrlimit(Self.resource, &limit) == 0 else {
            throw .cannotRun("this system does not allow \(needed) open files; see ulimit -n")
        }
    }

    #if canImport(Glibc)
    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
    private static let resource = RLIMIT_NOFILE
    #endif
}

/// Says whether the person who started the run wants its end.
final class InterruptFlag: Sendable {
    private let flag = Atomic<Bool>(false)

    var isSet: Bool { self.flag.load(ordering: .relaxed) }

    func set() { self.flag.store(true, ordering: .relaxed) }
}

/// Notices Ctrl-C: the first ends the run early, the second ends the process as ever.
struct InterruptWatch {
    let flag = InterruptFlag()
    private let source: any DispatchSourceSignal

    init() {
        signal(SIGINT, SIG_IGN)
        self.source = DispatchSource.makeSignalSource(signal: SIGINT)
        self.source.setEventHandler { [flag] in
            flag.set()
            signal(SIGINT, SIG_DFL)
        }
        self.source.resume()
    }

    /// Gives the signal back.
    func stop() {
        self.source.cancel()
        signal(SIGINT, SIG_DFL)
    }
}
