/// How many octets of live messages stand in each file of the log: what decides which files can go.
///
/// Messages are counted where they are now; those that come meanwhile stand behind all boundaries, and none goes back. So
/// a file in which a census has found none is needed by no message any more.
public struct LogCensus: Sendable {
    /// Where the files begin, oldest first.
    let boundaries: [UInt64]
    /// Octets of live messages by file, about; those that stand nobody knows where count as in the first one.
    public private(set) var octets: [Int]
    /// The first file that has a message which the disk refuses to read, so that it cannot be told again.
    public private(set) var firstUnread: Int?
    /// The next page of slots.
    fileprivate var page = 0

    init(boundaries: [UInt64]) {
        self.boundaries = boundaries
        self.octets = Array(repeating: 0, count: boundaries.count)
    }

    /// Counts a message; one without a position stands nobody knows where.
    fileprivate mutating func count(_ bodySize: Int, at position: UInt64?, isUnread: Bool = false) {
        var low = 0
        var high = self.boundaries.count
        while let position, low < high {
            let middle = (low + high) / 2
            if self.boundaries[middle] <= position {
                low = middle + 1
            } else {
                high = middle
            }
        }
        if !self.octets.isEmpty {
            let file = max(low, 1) - 1
            self.octets[file] += bodySize + MessageStore.logOverhead
            if isUnread { self.firstUnread = min(self.firstUnread ?? file, file) }
        }
    }
}

extension Shard {
    /// Begins to count live messages by the log's files, which begin at these positions.
    public func beginLogCensus(_ boundaries: [UInt64]) -> LogCensus {
        LogCensus(boundaries: boundaries)
    }

    /// Counts the next messages; returns whether there are more.
    public func continueLogCensus(_ census: inout LogCensus) -> Bool {
        let end = min(self.store.slotPageCount, census.page + ShardLimits.censusPages)
        while census.page < end {
            for index in 0..<MessageStore.slotsPerPage {
                self.count(UInt32(census.page * MessageStore.slotsPerPage + index), &census)
            }
            census.page += 1
        }
        return census.page < self.store.slotPageCount
    }

    private func count(_ slot: UInt32, _ census: inout LogCensus) {
        let value = self.store.word(slot)
        guard value & 1 == 0 else { return }
        guard let word = self.store.paged(slot) else {
            let record = self.store.record(slot)
            guard record.isLogged else { return }
            if case .awaited = self.log.place(of: record) {
                // It may be there already, and the shard has not heard: behind the last batch that it has heard of.
                census.count(record.bodySize, at: self.log.positions.last)
            } else {
                census.count(record.bodySize, at: self.log.position(of: record.location))
            }
            return
        }
        guard word.isLogged, !self.store.isLost(slot) else { return }
        census.count(
            self.store.bodySize(slot, word),
            at: word.isScratch ? nil : self.store.position(word),
            isUnread: self.store.isUnread(slot)
        )
    }
}
