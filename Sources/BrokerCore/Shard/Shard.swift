internal import AMQPProtocol
internal import DequeModule

/// The broker's state on one event loop: its connections, its queues, its replica of the topology.
///
/// Confined to that loop; one shard alone is a complete broker. The driver feeds it inputs (bytes, batches of other
/// shards, time), calls ``endTurn(now:)``, and drains what came of it: output per connection, effects, outboxes.
///
/// The core is deterministic: the same inputs in the same order give the same outputs.
///
/// Invariants:
/// 1. A message is owned by its queue's shard from routing to settlement.
/// 2. Commands and messages between two shards are first in, first out.
/// 3. Frames of a channel are handled in order; while a method waits for another shard later frames of its channel wait.
/// 4. Nothing here traps on what a peer sends: input ends in an answer, a close, or silence.
public final class Shard {
    let index: UInt16
    let count: UInt16
    let settings: BrokerSettings
    let authenticator: any Authenticator
    let random: any RandomSource
    let outputMemory: any OutputMemory

    /// Time of the current turn.
    var now: BrokerInstant
    /// The time of day.
    var wallClock = WallClock()

    // Connections.
    var connections: [UnsafeMutablePointer<ConnectionState>?] = []
    var connectionGenerations: [UInt32] = []
    var freeConnectionSlots: [UInt32] = []
    var nextChannelEpoch: UInt32 = 1
    var timers = TimerQueue()
    /// Connections accepted and not yet taken down.
    public internal(set) var connectionCount = 0

    // Messages and queues.
    var store = MessageStore()
    var queues: [UnsafeMutablePointer<QueueState>?] = []
    /// Octets of the rings of queues, consumers and channels.
    let ringMemory = MemoryCount()
    /// What was in queues that are gone, oldest first.
    var condemned: Deque<CondemnedMessages> = []
    var touchedQueues: [UnsafeMutablePointer<QueueState>] = []
    /// Queues that have let a message in and get it when its record is written; kept for its memory.
    var admitted: [UnsafeMutablePointer<QueueState>] = []
    /// Dead messages in line.
    var deaths: Deque<Death> = []
    /// ``deaths`` are in ``pendingWork``.
    var areDeathsPending = false
    /// Queues for which a cycle of dead letters has been told.
    var loggedCycles: Set<QueueAddress> = []
    /// Declarations of what is otherwise that have been told.
    var loggedRedeclarations: Set<String> = []
    /// What is done in pieces so that nobody waits long.
    var pendingWork: Deque<ShardWork> = []
    /// The next place whose queue is looked at because policies have changed; nil when all have been.
    var policySweep: Int?
    /// Publishes of the shard itself that others have not answered.
    var internalPublishes = InternalPublishes()
    let topology: Topology
    var routeTargets: RouteTargets
    /// Messages that `x-recent-history` exchanges keep; on shard 0 only.
    var histories = RecentHistories()
    /// What exchanges with `x-message-deduplication` know.
    var windows = DeduplicationWindows()
    /// The last messages that no queue got.
    var unroutable = UnroutableRing()
    /// Messages that wait for their time.
    var delays: DelayedMessages
    /// Grows whenever a cached route may have become wrong.
    var routeEpoch: UInt64 = 0

    // The owner's part; used on shard 0 only.
    var owner: TopologyOwner
    var ownerState = OwnerState()

    // Outputs of the turn.
    var dirtyConnections: [ConnectionID] = []
    var effects: [ShardEffect] = []
    var outboxes: [ShardBatch?]
    var localCommands: Deque<ShardCommand> = []
    var isRunningLocalCommands = false
    /// Channels whose answer has come and whose deferred frames wait.
    var resumableChannels: Deque<ChannelAddress> = []
    /// Connections that are read again as soon as no channel holds frames back that it may go on with.
    var resumableConnections: Deque<ConnectionID> = []
    /// Connections whose client has sent `close` while channels held frames back.
    var drainingConnections: [ConnectionID] = []
    /// What has been written for the commit log, and who waits for it.
    var log: ShardLog
    var confirmDirty: [ChannelAddress] = []
    var windowDebtors: [ConnectionID] = []
    var told: [Confirms.Told] = []
    /// Room of the next batch.
    var outboxCapacity = ShardLimits.firstBatchBytes
    /// Shards that get the message being delivered; kept for its memory.
    var remoteShards: [UInt16] = []
    /// Publish octets taken from other shards' connections in the current batch, to be credited at its end.
    var creditsDue: [(connection: ConnectionAddress, bytes: Int)] = []
    /// Why a queue has refused the message being delivered.
    var refusal: PublishRefusal?

