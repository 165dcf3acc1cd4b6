internal import BrokerCore
internal import BrokerStore

/// A trim of the log: one shard after the other tells again what is live, then older files go.
struct SimulatedTrim {
    enum Phase {
        case beginning
        case telling
        /// Everything up to a number has been handed over and must be committed.
        case waiting(number: UInt64)
    }

    /// Everything before this has been durable from the beginning.
    let position: LogPosition
    var shard = 0
    var phase = Phase.beginning
}

/// What a server does between its shards and its log.
extension SimulatedBroker {
    /// Goes on with what the log held.
    func restore() {
        if let state = self.log?.state {
            self.restore(state)
        }
    }

    private func restore(_ state: RecoveredState) {
        let plan = self.shards[0].planRestore(state)
        for shard in self.shards {
            shard.restore(plan, now: self.now)
        }
        self.complaints = plan.complaints
    }

    /// Goes on with records of another broker's log, before the first connection.
    ///
    /// `setWallClock` before it says how late it is by now.
    public func restore(_ records: [DurableRecord]) throws {
        var state = RecoveredState()
        for record in records {
            try record.payload.withUnsafeBytes { payload throws in
                try state.apply(record.type, payload)
            }
        }
        self.log?.write(records)
        self.restore(state)
    }

    /// What the log holds, as a start would read it now.
    public var durableRecords: [DurableRecord] {
        do {
            return try self.log?.records() ?? []
        } catch {
            preconditionFailure("the log cannot be read: \(error)")
        }
    }

    /// A broker that goes on where this one would if it were killed now; this one goes on as well, for itself.
    public func restarted(shardCount: Int) throws -> SimulatedBroker {
        guard let log = self.log else { preconditionFailure("nothing is durable here") }
        return SimulatedBroker(
            shardCount: shardCount,
            seed: 1,
            settings: self.settings,
            log: try SimulatedLog(log.disk.copy(), log.options),
            now: self.now
        )
    }

    /// What can happen next around the log.
    func addLogEvents(_ events: inout [Event]) {
        guard let log = self.log else { return }
        if log.hasWork && !self.isLogHeld {
            events.append(.commit)
        }
        events += log.shardsToTell.map { .committed(shard: $0) }
        if self.canStepTrim && !self.isTrimDriven {
            events.append(.trim)
        }
    }

    /// Hands over what a shard has written.
    func takeLogRecords(of shard: Int) {
        if let records = self.shards[shard].takeLogRecords() {
            self.log?.submit(records, from: shard)
        }
    }

    /// Tells a shard of one batch.
    func tellCommitted(_ shard: Int) {
        guard let (number, position) = self.log?.takeCommitted(shard) else { return }
        self.toldNumbers[shard] = number
        self.shards[shard].logCommitted(upTo: number, at: position, now: self.now)
    }

    // MARK: Trimming

    /// Begins to trim the log, unless that is under way.
    func beginTrim() {
        guard self.trim == nil, let log = self.log, log.failure == nil else { return }
        self.trim = SimulatedTrim(position: log.durablePosition)
    }

    /// Trims the log; `between` is called after every step, with what else may happen meanwhile.
    public func trimLog(between: () -> Void = {}) {
        self.run()
        self.beginTrim()
        // Its steps are ours: what runs in between takes none.
        self.isTrimDriven = true
        defer { self.isTrimDriven = false }
        while self.trim != nil {
            while self.canStepTrim {
                self.stepTrim()
                between()
            }
            self.run()
        }
        self.run()
    }

    var canStepTrim: Bool {
        guard let trim = self.trim else { return false }
        switch trim.phase {
        case .beginning: return true
        case .telling: return !self.shards[trim.shard].isSnapshotWaiting
        case .waiting(let number): return self.toldNumbers[trim.shard] >= number
        }
    }

    /// The next step of a trim.
    func stepTrim() {
        guard var trim = self.trim else { return }
        let shard = self.shards[trim.shard]
        switch trim.phase {
        case .beginning:
            shard.beginSnapshot(upTo: trim.position.octets)
            trim.phase = .telling
            self.drain(trim.shard)
        case .telling:
            let hasMore = shard.continueSnapshot()
            self.drain(trim.shard)
            if !hasMore {
                trim.phase = .waiting(number: shard.lastLogNumber)
            }
        case .waiting:
            trim.shard += 1
            trim.phase = .beginning
        }
        self.trim = trim
        if trim.shard == self.shards.count {
            self.log?.release(upTo: trim.position)
            self.trim = nil
            self.trimCount += 1
        }
    }
}
