internal import DequeModule

/// When a consumer's open deliveries were handed out, for a queue that wants acknowledgements in time.
///
/// Times are kept for runs of deliveries that are at most a 64th of the timeout apart, so that memory is small whatever the
/// rate. A delivery lapses when the last one of its run may: never early, and at most that much late.
struct DeliveryTimes {
    private static let runsPerTimeout: UInt64 = 64

    /// How long an acknowledgement may take.
    let timeoutMilliseconds: UInt64
    private let runMilliseconds: UInt64
    /// The first serial of each run, and when it was handed out.
    private var runs: Deque<(serial: UInt64, start: BrokerInstant)> = []

    /// Begins without deliveries.
    init(timeoutMilliseconds: UInt64) {
        self.timeoutMilliseconds = timeoutMilliseconds
        self.runMilliseconds = max(timeoutMilliseconds / Self.runsPerTimeout, 1)
    }

    /// The number of runs kept.
    var runCount: Int { self.runs.count }

    /// When a delivery of this moment lapses.
    func deadline(of now: BrokerInstant) -> BrokerInstant {
        now.advanced(milliseconds: self.runMilliseconds).advanced(milliseconds: self.timeoutMilliseconds)
    }

    /// A delivery was handed out; serials ascend.
    mutating func note(_ serial: UInt64, _ now: BrokerInstant) {
        if let last = self.runs.last, now < last.start.advanced(milliseconds: self.runMilliseconds) { return }
        self.runs.append((serial, now))
    }

    /// When the oldest open delivery lapses; forgets what was before it.
    mutating func deadline(ofOldest serial: UInt64) -> BrokerInstant? {
        while self.runs.count > 1, self.runs[1].serial <= serial {
            self.runs.removeFirst()
        }
        return self.runs.first.map { self.deadline(of: $0.start) }
    }
}
