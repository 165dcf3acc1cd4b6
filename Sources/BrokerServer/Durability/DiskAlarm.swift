internal import Synchronization

/// Why publishers wait for the disk, put together from those who notice: the watch over free space, and the log.
final class DiskAlarm: Sendable {
    /// Who has noticed.
    struct Reasons: OptionSet {
        var rawValue: UInt8

        /// Less is free than the operator wants.
        static let isLow = Reasons(rawValue: 1)
        /// The log could not be written for want of space.
        static let isFull = Reasons(rawValue: 2)
    }

    private let reasons = Mutex(Reasons())
    private let tell: @Sendable (Bool) -> Void

    /// Makes the alarm, which does not hold; `tell` is called whenever it begins or ends, in that order.
    init(tell: @escaping @Sendable (Bool) -> Void) {
        self.tell = tell
    }

    /// Adds or removes a reason.
    func set(_ reason: Reasons, _ isSet: Bool) {
        self.reasons.withLock { reasons in
            let before = reasons.isEmpty
            if isSet {
                reasons.insert(reason)
            } else {
                reasons.remove(reason)
            }
            // With the lock held, so that the last one told is the last one true.
            if reasons.isEmpty != before { self.tell(before) }
        }
    }
}
