#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif
internal import Logging

/// How log lines look.
enum LogFormat: String, CaseIterable, Sendable {
    /// `2026-11-23 17:46:31.123456+00:00 [info] text`
    case text
    /// One JSON object a line with `time`, `level` and `msg`.
    case json
}

/// How much is logged.
enum LogThreshold: String, CaseIterable, Sendable {
    case debug
    case info
    case warning
    case error

    var level: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}

/// Writes log lines to standard error, each with one call, so that lines of different threads do not mix.
///
/// Control characters are escaped: names in log lines come from clients, which must not be able to forge lines.
struct LineLogHandler: LogHandler {
    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let format: LogFormat
    private let clock: @Sendable () -> timespec
    private let write: @Sendable (String) -> Void

    /// Makes a handler; clock and output are replaced in tests.
    init(
        level: Logger.Level,
        format: LogFormat,
        clock: @escaping @Sendable () -> timespec = LineLogHandler.now,
        write: @escaping @Sendable (String) -> Void = StandardStream.writeError
    ) {
        self.logLevel = level
        self.format = format
        self.clock = clock
        self.write = write
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { self.metadata[key] }
        set { self.metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let time = Self.timestamp(self.clock())
        let level = event.level.rawValue
        let message = event.message.description
        switch self.format {
        case .text:
            self.write("\(time) [\(level)] \(Self.escape(message, quotes: false))\n")
        case .json:
            self.write(
                "{\"time\":\"\(time)\",\"level\":\"\(level)\",\"msg\":\"\(Self.escape(message, quotes: true))\"}\n"
            )
        }
    }

    /// The time as `2026-11-23 17:46:31.123456+00:00`.
    static func timestamp(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func pad(_ value: some BinaryInteger, _ width: Int = 2) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        let date = "\(pad(Int(parts.tm_year) + 1900, 4))-\(pad(parts.tm_mon + 1))-\(pad(parts.tm_mday))"
        let clock = "\(pad(parts.tm_hour)):\(pad(parts.tm_min)):\(pad(parts.tm_sec))"
        return "\(date) \(clock).\(pad(time.tv_nsec / 1_000, 6))+00:00"
    }

    /// Escapes control characters the way JSON does, and with `quotes` what would end a JSON text.
    static func escape(_ text: String, quotes: Bool) -> String {
        var result = ""
        result.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\"" where quotes: result += "\\\""
            case "\\" where quotes: result += "\\\\"
            case _ where scalar.value < 0x20 || (0x7F..<0xA0).contains(scalar.value):
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    static let now: @Sendable () -> timespec = {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }
}
