/// What is shown each second while a run lasts.
struct ProgressLine: Equatable, Sendable {
    /// Totals at one moment.
    struct Totals: Equatable, Sendable {
        var nanoseconds: UInt64
        var published: UInt64 = 0
        var consumed: UInt64 = 0
        var confirmed: UInt64 = 0
    }

    var secondsFromStart: Double
    var publishedPerSecond: Double
    var consumedPerSecond: Double
    var confirmedPerSecond: Double?
    var inflight: UInt64
    var note: String?

    /// The line between two moments.
    init(start: UInt64, from: Totals, to: Totals, inflight: UInt64, showsConfirms: Bool, note: String?) {
        let seconds = Double(max(1, to.nanoseconds &- from.nanoseconds)) / 1e9
        self.secondsFromStart = Double(to.nanoseconds &- start) / 1e9
        self.publishedPerSecond = Double(to.published &- from.published) / seconds
        self.consumedPerSecond = Double(to.consumed &- from.consumed) / seconds
        self.confirmedPerSecond = showsConfirms ? Double(to.confirmed &- from.confirmed) / seconds : nil
        self.inflight = inflight
        self.note = note
    }

    /// The line for a person.
    var text: String {
        func padded(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        var text = padded(NumberText.fixed(self.secondsFromStart, 0), 4) + " s"
        text += "  published" + padded(NumberText.rate(self.publishedPerSecond), 14)
        text += "  consumed" + padded(NumberText.rate(self.consumedPerSecond), 14)
        if let confirmed = self.confirmedPerSecond {
            text += "  confirmed" + padded(NumberText.rate(confirmed), 14)
        }
        text += "  under way" + padded(NumberText.grouped(self.inflight), 12)
        return self.note.map { "\(text)  (\($0))" } ?? text
    }
}
