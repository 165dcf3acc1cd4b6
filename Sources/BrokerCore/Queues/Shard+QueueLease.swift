internal import AMQPProtocol

/// Queue expiry: a queue that nobody uses for `x-expires` milliseconds goes, with what is in it.
///
/// Consumers, `basic.get` and declaring again, passively too, are uses; publishing is none. A restart is a use.
extension Shard {
    /// A queue is used.
    @inline(__always)
    func noteUse(_ queue: UnsafeMutablePointer<QueueState>) {
        if queue.pointee.settings.expiresMilliseconds != nil {
            self.renewLease(queue)
        }
    }

    @inline(never)
    func renewLease(_ queue: UnsafeMutablePointer<QueueState>) {
        queue.pointee.extra.lastUse = self.now
        self.armLease(queue)
    }

    /// Has a timer look after a queue without consumers; one a queue.
    private func armLease(_ queue: UnsafeMutablePointer<QueueState>) {
        guard let milliseconds = queue.pointee.settings.expiresMilliseconds, queue.pointee.consumerCount == 0 else {
            return
        }
        let due = queue.pointee.extra.lastUse.advanced(milliseconds: milliseconds)
        guard due < queue.pointee.extra.armedLease else { return }
        queue.pointee.extra.armedLease = due
        self.timers.schedule(at: due, .lease(queue.pointee.address))
    }

    /// The timer of a queue's lease has fired.
    func leaseTimerFired(_ address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        if queue.pointee.extra.armedLease <= self.now {
            queue.pointee.extra.armedLease = BrokerInstant(nanoseconds: .max)
        }
        // The last consumer to leave renews the lease.
        guard let milliseconds = queue.pointee.settings.expiresMilliseconds, queue.pointee.consumerCount == 0 else {
            return
        }
        guard queue.pointee.extra.lastUse.advanced(milliseconds: milliseconds) <= self.now else {
            self.armLease(queue)
            return
        }
        self.removeQueue(queue, .expired)
    }
}
