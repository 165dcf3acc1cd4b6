internal import BrokerCore
internal import BrokerStore

/// A broker starts, on what the last one has left.
extension FaultyRun {
    /// Starts the first broker, or another one.
    func start() {
        var settings = BrokerSettings()
        settings.isDurable = self.plan.isDurable
        settings.pagesMessages = self.plan.pagesMessages
        // Less than the table of messages takes.
        settings.residentLimitBytes = 20 << 10
        self.diskIsWellAt = .max
        self.disk.setCapacity(.max)
        var log: SimulatedLog?
        if self.plan.isDurable {
            log = self.openLog()
            guard log != nil else { return }
        }
        let shards = self.random.oneIn(4) ? 1 + self.random.below(4) : self.plan.shardCount
        self.broker = SimulatedBroker(
            shardCount: shards,
            seed: self.random.next() >> 12,
            settings: settings,
            log: log,
            now: self.broker.now
        )
        self.broker.commitPatience = self.plan.commitPatience
        self.broker.liar = self.liar
        self.broker.pager.liar = self.liar
        self.note("a broker of \(shards) shards starts")
        for complaint in self.broker.complaints {
            self.fail("the broker complains: \(complaint)")
        }
        self.brokerStarted()
    }

    /// Opens the log, perhaps not at the first try.
    private func openLog() -> SimulatedLog? {
        let faults = self.plan.faults
        self.disk.setIgnoresSyncs(self.liar.lies(.ignoresSyncs))
        if faults.contains(.inRecovery) {
            while self.random.oneIn(2) {
                self.crashInRecovery(hasPowerLoss: faults.contains(.powerLoss))
            }
        }
        if faults.contains(.fileError) && self.random.oneIn(6) {
            self.failRecovery()
        }
        do {
            let log = try SimulatedLog(self.disk, self.plan.log, self.liar)
            for damage in log.report.damages {
                self.fail("\(damage.file) is damaged at \(damage.offset), \(damage.lostBytes) octets lost")
            }
            self.checkRecovery(log)
            return log
        } catch {
            self.fail("the log cannot be opened: \(error)")
            return nil
        }
    }

    private func crashInRecovery(hasPowerLoss: Bool) {
        self.disk.powerOff(
            afterChanges: self.random.below(8),
            lastOctets: self.random.oneIn(2) ? self.random.below(600) : 0
        )
        let log = try? SimulatedLog(self.disk, self.plan.log)
        if log == nil {
            self.count(.inRecovery)
        }
        let isPower = hasPowerLoss && self.random.oneIn(2)
        self.note("a start ends early")
        if isPower {
            self.disk.losePower(seed: self.random.next())
        } else {
            self.disk.kill()
        }
    }

    /// Something with files fails while a start reads.
    private func failRecovery() {
        let kinds = SimulatedFileSystem.Kind.allCases
        let kind = kinds[self.random.below(kinds.count)]
        self.disk.fail(kind, 1 + self.random.below(4))
        if (try? SimulatedLog(self.disk, self.plan.log)) == nil {
            self.note("a start fails: \(kind)")
            self.count(kind == .sync ? .syncError : .fileError)
        }
        self.disk.forgetFailures()
        self.disk.kill()
    }
}
