/// Which of the oldest files of a log go, and whether live messages in them are told again before.
///
/// 1. A file without live messages goes when all before it do.
/// 2. Live messages of the oldest files are told again while the rest of the log is more than twice as long as everything
///    that is live, and some files: so telling costs less than was written since, and a growing backlog is never written
///    again.
/// 3. The last file is written to, and stays.
/// 4. A file with messages that the disk refuses to read stays, and those behind it.
public struct TrimPlan: Equatable, Sendable {
    /// What stands before this goes.
    public let position: UInt64
    /// Octets of live messages that stand before.
    public let toldOctets: Int

    /// Makes a plan; nil when nothing can go.
    ///
    /// `files` are the positions of the files, oldest first, `live` the octets of live messages in each, `firstUnread` the
    /// first one that has messages which cannot be told again because they cannot be read; `end` is the end of
    /// the log, and `slack` how many octets it may have whatever is live.
    public init?(files: [UInt64], live: [Int], firstUnread: Int? = nil, end: UInt64, slack: UInt64) {
        guard files.count == live.count else { return nil }
        let limit = 2 * UInt64(live.reduce(0, +)) + slack
        var kept = 0
        var told = 0
        while kept + 1 < files.count, kept != firstUnread {
            if live[kept] > 0 {
                guard end > files[kept], end - files[kept] > limit else { break }
                told += live[kept]
            }
            kept += 1
        }
        guard kept > 0 else { return nil }
        self.position = files[kept]
        self.toldOctets = told
    }

    /// A plan of which less can be carried out: what stands behind a place stays.
    public func kept(from position: UInt64) -> TrimPlan {
        TrimPlan(position: min(self.position, position), toldOctets: self.toldOctets)
    }

    private init(position: UInt64, toldOctets: Int) {
        self.position = position
        self.toldOctets = toldOctets
    }
}
