import NIOCore

/// The monotonic clock that all times of a run come from.
enum PerfClock {
    /// Nanoseconds since some fixed moment before the run.
    static func now() -> UInt64 { NIODeadline.now().uptimeNanoseconds }
}
