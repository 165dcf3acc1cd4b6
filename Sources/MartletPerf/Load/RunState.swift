import Synchronization

/// What the threads of one run share.
final class RunState: Sendable {
    /// How far the run is.
    enum Phase: UInt8, AtomicRepresentable {
        case setup
        case running
        /// Publishers stop; what is under way may arrive.
        case draining
        /// Connections close; what still arrives does not count.
        case closing
    }

    let phase = Atomic<Phase>(.setup)
    /// Whether latencies count: not during warm-up or drain.
    let isRecording = Atomic<Bool>(false)
    let counters: [LoopCounters]
    private let failureBox = Mutex<PerfFailure?>(nil)

    init(loops: Int) {
        self.counters = (0..<loops).map { _ in LoopCounters() }
    }

    /// The first failure, which ends the run.
    var failure: PerfFailure? { self.failureBox.withLock { $0 } }

    /// Ends the run; only the first call counts.
    func fail(_ failure: PerfFailure) {
        self.failureBox.withLock { $0 = $0 ?? failure }
    }

    /// Sums one counter over all loops.
    func sum(_ counter: KeyPath<LoopCounters, Counter>) -> UInt64 {
        self.counters.reduce(0) { $0 + $1[keyPath: counter].value }
    }

    /// Messages published but not yet consumed, each copy of a message counted.
    func inflight(copies: UInt64) -> UInt64 {
        var published: UInt64 = 0
        var consumed: UInt64 = 0
        for counters in self.counters {
            published &+= counters.published.value
            consumed &+= counters.consumed.value
        }
        let due = published &* copies
        return due > consumed ? due - consumed : 0
    }
}

/// The counters of one event loop, written by it and read by anyone.
final class LoopCounters: Sendable {
    let published = Counter()
    let consumed = Counter()
    let confirmed = Counter()
    let refused = Counter()
    let returned = Counter()
    let redelivered = Counter()
    /// Times the server asked publishers to pause with `connection.blocked`.
    let blocked = Counter()
    /// Publishers with nothing left to send whose last message the server has taken.
    let settledPublishers = Counter()
    /// When anything last happened, in nanoseconds of the monotonic clock.
    let lastActivity = Atomic<UInt64>(0)
    /// Set by a loop whose publishers wait for consumers, cleared by whoever wakes it.
    let awaitsConsumers = Atomic<Bool>(false)
}

/// A counter with one writer.
final class Counter: Sendable {
    private let atomic = Atomic<UInt64>(0)

    var value: UInt64 { self.atomic.load(ordering: .relaxed) }

    /// Adds to the counter; only its one writer may.
    ///
    /// A load and a store instead of an atomic addition, which would lock the bus for nothing.
    func add(_ amount: UInt64) {
        self.atomic.store(self.value &+ amount, ordering: .relaxed)
    }
}
