/// `x-dispatch: least-loaded`: of the consumers that can take a message, the one with the fewest open deliveries gets it.
///
/// Prefetch alone lets one consumer with a large limit take a whole backlog while others work in small steps. So here a
/// consumer beside others is *loaded enough*, whatever its prefetch, with ``ShardLimits/fairDeliveries`` open deliveries,
/// or with twice as many as any of the others has. It goes on with its next acknowledgement.
extension Shard {
    /// Gives ready messages to ready consumers, least loaded first.
    func dispatchFairly(_ queue: UnsafeMutablePointer<QueueState>) {
        while queue.pointee.hasReady, let consumer = self.leastLoaded(queue) {
            guard self.isNextResident(queue) else {
                if self.stall(queue) { continue }
                return
            }
            guard self.isReadyNow(consumer, queue), !self.isLoadedEnough(consumer, queue) else {
                self.makeUnready(consumer, of: queue)
                continue
            }
            let delivery = self.takeNext(queue)
            self.hand(delivery, to: consumer, of: queue)
            queue.pointee.rotation.rotate()
        }
        if queue.pointee.headSequence >= queue.pointee.loadTrigger {
            self.load(queue)
        }
    }

    /// The least loaded consumer of the highest priority; the one whose turn it is of several.
    func leastLoaded(
        _ queue: UnsafeMutablePointer<QueueState>
    ) -> UnsafeMutablePointer<ConsumerState>? {
        var best: UnsafeMutablePointer<ConsumerState>?
        queue.pointee.rotation.forEachOfFirst(limit: ShardLimits.fairConsumers) { id in
            guard let consumer = queue.pointee.consumers[Int(id)] else { return }
            guard let current = best else {
                best = consumer
                return
            }
            if consumer.pointee.outstanding.count < current.pointee.outstanding.count {
                best = consumer
            }
        }
        return best
    }

    /// Whether a consumer beside others has as much to do as is fair.
    func isLoadedEnough(
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ queue: UnsafeMutablePointer<QueueState>
    ) -> Bool {
        let load = consumer.pointee.outstanding.count
        guard load >= 2, !consumer.pointee.noAck else { return false }
        var most = 0
        for other in queue.pointee.consumers.prefix(ShardLimits.fairConsumers) {
            guard let other, other != consumer, other.pointee.isActive, !other.pointee.noAck else { continue }
            // Who has nothing open and cannot take anything now is no measure: its client does not read.
            if other.pointee.isReady || !other.pointee.outstanding.isEmpty {
                most = max(most, other.pointee.outstanding.count, 1)
            }
        }
        guard most > 0 else { return false }
        return load >= ShardLimits.fairDeliveries || load >= 2 * most
    }

    /// A consumer has left: those who were loaded enough beside it may go on.
    func rebalance(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.isFair else { return }
        for consumer in queue.pointee.consumers {
            if let consumer {
                self.makeReady(consumer, of: queue)
            }
        }
    }
}
