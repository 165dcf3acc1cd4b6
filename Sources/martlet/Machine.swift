#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif
#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif

/// What the defaults depend on.
enum Machine {
    /// Octets of memory this process may use: the machine's, or the control group's if that is less.
    static var memoryBytes: UInt64 {
        let physical = UInt64(max(0, sysconf(CInt(_SC_PHYS_PAGES)))) * UInt64(max(0, sysconf(CInt(_SC_PAGESIZE))))
        let text = try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8)
        let limit = text.flatMap { UInt64($0.filter { !$0.isWhitespace }) }
        return min(physical, limit ?? physical)
    }

    /// Where durable things go if nobody says where; nil when the environment names no home.
    static func defaultDataDirectory(_ environment: [String: String], isRoot: Bool) -> String? {
        if isRoot { return "/var/lib/martlet" }
        // The specification of these variables wants relative paths ignored.
        if let data = environment["XDG_DATA_HOME"], data.hasPrefix("/") { return "\(data)/martlet" }
        guard let home = environment["HOME"], home.hasPrefix("/") else { return nil }
        #if canImport(Darwin)
        return "\(home)/Library/Application Support/martlet"
        #else
        return "\(home)/.local/share/martlet"
        #endif
    }

    /// Creates a directory if there is none; says why it cannot be written to, or nil when it can.
    static func whyUnusable(directory path: String) -> String? {
        // Only the mistakes are interesting: an existing directory is fine, and what is really wrong shows below.
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var information = stat()
        guard stat(path, &information) == 0 else { return String(cString: strerror(errno)) }
        guard information.st_mode & S_IFMT == S_IFDIR else { return String(cString: strerror(ENOTDIR)) }
        guard access(path, W_OK | X_OK) == 0 else { return String(cString: strerror(errno)) }
        return nil
    }
}
