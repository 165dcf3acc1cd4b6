internal import AMQPProtocol

/// Which policies govern the queues that live here.
///
/// A change of the policies is in the topology of every shard; then each goes through its own queues, in pieces when
/// they are many or the patterns dear.
extension Shard {
    /// Looks for the policies of a queue and has them govern it; returns the steps it took.
    @discardableResult
    func matchPolicies(_ queue: UnsafeMutablePointer<QueueState>) -> Int {
        let info = queue.pointee.info
        guard let host = self.topology.virtualHost(named: info.virtualHostName) else { return 0 }
        var steps = 0
        let policies = host.policies.match(queue: info.name, info.parsed.queueType, &steps)
        if policies != queue.pointee.extra.policies {
            queue.pointee.extra.policies = policies
        }
        self.applySettings(QueueSettings(info, queue.pointee.extra.policies), to: queue)
        return steps
    }

    /// The policies of some virtual host are others.
    func policiesChanged() {
        let isUnderWay = self.policySweep != nil
        self.policySweep = 0
        if !isUnderWay { self.sweepPolicies() }
    }

    /// Goes on with the queues that have not been looked at since policies changed.
    func sweepPolicies() {
        guard var slot = self.policySweep else { return }
        var budget = ShardLimits.policySteps
        while slot < self.queues.count, budget > 0 {
            if let queue = self.queues[slot] {
                budget -= ShardLimits.policyStepsPerQueue + self.matchPolicies(queue)
            }
            slot += 1
        }
        guard slot < self.queues.count else {
            self.policySweep = nil
            return
        }
        self.policySweep = slot
        self.pendingWork.append(.matchPolicies)
    }
}
