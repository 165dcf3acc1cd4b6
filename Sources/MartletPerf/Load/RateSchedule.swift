/// When the messages of a publisher with a fixed rate are due.
///
/// Message `n` is due `n / rate` seconds after the start, however late the ones before it were: latency counts from
/// that time, so a server that stalls shows the wait of every message it held up, not only of the one in its hands.
struct RateSchedule: Equatable, Sendable {
    /// The time message 0 is due, in nanoseconds.
    let startNanoseconds: UInt64
    /// Messages per second.
    let rate: Double

    /// The time message `index` is due, in nanoseconds.
    func time(of index: UInt64) -> UInt64 {
        self.startNanoseconds &+ UInt64(Double(index) * 1e9 / self.rate)
    }

    /// How many messages are due at `now`, counted from the start.
    func dueCount(at now: UInt64) -> UInt64 {
        guard now >= self.startNanoseconds else { return 0 }
        var count = UInt64(Double(now - self.startNanoseconds) * self.rate / 1e9) + 1
        // The division rounds: make both functions agree, or a timer set to `time(of:)` could find nothing due.
        while count > 0, self.time(of: count - 1) > now {
            count -= 1
        }
        while self.time(of: count) <= now {
            count += 1
        }
        return count
    }
}
