internal import AMQPProtocol
internal import DequeModule

/// Carrying out commands and batches, of this shard and of others.
extension Shard {
    /// Carries out this shard's commands to itself, and lets channels go on whose answers have come.
    func runLocalCommands() {
        guard !self.isRunningLocalCommands else { return }
        self.isRunningLocalCommands = true
        while true {
            if let command = self.localCommands.popFirst() {
                self.carryOut(command)
            } else if let channel = self.resumableChannels.popFirst() {
                self.resumeDeferredFrame(channel)
            } else if let id = self.resumableConnections.popFirst() {
                if let connection = self.connection(id), connection.pointee.isReading {
                    self.resumeInput(connection)
                }
            } else if self.drainingConnections.isEmpty || !self.beginDueTeardown() {
                break
            }
        }
        self.isRunningLocalCommands = false
    }

    private func carryOut(_ command: ShardCommand) {
        switch command {
        case .requestTopology(let request, let asker):
            self.requestTopology(request, asker)
        case .applyTopology(let sequence, let changes):
            self.applyChanges(changes)
            self.send(.topologyApplied(sequence: sequence), to: 0)
        case .topologyApplied(let sequence):
            self.topologyApplied(sequence)
        case .declaredOtherwise(let asker, let redeclaration):
            self.declaredOtherwise(asker, redeclaration)
        case .topologyReply(let asker, let reply):
            self.topologyReply(asker, reply)
        case .topologyDecided(let asker, let reply, let sequence):
            self.topologyDecided(asker, reply, sequence)
        case .topologySettled(let asker, let sequence):
            self.topologySettled(asker, sequence)
        case .describeQueue(let address, let request, let asker):
            self.describeQueue(address, request, asker)
        case .deleteQueue(let address, let ifUnused, let ifEmpty, let reason):
            self.deleteQueue(address, ifUnused: ifUnused, ifEmpty: ifEmpty, reason)
        case .queueRemoved(let address, let messageCount, let reason):
            self.queueRemoved(address, messageCount, reason)
        case .endConnection(let connection):
            self.endConnection(connection)
        case .connectionEnded(let connection):
            self.connectionEnded(connection)
        case .consume(let address, let request):
            self.consume(address, request)
        case .consumeReply(let channel, let channelIndex, let consumer, let refusal):
            self.consumeReply(channel, channelIndex, consumer, refusal)
        case .cancel(let address, let consumer, let channel, let channelIndex):
            self.cancel(address, consumer, channel, channelIndex)
        case .cancelReply(let channel, let channelIndex):
            self.cancelReply(channel, channelIndex)
        case .consumerGone(let channel, let channelIndex):
            self.consumerGone(channel, channelIndex)
        case .detach(let address, let consumer, let channel):
            self.detach(address, consumer, channel)
        case .channelEnds(let channel):
            self.send(.detachReply(channel), to: channel.shard)
        case .detachReply(let channel):
            self.detachReply(channel)
        case .purge(let address, let asker):
            self.purge(address, asker)
        case .purgeReply(let asker, let messageCount):
            self.purgeReply(asker, messageCount)
        case .get(let address, let channel, let channelIndex, let consumer, let noAck):
            self.get(address, channel, channelIndex, consumer, noAck: noAck)
        case .getEmpty(let channel):
            self.getEmpty(channel)
        case .changePrefetch(let address, let consumer, let prefetchCount):
            self.changePrefetch(address, consumer, prefetchCount)
        case .limitConsumer(let address, let consumer):
            self.limitConsumer(address, consumer)
        case .requestGrant(let channel, let channelIndex):
            self.requestGrant(channel, channelIndex)
        case .grant(let address, let consumer, let channel, let channelIndex):
            self.grant(address, consumer, channel, channelIndex)
        case .returnGrant(let address, let channel, let channelIndex):
            self.grantReturned(address, channel, channelIndex)
        case .findReplyConsumer(let address, let secret, let name, _, let asker):
            self.findReplyConsumer(address, secret: secret, name: name, asker: asker)
        case .memoryHeld(let shard, let held):
            self.heldByShard[Int(shard)] = held
            self.judgeMemory()
        }
    }

    // MARK: Batches

