internal import AMQPProtocol

/// A broker that ends as soon as it has answered: what it has answered must be so for the next one, too.
///
/// Purges and deletions of queues are too seldom for a crash to come right behind one of them by chance.
extension SimulationRun {
    /// Whether this look is to end so; not drawn, so that other seeds go on doing what they did.
    var endsInHaste: Bool {
        self.plan.isDurable && !self.plan.faults.isEmpty && self.plan.log.identity % 4 == 1 && self.step % 3 == 0
            && self.failure == nil
    }

    /// While nothing else moves a queue is purged or deleted, and then the broker is gone; `filled` queues have messages.
    func endInHaste(_ filled: [Int]) {
        let queues = self.judge.queues.filter { $0.existence == .certain && $0.survives }
        let full = queues.filter { filled.contains($0.id) }
        guard let queue = self.workload.pick(full.isEmpty ? queues : full) else { return }
        guard case .present(let expected, _) = self.observe(queue.id) else { return }
        let name = ShortString(truncating: queue.name)
        if self.random.oneIn(3) {
            guard case .queueDeleteOk(let ok)? = self.answer(to: QueueDelete(queue: name)) else { return }
            self.judge.deletesQuietly(queue.id, count: Int(ok.messageCount), expected: expected)
            self.deletedInHaste.append(queue.id)
        } else {
            guard case .queuePurgeOk(let ok)? = self.answer(to: QueuePurge(queue: name)) else { return }
            self.judge.purgesQuietly(queue.id, count: Int(ok.messageCount), expected: expected)
        }
        self.crash()
    }

    /// The answer to a method of the observer; nothing happens behind it.
    private func answer(to method: some EncodableMethod) -> Method? {
        self.observer.send(method)
        for _ in 0..<5000 {
            self.broker.run(self.random, maxEvents: 1)
            self.observer.collect()
            guard let received = self.observer.takeInbox().first else { continue }
            guard case .method(_, let answer) = received else { break }
            return answer
        }
        self.judge.fail("the observer got no answer to \(type(of: method))")
        return nil
    }

    /// What was deleted in haste must be gone for good.
    func checkDeletedInHaste() {
        for number in self.deletedInHaste {
            self.judge.observes(number, self.observe(number))
        }
        self.deletedInHaste = []
    }
}
