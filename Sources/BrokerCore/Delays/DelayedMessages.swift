/// The messages of a shard that wait for their time.
///
/// A message waits on the shard of the connection that has published it. Invariants:
/// 1. A message has one reference while it waits, and while queues of other shards have not answered for it.
/// 2. One that is in the commit log is told there to be done behind the record of its publish to its queues, never
///    before: a crash in between brings it twice, not never.
/// 3. Ids are unique for ever: a start goes on behind the highest one in the log, and shards count in steps of their
///    number.
struct DelayedMessages: ~Copyable {
    /// What waits.
    var heap = DelayHeap()
    /// Where it goes then.
    var origins = DelayOrigins()
    /// Published, and not answered by queues of other shards.
    var inFlight: [UInt64: DelayHeap.Entry] = [:]
    /// The id of the next message.
    var nextID: UInt64
    /// The step between ids.
    let step: UInt64
    /// Done, or moved to another time, since the log was last told: ids with deadlines, 0 for done.
    var unlogged: [(id: UInt64, deadline: UInt64)] = []
    /// Messages are not published before, whatever their time.
    var heldUntil = BrokerInstant(nanoseconds: 0)
    /// Whether all that waits is being told to the log again.
    var isTelling = false

    /// Makes the messages of the shard `index` of `count`; none.
    init(shard index: Int, of count: Int) {
        self.nextID = UInt64(count + index)
        self.step = UInt64(count)
    }

    /// Goes on behind an id that was given before.
    mutating func skip(beyond id: UInt64) {
        guard self.nextID <= id else { return }
        let missing = id - self.nextID
        self.nextID += (missing / self.step + 1) * self.step
    }

    /// The id of one more message.
    mutating func takeID() -> UInt64 {
        defer { self.nextID += self.step }
        return self.nextID
    }
}

extension ShardLimits {
    /// Delayed messages published in one go before others have their turn.
    static let delaysInOneGo = 256
    /// Octets of publishes under way to other shards above which delayed messages wait longer.
    static let delayWindowBytes = 16 << 20
    /// How long they wait then.
    static let delayPauseMilliseconds: UInt64 = 2
    /// Delayed messages shown in one list.
    static let listedDelays = 10_000
}
