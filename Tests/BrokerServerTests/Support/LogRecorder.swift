import Logging

/// Keeps what is logged, as `[level] text`.
final class LogRecorder: Sendable {
    private struct Handler: LogHandler {
        let lines: Watched<[String]>
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.debug

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            self.lines.update { $0.append("[\(event.level.rawValue)] \(event.message)") }
        }
    }

    private let recorded = Watched<[String]>([])

    /// A logger that writes here.
    var logger: Logger { Logger(label: "test") { _ in Handler(lines: self.recorded) } }

    /// All lines so far.
    var lines: [String] { self.recorded.value }

    /// Waits for a line with `text` in it.
    @discardableResult
    func wait(for text: String) async throws -> String {
        try await self.recorded.wait { lines in lines.first { $0.contains(text) } }
    }
}
