import Foundation
import Logging
import Synchronization
import Testing

@testable import martlet

/// Log lines: one for each event, whatever is in it.
@Suite struct LineLogHandlerTests {
    /// What was written, one element a call.
    private final class Output: Sendable {
        private let calls = Mutex<[String]>([])

        var written: [String] { self.calls.withLock { $0 } }

        func write(_ text: String) {
            self.calls.withLock { $0.append(text) }
        }
    }

    private let output = Output()

    /// A logger at 2026-11-23 17:46:31.000042 UTC.
    private func makeLogger(_ format: LogFormat, level: Logger.Level = .debug) -> Logger {
        let output = self.output
        return Logger(label: "test") { _ in
            LineLogHandler(
                level: level,
                format: format,
                clock: { timespec(tv_sec: 1_795_455_991, tv_nsec: 42_999) },
                write: { output.write($0) }
            )
        }
    }

    @Test func writesText() {
        let logger = self.makeLogger(.text)
        logger.info("listening on amqp://127.0.0.1:5672")
        logger.error("out of \"everything\"")
        #expect(
            self.output.written == [
                "2026-11-23 17:46:31.000042+00:00 [info] listening on amqp://127.0.0.1:5672\n",
                "2026-11-23 17:46:31.000042+00:00 [error] out of \"everything\"\n",
            ]
        )
    }

    @Test func writesJSON() {
        self.makeLogger(.json).warning("a \"quoted\" \\ text")
        #expect(
            self.output.written == [
                #"{"time":"2026-11-23 17:46:31.000042+00:00","level":"warning","msg":"a \"quoted\" \\ text"}"# + "\n"
            ]
        )
    }

    /// Texts of clients that want to be lines of their own, or the end of ours.
    static let texts = [
        "two\nlines", "\r\nforged", "tab\tbed", "\u{1B}[2Jcleared", "nul\u{0}", "\u{7F}\u{85}\u{9B}", "ünï 💡 文",
        "\",\"level\":\"error", "\\", "\\n", "line\u{2028}separator", "",
    ]

    @Test(arguments: texts)
    func writesJSONThatCanBeRead(text: String) throws {
        self.makeLogger(.json).info("\(text)")
        let line = try #require(self.output.written.first)
        #expect(self.output.written.count == 1)
        #expect(line.hasSuffix("\n"))
        #expect(line.dropLast().unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) })
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String]
        #expect(object == ["time": "2026-11-23 17:46:31.000042+00:00", "level": "info", "msg": text])
    }

    @Test(arguments: texts)
    func writesTextInOneLine(text: String) throws {
        self.makeLogger(.text).info("\(text)")
        let line = try #require(self.output.written.first)
        #expect(line.dropLast().unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) })
    }

    @Test func leavesOutWhatIsBelowItsLevel() {
        let logger = self.makeLogger(.text, level: LogThreshold.warning.level)
        logger.debug("one")
        logger.info("two")
        logger.warning("three")
        logger.error("four")
        #expect(self.output.written.map { $0.split(separator: " ").last } == ["three\n", "four\n"])
    }

    @Test(arguments: LogThreshold.allCases)
    func namesLevelsAsTheyAreConfigured(_ threshold: LogThreshold) {
        #expect(threshold.level.rawValue == threshold.rawValue)
    }

    @Test(arguments: [
        (0, 0, "1970-01-01 00:00:00.000000+00:00"),
        (951_782_400, 999_999_999, "2000-02-29 00:00:00.999999+00:00"),
        (1_767_225_599, 1_000, "2025-12-31 23:59:59.000001+00:00"),
        (4_102_444_800, 500_000_000, "2100-01-01 00:00:00.500000+00:00"),
    ])
    func writesTimesInUTC(seconds: Int, nanoseconds: Int, text: String) {
        #expect(LineLogHandler.timestamp(timespec(tv_sec: seconds, tv_nsec: nanoseconds)) == text)
    }
}
