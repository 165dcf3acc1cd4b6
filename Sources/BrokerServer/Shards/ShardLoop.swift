internal import BrokerCore
internal import BrokerStore
internal import Logging
internal import NIOCore

/// Everything one event loop owns: a shard of the broker, its sockets, its memory for bytes in and out.
///
/// Confined to its loop and not `Sendable`, so that the compiler keeps it there.
///
/// A *turn* is: inputs (bytes, batches of other loops, timers, sockets that closed or take more), then ``runTurn()``,
/// which drains what the shard made of them. Invariants:
/// 1. No call into the shard while another one runs: its closures only collect; sockets are touched after it returned.
/// 2. Writing to a socket may call back synchronously (closed, writable). Such a callback feeds the shard and leaves the
///    draining to the turn that is under way.
/// 3. A turn ends with nothing dirty, or with its continuation scheduled.
final class ShardLoop {
    let eventLoop: any EventLoop
    let readBuffers = ReadBuffers()
    private let shard: Shard
    private let output: OutputPool
    private let logger: Logger
    private let index: Int
    private let mailboxes: [Mailbox<ShardBatch>]

    /// Where durable things go; nil when everything is kept in memory.
    var durableLog: DurableLog?
    /// Called when the log should be trimmed.
    var onTrimDue: () -> Void = {}
    /// Carries out what the shard asks of the disk; nil when nothing touches a disk.
    var pager: Pager?
    private var trimTimer: Scheduled<Void>?
    private var census: LogCensus?
    private var committedNumber: UInt64 = 0
    private var committedWaiters: [(number: UInt64, promise: EventLoopPromise<Void>)] = []
    private var handlers: [ConnectionID: ConnectionHandler] = [:]
    private var isInTurn = false
    private var hasNewInput = false
    private var isContinuationScheduled = false
    /// The turn goes on with what an earlier one has left.
    private var isContinuing = false
    private var timer: NIOScheduledCallback?
    private var timerDeadline = BrokerInstant(nanoseconds: .max)
    private var nextWallClockReading = BrokerInstant(nanoseconds: 0)
    private var stopPromise: EventLoopPromise<Void>?

    /// Operators' requests that are not answered.
    private var questions: [UInt64: EventLoopPromise<AdministrationAnswer>] = [:]
    private var nextTicket: UInt64 = 0

    // Reused in every turn.
    private var blocks: [OutputBlock] = []
    private var effects: [ShardEffect] = []

    /// Makes the loop's part of the broker; call it on `eventLoop`.
    init(
        index: Int,
        eventLoop: any EventLoop,
        mailboxes: [Mailbox<ShardBatch>],
        settings: BrokerSettings,
        authenticator: any Authenticator,
        logger: Logger
    ) {
        self.index = index
        self.eventLoop = eventLoop
        self.mailboxes = mailboxes
        self.logger = logger
        self.output = OutputPool()
        self.shard = Shard(
            index: index,
            count: mailboxes.count,
            settings: settings,
            authenticator: authenticator,
            random: SystemRandom(),
            output: self.output,
            now: BrokerInstant(nanoseconds: eventLoop.now.uptimeNanoseconds)
        )
        self.readWallClock()
    }

    /// The time, read anew; every input reads it once.
    var now: BrokerInstant { BrokerInstant(nanoseconds: self.eventLoop.now.uptimeNanoseconds) }

    /// Connections the shard knows.
    var connectionCount: Int { self.handlers.count }

    // MARK: Inputs

    /// A socket was accepted; the turn follows when the handler knows its name.
    func accept(_ peer: PeerInfo, _ handler: ConnectionHandler) -> ConnectionID {
        let id = self.shard.accept(peer, now: self.now)
        self.handlers[id] = handler
        return id
    }

    /// Bytes came in; the turn follows at the end of the read.
    func receive(_ bytes: UnsafeRawBufferPointer, on id: ConnectionID) {
        self.shard.receive(bytes, on: id, now: self.now)
    }

