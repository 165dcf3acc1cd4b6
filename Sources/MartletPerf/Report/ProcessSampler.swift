#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// Reads from `/proc` what processes cost.
struct ProcessSampler: Sendable {
    let processes: [Int32]

    /// CPU time since the processes started, user and system, in seconds.
    func cpuSeconds() -> Double {
        let perSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
        let ticks = self.processes.reduce(UInt64(0)) { sum, process in
            sum + (Self.readFile("/proc/\(process)/stat").flatMap(Self.cpuTicks(stat:)) ?? 0)
        }
        return Double(ticks) / perSecond
    }

    /// Resident memory, in octets.
    func residentBytes() -> UInt64 {
        self.processes.reduce(0) { sum, process in
            sum + (Self.readFile("/proc/\(process)/status").flatMap(Self.residentBytes(status:)) ?? 0)
        }
    }

    /// Whether there is such a process.
    static func exists(_ process: Int32) -> Bool {
        self.readFile("/proc/\(process)/stat") != nil
    }

    /// User and system time from the text of `/proc/PID/stat`.
    static func cpuTicks(stat: String) -> UInt64? {
        // The command in parentheses may hold spaces and parentheses itself: count from the last one.
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(separator: " ")
        guard fields.count > 12, let user = UInt64(fields[11]), let system = UInt64(fields[12]) else { return nil }
        return user + system
    }

    /// Resident memory from the text of `/proc/PID/status`.
    static func residentBytes(status: String) -> UInt64? {
        for line in status.split(separator: "\n") where line.hasPrefix("VmRSS:") {
            let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
            return fields.count > 1 ? UInt64(fields[1]).map { $0 * 1024 } : nil
        }
        return nil
    }

    private static func readFile(_ path: String) -> String? {
        let file = open(path, O_RDONLY)
        guard file >= 0 else { return nil }
        defer { _ = close(file) }
        // Both files are a page at most, and `/proc` makes them up afresh for each open.
        let bytes = [UInt8](unsafeUninitializedCapacity: 8192) { buffer, count in
            count = max(0, read(file, buffer.baseAddress, buffer.count))
        }
        return bytes.isEmpty ? nil : String(decoding: bytes, as: UTF8.self)
    }

    /// The process this code runs in.
    static var own: ProcessSampler { ProcessSampler(processes: [self.ownID]) }

    /// Its id.
    static var ownID: Int32 { getpid() }
}

/// What processes used during the measured part.
struct ProcessUsage: Equatable, Sendable {
    var cpuSeconds: Double
    var residentStart: UInt64
    var residentEnd: UInt64
    var residentPeak: UInt64

    /// The same for this part and an earlier one together.
    func following(_ earlier: ProcessUsage?) -> ProcessUsage {
        guard let earlier else { return self }
        return ProcessUsage(
            cpuSeconds: earlier.cpuSeconds + self.cpuSeconds,
            residentStart: earlier.residentStart,
            residentEnd: self.residentEnd,
            residentPeak: max(earlier.residentPeak, self.residentPeak)
        )
    }
}
