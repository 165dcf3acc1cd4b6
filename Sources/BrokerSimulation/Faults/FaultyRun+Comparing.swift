internal import BrokerCore
internal import BrokerStore

/// What the log says, and what the broker has.
extension FaultyRun {
    /// What the log says is live must be what the shards have: they tell it again, and the two must agree.
    func compareLog() {
        guard self.plan.isDurable, self.failure == nil else { return }
        self.broker.runToRest()
        do {
            guard let log = self.broker.log else { return }
            let time = SimulatedBroker.startOfTime + self.broker.now.nanoseconds / 1_000_000 - 1000
            let history = try log.stateOnDisk().lines(at: time)
            let position = log.durablePosition
            self.broker.trimLog()
            let live = try log.stateOnDisk(from: position).lines(at: time)
            for (old, new) in zip(history, live) where self.compared(old) != self.compared(new) {
                self.fail("the log has\n  \(old)\nand the broker\n  \(new)")
            }
            if history.count != live.count {
                self.fail("the log has \(history.count) durable things, the broker \(live.count)")
            }
        } catch {
            self.fail("the log cannot be read: \(error)")
        }
    }

    /// A line without the counts of what has come back, where queues count at some times only.
    private func compared(_ line: String) -> String {
        guard !self.comparesCounts else { return line }
        var words: [Substring] = []
        for word in line.split(separator: " ") {
            if words.last == "count" {
                words.removeLast()
            } else {
                words.append(word)
            }
        }
        return words.joined(separator: " ")
    }

    /// A start has found the end of the log: whoever starts behind it, power lost or not, must find the same, and nothing
    /// to mend.
    func checkRecovery(_ log: SimulatedLog) {
        do {
            // Not drawn, so that seeds go on doing what they did.
            let again = try log.reportAfterPowerLoss(seed: UInt64(self.step))
            if let tail = again.tornTail {
                self.fail("a second start cuts \(tail.bytes) octets at \(tail.offset) of \(tail.file)")
            }
            if again.records != log.report.records || again.end != log.report.end || !again.damages.isEmpty {
                self.fail(
                    "a second start finds \(again.records) records up to \(again.end.octets), the first one had "
                        + "\(log.report.records) up to \(log.report.end.octets)"
                )
            }
        } catch {
            self.fail("the log cannot be read twice: \(error)")
        }
    }

    /// Nothing moves: nothing is under way to other shards or the log, and no queue counts deliveries that nobody has.
    ///
    /// `open` are those that clients have not settled, by queue; nil when nobody knows.
    func checkAccounts(open: [String: Int]?) {
        guard self.failure == nil else { return }
        for (index, shard) in self.broker.shards.enumerated() where shard.census.windowBytes != 0 {
            self.fail("shard \(index) counts \(shard.census.windowBytes) octets as under way, and nothing moves")
        }
        guard let open else { return }
        for case .queues(let queues, _) in self.broker.administer(.listQueues(virtualHost: "/")) {
            for queue in queues where queue.unacknowledged != open[queue.name, default: 0] {
                self.fail(
                    "\(queue.name) says \(queue.unacknowledged) messages are with clients, which have "
                        + "\(open[queue.name, default: 0])"
                )
            }
        }
    }
}
