public import BrokerCore
internal import BrokerStore

/// A whole broker in one thread: shards, what travels between them, sockets and time, all under the caller's control.
public final class SimulatedBroker {
    /// One accepted socket.
    public final class Socket {
        let shard: Int
        /// The connection's name at its shard.
        public let id: ConnectionID
        /// Octets the client has sent and the broker has not read.
        var inbound: [UInt8] = []
        /// Octets the broker has sent and the client has not taken.
        public internal(set) var outbound: [UInt8] = []
        /// The broker reads.
        public internal(set) var isReading = true
        /// The broker has closed its side.
        public internal(set) var isClosed = false
        /// The client has gone.
        var isLost = false
        /// Octets the socket takes before the broker is told that it has enough.
        public var capacity = Int.max
        var isWritable = true

        init(shard: Int, id: ConnectionID) {
            self.shard = shard
            self.id = id
        }
    }

    /// The shards.
    public let shards: [Shard]
    /// Current time.
    public private(set) var now: BrokerInstant
    /// Answers to operators by ticket.
    var answers: [UInt64: AdministrationAnswer] = [:]
    /// Lines the broker has logged.
    public internal(set) var logLines: [String] = []
    let settings: BrokerSettings

    /// The time of day when ``now`` was a second, in milliseconds since 1970.
    public static let startOfTime: UInt64 = 1_700_000_000_000

    let memories: [SimulatedMemory]
    var sockets: [[ConnectionID: Socket]]
    /// Batches under way, by sender and receiver; order is kept per pair.
    var batches: [[[ShardBatch]]]
    /// Where durable things go; nil when there is nothing durable.
    let log: SimulatedLog?
    /// What shards ask of the disk besides.
    let pager = SimulatedPager()
    /// A trim of the log that is under way.
    var trim: SimulatedTrim?
    /// The last number of which each shard was told that it is committed.
    var toldNumbers: [UInt64]
    /// What could not be restored at the start.
    var complaints: [String] = []
    var isTrimDriven = false
    /// Trims that have been finished.
    var trimCount = 0
    /// Nothing becomes durable while this is set: a disk that is slow.
    public var isLogHeld = false
    var closings: [(due: BrokerInstant, socket: Socket)] = []
    var isClosing = false
    /// Two shards between whom batches take long, sender first.
    var slowLink: (from: Int, to: Int)?
    /// How often a commit is put off, about, before it is begun: much gathers for a slow disk.
    var commitPatience = 1
    /// Who tells lies about what travels between shards.
    var liar = Liar(nil)
    private var nextShard = 0
    /// Shards that have had input since their last turn ended.
    var hasOpenTurn: [Bool]

    /// Starts a broker of `shardCount` shards whose random numbers come from `seed`, with an empty disk if it is durable.
    public convenience init(shardCount: Int = 1, seed: UInt64 = 1, settings: BrokerSettings = BrokerSettings()) {
        var log: SimulatedLog?
        do {
            var options = SimulatedLogOptions()
            options.staysInLog = settings.pagesMessages
            if settings.isDurable { log = try SimulatedLog(SimulatedFileSystem(), options) }
        } catch {
            preconditionFailure("a new disk has neither faults nor content: \(error)")
        }
        self.init(shardCount: shardCount, seed: seed, settings: settings, log: log)
    }

    /// Starts a broker that goes on with what a log holds; `settings` say that it is durable if there is one.
    init(
        shardCount: Int,
        seed: UInt64,
        settings: BrokerSettings,
        log: SimulatedLog?,
        now: BrokerInstant = BrokerInstant(nanoseconds: 1_000_000_000)
    ) {
        precondition(settings.isDurable == (log != nil), "who is durable has a log")
        let memories = (0..<shardCount).map { _ in SimulatedMemory() }
        self.now = now
        self.log = log
        self.settings = settings
        self.memories = memories
        self.shards = (0..<shardCount).map { index in
            Shard(
                index: index,
                count: shardCount,
                settings: settings,
                authenticator: GuestAuthenticator(),
                random: SeededRandom(seed: seed &* 1000 &+ UInt64(index)),
                output: memories[index],
                now: now
            )
        }
        // Time goes on from one life of a broker to the next.
        let elapsed = now.nanoseconds / 1_000_000 - 1000
        for shard in self.shards {
            shard.setWallClock(epochMilliseconds: Self.startOfTime + elapsed, at: now)
        }
        self.toldNumbers = Array(repeating: 0, count: shardCount)
        self.hasOpenTurn = Array(repeating: false, count: shardCount)
        self.sockets = Array(repeating: [:], count: shardCount)
        self.batches = Array(repeating: Array(repeating: [], count: shardCount), count: shardCount)
        self.restore()
    }