    /// Some virtual host is traced: what every delivery asks.
    var isTracing = false
    /// Traces and events of the turn.
    var notices = Notices()

    // Alarms and memory.
    var alarms = ResourceAlarms()
    /// Whether there is an alarm: what every publish asks.
    var isAlarmed = false
    /// Connections that have published since the alarm began.
    var blockedConnections: [ConnectionID] = []
    /// Channels with a parked publish.
    var parkedChannels: [ChannelAddress] = []
    /// Octets of parked frames.
    var parkedBytes = 0
    /// Octets of publishes that other shards and the log have not taken, of all connections.
    var outstandingBytes = 0
    /// The window of each of them.
    var publisherWindowBytes = ShardLimits.publisherWindowBytes
    /// What each shard holds, as far as it has told.
    var heldByShard: [HeldMemory]
    /// Who completes bodies during the memory alarm.
    var begun = BegunBodies()
    /// Messages that leave memory and come back.
    var paging = PagingState()
    var assemblyBytes = 0

    var isStopping = false

    /// Makes the shard `index` of `count`; all shards of a broker get the same settings.
    public init(
        index: Int,
        count: Int,
        settings: BrokerSettings,
        authenticator: any Authenticator,
        random: any RandomSource,
        output: any OutputMemory,
        now: BrokerInstant
    ) {
        precondition(index < count && count <= 1024, "shard index out of range")
        self.index = UInt16(index)
        self.count = UInt16(count)
        self.settings = settings
        self.authenticator = authenticator
        self.random = random
        self.outputMemory = output
        self.now = now
        self.topology = Topology(seed: random.next())
        self.delays = DelayedMessages(shard: index, of: count)
        self.routeTargets = RouteTargets(shard: UInt16(index), of: self.count, random: random)
        self.owner = TopologyOwner(
            defaultQueueType: settings.defaultQueueType,
            isRelaxed: settings.isRedeclareRelaxed
        )
        self.log = ShardLog(isOn: settings.isDurable)
        self.outboxes = Array(repeating: nil, count: count)
        self.heldByShard = Array(repeating: HeldMemory(), count: count)
    }

    deinit {
        for connection in self.connections {
            guard let connection else { continue }
            for channel in connection.pointee.channels.all {
                self.freeChannel(channel)
            }
            connection.deinitialize(count: 1)
            connection.deallocate()
        }
        for queue in self.queues {
            guard let queue else { continue }
            for consumer in queue.pointee.consumers {
                guard let consumer else { continue }
                consumer.deinitialize(count: 1)
                consumer.deallocate()
            }
            queue.deinitialize(count: 1)
            queue.deallocate()
        }
        self.condemned = []
        self.ringMemory.deallocate()
    }

    // MARK: Inputs

    /// A socket was accepted.
    public func accept(_ peer: PeerInfo, now: BrokerInstant) -> ConnectionID {
        self.now = now
        let slot: UInt32
        if let free = self.freeConnectionSlots.popLast() {
            slot = free
        } else {
            slot = UInt32(self.connections.count)
            self.connections.append(nil)
            self.connectionGenerations.append(0)
        }
        self.connectionGenerations[Int(slot)] += 1
        let id = ConnectionID(slot: slot, generation: self.connectionGenerations[Int(slot)])
        let connection = UnsafeMutablePointer<ConnectionState>.allocate(capacity: 1)
        connection.initialize(to: ConnectionState(id: id, peer: peer, now: now))
        self.connections[Int(slot)] = connection
        self.connectionCount += 1
        self.timers.schedule(
            at: now.advanced(milliseconds: self.settings.handshakeTimeoutMilliseconds),
            .handshake(id)
        )
        return id
    }

    /// Bytes came in; what the core keeps of them it copies.
    public func receive(_ bytes: UnsafeRawBufferPointer, on id: ConnectionID, now: BrokerInstant) {
        self.now = now
        guard let connection = self.connection(id), let base = bytes.baseAddress else { return }
        connection.pointee.lastReceived = now
        if !connection.pointee.closedInThisRead.isEmpty {
            connection.pointee.closedInThisRead = []
        }
        self.consumeInput(connection, base, bytes.count)
        self.dispatchTouchedQueues()
    }

    /// Whether the connection publishes to a queue that falls behind although it has consumers.
    ///
    /// Its driver should read it in small pieces: what a large read brings keeps the consumers' acknowledgements waiting,
    /// and a queue that could be empty grows.
    public func feedsBacklog(_ id: ConnectionID) -> Bool {
        guard let queue = self.connection(id)?.pointee.lastChannel?.pointee.route.localQueue else { return false }
        return queue.pointee.readyCount > ShardLimits.backlogMessages && queue.pointee.consumerCount > 0
    }

