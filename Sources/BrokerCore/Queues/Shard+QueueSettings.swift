internal import AMQPProtocol

extension Shard {
    /// Gives a queue of this shard other settings; what follows from them is done at once or by and by.
    func applySettings(_ settings: QueueSettings, to queue: UnsafeMutablePointer<QueueState>) {
        guard settings != queue.pointee.settings else { return }
        queue.pointee.settings = settings
        queue.pointee.returnRules = ReturnRules(settings)
        self.regroup(queue)
        queue.pointee.isFair = settings.dispatch == .leastLoaded
        for consumer in queue.pointee.consumers {
            guard let consumer else { continue }
            self.setTimeout(queue, consumer)
            // Who was loaded enough by other rules may not be any more.
            self.makeReady(consumer, of: queue)
        }
    }
}
