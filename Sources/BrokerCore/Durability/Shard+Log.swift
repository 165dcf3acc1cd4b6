internal import AMQPProtocol
internal import DequeModule

/// Writing to the commit log, and answering those who wait for it.
extension Shard {
    // MARK: The driver's side

    /// Takes what has been written for the log since the last time; it is submitted before anything else goes out.
    ///
    /// Call after ``endTurn(now:)``, before outputs and outboxes are taken: other shards and clients must not hear of
    /// a change that somebody else's record could overtake in the log.
    public func takeLogRecords() -> LogRecords? {
        guard let records = self.log.batch else { return nil }
        self.log.batch = nil
        // Turns that write much and turns that write little take turns.
        self.log.lastCount = max(records.count, self.log.lastCount / 2)
        return records
    }

    /// The records of that number, and so all before them, are durable; `position` is where their first one stands in
    /// the log.
    public func logCommitted(upTo number: UInt64, at position: UInt64, now: BrokerInstant) {
        self.now = now
        self.log.positions.note(number, at: position)
        self.store.logEnd = max(self.store.logEnd, position)
        while let next = self.log.waiters.first, next.number <= number {
            self.log.waiters.removeFirst()
            self.answer(next.waiter)
        }
        while let next = self.log.credits.first, next.number <= number {
            self.log.credits.removeFirst()
            if next.connection.shard == self.index {
                self.returnCredit(ConnectionID(rawValue: next.connection.id), next.bytes)
            } else {
                self.sendCredit(next.connection, next.bytes)
            }
        }
        if self.log.moves.end(upTo: number) {
            self.delays.heldUntil = min(self.delays.heldUntil, now)
            self.runDeathsLater()
        }
        self.runLocalCommands()
    }

    private func answer(_ waiter: ShardLog.Waiter) {
        switch waiter {
        case .confirms(let address, let first, let count):
            guard let channel = self.channel(address) else { return }
            channel.pointee.confirms.acknowledge(first: first, count: count)
            self.confirmsChanged(channel)
        case .accepted(let origin, let sequence, let isRejected):
            self.sendAccepted(origin, sequence, isRejected: isRejected)
        case .commit(let address):
            guard let channel = self.channel(address) else { return }
            self.commitAnswered(channel, isRejected: false)
        case .purged(let asker, let messageCount):
            self.send(.purgeReply(asker, messageCount: messageCount), to: asker.shard)
        case .topology(let sequence):
            self.topologyApplied(sequence)
        case .operation(let ticket):
            self.effects.append(.answer(ticket, .done))
        }
    }

    // MARK: Records

    /// Reserves a record in the batch under way.
    @inline(__always)
    func appendLog(_ type: LogRecordType, size: Int) -> UnsafeMutableRawPointer {
        if let batch = self.log.batch {
            return batch.append(type, size: size)
        }
        return self.startLogBatch().append(type, size: size)
    }

    private func startLogBatch() -> LogRecords {
        let room = min(max(self.log.lastCount, ShardLimits.firstBatchBytes), ShardLimits.keptBatchBytes)
        let batch = LogRecords(number: self.log.nextNumber, capacity: room)
        self.log.nextNumber += 1
        self.log.batch = batch
        return batch
    }

    /// Has somebody wait for the batch under way.
    private func wait(_ waiter: ShardLog.Waiter) {
        let batch = self.log.batch ?? self.startLogBatch()
        self.log.waiters.append((batch.number, waiter))
    }

    /// Writes a change of the topology; its sequence is answered by ``topologyApplied(_:)`` when it is durable.
    func logTopology(_ record: [UInt8], sequence: UInt64) {
        record.withUnsafeBytes { bytes in
            let base = self.appendLog(.topology, size: bytes.count)
            UnsafeMutableRawBufferPointer(start: base, count: bytes.count).copyMemory(from: bytes)
        }
        self.waitForTopology(sequence)
    }

    /// Answers a sequence of the topology when the batch under way is durable, and so every one before it.
    func waitForTopology(_ sequence: UInt64) {
        self.wait(.topology(sequence: sequence))
    }

    /// Tells an operator that a request is carried out when the batch under way is durable.
    func waitToAnswer(_ ticket: UInt64) {
        self.wait(.operation(ticket: ticket))
    }

    /// Writes a part of the topology once more; nobody waits for it.
    func logTopologyAgain(_ record: [UInt8]) {
        record.withUnsafeBytes { bytes in
            let base = self.appendLog(.topology, size: bytes.count)
            UnsafeMutableRawBufferPointer(start: base, count: bytes.count).copyMemory(from: bytes)
        }
    }