    /// Whether the connection fills a queue faster than its consumers empty it.
    func feedsBacklog(_ id: ConnectionID) -> Bool {
        self.shard.feedsBacklog(id)
    }

    /// The socket takes more, or has enough.
    func setWritable(_ id: ConnectionID, _ isWritable: Bool) {
        self.shard.setWritable(id, isWritable, now: self.now)
    }

    /// The connection is over; nothing it still had to say is sent.
    func connectionLost(_ id: ConnectionID) {
        guard self.handlers.removeValue(forKey: id) != nil else { return }
        self.shard.connectionLost(id, now: self.now)
        self.runTurn()
        if self.handlers.isEmpty {
            self.stopPromise?.succeed()
            self.stopPromise = nil
        }
    }

    /// Batches came from other loops.
    func apply(_ batches: [ShardBatch]) {
        let now = self.now
        for batch in batches {
            self.shard.apply(batch, now: now)
        }
        self.runTurn()
    }

    /// The disk is full, or nearly, or has room again.
    func setDiskAlarm(_ isSet: Bool) {
        self.shard.setDiskAlarm(isSet, now: self.now)
        self.runTurn()
    }

    /// Gives recovered queues their places; on the loop of shard 0.
    func planRestore(_ state: RecoveredState) -> RestorePlan {
        self.shard.planRestore(state)
    }

    /// Goes on with what the last process left, before the first connection.
    func restore(_ plan: RestorePlan) {
        self.shard.restore(plan, now: self.now)
    }

    /// The log has this shard's records up to a number.
    func logCommitted(upTo number: UInt64, at position: UInt64) {
        self.shard.logCommitted(upTo: number, at: position, now: self.now)
        self.runTurn()
        self.committedNumber = number
        while let first = self.committedWaiters.first, first.number <= number {
            self.committedWaiters.removeFirst().promise.succeed()
        }
        self.trimIfDue()
    }

    /// Has the log trimmed if it is time.
    private func trimIfDue() {
        guard let log = self.durableLog else { return }
        log.note(liveBytes: self.shard.loggedBytes, of: self.index)
        if log.beginTrimIfDue() {
            self.onTrimDue()
        }
    }

    /// Asks in quiet times, too, whether the log should be trimmed.
    func startTrimTimer() {
        let interval = TimeAmount.milliseconds(ServerLimits.trimMilliseconds)
        self.trimTimer = self.eventLoop.assumeIsolated().scheduleTask(in: interval) {
            self.trimIfDue()
            self.startTrimTimer()
        }
    }

    /// The disk has done what the shard has asked for.
    func pageDone(_ answer: PageAnswer) {
        switch answer {
        case .loaded(let read):
            self.shard.pageLoaded(read, now: self.now)
        case .written(let write, let error):
            self.shard.pageWritten(write, error: error, now: self.now)
        }
        self.runTurn()
    }

    /// Counts the next live messages by the log's files; returns what is in each when all are counted.
    func continueLogCensus(_ files: [UInt64]) -> LogCensus? {
        var census = self.census ?? self.shard.beginLogCensus(files)
        let hasMore = self.shard.continueLogCensus(&census)
        self.census = hasMore ? census : nil
        return hasMore ? nil : census
    }

    /// Begins to tell the log again what is live, as far as it must be for the files before `floor` to go.
    func beginSnapshot(upTo floor: UInt64, tellsMessages: Bool) {
        self.shard.beginSnapshot(upTo: floor, tellsMessages: tellsMessages)
        self.runTurn()
    }

    /// Where the log has the first message that could not be told again.
    var neededLogPosition: UInt64? { self.shard.neededLogPosition }

    /// What came of a step of telling.
    enum SnapshotStep {
        case done
        case more
        /// The disk has to answer first.
        case waiting
    }

