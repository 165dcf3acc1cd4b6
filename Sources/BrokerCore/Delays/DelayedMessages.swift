/// A message that waits for its time.
struct DelayedEntry: WheelElement {
    /// Milliseconds since 1970.
    var deadline: UInt64
    /// Unique for ever; of equal deadlines the lower one comes first.
    let id: UInt64
    /// The message, with one reference.
    let slot: UInt32
    /// Where it is published when its time has come; see ``DelayOrigins``.
    let origin: UInt32

    /// Whether the commit log has the message.
    var isLogged: Bool { self.origin & DelayOrigins.loggedBit != 0 }

    /// What a queue is told of the message, if it is as it will be when its time has come.
    var readyFlags: QueueEntry.Flags? {
        guard self.origin & DelayOrigins.readyBit != 0 else { return nil }
        return self.origin & DelayOrigins.persistentBit != 0 ? .persistent : []
    }

    @inline(__always)
    func precedes(_ other: DelayedEntry) -> Bool {
        self.deadline == other.deadline ? self.id < other.id : self.deadline < other.deadline
    }
}

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
    var wheel = TimerWheel<DelayedEntry>()
    /// Where it goes then.
    var origins = DelayOrigins()
    /// Published, and not answered by queues of other shards.
    var inFlight: [UInt64: DelayedEntry] = [:]
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
    /// What messages that come into the cache add up to; nobody looks at it.
    var warmth: UInt8 = 0
    /// Messages that must be told to the log again and are on disk, by their ids.
    var untold: [UInt64: DelayedEntry] = [:]
    /// The message whose time has come is on disk.
    var isStalled = false
    /// Reads under way.
    var loads = 0
    /// Messages that one read brings; 0 when that is not known yet.
    var window = 0
    /// When it is looked again what is on disk and comes soon.
    var nextLook = BrokerInstant(nanoseconds: 0)
    /// During the memory alarm nothing is read before.
    var nextAlarmedRead = BrokerInstant(nanoseconds: 0)
    /// The slot of more than a minute whose beginning has been looked at before its time.
    var lookedFarSlot: UInt64?
    /// Reads that were begun since it was looked last because some time had passed, or some had gone.
    var readsAhead = 0
    /// Messages that have left the wheel since it was looked last.
    var firedSinceLook = 0
    /// More are due than were published in one go.
    var isBehind = false
    /// Where the last one went that was published, of the origin ``routeOrigin``.
    var route = RouteCache()
    var routeOrigin = UInt32.max

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
    static let delaysInOneGo = 2048
    /// Of these, those that are read from memory together.
    static let delaysAtOnce = 32
    /// Octets of publishes under way to other shards above which delayed messages wait longer.
    static let delayWindowBytes = 4 << 20
    /// How long before its time a message is read that is on disk.
    static let delayReadAheadMilliseconds: UInt64 = 500
    /// How long they wait then.
    static let delayPauseMilliseconds: UInt64 = 2
    /// Delayed messages shown in one list.
    static let listedDelays = 10_000
}