    /// Carries out what another shard has sent, in order.
    func applyBatch(_ batch: ShardBatch) {
        var offset = 0
        var nextCommand = 0
        while offset < batch.count {
            let record = batch.base + offset
            offset += Int(record.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            guard let kind = ShardBatch.Kind(rawValue: record.loadUnaligned(as: UInt32.self)) else {
                assertionFailure("unknown record in a batch")
                return
            }
            switch kind {
            case .publish: self.applyPublish(record)
            case .deliver: self.applyDelivery(record)
            case .getOk: self.applyGetOk(record)
            case .settle: self.applySettlement(record)
            case .accepted: self.applyAccepted(record)
            case .credit: self.applyCredit(record)
            case .window: self.applyWindow(record)
            case .reply: self.applyReply(record)
            case .refused: self.applyRefused(record)
            case .command:
                let command = batch.commands[nextCommand]
                nextCommand += 1
                self.localCommands.append(command)
                self.runLocalCommands()
            }
        }
        self.sendCredits()
        self.dispatchTouchedQueues()
    }

    /// A message of another shard's connection for queues that live here.
    private func applyPublish(_ record: UnsafeMutableRawPointer) {
        let origin = ChannelAddress(readAt: record + 8)
        let sequence = record.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        let count = Int(record.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
        let message = BatchedMessage(record + (40 + 8 * count))
        var isRejected = false
        var isLogged = self.enqueueBatched(message, record, count, &isRejected)
        let size = Int(record.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        if let ticket = self.passWindow(message, record, count, &isLogged, &isRejected) {
            let wantsReason = self.wantsReason(record, sequence)
            if isRejected { self.tellRefusal(message, wantsReason, to: origin, sequence) }
            let waiter = DeduplicationWindows.Waiter(
                channel: origin,
                sequence: sequence,
                bytes: size,
                wantsReason: wantsReason
            )
            self.wait(for: ticket, waiter)
            return
        }
        if isRejected { self.tellRefusal(message, self.wantsReason(record, sequence), to: origin, sequence) }
        if sequence != 0 {
            if isLogged {
                self.waitToAccept(origin, sequence, isRejected: isRejected)
            } else {
                self.sendAccepted(origin, sequence, isRejected: isRejected)
            }
        }
        guard !origin.isInternalOrigin else { return }
        let connection = ConnectionAddress(shard: origin.shard, id: origin.connection)
        if isLogged {
            self.waitForCredit(connection, size)
        } else if let last = self.creditsDue.last, last.connection == connection {
            self.creditsDue[self.creditsDue.count - 1].bytes += size
        } else {
            self.creditsDue.append((connection, size))
        }
    }

    private func wantsReason(_ record: UnsafeMutableRawPointer, _ sequence: UInt64) -> Bool {
        sequence != 0 && record.loadUnaligned(fromByteOffset: 36, as: UInt32.self) != 0
    }

    @inline(never)
    private func tellRefusal(
        _ message: BatchedMessage,
        _ wantsReason: Bool,
        to origin: ChannelAddress,
        _ sequence: UInt64
    ) {
        if wantsReason { self.sendRefused(message, to: origin, sequence) }
        self.refusal = nil
    }

    /// Tells the publisher's shard that this shard's queues have a message.
    func sendAccepted(_ origin: ChannelAddress, _ sequence: UInt64, isRejected: Bool = false) {
        let answer = self.outbox(origin.shard).append(.accepted, size: 40)
        origin.write(at: answer + 8)
        answer.storeBytes(of: sequence, toByteOffset: 24, as: UInt64.self)
        answer.storeBytes(of: isRejected ? 1 : 0, toByteOffset: 32, as: UInt32.self)
    }

    /// Gives a message to the `count` queues that its record names; says whether the log has to have it.
    @inline(__always)
    private func enqueueBatched(
        _ message: BatchedMessage,
        _ record: UnsafeMutableRawPointer,
        _ count: Int,
        _ isRejected: inout Bool
    ) -> Bool {
        var slot: UInt32?
        let isTimed = message.flags.contains(.hasExpiration)
        let time = isTimed ? self.timeToLive(message.view, message.flags) : Self.unlimited
        var isKept = false
        var isStoredForAdmitted = false
        for index in 0..<count {
            let address = QueueAddress(
                shard: self.index,
                slot: record.loadUnaligned(fromByteOffset: 40 &+ 8 &* index, as: UInt32.self),
                generation: record.loadUnaligned(fromByteOffset: 44 &+ 8 &* index, as: UInt32.self)
            )
            // A queue that is gone has taken its messages with it.
            guard let queue = self.queue(address) else {
                if let (station, task) = Station.at(address) {
                    if task == .deduplicate { continue }
                    // A copy of its own: stations may let go of it at once.
                    isKept = self.arrive(self.storeBatched(message), message.flags, at: station, task) || isKept
                }
                continue
            }
            if queue.pointee.hasFeatures || isTimed {
                isKept = self.admit(queue, message.view, message.flags, timeToLive: time, &isRejected) || isKept
                continue
            }
            if count == 1 && self.handOver(message.view, message.flags, queue) { return false }
            if queue.pointee.isLogged && message.flags.contains(.persistent) {
                self.notePlace(queue)
            }
            if let slot {
                self.store.retain(slot)
                self.enqueue(queue, QueueEntry(slot: slot, flags: message.flags))
            } else {
                let stored = self.storeBatched(message)
                slot = stored
                self.enqueue(queue, QueueEntry(slot: stored, flags: message.flags))
            }
        }
        let isLogged = !self.log.places.isEmpty
        if isLogged {
            let location = self.logMessage(message.view, message.flags)
            if slot == nil && !self.admitted.isEmpty {
                slot = self.storeBatched(message)
                isStoredForAdmitted = true
            }
            if let slot {
                self.noteLogged(slot, at: location)
            }
        }
        if !self.admitted.isEmpty {
            let stored = slot ?? self.storeBatched(message)
            self.enqueueAdmitted(stored, message.flags, timeToLive: time)
            if slot == nil || isStoredForAdmitted {
                self.store.release(stored)
            }
        }
        return isLogged || isKept
    }

    /// Takes a message to the window that its record names, if it does; returns the ticket when the answer comes later,
    /// though a queue of this shard may have refused it already.
    @inline(__always)
    private func passWindow(
        _ message: BatchedMessage,
        _ record: UnsafeMutableRawPointer,
        _ count: Int,
        _ isLogged: inout Bool,
        _ isRejected: inout Bool
    ) -> UInt64? {
        // A window travels alone; see ``forward(_:_:to:_:sequence:from:)``.
        guard count == 1, record.loadUnaligned(fromByteOffset: 40, as: UInt32.self) >= Station.firstSlot else {
            return nil
        }
        return self.passOnlyWindow(message, record, &isLogged, &isRejected)
    }

    @inline(never)
    private func passOnlyWindow(
        _ message: BatchedMessage,
        _ record: UnsafeMutableRawPointer,
        _ isLogged: inout Bool,
        _ isRejected: inout Bool
    ) -> UInt64? {
        let address = QueueAddress(
            shard: self.index,
            slot: record.loadUnaligned(fromByteOffset: 40, as: UInt32.self),
            generation: record.loadUnaligned(fromByteOffset: 44, as: UInt32.self)
        )
        guard let (station, task) = Station.at(address), task == .deduplicate else { return nil }
        let wantsReason = record.loadUnaligned(fromByteOffset: 36, as: UInt32.self) != 0
        let slot = self.storeBatched(message)
        switch self.deduplicate(slot, message.flags, at: station, wantsReason: wantsReason) {
        case .done(let isRefused):
            isRejected = isRefused
            return nil
        case .logged(let isRefused):
            isRejected = isRefused
            isLogged = true
            return nil
        case .later(let ticket, let isRefused):
            isRejected = isRefused
            return ticket
        }
    }

    private func storeBatched(_ message: BatchedMessage) -> UInt32 {
        let (slot, record) = self.store.add(
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            bodySize: message.bodySize,
            references: 1,
            hasLocation: self.log.isOn && message.flags.contains(.persistent)
        )
        Bytes.copy(record.names, message.bytes, message.byteCount)
        return slot
    }

    /// Tells other shards how many octets of their connections' publishes have been taken.
    private func sendCredits() {
        for (connection, bytes) in self.creditsDue {
            self.sendCredit(connection, bytes)
        }
        self.creditsDue.removeAll(keepingCapacity: true)
    }

    func sendCredit(_ connection: ConnectionAddress, _ bytes: Int) {
        let base = self.outbox(connection.shard).append(.credit, size: 24)
        base.storeBytes(of: connection.id, toByteOffset: 8, as: UInt64.self)
        base.storeBytes(of: UInt64(bytes), toByteOffset: 16, as: UInt64.self)
    }

    private func applyCredit(_ record: UnsafeMutableRawPointer) {
        self.returnCredit(
            ConnectionID(rawValue: record.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            Int(record.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
        )
    }

    /// A queue of another shard has taken, or refused, a publish.
    private func applyAccepted(_ record: UnsafeMutableRawPointer) {
        let origin = ChannelAddress(readAt: record + 8)
        let sequence = record.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        let isRejected = record.loadUnaligned(fromByteOffset: 32, as: UInt32.self) != 0
        guard !origin.isInternalOrigin else {
            self.internalPublishAnswered(sequence, isRejected: isRejected)
            return
        }
        guard let channel = self.channel(origin) else { return }
        if sequence == .max {
            self.commitAnswered(channel, isRejected: isRejected)
            self.runLocalCommands()
        } else {
            channel.pointee.confirms.answer(sequence, isRejected: isRejected)
            self.confirmsChanged(channel)
        }
    }

    /// A message for a consumer that lives here.
    private func applyDelivery(_ record: UnsafeMutableRawPointer) {
        let size = Int(record.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        guard let channel = self.channel(ChannelAddress(readAt: record + 8)), channel.pointee.phase == .open else {
            return
        }
        let serial = record.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        let index = Int(record.loadUnaligned(fromByteOffset: 32, as: UInt32.self))
        guard index < channel.pointee.consumers.count, let consumer = channel.pointee.consumers[index] else { return }
        let message = BatchedMessage(record + (8 + ChannelAddress.batchedSize + 16))
        consumer.pointee.windowDebt += size
        let connection = channel.pointee.connection
        if !connection.pointee.hasWindowDebts {
            connection.pointee.hasWindowDebts = true
            self.windowDebtors.append(connection.pointee.id)
        }
        let isRedelivered = message.flags.contains(.redelivered)
        message.withRecord { stored in
            self.writeDelivery(channel, consumer, stored.view, serial: serial, isRedelivered: isRedelivered)
        }
    }

    private func applyGetOk(_ record: UnsafeMutableRawPointer) {
        guard let channel = self.channel(ChannelAddress(readAt: record + 8)) else { return }
        let message = BatchedMessage(record + (8 + ChannelAddress.batchedSize + 24))
        let isRedelivered = message.flags.contains(.redelivered)
        message.withRecord { stored in
            self.getOk(
                channel,
                channelIndex: record.loadUnaligned(fromByteOffset: 32, as: UInt32.self),
                consumer: record.loadUnaligned(fromByteOffset: 36, as: UInt32.self),
                serial: record.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
                messageCount: record.loadUnaligned(fromByteOffset: 40, as: UInt32.self),
                stored.view,
                isRedelivered: isRedelivered
            )
        }
        self.runLocalCommands()
    }

    private func applySettlement(_ record: UnsafeMutableRawPointer) {
        let address = QueueAddress(
            shard: self.index,
            slot: record.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
            generation: record.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
        )
        let outcome = SettleOutcome(
            rawValue: UInt8(truncatingIfNeeded: record.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
        )
        guard let queue = self.queue(address), let outcome else { return }
        self.settle(
            queue,
            consumer: record.loadUnaligned(fromByteOffset: 16, as: UInt32.self),
            serial: record.loadUnaligned(fromByteOffset: 24, as: UInt64.self),
            outcome
        )
    }

    private func applyWindow(_ record: UnsafeMutableRawPointer) {
        let address = QueueAddress(
            shard: self.index,
            slot: record.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
            generation: record.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
        )
        self.openWindow(
            address,
            record.loadUnaligned(fromByteOffset: 16, as: UInt32.self),
            Int(record.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        )
    }

    private func applyReply(_ record: UnsafeMutableRawPointer) {
        let reply = ReplyAddress(
            channel: ChannelAddress(readAt: record + 8),
            secret: record.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
        )
        let slot = self.storeBatched(BatchedMessage(record + (8 + ChannelAddress.batchedSize + 8)))
        self.deliverReply(slot, to: reply)
        self.store.release(slot)
    }

    /// Reports remote deliveries whose bytes the socket has taken, so that their queues send more.
    func reportWindowDebts() {
        guard !self.windowDebtors.isEmpty else { return }
        var waiting: [ConnectionID] = []
        for id in self.windowDebtors {
            guard let connection = self.connection(id) else { continue }
            guard self.hasRoom(connection) else {
                waiting.append(id)
                continue
            }
            connection.pointee.hasWindowDebts = false
            for channel in connection.pointee.channels.all {
                for consumer in channel.pointee.consumers {
                    guard let consumer, consumer.pointee.windowDebt > 0 else { continue }
                    let address = consumer.pointee.queue
                    let base = self.outbox(address.shard).append(.window, size: 32)
                    base.storeBytes(of: address.slot, toByteOffset: 8, as: UInt32.self)
                    base.storeBytes(of: address.generation, toByteOffset: 12, as: UInt32.self)
                    base.storeBytes(of: consumer.pointee.consumer, toByteOffset: 16, as: UInt32.self)
                    base.storeBytes(of: UInt64(consumer.pointee.windowDebt), toByteOffset: 24, as: UInt64.self)
                    consumer.pointee.windowDebt = 0
                }
            }
        }
        self.windowDebtors = waiting
    }
}

extension BatchedMessage {
    /// Lends the message as a record for the duration of a call; the record has no slot.
    func withRecord(_ body: (MessageRecord) -> Void) {
        // The header in front of the bytes has the size of a record's header, which takes its place.
        let names = self.namesSize
        let properties = self.propertiesSize
        let bodySize = self.bodySize
        MessageRecord.writeHeader(
            at: self.base,
            slot: .max,
            references: 1,
            bodySize: bodySize,
            namesSize: names,
            propertiesSize: properties,
            hasLocation: false
        )
        body(MessageRecord(self.base))
    }
}
