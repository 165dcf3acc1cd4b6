import AMQPProtocol
import NIOCore
import Synchronization

/// One connection that publishes.
final class Publisher: FrameSink {
    let id: Int
    private let connection: ClientConnection
    private let loop: LoadLoop
    private let syncQueue: ShortString
    private let limit: UInt64
    private let copies: UInt64
    private var batch: PublishBatch
    private var confirms: ConfirmWindow?
    private var schedule: RateSchedule?
    private var built: UInt64 = 0
    private var isPumping = false
    private var isSyncSent = false
    private var isSyncAnswered = false
    private var isSettled = false
    /// Whether the server asked for a pause by `connection.blocked`.
    private var isBlocked = false
    /// Whether the server asked for a pause by `channel.flow`.
    var isPaused = false

    init(id: Int, connection: ClientConnection, loop: LoadLoop) {
        let plan = loop.plan
        self.id = id
        self.connection = connection
        self.loop = loop
        self.copies = plan.copies
        if case .count(let count) = plan.length {
            self.limit = plan.share(ofPublisher: id, count: count)
        } else {
            self.limit = .max
        }
        let targets = plan.targets(ofPublisher: id)
        self.syncQueue = plan.queueName(targets[0])
        self.confirms = plan.confirmWindow.map { ConfirmWindow(size: $0) }
        let frameMax = Int(connection.frameMaxBytes)
        self.batch = PublishBatch(
            templates: plan.varieties.map { variety in
                targets.map { queue in
                    let address = plan.address(ofQueue: queue)
                    return MessageTemplate(
                        publish: BasicPublish(exchange: plan.exchangeName, routingKey: address.routingKey),
                        properties: variety.properties(headers: address.headers, isPersistent: plan.isPersistent),
                        channel: ClientConnection.channelNumber,
                        bodyBytes: plan.bodyBytes,
                        frameMaxBytes: frameMax
                    )
                }
            },
            bodyBytes: plan.bodyBytes,
            tail: MessageTemplate.tail(
                channel: ClientConnection.channelNumber,
                bodyBytes: plan.bodyBytes,
                frameMaxBytes: frameMax
            )
        )
        self.batch.plant = id == 0 ? plan.plant : nil
    }

    /// Numbers given to messages so far.
    var numbered: UInt64 { self.batch.numbered }

    /// Sets the time of the first message.
    ///
    /// Publishers start evenly spread over one interval, as a crowd of real ones would.
    func start(at time: UInt64) {
        guard let rate = self.loop.plan.rate else { return }
        let offset = 1e9 / rate * Double(self.id) / Double(self.loop.plan.publishers)
        self.schedule = RateSchedule(startNanoseconds: time + UInt64(offset), rate: rate)
    }

    // MARK: Sending

    /// Publishes what is allowed now, within one turn; true when it could go on at once.
    func pump(nextDue: inout UInt64) -> Bool {
        // A flush may call back when the socket has taken everything.
        guard !self.isPumping else { return false }
        self.isPumping = true
        defer { self.isPumping = false }
        for _ in 0..<PerfLimits.batchesPerTurn {
            guard self.connection.isWritable else { return false }
            let now = PerfClock.now()
            let allowed = self.allowance(now: now, nextDue: &nextDue)
            guard allowed > 0 else {
                self.settleIfDone()
                return false
            }
            self.send(limit: allowed, now: now)
        }
        return true
    }

    /// How many messages may be built now; lowers `nextDue` when only the schedule stands against it.
    private func allowance(now: UInt64, nextDue: inout UInt64) -> UInt64 {
        guard self.loop.state.phase.load(ordering: .relaxed) == .running, !self.isBlocked, !self.isPaused else {
            return 0
        }
        var allowed = self.limit - self.built
        if let confirms = self.confirms {
            allowed = min(allowed, confirms.room)
        }
        guard allowed > 0 else { return 0 }
        if let schedule = self.schedule {
            let due = schedule.dueCount(at: now)
            guard due > self.built else {
                nextDue = min(nextDue, schedule.time(of: self.built))
                return 0
            }
            allowed = min(allowed, due - self.built)
        }
        if let most = self.loop.plan.maxInflight {
            allowed = min(allowed, self.inflightRoom(most))
        }
        return allowed
    }

