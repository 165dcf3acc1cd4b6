internal import BrokerCore
internal import BrokerStore

/// What happens to the broker and its disk while it runs.
extension FaultyRun {
    /// One of the things that happen in this seed.
    func suffer() {
        guard self.failure == nil else { return }
        let possible = Fault.allCases.filter { self.plan.faults.contains($0) }
        switch possible[self.random.below(possible.count)] {
        case .kill, .powerLoss, .twice, .inRecovery:
            self.crash()
        case .inCommit, .inFileChange:
            self.crashInCommit()
        case .inTrim:
            self.broker.beginTrim()
            self.broker.run(self.random, maxEvents: self.random.below(8))
            self.random.oneIn(2) ? self.crash() : self.crashInCommit()
        case .cleanStop:
            self.stopAndStart()
        case .syncError:
            self.failLog([.sync])
        case .fileError:
            self.failLog([.write, .open, .rename, .remove, .syncDirectory])
        case .fullDisk:
            self.fillDisk()
        case .readError:
            self.refuseReads()
        case .slowDisk:
            self.count(.slowDisk)
            self.note("the disk is slow")
            self.broker.isLogHeld = true
            self.diskIsWellAt = self.step + self.random.below(120)
        case .trim:
            self.note("the log is trimmed")
            self.broker.beginTrim()
        }
    }

    func count(_ fault: Fault) {
        self.faultCounts[fault, default: 0] += 1
    }

    // MARK: The disk

    private func fillDisk() {
        self.note("the disk is full")
        self.disk.setCapacity(self.disk.usedBytes + UInt64(self.random.oneIn(3) ? self.random.below(8000) : 0))
        self.diskIsWellAt = self.step + self.random.below(300)
    }

    /// Reads are refused, for less time than brokers try again; whatever they were for must happen all the same.
    private func refuseReads() {
        self.note("nothing can be read")
        self.broker.pager.refusesUntil = self.broker.now.advanced(milliseconds: UInt64(1 + self.random.below(5000)))
        self.diskIsWellAt = self.step + self.random.below(200)
    }

    /// There is room again, reads are carried out, and commits go on.
    func healDisk() {
        guard self.diskIsWellAt != .max else { return }
        if self.broker.log?.isFull == true {
            self.count(.fullDisk)
        }
        if self.broker.pager.refusedCount > 0 {
            self.count(.readError)
        }
        self.note("the disk is well")
        self.broker.pager.endRefusals()
        self.diskIsWellAt = .max
        self.disk.setCapacity(.max)
        self.broker.isLogHeld = false
        self.broker.log?.retry()
    }

    /// Something with files fails, and that is the end: the broker tells its clients and stops.
    private func failLog(_ kinds: [SimulatedFileSystem.Kind]) {
        guard let log = self.broker.log else { return }
        let kind = kinds[self.random.below(kinds.count)]
        self.disk.fail(kind, 1 + self.random.below(3))
        for _ in 0..<6 where log.failure == nil {
            self.broker.run(self.random, maxEvents: 2)
            log.step()
        }
        self.disk.forgetFailures()
        // It may have been a read, which is tried again.
        guard log.failure != nil else { return }
        self.count(kind == .sync ? .syncError : .fileError)
        self.note("the log fails: \(kind)")
        // It takes a moment until the broker stops.
        for _ in 0..<self.random.below(6) {
            self.broker.run(self.random, maxEvents: 3)
            self.somebodyReads()
        }
        if self.random.oneIn(2) {
            self.sayGoodbye()
        }
        self.crash()
    }

    // MARK: Ends

    /// The broker is gone from one moment to the next, and started again.
    func crash() {
        if self.broker.trim != nil {
            self.count(.inTrim)
        }
        self.faultCounts[.trim, default: 0] += self.broker.trimCount
        self.end()
        if self.plan.faults.contains(.twice) && self.random.oneIn(3) && self.failure == nil {
            self.count(.twice)
            self.broker.run(self.random, maxEvents: self.random.below(4))
            self.end()
        }
    }

    /// The broker is gone in the middle of what its log's writer does.
    private func crashInCommit() {
        guard let log = self.broker.log else { return }
        self.disk.powerOff(
            afterChanges: self.random.below(self.random.oneIn(2) ? 3 : 12),
            lastOctets: self.random.oneIn(2) ? self.random.below(3000) : 0
        )
        for _ in 0..<8 where log.failure == nil {
            self.broker.run(self.random, maxEvents: 2)
            log.step()
        }
        if let missed = self.disk.firstMissed {
            self.count(.inCommit)
            if missed.kind == .open || missed.kind == .rename || missed.path.hasSuffix("new") {
                self.count(.inFileChange)
            }
        }
        self.crash()
    }

    /// The process ends and another one starts.
    private func end() {
        let isPower = self.plan.faults.contains(.powerLoss) && self.random.oneIn(2)
        self.count(isPower ? .powerLoss : .kill)
        // What was sent may still arrive.
        self.someRead()
        self.note(isPower ? "power goes" : "the broker is killed")
        self.brokerEnded(inOrder: false)
        self.loseUnsynced(isPower)
        self.start()
    }

    private func loseUnsynced(_ isPower: Bool) {
        if isPower {
            self.disk.losePower(seed: self.random.next())
        } else {
            self.disk.kill()
        }
    }

    /// The broker stops in good order, and is started again.
    private func stopAndStart() {
        guard let log = self.broker.log else { return }
        self.count(.cleanStop)
        self.healDisk()
        self.sayGoodbye()
        guard self.failure == nil else { return }
        do {
            try log.stop()
        } catch {
            return self.fail("the log does not end well: \(error)")
        }
        self.brokerEnded(inOrder: true)
        // Who loses power after a stop loses nothing.
        self.loseUnsynced(self.plan.faults.contains(.powerLoss) && self.random.oneIn(2))
        self.start()
    }
}