    /// Writes a message with the places it gets, ``ShardLog/places``.
    ///
    /// Returns where it will be found.
    @discardableResult
    func logMessage(_ message: MessageView, _ flags: QueueEntry.Flags) -> LogLocation {
        let count = self.log.places.count
        let isTimed = self.log.isTimed || !flags.isDisjoint(with: .ownDeaths)
        let size = PublishRecord.size(
            queues: count,
            isTimed: isTimed,
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            bodySize: message.bodySize
        )
        let base = self.appendLog(.publish, size: size)
        self.log.places.withUnsafeBufferPointer { places in
            PublishRecord.write(message, flags: flags, places: places, isTimed: isTimed, at: base)
        }
        self.log.isTimed = false
        if count == 1 {
            self.log.places.removeLast()
        } else {
            self.log.places.removeAll(keepingCapacity: true)
        }
        return self.logLocation(of: base, isShared: count > 1)
    }

    /// Where a payload will be found that was reserved in the batch under way as the last one.
    @inline(__always)
    func logLocation(of base: UnsafeMutableRawPointer, isShared: Bool) -> LogLocation {
        guard let batch = self.log.batch,
            let location = LogLocation(
                batch: batch.number,
                offset: base - LogRecords.headSize - batch.base,
                isShared: isShared
            )
        else { return .unknown(isShared: isShared) }
        return location
    }

    /// Notes where the log will have a stored message.
    @inline(__always)
    func noteLogged(_ slot: UInt32, at location: LogLocation?) {
        if let location {
            self.store.noteLogged(self.store.record(slot), at: location)
        }
    }

    /// Puts a stored message, with one reference for the queue, into a durable queue of this shard.
    @inline(never)
    func enqueueDurably(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ entry: QueueEntry,
        timeToLive: UInt64 = Shard.unlimited,
        from channel: UnsafeMutablePointer<ChannelState>
    ) {
        self.notePlace(queue, timeToLive: timeToLive)
        let record = self.store.record(entry.slot)
        let view = record.view
        self.store.noteLogged(record, at: self.logMessage(view, entry.flags))
        self.enqueue(queue, entry, timeToLive: timeToLive)
        self.waitForLog(channel, bytes: view.namesSize + view.propertiesSize + view.bodySize)
        if channel.pointee.mode == .confirm {
            let sequence = channel.pointee.confirms.addOpen(count: 1)
            self.waitToConfirm(self.address(of: channel), sequence)
        }
    }

    /// Notes the place a message is about to get in a queue; `timeToLive` is what its own expiration gives it.
    @inline(__always)
    func notePlace(_ queue: UnsafeMutablePointer<QueueState>, timeToLive: UInt64 = Shard.unlimited) {
        var place = DurablePlace(queue: queue.pointee.durableID, sequence: queue.pointee.nextSequence)
        if queue.pointee.hasFeatures || timeToLive != Self.unlimited {
            self.setDeadline(of: &place, queue, timeToLive)
        }
        self.log.places.append(place)
    }

    @inline(never)
    private func setDeadline(
        of place: inout DurablePlace,
        _ queue: UnsafeMutablePointer<QueueState>,
        _ own: UInt64
    ) {
        let time = self.timeToLive(queue, own)
        guard time != Self.unlimited else { return }
        // 0 means that there is none.
        place.deadline = max(self.epochMilliseconds(at: self.now.advanced(milliseconds: time)), 1)
        self.log.isTimed = true
    }

    /// Writes a message that has got its places and counts it against its connection's window.
    func logPlaced(_ slot: UInt32, _ flags: QueueEntry.Flags, from channel: UnsafeMutablePointer<ChannelState>) {
        let record = self.store.record(slot)
        let view = record.view
        self.store.noteLogged(record, at: self.logMessage(view, flags))
        self.waitForLog(channel, bytes: view.namesSize + view.propertiesSize + view.bodySize)
    }

    /// Answers a publish, if it wants an answer, when the batch under way is durable.
    func waitForLog(_ channel: UnsafeMutablePointer<ChannelState>, _ sequence: UInt64) {
        switch channel.pointee.mode {
        case .plain: break
        case .confirm: self.waitToConfirm(self.address(of: channel), sequence)
        case .transaction: self.waitToCommit(self.address(of: channel))
        }
    }

    /// Counts a publish against its connection's window until the log has it.
    func waitForLog(_ channel: UnsafeMutablePointer<ChannelState>, bytes: Int) {
        let connection = channel.pointee.connection
        let size = bytes + 64
        self.takeCredit(connection, size)
        self.waitForCredit(ConnectionAddress(shard: self.index, id: connection.pointee.id.rawValue), size)
    }

