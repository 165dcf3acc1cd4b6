import Histogram

/// A histogram of latencies in nanoseconds that records runs of equal values at once.
///
/// Messages of one write batch share their time of sending, and those of one read their time of arrival, so equal
/// latencies come in long runs.
struct LatencyRecorder {
    private var histogram: Histogram<UInt64>
    private var runValue: UInt64 = 0
    private var runLength: UInt64 = 0

    init() {
        self.histogram = Histogram(
            lowestDiscernibleValue: 1,
            highestTrackableValue: PerfLimits.latencyNanoseconds,
            numberOfSignificantValueDigits: .three
        )
    }

    /// Records one latency.
    @inline(__always)
    mutating func record(_ nanoseconds: UInt64) {
        if nanoseconds == self.runValue {
            self.runLength &+= 1
        } else {
            self.startRun(nanoseconds)
        }
    }

    @inline(never)
    private mutating func startRun(_ nanoseconds: UInt64) {
        self.endRun()
        self.runValue = nanoseconds
        self.runLength = 1
    }

    private mutating func endRun() {
        guard self.runLength > 0 else { return }
        let value = min(self.runValue, PerfLimits.latencyNanoseconds)
        let recorded = self.histogram.record(value, count: self.runLength)
        assert(recorded, "the value is within the range of the histogram")
        self.runLength = 0
    }

    /// What was recorded so far.
    mutating func finish() -> Histogram<UInt64> {
        self.endRun()
        return self.histogram
    }
}

/// The figures of one latency distribution, in nanoseconds.
struct LatencySummary: Equatable, Sendable {
    var count: UInt64
    var p50: UInt64
    var p95: UInt64
    var p99: UInt64
    var p999: UInt64
    var max: UInt64
}

extension LatencySummary {
    /// Sums up the histograms of all event loops, or `nil` when nothing was recorded.
    init?(_ histograms: [Histogram<UInt64>]) {
        guard var total = histograms.first else { return nil }
        for other in histograms.dropFirst() {
            total.add(other)
        }
        guard total.totalCount > 0 else { return nil }
        self.init(
            count: total.totalCount,
            p50: total.valueAtPercentile(50),
            p95: total.valueAtPercentile(95),
            p99: total.valueAtPercentile(99),
            p999: total.valueAtPercentile(99.9),
            max: total.max
        )
    }
}
