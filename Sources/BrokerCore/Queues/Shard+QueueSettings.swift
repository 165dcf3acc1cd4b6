internal import AMQPProtocol

extension Shard {
    /// Gives a queue of this shard other settings; what follows from them is done at once, much of it in pieces.
    ///
    /// Messages that are there keep the time they were given when they came, as in RabbitMQ. The lease of a queue that
    /// may expire now begins.
    func applySettings(_ settings: QueueSettings, to queue: UnsafeMutablePointer<QueueState>) {
        let old = queue.pointee.settings
        guard settings != old else { return }
        queue.pointee.govern(by: settings)
        self.regroup(queue)
        queue.pointee.isFair = settings.dispatch == .leastLoaded
        for consumer in queue.pointee.consumers {
            guard let consumer else { continue }
            self.setTimeout(queue, consumer)
            // Who was loaded enough by other rules may not be any more.
            self.makeReady(consumer, of: queue)
        }
        queue.pointee.updateFeatures()
        if settings.maxLengthBytes != nil && old.maxLengthBytes == nil {
            self.countReadyBytes(queue)
        }
        if settings.maxPriority != old.maxPriority {
            self.beginArranging(queue)
        }
        if settings.expiresMilliseconds != old.expiresMilliseconds {
            self.noteUse(queue)
        }
        if settings.isLimited {
            self.dropHead(queue)
        }
        if !queue.pointee.extra.stuckDeaths.isEmpty {
            self.retryStuckDeaths(queue.pointee.address)
        }
    }

    /// Counts the octets that wait; a walk through the queue.
    private func countReadyBytes(_ queue: UnsafeMutablePointer<QueueState>) {
        var bytes = 0
        queue.pointee.forEachReady { _, entry in
            bytes += self.store.bodySize(entry.slot)
        }
        queue.pointee.extra.setAside.forEach { bytes += self.store.bodySize($0.entry.slot) }
        queue.pointee.extra.readyBytes = bytes
    }
}
