/// A queue has other arguments than a moment ago; it keeps its messages and consumers.
///
/// What policies can say too is done as if they had (``Shard/applySettings(_:to:)``), the rest is here. Of a queue that
/// takes each message once from now on, the messages that are there do not count: their ids would have to be read from
/// disk.
extension Shard {
    /// The topology has other arguments of a queue that lives here.
    func queueAltered(_ address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        let arguments = queue.pointee.info.parsed
        queue.pointee.makeUnique(arguments.isUnique)
        // Of another type, other policies may match.
        self.matchPolicies(queue)
        self.setSingleActive(queue, arguments.isSingleActiveConsumer)
    }

    /// From now on one consumer gets everything, or all have their turn again; what they have stays with them.
    private func setSingleActive(_ queue: UnsafeMutablePointer<QueueState>, _ isSingleActive: Bool) {
        guard queue.pointee.isSingleActive != isSingleActive else { return }
        queue.pointee.isSingleActive = isSingleActive
        queue.pointee.activeConsumer = nil
        for consumer in queue.pointee.consumers {
            guard let consumer, !consumer.pointee.isGetter, !consumer.pointee.isCancelled else { continue }
            if isSingleActive {
                self.makeUnready(consumer, of: queue)
                consumer.pointee.isActive = false
            } else {
                consumer.pointee.isActive = true
                self.makeReady(consumer, of: queue)
            }
        }
        if isSingleActive {
            self.electActiveConsumer(queue)
        }
        self.rebalance(queue)
    }
}
