internal import AMQPProtocol

extension Shard {
    /// Gives a queue of this shard other settings; what follows from them is done at once or by and by.
    func applySettings(_ settings: QueueSettings, to queue: UnsafeMutablePointer<QueueState>) {
        guard settings != queue.pointee.settings else { return }
        queue.pointee.settings = settings
        queue.pointee.returnRules = ReturnRules(settings)
    }
}
