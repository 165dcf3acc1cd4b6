/// Where the log has messages, as far as a shard knows.
extension ShardLog {
    /// What the log has of a message.
    enum Place {
        /// There it is, and there it stays.
        case position(UInt64)
        /// It will be there when a batch is committed.
        case awaited
        /// Not there, or not for much longer, or nobody remembers where.
        case nowhere
    }

    /// Where the log has a message that is in memory.
    func place(of record: MessageRecord) -> Place {
        guard record.isLogged else { return .nowhere }
        let location = record.location
        guard !location.isUnknown else { return .nowhere }
        if location.position == nil && location.batch(latest: self.nextNumber - 1) >= self.positions.end {
            return .awaited
        }
        guard let position = self.position(of: location), position >= self.floor else { return .nowhere }
        return .position(position)
    }

    /// The position of a message's record; nil when it is not committed, or nobody remembers.
    func position(of location: LogLocation) -> UInt64? {
        if location.isUnknown { return nil }
        if let position = location.position { return position }
        return self.positions.position(of: location.batch(latest: self.nextNumber - 1)).map { $0 + location.offset }
    }

    /// Whether a message in memory must be told again so that what the log has before ``floor`` can go.
    ///
    /// Batches from `firstBatch` on stand behind that.
    func mustTell(_ record: MessageRecord, firstBatch: UInt64) -> Bool {
        guard record.isLogged else { return true }
        let location = record.location
        if location.isUnknown { return true }
        if location.position == nil && location.batch(latest: self.nextNumber - 1) >= firstBatch { return false }
        guard let position = self.position(of: location) else { return true }
        return position < self.floor
    }
}