    /// The socket is gone, whoever closed it; its consumers and exclusive queues go, its deliveries come back.
    public func connectionLost(_ id: ConnectionID, now: BrokerInstant) {
        self.now = now
        guard let connection = self.connection(id), !connection.pointee.isSocketLost else { return }
        connection.pointee.isSocketLost = true
        self.discardOutput(connection)
        if connection.pointee.phase == .running && connection.pointee.acceptedAt <= now {
            self.log(
                .warning,
                "connection",
                "closing AMQP connection (\(self.describe(connection))): client unexpectedly closed TCP connection"
            )
        }
        self.beginTeardown(connection)
        self.runLocalCommands()
    }

    /// The socket takes more (`true`) or has enough (`false`).
    public func setWritable(_ id: ConnectionID, _ isWritable: Bool, now: BrokerInstant) {
        self.now = now
        guard let connection = self.connection(id) else { return }
        connection.pointee.isWritable = isWritable
        if isWritable {
            if connection.pointee.isDirty {
                self.dirtyConnections.append(id)
            }
            self.resumeStalledConsumers(connection)
        }
        self.dispatchTouchedQueues()
    }

    /// A batch from another shard's outbox.
    public func apply(_ batch: consuming ShardBatch, now: BrokerInstant) {
        self.now = now
        self.applyBatch(batch)
    }

    /// Timers that are due.
    public func fireTimers(now: BrokerInstant) {
        self.now = now
        while let timer = self.timers.popDue(now) {
            self.fire(timer)
        }
        self.fireDelays()
        self.runLocalCommands()
        self.dispatchTouchedQueues()
    }

    /// Whether the shard has more to do than it does in one turn; ``continueWork(now:)`` goes on.
    public var hasPendingWork: Bool {
        !self.pendingWork.isEmpty || !self.condemned.isEmpty || self.store.wantsCompaction || !self.notices.isEmpty
            || self.delays.isBehind || self.paging.isBehind || (self.isAlarmed && self.begun.isLookDue)
    }

    /// Goes on with what is done in pieces, soon but behind other inputs, while ``hasPendingWork``.
    public func continueWork(now: BrokerInstant) {
        self.now = now
        self.doPendingWork()
        if self.delays.isBehind {
            self.fireDelays()
        }
        self.runLocalCommands()
        self.dispatchTouchedQueues()
    }

    /// The broker stops: every client gets 320 and is expected to answer `close-ok`.
    public func closeAllConnections(now: BrokerInstant) {
        self.now = now
        self.isStopping = true
        for connection in self.connections {
            guard let connection, !connection.pointee.isSocketLost else { continue }
            if connection.pointee.phase == .running {
                self.closeConnection(
                    connection,
                    .connectionForced,
                    "broker forced connection closure with reason 'shutdown'",
                    MethodID(classID: 0, methodID: 0)
                )
            } else if connection.pointee.phase != .closing {
                self.effects.append(.close(connection.pointee.id, afterMilliseconds: 0))
            }
        }
        self.runLocalCommands()
    }

    /// Ends a turn: what was collected during its inputs is turned into output.
    public func endTurn(now: BrokerInstant) {
        self.now = now
        self.runLocalCommands()
        self.dispatchTouchedQueues()
        self.store.turn &+= 1
        self.store.compactIfWorthwhile()
        self.pageOutIfNeeded()
        self.updateMemoryAlarm()
        // What the end of an alarm has set free.
        self.runLocalCommands()
        self.dispatchTouchedQueues()
        if !self.notices.isEmpty {
            self.publishNotices()
        }
        self.reportWindowDebts()
        self.flushConfirms()
        if !self.condemned.isEmpty {
            self.releaseCondemned()
            self.runLocalCommands()
        }
        self.flushLog()
    }

    // MARK: Outputs

    /// Whether some connection has bytes to send.
    public var hasDirtyConnections: Bool { !self.dirtyConnections.isEmpty }

    /// The next connection that has bytes to send.
    public func takeDirtyConnection() -> ConnectionID? {
        while let id = self.dirtyConnections.popLast() {
            guard let connection = self.connection(id), connection.pointee.isWritable else { continue }
            connection.pointee.isDirty = false
            return id
        }
        return nil
    }

