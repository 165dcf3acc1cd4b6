import BrokerStore
import Testing

/// Loses power at every change a small workload makes to the disk, several ways each, and during the recovery too.
@Suite struct PowerLossTests {
    /// What was done to a log, and what its disk must hold after power was lost.
    private struct Account {
        var appended: [SeenRecord] = []
        var committed = 0
        var released: UInt64 = 0

        /// What is wrong with what was recovered, or nil.
        func objection(to recovered: [SeenRecord], _ report: RecoveryReport) -> String? {
            if !report.damages.isEmpty { return "damage: \(report.damages)" }
            let needed = self.appended[..<self.committed].filter { $0.position >= self.released }
            guard let first = recovered.first else { return needed.isEmpty ? nil : "everything is lost" }
            guard let start = self.appended.firstIndex(of: first) else { return "never appended: \(first)" }
            let slice = self.appended[start...].prefix(recovered.count)
            if Array(slice) != recovered { return "not what was appended, from \(first)" }
            if start + recovered.count < self.committed { return "\(self.committed - start - recovered.count) lost" }
            if let oldest = needed.first, first.position > oldest.position { return "lost before \(first)" }
            return nil
        }
    }

    /// Some of everything, over several files, until power goes.
    private static func work(_ bench: LogWorkbench, _ account: inout Account) {
        do {
            var size: UInt64 = 1
            for step in 0..<12 {
                for _ in 0...(step % 4) {
                    size = (size * 37 + 11) % 1200
                    account.appended.append(try bench.append(UInt8(step), LogWorkbench.payload(Int(size), size)))
                }
                try bench.log.commit(synced: step % 5 != 3)
                if step % 5 != 3 { account.committed = account.appended.count }
                if step % 3 == 1 { try bench.log.mark() }
                if step == 4 { _ = try bench.log.prepareSpare() }
                if step % 4 == 3 {
                    let position = account.appended[account.committed * 2 / 3].position
                    account.released = position
                    try bench.log.release(upTo: LogPosition(position))
                }
            }
            account.appended.append(try bench.append(77, LogWorkbench.payload(9000, 3)))
            try bench.log.commit()
            account.committed = account.appended.count
            try bench.log.close()
        } catch {
            return
        }
    }

    /// How many changes the workload makes.
    private static func changes() throws -> Int {
        let bench = try LogWorkbench()
        let before = bench.disk.changeCount
        var account = Account()
        Self.work(bench, &account)
        #expect(account.committed == account.appended.count && account.committed > 25)
        return bench.disk.changeCount - before
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func nothingCommittedIsLostAtAnyChange(_ seed: UInt64) throws {
        for change in 0...(try Self.changes()) {
            var bench = try LogWorkbench()
            var account = Account()
            bench.disk.powerOff(afterChanges: change)
            Self.work(bench, &account)
            bench.disk.losePower(seed: seed &* 1_000_003 &+ UInt64(change))
            try bench.reopen()
            let objection = account.objection(to: bench.recovered, bench.report)
            #expect(objection == nil, "seed \(seed), change \(change)")
            if objection != nil { return }
            // And once more, with what came back: nothing cut may return, nothing recovered may go.
            account = Account(appended: bench.recovered, committed: bench.recovered.count, released: 0)
            bench.disk.powerOff(afterChanges: change % 17)
            Self.work(bench, &account)
            bench.disk.losePower(seed: seed &* 7_000_003 &+ UInt64(change))
            try bench.reopen()
            let second = account.objection(to: bench.recovered, bench.report)
            #expect(second == nil, "second loss, seed \(seed), change \(change)")
            if second != nil { return }
        }
    }

    @Test(arguments: 0..<3 as Range<UInt64>)
    func losingPowerDuringRecoveryLosesNothing(_ seed: UInt64) throws {
        for change in stride(from: 0, through: try Self.changes(), by: 3) {
            for recoveryChange in 0..<8 {
                var bench = try LogWorkbench()
                var account = Account()
                bench.disk.powerOff(afterChanges: change)
                Self.work(bench, &account)
                bench.disk.losePower(seed: seed &* 1_000_003 &+ UInt64(change))
                bench.disk.powerOff(afterChanges: recoveryChange)
                try? bench.reopen()
                bench.disk.losePower(seed: seed &* 3_000_017 &+ UInt64(recoveryChange))
                try bench.reopen()
                let objection = account.objection(to: bench.recovered, bench.report)
                #expect(objection == nil, "seed \(seed), change \(change), in recovery \(recoveryChange)")
                if objection != nil { return }
            }
        }
    }

    /// A disk that fills up at any point, then power, then a disk that has room again.
    @Test(arguments: 0..<4 as Range<UInt64>)
    func aFullDiskAndPowerLossLoseNothing(_ seed: UInt64) throws {
        for capacity in stride(from: 0 as UInt64, through: 40_000, by: 1200) {
            var bench = try LogWorkbench()
            var account = Account()
            bench.disk.setCapacity(capacity)
            Self.work(bench, &account)
            if seed % 2 == 1 {
                bench.disk.setCapacity(.max)
                try bench.log.commit()
                account.committed = account.appended.count
            }
            bench.disk.losePower(seed: seed &* 900_007 &+ capacity)
            try bench.reopen()
            #expect(account.objection(to: bench.recovered, bench.report) == nil, "seed \(seed), capacity \(capacity)")
            bench.disk.setCapacity(.max)
            account = Account(appended: bench.recovered, committed: bench.recovered.count, released: 0)
            Self.work(bench, &account)
            #expect(account.committed > 25)
            try bench.reopen()
            #expect(account.objection(to: bench.recovered, bench.report) == nil, "seed \(seed), capacity \(capacity)")
        }
    }

    /// Killed, not unplugged: the system still has what was written.
    @Test func aKilledProcessLosesNothingThatWasWritten() throws {
        for change in 0...(try Self.changes()) {
            var bench = try LogWorkbench()
            var account = Account()
            bench.disk.powerOff(afterChanges: change)
            Self.work(bench, &account)
            bench.disk.powerOff(afterChanges: .max / 2)
            try bench.reopen()
            #expect(account.objection(to: bench.recovered, bench.report) == nil, "change \(change)")
            let recovered = bench.recovered
            bench.disk.losePower(seed: UInt64(change))
            try bench.reopen()
            #expect(bench.recovered == recovered, "what was handed over once is durable, change \(change)")
        }
    }

    /// What a failed sync left unwritten can be read until power goes, and no later sync writes it by itself.
    @Test func whatAFailedSyncLeftIsWrittenByTheNextStart() throws {
        for commits in [0, 1, 3] {
            var bench = try LogWorkbench()
            for _ in 0..<commits { try bench.commit(50) }
            bench.disk.fail(.sync, commits == 0 ? 2 : 1)
            #expect(throws: StoreError.self) { try bench.commit(60) }
            bench.disk.kill()
            try bench.reopen()
            // Served, so that what comes later may build on it.
            let found = bench.recovered
            let confirmed = try bench.commit(70)
            for seed in 0..<20 as Range<UInt64> {
                var next = try LogWorkbench(bench.disk.copy())
                next.disk.losePower(seed: seed)
                try next.reopen()
                #expect(next.recovered == found + confirmed, "\(commits) commits, seed \(seed)")
                #expect(next.report.damages == [])
            }
        }
    }
}