    /// Output blocks that shards hold; none when nothing is pending.
    public var lentBlocks: Int { self.memories.reduce(0) { $0 + $1.lentBlocks } }

    /// Tells all shards another time of day, as if the system's clock had been set.
    public func setWallClock(epochMilliseconds: UInt64) {
        for shard in self.shards {
            shard.setWallClock(epochMilliseconds: epochMilliseconds, at: self.now)
        }
    }

    /// Accepts a socket, round robin over the shards unless `shard` says which.
    public func connect(shard: Int? = nil, isLoopback: Bool = true) -> Socket {
        let chosen = shard ?? self.nextShard
        self.nextShard = (chosen + 1) % self.shards.count
        let peer = PeerInfo(
            peerHost: "127.0.0.1",
            peerPort: 40_000 + self.sockets.reduce(0) { $0 + $1.count },
            localHost: "127.0.0.1",
            localPort: 5672,
            isLoopback: isLoopback
        )
        let id = self.shards[chosen].accept(peer, now: self.now)
        let socket = Socket(shard: chosen, id: id)
        self.sockets[chosen][id] = socket
        self.drain(chosen)
        return socket
    }

    /// Queues octets for the broker; ``step(_:)`` or ``run()`` delivers them.
    public func send(_ bytes: [UInt8], on socket: Socket) {
        socket.inbound.append(contentsOf: bytes)
    }

    /// The client's side of the socket goes away.
    public func disconnect(_ socket: Socket) {
        guard !socket.isLost else { return }
        socket.isLost = true
        self.sockets[socket.shard][socket.id] = nil
        self.shards[socket.shard].connectionLost(socket.id, now: self.now)
        self.drain(socket.shard)
    }

    /// The client has taken octets, so that there may be room again.
    public func take(from socket: Socket, _ count: Int = .max) -> [UInt8] {
        let piece = Array(socket.outbound.prefix(count))
        socket.outbound.removeFirst(piece.count)
        if !socket.isWritable && socket.outbound.count <= socket.capacity / 2 && !socket.isLost {
            socket.isWritable = true
            self.shards[socket.shard].setWritable(socket.id, true, now: self.now)
            self.drain(socket.shard)
        }
        return piece
    }

    /// Lets time pass; timers fire.
    public func advance(milliseconds: UInt64) {
        let target = self.now.advanced(milliseconds: milliseconds)
        while true {
            let deadlines = self.shards.compactMap(\.nextDeadline) + self.closings.map(\.due)
            guard let next = deadlines.min(), next <= target else { break }
            self.now = max(self.now, next)
            for index in self.shards.indices {
                if let deadline = self.shards[index].nextDeadline, deadline <= self.now {
                    self.shards[index].fireTimers(now: self.now)
                    self.drain(index)
                }
            }
            self.closeDueSockets()
            self.run()
        }
        self.now = target
    }

    /// The broker stops: clients are told.
    public func stop() {
        for index in self.shards.indices {
            self.shards[index].closeAllConnections(now: self.now)
            self.drain(index)
        }
        self.run()
    }

    /// The disk is full, or has room again; every shard is told.
    public func setDiskAlarm(_ isSet: Bool) {
        for index in self.shards.indices {
            self.shards[index].setDiskAlarm(isSet, now: self.now)
            self.drain(index)
        }
    }
}