    /// Hands over the blocks written for a connection, in order; their memory is the driver's again.
    public func takeOutput(of id: ConnectionID, _ body: (OutputBlock) -> Void) {
        guard let connection = self.connection(id) else { return }
        for block in connection.pointee.fullBlocks {
            body(block)
        }
        connection.pointee.fullBlocks.removeAll(keepingCapacity: false)
        if let base = connection.pointee.outBase {
            var block = OutputBlock(
                base: base,
                capacity: connection.pointee.outCapacity,
                token: connection.pointee.outToken
            )
            block.count = connection.pointee.outCount
            connection.pointee.outBase = nil
            connection.pointee.outCount = 0
            connection.pointee.outCapacity = 0
            body(block)
        }
        connection.pointee.pendingBytes = 0
        connection.pointee.lastSent = self.now
        if connection.pointee.isWritable && connection.pointee.hasStalledConsumers {
            self.resumeStalledConsumers(connection)
            self.dispatchTouchedQueues()
        }
        if connection.pointee.hasWindowDebts {
            // There is room again: queues of other shards may send more.
            self.reportWindowDebts()
        }
        self.updateOutputPause(connection)
    }

    /// Hands over the effects of the turn.
    public func takeEffects(_ body: (ShardEffect) -> Void) {
        while !self.effects.isEmpty {
            let effects = self.effects
            self.effects.removeAll(keepingCapacity: true)
            for effect in effects {
                body(effect)
            }
        }
    }

    /// Takes what has been collected for another shard.
    public func takeOutbox(to shard: Int) -> ShardBatch? {
        guard let batch = self.outboxes[shard] else { return nil }
        self.outboxes[shard] = nil
        let most = max(batch.count, self.outboxCapacity / 2, ShardLimits.firstBatchBytes)
        self.outboxCapacity = min(most, ShardLimits.keptBatchBytes)
        return batch
    }

    /// When ``fireTimers(now:)`` must be called at the latest.
    public var nextDeadline: BrokerInstant? {
        guard let delay = self.nextDelayDeadline else { return self.timers.nextDeadline }
        return min(delay, self.timers.nextDeadline ?? delay)
    }

    // MARK: Helpers

    @inline(__always)
    func connection(_ id: ConnectionID) -> UnsafeMutablePointer<ConnectionState>? {
        let slot = id.slot
        guard slot < self.connections.count, let connection = self.connections[slot], connection.pointee.id == id
        else { return nil }
        return connection
    }

    /// The open channel an address names, if it is still the same.
    func channel(_ address: ChannelAddress) -> UnsafeMutablePointer<ChannelState>? {
        guard let connection = self.connection(ConnectionID(rawValue: address.connection)),
            let channel = connection.pointee.channels[address.number], channel.pointee.epoch == address.epoch
        else { return nil }
        return channel
    }

    func address(of channel: UnsafeMutablePointer<ChannelState>) -> ChannelAddress {
        ChannelAddress(
            shard: self.index,
            number: channel.pointee.number,
            epoch: channel.pointee.epoch,
            connection: channel.pointee.connection.pointee.id.rawValue
        )
    }

    /// The queue an address names, if it still lives.
    @inline(__always)
    func queue(_ address: QueueAddress) -> UnsafeMutablePointer<QueueState>? {
        let slot = Int(address.slot)
        guard slot < self.queues.count, let queue = self.queues[slot],
            queue.pointee.address.generation == address.generation
        else { return nil }
        return queue
    }

    /// The batch under way to another shard.
    func outbox(_ shard: UInt16) -> ShardBatch {
        if let batch = self.outboxes[Int(shard)] {
            return batch
        }
        // As large as the last one became: growing copies.
        let batch = ShardBatch(capacity: self.outboxCapacity)
        self.outboxes[Int(shard)] = batch
        return batch
    }

    /// Reserves a record in the batch under way to another shard.
    @inline(__always)
    func appendRecord(_ kind: ShardBatch.Kind, size: Int, to shard: UInt16) -> UnsafeMutableRawPointer {
        if let batch = self.outboxes[Int(shard)] {
            return batch.append(kind, size: size)
        }
        return self.outbox(shard).append(kind, size: size)
    }

    /// Sends a command, to this shard or another.
    func send(_ command: ShardCommand, to shard: UInt16) {
        if shard == self.index {
            self.localCommands.append(command)
        } else {
            self.outbox(shard).append(command)
        }
    }

    func log(_ level: LogLevel, _ category: String, _ text: String) {
        self.effects.append(.log(level, category: category, text))
    }

    func describe(_ connection: UnsafeMutablePointer<ConnectionState>) -> String {
        let name = connection.pointee.peer.connectionName
        return connection.pointee.clientName.isEmpty ? name : "\(name) - \(connection.pointee.clientName)"
    }
}
