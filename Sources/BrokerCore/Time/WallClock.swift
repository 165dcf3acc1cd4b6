/// The time of day, told by the driver: a pair of readings of both clocks.
///
/// Deadlines in memory are instants, which no change of the system's clock moves. What survives a restart, or is shown
/// to clients, is milliseconds since 1970.
struct WallClock {
    private var epochMilliseconds: UInt64 = 0
    private var instant = BrokerInstant(nanoseconds: 0)

    /// Makes a clock that has not been set: the process began in 1970.
    init() {}

    /// Both clocks were read at once.
    mutating func set(epochMilliseconds: UInt64, at instant: BrokerInstant) {
        self.epochMilliseconds = epochMilliseconds
        self.instant = instant
    }

    /// The time of day at an instant; saturates.
    func epochMilliseconds(at instant: BrokerInstant) -> UInt64 {
        if instant >= self.instant {
            let passed = (instant.nanoseconds - self.instant.nanoseconds) / 1_000_000
            let (sum, overflow) = self.epochMilliseconds.addingReportingOverflow(passed)
            return overflow ? .max : sum
        }
        let missing = (self.instant.nanoseconds - instant.nanoseconds + 999_999) / 1_000_000
        return self.epochMilliseconds > missing ? self.epochMilliseconds - missing : 0
    }

    /// The instant of a time of day; saturates.
    func instant(epochMilliseconds: UInt64) -> BrokerInstant {
        guard epochMilliseconds < self.epochMilliseconds else {
            return self.instant.advanced(milliseconds: epochMilliseconds - self.epochMilliseconds)
        }
        let (product, overflow) = (self.epochMilliseconds - epochMilliseconds)
            .multipliedReportingOverflow(by: 1_000_000)
        guard !overflow, product < self.instant.nanoseconds else { return BrokerInstant(nanoseconds: 0) }
        return BrokerInstant(nanoseconds: self.instant.nanoseconds - product)
    }
}

extension Shard {
    /// Tells the time of day; at the start, before anything is restored, and every minute or so.
    public func setWallClock(epochMilliseconds: UInt64, at instant: BrokerInstant) {
        self.wallClock.set(epochMilliseconds: epochMilliseconds, at: instant)
        self.delays.wheel.rewind(to: epochMilliseconds)
    }

    /// The time of day at an instant, in milliseconds since 1970.
    func epochMilliseconds(at instant: BrokerInstant) -> UInt64 {
        self.wallClock.epochMilliseconds(at: instant)
    }
}
