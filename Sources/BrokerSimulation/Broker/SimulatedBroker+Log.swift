internal import BrokerCore
internal import BrokerStore

/// A trim of the log: one shard after the other tells again what is live, then older files go.
struct SimulatedTrim {
    /// What is told.
    enum Kind {
        /// Everything that is live.
        case whole
        /// Only what is live in the older half of the files.
        case partial
        /// Nothing: files go that no message needs.
        case counted
    }

    enum Phase {
        case counting
        case beginning
        case telling
        /// Everything up to a number has been handed over and must be committed.
        case waiting(number: UInt64)
    }

    /// Everything before this has been durable from the beginning.
    var position: LogPosition
    var shard = 0
    var phase = Phase.beginning
    /// Live messages are told; otherwise none stands before ``position``.
    var tellsMessages = true
    /// Where the log's files began.
    var files: [UInt64] = []
    /// Octets of live messages in each.
    var live: [Int] = []
    /// The first file with messages that cannot be read.
    var firstUnread = Int.max
    var census: LogCensus?
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

    /// Begins to trim the log, unless that is under way; the kinds take turns.
    func beginTrim(_ kind: SimulatedTrim.Kind? = nil) {
        guard self.trim == nil, let log = self.log, log.failure == nil else { return }
        var trim = SimulatedTrim(position: log.durablePosition)
        trim.files = log.filePositions
        switch kind ?? [.whole, .counted, .partial][self.trimCount % 3] {
        case .counted where !trim.files.isEmpty:
            trim.phase = .counting
            trim.tellsMessages = false
            trim.live = Array(repeating: 0, count: trim.files.count)
        case .partial where trim.files.count > 1:
            trim.position = min(trim.position, LogPosition(trim.files[trim.files.count / 2]))
        case .whole, .counted, .partial:
            break
        }
        self.trim = trim
    }

    /// Counts live messages on; returns whether the trim goes on.
    private func count(_ trim: inout SimulatedTrim) -> Bool {
        let shard = self.shards[trim.shard]
        var census = trim.census ?? shard.beginLogCensus(trim.files)
        let hasMore = shard.continueLogCensus(&census)
        trim.census = hasMore ? census : nil
        guard !hasMore else { return true }
        trim.live = zip(trim.live, census.octets).map { $0 + $1 }
        trim.firstUnread = min(trim.firstUnread, census.firstUnread ?? .max)
        trim.shard += 1
        guard trim.shard == self.shards.count else { return true }
        // The last file is written to.
        let live = trim.live.dropLast().firstIndex { $0 > 0 } ?? trim.files.count - 1
        let kept = min(live, trim.firstUnread)
        trim.position = min(trim.position, LogPosition(trim.files[kept]))
        trim.shard = 0
        trim.phase = .beginning
        return kept > 0
    }

    /// Trims the log; `between` is called after every step, with what else may happen meanwhile.
    public func trimLog(between: () -> Void = {}) {
        self.trimLog(.whole, between: between)
    }

    /// Trims the log in one of its ways.
    func trimLog(_ kind: SimulatedTrim.Kind, between: () -> Void = {}) {
        self.run()
        self.beginTrim(kind)
        // Its steps are ours: what runs in between takes none.
        self.isTrimDriven = true
        defer { self.isTrimDriven = false }
        while self.trim != nil {
            while self.canStepTrim {
                self.stepTrim()
                between()
            }
            self.run()
            if let trim = self.trim, case .telling = trim.phase, !self.canStepTrim, !self.hasEvents {
                // A read that the disk has refused is tried again later.
                self.advance(milliseconds: 100)
            }
        }
        self.run()
    }

    var canStepTrim: Bool {
        guard let trim = self.trim else { return false }
        switch trim.phase {
        case .counting, .beginning: return true
        case .telling: return !self.shards[trim.shard].isSnapshotWaiting
        case .waiting(let number): return self.toldNumbers[trim.shard] >= number
        }
    }

    /// The next step of a trim.
    func stepTrim() {
        guard var trim = self.trim else { return }
        let shard = self.shards[trim.shard]
        switch trim.phase {
        case .counting:
            guard self.count(&trim) else {
                self.trim = nil
                self.trimCount += 1
                return
            }
        case .beginning:
            shard.beginSnapshot(upTo: trim.position.octets, tellsMessages: trim.tellsMessages)
            trim.phase = .telling
            self.drain(trim.shard)
        case .telling:
            let hasMore = shard.continueSnapshot()
            self.drain(trim.shard)
            if !hasMore {
                trim.phase = .waiting(number: shard.lastLogNumber)
            }
        case .waiting:
            if let needed = shard.neededLogPosition { trim.position = min(trim.position, LogPosition(needed)) }
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
