internal import Logging

/// Tells an operator how far a long start has come, once a second.
struct RecoveryProgress: Sendable {
    private let logger: Logger
    private let clock: @Sendable () -> ContinuousClock.Instant
    private let start: ContinuousClock.Instant
    private var nextLine: ContinuousClock.Instant
    private var nextLook: UInt64 = 0

    /// Octets that are read between two looks at the clock.
    private static let lookBytes: UInt64 = 1 << 20

    /// Begins to count the time.
    init(_ logger: Logger, clock: @escaping @Sendable () -> ContinuousClock.Instant = { ContinuousClock.now }) {
        self.logger = logger
        self.clock = clock
        self.start = clock()
        self.nextLine = self.start + .seconds(1)
    }

    /// So many octets of the log have been read.
    mutating func note(_ octets: UInt64, of total: UInt64) {
        guard octets >= self.nextLook else { return }
        self.nextLook = octets + min(Self.lookBytes, .max - octets)
        let now = self.clock()
        guard now >= self.nextLine else { return }
        self.nextLine = now + .seconds(1)
        let percent = octets >= total ? 100 : min(octets / max(total / 100, 1), 100)
        self.logger.info("recovering: \(percent) % of \(total >> 20) MiB read")
    }

    /// The time since the beginning, in seconds with two digits.
    var elapsed: String {
        let (seconds, attoseconds) = (self.clock() - self.start).components
        let hundredths = attoseconds / 10_000_000_000_000_000
        return "\(seconds).\(hundredths < 10 ? "0" : "")\(hundredths) s"
    }
}