    /// Tells the next part.
    func continueSnapshot() -> SnapshotStep {
        let hasMore = self.shard.continueSnapshot()
        self.runTurn()
        guard hasMore else { return .done }
        return self.shard.isSnapshotWaiting ? .waiting : .more
    }

    /// Done when everything written so far is durable.
    func whenCommitted() -> EventLoopFuture<Void> {
        let promise = self.eventLoop.makePromise(of: Void.self)
        if self.committedNumber >= self.shard.lastLogNumber {
            promise.succeed()
        } else {
            self.committedWaiters.append((self.shard.lastLogNumber, promise))
        }
        return promise.futureResult
    }

    /// Carries out an operator's request.
    func administer(_ request: AdministrationRequest) -> EventLoopFuture<AdministrationAnswer> {
        let promise = self.eventLoop.makePromise(of: AdministrationAnswer.self)
        self.nextTicket += 1
        self.questions[self.nextTicket] = promise
        self.shard.administer(request, ticket: self.nextTicket, now: self.now)
        self.runTurn()
        return promise.futureResult
    }

    /// The broker stops: every client is told; done when all are gone.
    func stop() -> EventLoopFuture<Void> {
        guard !self.handlers.isEmpty else { return self.eventLoop.makeSucceededVoidFuture() }
        let promise = self.eventLoop.makePromise(of: Void.self)
        self.stopPromise = promise
        self.shard.closeAllConnections(now: self.now)
        self.runTurn()
        self.eventLoop.assumeIsolated().scheduleTask(
            in: .milliseconds(Int64(ServerLimits.stopGraceMilliseconds))
        ) {
            for handler in Array(self.handlers.values) {
                handler.closeNow()
            }
        }
        return promise.futureResult
    }

    /// Lets go of the timer, so that nothing refers to this loop any more.
    func shutdown() {
        self.timer?.cancel()
        self.timer = nil
        self.trimTimer?.cancel()
        self.pager = nil
        for waiter in self.committedWaiters {
            waiter.promise.fail(CancellationError())
        }
        self.committedWaiters = []
        for promise in self.questions.values {
            promise.fail(CancellationError())
        }
        self.questions = [:]
    }

    // MARK: The turn

    /// Ends the inputs and carries out what the shard made of them.
    func runTurn() {
        self.hasNewInput = true
        guard !self.isInTurn else { return }
        self.isInTurn = true
        var budget = ServerLimits.outputsPerTurn
        repeat {
            self.hasNewInput = false
            let now = self.now
            if now >= self.nextWallClockReading {
                self.readWallClock()
            }
            self.shard.endTurn(now: now)
            // Before anybody hears of what the records tell.
            self.submitLogRecords()
            self.sendOutput(&budget)
            self.performEffects()
            self.postOutboxes()
            self.submitPageRequests()
        } while self.hasNewInput || (self.shard.hasDirtyConnections && budget > 0)
        self.isInTurn = false
        if self.shard.hasDirtyConnections || self.shard.hasPendingWork {
            self.scheduleContinuation()
        }
        self.scheduleTimer()
    }

    /// Writes and flushes what connections have to say.
    ///
    /// A consumer whose socket keeps up would hold the loop until its queue is empty, because every write makes room for
    /// more deliveries; the budget lets other sockets in between.
    private func sendOutput(_ budget: inout Int) {
        while budget > 0, let id = self.shard.takeDirtyConnection() {
            budget -= 1
            self.shard.takeOutput(of: id) { block in
                self.blocks.append(block)
            }
            guard let handler = self.handlers[id] else {
                // Its socket is gone and the shard has been told; nobody will read this.
                for block in self.blocks { self.output.giveBack(block) }
                self.blocks.removeAll(keepingCapacity: true)
                continue
            }
            for block in self.blocks {
                handler.write(self.output.take(block))
            }
            self.blocks.removeAll(keepingCapacity: true)
            handler.flush()
        }
    }

