import BrokerSimulation
import Testing

/// Fixed seeds: the broker does what the model expects.
@Suite struct SeedTests {
    /// The first hundred, and those that found bugs, in the broker or in its judge.
    @Test(arguments: Array(1...100) + [3799])
    func agreesWithTheModel(seed: UInt64) {
        let report = SimulationRun(seed: seed).run()
        let tail = report.trace.suffix(40).joined(separator: "\n")
        #expect(report.failure == nil, "martlet-sim --first \(seed) --seeds 1 --verbose\n\(tail)")
    }

    @Test(arguments: [3, 17, 40] as [UInt64])
    func oneSeedIsOneStory(seed: UInt64) {
        let first = SimulationRun(seed: seed).run()
        let second = SimulationRun(seed: seed).run()
        #expect(first.trace == second.trace)
        #expect(first.messages == second.messages)
        #expect(first.trace != SimulationRun(seed: seed + 1).run().trace)
    }

    /// A simulation in which nothing happens finds nothing.
    @Test func everythingHappens() {
        let wanted = [
            " redelivered", "< return ", "< ack ", " multiple", "> tx.commit", "tx.commit-ok", "> tx.rollback",
            "is cut", "falls silent", "> connection.close", "< cancel ", "channel.close 404", "channel.close 406",
            "> recover", " nowait", " global", " exclusive", " auto-delete", " single-active", " no-ack",
            "is purged of",
            "> purge", "> requeue #", "> drop #", " cc [", " bcc [", " mandatory", "get-ok #", "basic.get-empty",
            "> delete e", "> delete q", "> unbind ", " to amq.headers ", " any", "priority", "> close",
            "the broker stops",
        ]
        var missing = Set(wanted)
        var faults = Set(Fault.allCases)
        // A disk that is full when something would be written is the rarest of them.
        for seed in 1...300 as ClosedRange<UInt64> where !missing.isEmpty || !faults.isEmpty {
            let report = SimulationRun(seed: seed).run()
            faults.subtract(report.faults.keys)
            for line in report.trace where !missing.isEmpty {
                missing.subtract(missing.filter { line.contains($0) })
            }
        }
        #expect(missing.isEmpty)
        #expect(faults.isEmpty)
    }
}