    /// Messages that `--max-inflight` leaves; when none, consumers will wake the loop.
    private func inflightRoom(_ most: UInt64) -> UInt64 {
        let inflight = self.loop.state.inflight(copies: self.copies)
        if inflight < most {
            return (most - inflight + self.copies - 1) / self.copies
        }
        // First say that we wait, then look again: a consumer looks in the other order.
        self.loop.counters.awaitsConsumers.store(true, ordering: .relaxed)
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        let again = self.loop.state.inflight(copies: self.copies)
        return again < most ? (most - again + self.copies - 1) / self.copies : 0
    }

    private func send(limit: UInt64, now: UInt64) {
        let slice = self.batch.take(
            limit: limit,
            stamp: PublishBatch.Stamp(publisher: self.id, now: now, schedule: self.schedule, built: self.built)
        )
        let count = UInt64(slice.count)
        self.confirms?.send(count: count, at: now)
        self.built += count
        // Before the write: a server on this machine may deliver before `write` returns.
        self.loop.counters.published.add(count)
        self.loop.counters.lastActivity.store(now, ordering: .relaxed)
        if let tail = self.batch.tail {
            var heads = slice.heads
            for length in self.batch.headLengths(of: slice) {
                guard let head = heads.readSlice(length: length) else { break }
                self.connection.write(head)
                self.connection.write(tail)
            }
        } else {
            self.connection.write(slice.heads)
        }
        self.connection.flush()
    }

    /// After the last message: a call behind it tells when the server has taken everything.
    private func settleIfDone() {
        let isOver = self.loop.state.phase.load(ordering: .relaxed).rawValue >= RunState.Phase.draining.rawValue
        guard isOver || self.built == self.limit else { return }
        if !self.isSyncSent {
            self.isSyncSent = true
            let answer = self.connection.call(QueueDeclare(queue: self.syncQueue, passive: true))
            answer.assumeIsolated().whenSuccess { _ in
                self.isSyncAnswered = true
                self.settleIfDone()
            }
        }
        guard self.isSyncAnswered, !self.isSettled, (self.confirms?.outstanding ?? 0) == 0 else { return }
        self.isSettled = true
        self.loop.counters.lastActivity.store(PerfClock.now(), ordering: .relaxed)
        self.loop.counters.settledPublishers.add(1)
    }

    // MARK: What the server says

    /// The server ran out of means, or has them again.
    func setBlocked(_ isBlocked: Bool) {
        self.isBlocked = isBlocked
        if isBlocked {
            self.loop.counters.blocked.add(1)
        }
    }

    /// Everything that one read brought was reported.
    func endRead() {
        self.loop.resume(self)
    }

    /// The socket takes bytes again.
    func writabilityChanged() {
        if self.connection.isWritable, !self.isPumping {
            // Not at once: this may be called from inside the flush of a batch.
            self.loop.wake()
        }
    }

    func receiveConfirm(tag: UInt64, multiple: Bool, positive: Bool) {
        let settlement = self.confirms?.settle(
            tag: tag,
            multiple: multiple,
            at: self.connection.readTime,
            latencies: &self.loop.confirmLatencies,
            recording: self.loop.state.isRecording.load(ordering: .relaxed)
        )
        guard let settlement else {
            self.loop.misconfirmed += 1
            return
        }
        if !settlement.isValid {
            self.loop.misconfirmed += 1
        }
        (positive ? self.loop.counters.confirmed : self.loop.counters.refused).add(settlement.count)
        self.loop.counters.lastActivity.store(self.connection.readTime, ordering: .relaxed)
    }

    func receiveReturn() {
        self.loop.counters.returned.add(1)
    }

    func receiveMessage(_ message: ScannedMessage) {
        self.loop.damaged += 1
    }

    func receiveMethod(channel: UInt16, payload: UnsafeRawBufferPointer) {
        self.connection.receiveMethod(channel: channel, payload: payload)
    }
}