    private func performEffects() {
        self.shard.takeEffects { effect in
            self.effects.append(effect)
        }
        guard !self.effects.isEmpty else { return }
        let effects = self.effects
        self.effects.removeAll(keepingCapacity: true)
        for effect in effects {
            switch effect {
            case .close(let id, let afterMilliseconds):
                self.handlers[id]?.close(afterMilliseconds: afterMilliseconds)
            case .setReading(let id, let isReading):
                self.handlers[id]?.setReading(isReading)
            case .log(let level, let category, let text):
                self.log(level, category, text)
            case .answer(let ticket, let answer):
                self.questions.removeValue(forKey: ticket)?.succeed(answer)
            }
        }
    }

    private func submitLogRecords() {
        if let log = self.durableLog, let records = self.shard.takeLogRecords() {
            log.submit(records, from: self.index)
        }
    }

    private func submitPageRequests() {
        guard let pager = self.pager else { return }
        for request in self.shard.takePageRequests() {
            pager.submit(request, from: self.index)
        }
    }

    private func postOutboxes() {
        for shard in self.mailboxes.indices where shard != self.index {
            if let batch = self.shard.takeOutbox(to: shard) {
                self.mailboxes[shard].post(batch)
            }
        }
    }

    /// Goes on in another turn.
    ///
    /// The event loop runs what it is told to until there is no more of it, and only then looks at its sockets. So what goes
    /// on and on in pieces is put off by a moment that it can use for them.
    private func scheduleContinuation() {
        guard !self.isContinuationScheduled else { return }
        self.isContinuationScheduled = true
        if self.isContinuing && self.shard.hasPendingWork {
            self.eventLoop.assumeIsolated().scheduleTask(in: ServerLimits.pauseBetweenPieces) { self.continueTurn() }
        } else {
            self.eventLoop.assumeIsolated().execute { self.continueTurn() }
        }
    }

    private func continueTurn() {
        self.isContinuationScheduled = false
        self.isContinuing = true
        if self.shard.hasPendingWork {
            self.shard.continueWork(now: self.now)
        }
        self.runTurn()
        self.isContinuing = false
    }

    // MARK: Time

    /// Keeps one callback scheduled, for the earliest deadline.
    private func scheduleTimer() {
        guard let next = self.shard.nextDeadline, next < self.timerDeadline else { return }
        let earliest = BrokerInstant(
            nanoseconds: self.now.nanoseconds + ServerLimits.timerGranularityNanoseconds
        )
        let deadline = max(next, earliest)
        guard deadline < self.timerDeadline else { return }
        self.timer?.cancel()
        self.timerDeadline = deadline
        self.timer = try? self.eventLoop.assumeIsolated().scheduleCallback(
            at: .uptimeNanoseconds(deadline.nanoseconds),
            handler: TimerHandler(loop: self)
        )
        if self.timer == nil {
            // The event loop is shutting down.
            self.timerDeadline = BrokerInstant(nanoseconds: .max)
        }
    }

    /// Tells the shard the time of day, which the system may have changed.
    private func readWallClock() {
        let now = self.now
        self.nextWallClockReading = now.advanced(milliseconds: ServerLimits.wallClockMilliseconds)
        self.shard.setWallClock(epochMilliseconds: SystemClock.epochMilliseconds, at: now)
    }

    fileprivate func fireTimer() {
        self.timer = nil
        self.timerDeadline = BrokerInstant(nanoseconds: .max)
        self.shard.fireTimers(now: self.now)
        self.runTurn()
    }

    // MARK: Log

    /// Writes one line about something the driver itself saw.
    func log(_ level: LogLevel, _ category: String, _ text: @autoclosure () -> String) {
        let level: Logger.Level =
            switch level {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        self.logger.log(level: level, "\(text())", metadata: ["category": "\(category)"])
    }
}

/// What NIO calls when the loop's timer is due.
private struct TimerHandler: NIOScheduledCallbackHandler {
    let loop: ShardLoop

    func handleScheduledCallback(eventLoop: some EventLoop) {
        self.loop.fireTimer()
    }
}
