public import BrokerCore

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
    public private(set) var now = BrokerInstant(nanoseconds: 1_000_000_000)
    /// Lines the broker has logged.
    public private(set) var logLines: [String] = []

    /// The time of day when a broker starts, in milliseconds since 1970.
    public static let startOfTime: UInt64 = 1_700_000_000_000

    private let memories: [SimulatedMemory]
    private var sockets: [[ConnectionID: Socket]]
    /// Batches under way, by sender and receiver; order is kept per pair.
    private var batches: [[[ShardBatch]]]
    /// Records on their way to the log, in the order in which they will be durable.
    private var unsynced: [(shard: Int, records: LogRecords)] = []
    /// What the log holds.
    public private(set) var durableRecords: [DurableRecord] = []
    /// Nothing becomes durable while this is set: a disk that is slow.
    public var isLogHeld = false
    private var closings: [(due: BrokerInstant, socket: Socket)] = []
    /// Two shards between whom batches take long, sender first.
    var slowLink: (from: Int, to: Int)?
    private var nextShard = 0
    /// Shards that have had input since their last turn ended.
    private var hasOpenTurn: [Bool]

    /// Starts a broker of `shardCount` shards whose random numbers come from `seed`.
    public init(shardCount: Int = 1, seed: UInt64 = 1, settings: BrokerSettings = BrokerSettings()) {
        let memories = (0..<shardCount).map { _ in SimulatedMemory() }
        let now = self.now
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
        for shard in self.shards {
            shard.setWallClock(epochMilliseconds: Self.startOfTime, at: now)
        }
        self.hasOpenTurn = Array(repeating: false, count: shardCount)
        self.sockets = Array(repeating: [:], count: shardCount)
        self.batches = Array(repeating: Array(repeating: [], count: shardCount), count: shardCount)
    }

    /// Output blocks that shards hold; none when nothing is pending.
    public var lentBlocks: Int { self.memories.reduce(0) { $0 + $1.lentBlocks } }

    /// Tells all shards another time of day, as if the system's clock had been set.
    public func setWallClock(epochMilliseconds: UInt64) {
        for shard in self.shards {
            shard.setWallClock(epochMilliseconds: epochMilliseconds, at: self.now)
        }
    }

    /// Goes on with what a log holds, before the first connection, as a start does.
    public func restore(_ records: [DurableRecord]) throws {
        let state = try Self.state(of: records)
        let plan = self.shards[0].planRestore(state)
        for shard in self.shards {
            shard.restore(plan, now: self.now)
        }
        self.durableRecords = records
    }

    /// What a start would find now.
    func recoveredState() throws -> RecoveredState {
        try Self.state(of: self.durableRecords)
    }

    private static func state(of records: [DurableRecord]) throws -> RecoveredState {
        var state = RecoveredState()
        for record in records {
            try record.payload.withUnsafeBytes { payload throws in
                try state.apply(record.type, payload)
            }
        }
        return state
    }

    /// Has all shards tell the log again what is live, and forgets what it held before.
    ///
    /// `between` is called after every step, with what else may happen meanwhile.
    public func trimLog(between: () -> Void = {}) {
        while !self.unsynced.isEmpty {
            self.carryOut(.sync)
        }
        let old = self.durableRecords.count
        for index in self.shards.indices {
            self.shards[index].beginSnapshot()
            self.drain(index)
            between()
            while self.shards[index].continueSnapshot() {
                self.drain(index)
                between()
            }
            self.drain(index)
        }
        while !self.unsynced.isEmpty {
            self.carryOut(.sync)
        }
        self.durableRecords.removeFirst(old)
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

    // MARK: Scheduling

    /// Something that can happen next.
    enum Event {
        case read(Socket)
        case batch(from: Int, to: Int)
        /// The oldest records on their way to the log become durable.
        case sync
        /// A shard goes on with what it does in pieces.
        case work(shard: Int)
    }

    /// What can happen next, in a fixed order.
    var possibleEvents: [Event] {
        var events: [Event] = []
        for shard in self.sockets {
            for id in shard.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
                if let socket = shard[id], !socket.inbound.isEmpty, socket.isReading, !socket.isClosed {
                    events.append(.read(socket))
                }
            }
        }
        for from in self.batches.indices {
            for to in self.batches[from].indices where !self.batches[from][to].isEmpty {
                events.append(.batch(from: from, to: to))
            }
        }
        if !self.unsynced.isEmpty && !self.isLogHeld {
            events.append(.sync)
        }
        for shard in self.shards.indices where self.shards[shard].hasPendingWork {
            events.append(.work(shard: shard))
        }
        return events
    }

    /// Whether anything can happen without time passing.
    var hasEvents: Bool { !self.possibleEvents.isEmpty }

    /// Carries one event out; a read takes at most `maxBytes` octets.
    func carryOut(_ event: Event, maxBytes: Int = .max, endsTurn: Bool = true) {
        switch event {
        case .read(let socket):
            let piece = Array(socket.inbound.prefix(maxBytes))
            socket.inbound.removeFirst(piece.count)
            piece.withUnsafeBytes { self.shards[socket.shard].receive($0, on: socket.id, now: self.now) }
            self.endTurn(of: socket.shard, endsTurn)
        case .batch(let from, let to):
            let batch = self.batches[from][to].removeFirst()
            self.shards[to].apply(batch, now: self.now)
            self.endTurn(of: to, endsTurn)
        case .sync:
            let (shard, records) = self.unsynced.removeFirst()
            records.forEach { type, payload in
                self.durableRecords.append(DurableRecord(type: type, payload: Array(payload)))
            }
            self.shards[shard].logCommitted(upTo: records.number, now: self.now)
            self.endTurn(of: shard, endsTurn)
        case .work(let shard):
            self.shards[shard].continueWork(now: self.now)
            self.endTurn(of: shard, endsTurn)
        }
    }

    /// Has the broker read everything that a socket has brought, as far as it wants to.
    public func readAll(_ socket: Socket) {
        while !socket.inbound.isEmpty && socket.isReading && !socket.isClosed && !socket.isLost {
            self.carryOut(.read(socket))
        }
    }

    /// Runs until nothing can happen without time passing.
    public func run() {
        while let event = self.possibleEvents.first {
            self.carryOut(event)
        }
    }

    /// Ends every shard's turn, then runs: for tests that call into a shard.
    public func settle() {
        for shard in self.shards.indices {
            self.drain(shard)
        }
        self.run()
    }

    /// Runs until nothing can happen and no shard has anything left to write.
    func runToRest() {
        repeat {
            self.run()
        } while self.endOpenTurns()
    }

    /// Ends a shard's turn, or lets it go on with the shard's next event.
    private func endTurn(of shard: Int, _ isEnding: Bool) {
        self.hasOpenTurn[shard] = !isEnding
        if isEnding {
            self.drain(shard)
        }
    }

    /// Runs in an order drawn from `random`, reads cut at random places, turns of one or more inputs.
    public func run(_ random: SeededRandom, maxEvents: Int = .max) {
        var remaining = maxEvents
        while remaining > 0 {
            let events = self.possibleEvents
            guard !events.isEmpty else {
                guard self.endOpenTurns() else { return }
                continue
            }
            guard let event = self.pick(events, random, mustPick: maxEvents == .max) else { break }
            let maxBytes = random.oneIn(4) ? 1 + random.below(40) : 1 + random.below(4000)
            self.carryOut(event, maxBytes: maxBytes, endsTurn: !random.oneIn(4))
            remaining -= 1
        }
        _ = self.endOpenTurns()
    }

    /// Draws an event, seldom one of the slow link.
    private func pick(_ events: [Event], _ random: SeededRandom, mustPick: Bool) -> Event? {
        let event = events[random.below(events.count)]
        guard let link = self.slowLink, case .batch(link.from, link.to) = event, !random.oneIn(20) else { return event }
        let others = events.filter { if case .batch(link.from, link.to) = $0 { false } else { true } }
        guard others.isEmpty else { return others[random.below(others.count)] }
        return mustPick ? event : nil
    }

    /// Ends the turns that are open; returns whether there were any.
    private func endOpenTurns() -> Bool {
        var isAny = false
        for shard in self.shards.indices where self.hasOpenTurn[shard] {
            self.endTurn(of: shard, true)
            isAny = true
        }
        return isAny
    }

    /// Does what a driver does after a turn.
    private func drain(_ index: Int) {
        let shard = self.shards[index]
        shard.endTurn(now: self.now)
        self.takeLogRecords(of: index)
        var isBusy = true
        while isBusy {
            isBusy = false
            while let id = shard.takeDirtyConnection() {
                isBusy = true
                let socket = self.sockets[index][id]
                shard.takeOutput(of: id) { block in
                    socket?.outbound.append(
                        contentsOf: UnsafeRawBufferPointer(start: block.base, count: block.count)
                    )
                    self.memories[index].giveBack(block)
                }
                if let socket, socket.outbound.count > socket.capacity, socket.isWritable {
                    socket.isWritable = false
                    shard.setWritable(id, false, now: self.now)
                }
            }
            shard.takeEffects { effect in
                isBusy = true
                self.carryOut(effect, of: index)
            }
            shard.endTurn(now: self.now)
            self.takeLogRecords(of: index)
            isBusy = isBusy || shard.hasDirtyConnections
        }
        for receiver in self.shards.indices where receiver != index {
            if let batch = shard.takeOutbox(to: receiver) {
                self.batches[index][receiver].append(batch)
            }
        }
        self.closeDueSockets()
    }

    private func takeLogRecords(of shard: Int) {
        if let records = self.shards[shard].takeLogRecords() {
            self.unsynced.append((shard, records))
        }
    }

    private func carryOut(_ effect: ShardEffect, of shard: Int) {
        switch effect {
        case .close(let id, let delay):
            if let socket = self.sockets[shard][id] {
                self.closings.append((self.now.advanced(milliseconds: delay), socket))
            }
        case .setReading(let id, let isReading):
            self.sockets[shard][id]?.isReading = isReading
        case .log(_, _, let line):
            self.logLines.append(line)
        }
    }

    /// A socket is closed when everything is sent, however slow its client reads.
    private func takeRest(_ socket: Socket) {
        let shard = self.shards[socket.shard]
        shard.setWritable(socket.id, true, now: self.now)
        shard.takeOutput(of: socket.id) { block in
            socket.outbound.append(contentsOf: UnsafeRawBufferPointer(start: block.base, count: block.count))
            self.memories[socket.shard].giveBack(block)
        }
    }

    private var isClosing = false

    private func closeDueSockets() {
        guard !self.isClosing else { return }
        self.isClosing = true
        while let index = self.closings.firstIndex(where: { $0.due <= self.now }) {
            let socket = self.closings.remove(at: index).socket
            self.takeRest(socket)
            socket.isClosed = true
            self.disconnect(socket)
        }
        self.isClosing = false
    }
}