    /// Gives a connection its window back when the batch under way is durable.
    func waitForCredit(_ connection: ConnectionAddress, _ bytes: Int) {
        if self.log.batch == nil {
            _ = self.startLogBatch()
        }
        let number = self.log.batchNumber
        if let last = self.log.credits.last, last.number == number, last.connection == connection {
            self.log.credits[self.log.credits.count - 1].bytes += bytes
        } else {
            self.log.credits.append((number, connection, bytes))
        }
    }

    /// Confirms a publish when the batch under way is durable.
    func waitToConfirm(_ channel: ChannelAddress, _ sequence: UInt64) {
        if let last = self.log.waiters.last, last.number == self.log.batchNumber, self.log.batch != nil,
            case .confirms(channel, let first, let count) = last.waiter, first + count == sequence
        {
            self.log.waiters[self.log.waiters.count - 1].waiter = .confirms(channel, first: first, count: count + 1)
        } else {
            self.wait(.confirms(channel, first: sequence, count: 1))
        }
    }

    /// Answers a publish of another shard when the batch under way is durable.
    func waitToAccept(_ origin: ChannelAddress, _ sequence: UInt64, isRejected: Bool) {
        self.wait(.accepted(origin, sequence: sequence, isRejected: isRejected))
    }

    /// Answers a commit of this shard when the batch under way is durable.
    func waitToCommit(_ channel: ChannelAddress) {
        self.wait(.commit(channel))
    }

    /// Answers a purge when the log has it: nothing that was purged comes back.
    func answerPurge(
        _ asker: ChannelAddress,
        messageCount: UInt32,
        isLogged: Bool
    ) {
        if messageCount > 0 && isLogged {
            self.flushSettled()
            if self.log.batch != nil {
                self.wait(.purged(asker, messageCount: messageCount))
                return
            }
        }
        // Nothing of it was in the log.
        self.send(.purgeReply(asker, messageCount: messageCount), to: asker.shard)
    }

    // MARK: Settlements

    /// A message of a durable queue is not needed any more.
    @inline(__always)
    func logSettled(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ flags: QueueEntry.Flags) {
        if queue.pointee.isLogged && flags.contains(.persistent) {
            self.noteSettled(queue.pointee.durableID, sequence)
        }
    }

    @inline(never)
    func noteSettled(_ queue: UInt64, _ sequence: UInt64) {
        if self.log.settledQueue != queue || self.log.settled.count == ShardLimits.settledRanges {
            self.flushSettled()
            self.log.settledQueue = queue
        }
        if let last = self.log.settled.last, last.first + last.count == sequence {
            self.log.settled[self.log.settled.count - 1].count += 1
        } else {
            self.log.settled.append(SequenceRange(first: sequence, count: 1))
        }
    }

    /// A message of a durable queue has been handed to a consumer that may not acknowledge it before a crash.
    @inline(__always)
    func logDelivered(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ entry: QueueEntry) {
        let flags = entry.flags
        if self.log.snapshot != nil {
            self.tellMoving(queue, sequence, entry)
        }
        guard queue.pointee.isLogged, flags.contains(.persistent), sequence >= queue.pointee.deliveredUpTo else {
            return
        }
        queue.pointee.deliveredUpTo = sequence + 1
        if !queue.pointee.isDeliveredNoted {
            queue.pointee.isDeliveredNoted = true
            self.log.deliveredQueues.append(queue)
        }
    }

    /// Writes what the turn has settled and delivered.
    func flushLog() {
        guard self.log.isOn else { return }
        for queue in self.log.deliveredQueues {
            queue.pointee.isDeliveredNoted = false
            let base = self.appendLog(.delivered, size: DeliveredRecord.size)
            DeliveredRecord.write(queue: queue.pointee.durableID, upTo: queue.pointee.deliveredUpTo, at: base)
        }
        self.log.deliveredQueues.removeAll(keepingCapacity: true)
        self.flushReturns()
        self.flushDelays()
        self.flushPublishers()
        self.flushSettled()
    }

    private func flushSettled() {
        guard !self.log.settled.isEmpty else { return }
        let base = self.appendLog(.settle, size: SettleRecord.size(ranges: self.log.settled.count))
        SettleRecord.write(queue: self.log.settledQueue, ranges: self.log.settled, at: base)
        self.log.settled.removeAll(keepingCapacity: true)
    }
}
