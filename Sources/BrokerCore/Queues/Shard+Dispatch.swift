internal import AMQPProtocol

/// From queues to consumers.
///
/// A queue that got messages, or a consumer that got room, is *touched*; touched queues are dispatched together at the
/// end of a read, so that a burst costs one pass.
extension Shard {
    /// Appends a message to a queue; the entry's reference is the queue's from here on.
    ///
    /// The queue may have let go of it when this returns: what is to be logged or forwarded of it is read before.
    /// `timeToLive` is what the message's own expiration gives it.
    @inline(__always)
    func enqueue(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ entry: QueueEntry,
        timeToLive: UInt64 = Shard.unlimited
    ) {
        if queue.pointee.hasFeatures || timeToLive != Self.unlimited {
            self.enqueueSpecially(queue, entry, timeToLive: timeToLive)
            return
        }
        if queue.pointee.levels == nil {
            queue.pointee.ready.append(entry)
        } else {
            self.enqueueByPriority(queue, entry)
        }
        if !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }

    /// Notes a queue for dispatch.
    @inline(__always)
    func touch(_ queue: UnsafeMutablePointer<QueueState>) {
        if !queue.pointee.isTouched {
            queue.pointee.isTouched = true
            self.touchedQueues.append(queue)
        }
    }

    /// Dispatches all touched queues.
    @inline(__always)
    func dispatchTouchedQueues() {
        if !self.touchedQueues.isEmpty || !self.deaths.isEmpty {
            self.dispatchAll()
        }
    }

    @inline(never)
    private func dispatchAll() {
        self.dispatchEach()
        guard !self.deaths.isEmpty else { return }
        if !self.areDeathsPending {
            self.runDeaths()
            self.dispatchEach()
        }
        // Those that came of the second round.
        self.runDeathsLater()
    }

    private func dispatchEach() {
        while let queue = self.touchedQueues.popLast() {
            queue.pointee.isTouched = false
            self.dispatch(queue)
        }
    }

    /// Whether a consumer can take a message now.
    private enum Readiness {
        case ready
        /// Not now; something will put it back into the rotation.
        case notReady
    }

    /// Gives ready messages to ready consumers.
    func dispatch(_ queue: UnsafeMutablePointer<QueueState>) {
        // What is first is known when all have their places.
        guard !queue.pointee.isArranging else { return }
        if queue.pointee.nextExpiry <= self.now.nanoseconds {
            // Nobody gets what is due; when that is much, the rest is dispatched behind it.
            guard !queue.pointee.isTrimming, self.expireDue(queue) else { return }
        }
        if queue.pointee.groups != nil {
            self.dispatchGrouped(queue)
            return
        }
        if queue.pointee.isFair {
            self.dispatchFairly(queue)
            return
        }
        while queue.pointee.hasReady, let id = queue.pointee.rotation.first {
            guard let consumer = queue.pointee.consumers[Int(id)] else {
                queue.pointee.rotation.removeFirst()
                continue
            }
            // Before anything else: a consumer whose channel has a limit asks for a grant only if there is something to get.
            guard self.isNextResident(queue) else {
                if self.stall(queue) { continue }
                return
            }
            guard self.readiness(consumer, queue) == .ready else {
                queue.pointee.rotation.removeFirst()
                consumer.pointee.isReady = false
                continue
            }
            let delivery = self.takeNext(queue)
            self.deliver(delivery, to: consumer, of: queue)
            if queue.pointee.rotation.isTurnOfOne {
                // Its turn again.
                while queue.pointee.hasReady, self.isNextResident(queue), self.readiness(consumer, queue) == .ready {
                    self.deliver(self.takeNext(queue), to: consumer, of: queue)
                }
            } else {
                queue.pointee.rotation.rotate()
            }
        }
        if queue.pointee.headSequence >= queue.pointee.loadTrigger {
            self.load(queue)
        }
    }

    @inline(__always)
    private func readiness(
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ queue: UnsafeMutablePointer<QueueState>
    ) -> Readiness {
        if consumer.pointee.lapsed != 0 {
            return .notReady
        }
        let limit = consumer.pointee.prefetchCount
        if limit > 0 && consumer.pointee.outstanding.count >= Int(limit) && !consumer.pointee.noAck {
            return .notReady
        }
        if let channel = consumer.pointee.localChannel {
            let connection = channel.pointee.connection
            if !self.hasRoom(connection) {
                connection.pointee.hasStalledConsumers = true
                return .notReady
            }
        } else if consumer.pointee.window <= 0 {
            return .notReady
        }
        if consumer.pointee.isGlobalLimited && consumer.pointee.grants == 0 {
            if !consumer.pointee.isAwaitingGrant {
                consumer.pointee.isAwaitingGrant = true
                self.send(
                    .requestGrant(consumer.pointee.channel, channelIndex: consumer.pointee.channelIndex),
                    to: consumer.pointee.channel.shard
                )
            }
            return .notReady
        }
        return .ready
    }

    /// Puts a consumer back into the rotation if it takes part in delivery.
    func makeReady(_ consumer: UnsafeMutablePointer<ConsumerState>, of queue: UnsafeMutablePointer<QueueState>) {
        guard consumer.pointee.isActive, !consumer.pointee.isReady else { return }
        consumer.pointee.isReady = true
        queue.pointee.rotation.append(consumer.pointee.id, priority: consumer.pointee.priority)
        if queue.pointee.hasReady {
            self.touch(queue)
        }
    }

    /// Takes a consumer out of delivery.
    func makeUnready(_ consumer: UnsafeMutablePointer<ConsumerState>, of queue: UnsafeMutablePointer<QueueState>) {
        guard consumer.pointee.isReady else { return }
        consumer.pointee.isReady = false
        queue.pointee.rotation.remove(consumer.pointee.id, priority: consumer.pointee.priority)
    }

    /// Hands one message to a consumer.
    @inline(__always)
    private func deliver(
        _ delivery: ConsumerState.Delivery,
        to consumer: UnsafeMutablePointer<ConsumerState>,
        of queue: UnsafeMutablePointer<QueueState>
    ) {
        let serial = consumer.pointee.nextSerial
        consumer.pointee.nextSerial &+= 1
        if consumer.pointee.isGlobalLimited {
            consumer.pointee.grants &-= 1
        }
        let isRedelivered = delivery.entry.flags.contains(.redelivered)
        if isRedelivered && queue.pointee.returnRules.showsCount {
            self.deliverCounted(delivery.entry, to: consumer, serial: serial, queue.pointee.returnRules)
        } else if let channel = consumer.pointee.localChannel, let local = consumer.pointee.localConsumer {
            let record = self.store.record(delivery.entry.slot)
            self.writeDelivery(channel, local, record.view, serial: serial, isRedelivered: isRedelivered)
        } else {
            self.forwardDelivery(
                consumer,
                self.store.record(delivery.entry.slot).view,
                delivery.entry.flags,
                serial: serial
            )
        }
        if consumer.pointee.noAck {
            if queue.pointee.followsMessages {
                queue.pointee.unique?.remove(delivery.sequence)
            }
            self.logSettled(queue, delivery.sequence, delivery.entry.flags)
            self.store.release(delivery.entry.slot)
        } else {
            self.logDelivered(queue, delivery.sequence, delivery.entry)
            consumer.pointee.outstanding.append(serial, delivery)
            queue.pointee.unacknowledged &+= 1
            if consumer.pointee.isTimed {
                self.noteDeliveryTime(queue, consumer, serial)
            }
        }
    }

    /// Whether a consumer can take a message now, for those who choose otherwise than by turn.
    func isReadyNow(
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ queue: UnsafeMutablePointer<QueueState>
    ) -> Bool {
        self.readiness(consumer, queue) == .ready
    }

    /// Hands one message to a consumer, for those who choose otherwise than by turn.
    func hand(
        _ delivery: ConsumerState.Delivery,
        to consumer: UnsafeMutablePointer<ConsumerState>,
        of queue: UnsafeMutablePointer<QueueState>
    ) {
        self.deliver(delivery, to: consumer, of: queue)
    }

    /// Hands a message from the read buffer, or from another shard's batch, straight to a consumer, without storing it.
    ///
    /// Only when nothing waits in the queue and the consumer whose turn it is does not acknowledge, is not bound by its
    /// channel's limit, and has room. Returns whether that was so. `contentFrames` are as in ``IncomingMessage/contentFrames``.
    @inline(__always)
    func handOver(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        _ queue: UnsafeMutablePointer<QueueState>,
        contentFrames: UnsafeRawPointer? = nil
    ) -> Bool {
        guard !queue.pointee.hasReady, let id = queue.pointee.rotation.first,
            let consumer = queue.pointee.consumers[Int(id)], consumer.pointee.noAck,
            !consumer.pointee.isGlobalLimited, queue.pointee.groups == nil
        else { return false }
        if let channel = consumer.pointee.localChannel, let local = consumer.pointee.localConsumer {
            guard self.hasRoom(channel.pointee.connection) else { return false }
            let serial = consumer.pointee.nextSerial
            consumer.pointee.nextSerial = serial &+ 1
            self.writeDelivery(
                channel,
                local,
                message,
                serial: serial,
                isRedelivered: false,
                contentFrames: contentFrames
            )
        } else {
            guard consumer.pointee.window > 0 else { return false }
            let serial = consumer.pointee.nextSerial
            consumer.pointee.nextSerial = serial &+ 1
            self.forwardDelivery(consumer, message, flags, serial: serial)
        }
        queue.pointee.rotation.rotate()
        return true
    }

    /// Writes `basic.deliver` with its content, and notes it in the channel's ledger.
    @inline(__always)
    func writeDelivery(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>,
        _ message: MessageView,
        serial: UInt64,
        isRedelivered: Bool,
        contentFrames: UnsafeRawPointer? = nil
    ) {
        let connection = channel.pointee.connection
        let tag = channel.pointee.nextDeliveryTag
        channel.pointee.nextDeliveryTag = tag &+ 1
        if !consumer.pointee.noAck {
            channel.pointee.ledger.append(tag, LedgerEntry(consumer: consumer.pointee.index, serial: serial))
            consumer.pointee.unacknowledged &+= 1
            if consumer.pointee.isGlobalLimited {
                self.countGlobalDelivery(channel, consumer)
            }
        } else if consumer.pointee.isGlobalLimited {
            self.passGlobalLimit(channel, consumer)
        }
        let prefixSize = consumer.pointee.deliverPrefixSize
        let namesSize = message.namesSize
        let size = prefixSize &+ 9 &+ namesSize &+ 1
        let contentSize = self.contentSize(connection, message)
        let out = self.reserve(connection, size &+ contentSize)
        Bytes.copy(out, consumer.pointee.deliverPrefix, prefixSize)
        out.storeBytes(of: UInt32(truncatingIfNeeded: size &- 8).bigEndian, toByteOffset: 3, as: UInt32.self)
        out.storeBytes(of: tag.bigEndian, toByteOffset: prefixSize, as: UInt64.self)
        out.storeBytes(of: isRedelivered ? 1 : 0, toByteOffset: prefixSize &+ 8, as: UInt8.self)
        Bytes.copy(out + (prefixSize &+ 9), message.names, namesSize)
        out.storeBytes(of: FrameLimits.frameEnd, toByteOffset: size &- 1, as: UInt8.self)
        let number = channel.pointee.number
        if let contentFrames, message.bodySize <= connection.pointee.maxPayload {
            // As they came but for the channel.
            Bytes.copy(out + size, contentFrames, contentSize)
            out.storeBytes(of: number.bigEndian, toByteOffset: size &+ 1, as: UInt16.self)
            if message.bodySize > 0 {
                let body = size &+ 20 &+ message.propertiesSize
                out.storeBytes(of: number.bigEndian, toByteOffset: body &+ 1, as: UInt16.self)
            }
            self.commit(connection, size &+ contentSize)
        } else {
            self.encodeContent(out + size, channel: number, message, contentSize)
            self.commit(connection, size &+ contentSize)
            self.writeLongBody(connection, number, message)
        }
        if self.isTracing {
            let queue = consumer.pointee.queueName
            self.traceDelivery(message, from: queue, to: channel, isRedelivered: isRedelivered)
        }
    }

    /// Hands a message to a consumer that is told how often it has come back.
    @inline(never)
    private func deliverCounted(
        _ entry: QueueEntry,
        to consumer: UnsafeMutablePointer<ConsumerState>,
        serial: UInt64,
        _ rules: ReturnRules
    ) {
        let view = self.store.record(entry.slot).view
        guard entry.flags.deliveryCount > 0 else {
            // It was out when the broker ended, and nobody counted that.
            self.deliver(view, entry.flags, to: consumer, serial: serial)
            return
        }
        self.withDeliveryCount(view, entry.flags.deliveryCount, rules) {
            self.deliver($0, entry.flags, to: consumer, serial: serial)
        }
    }

    private func deliver(
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        to consumer: UnsafeMutablePointer<ConsumerState>,
        serial: UInt64
    ) {
        if let channel = consumer.pointee.localChannel, let local = consumer.pointee.localConsumer {
            let isRedelivered = flags.contains(.redelivered)
            self.writeDelivery(channel, local, message, serial: serial, isRedelivered: isRedelivered)
        } else {
            self.forwardDelivery(consumer, message, flags, serial: serial)
        }
    }

    /// Copies a delivery into the batch for the consumer's shard.
    private func forwardDelivery(
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        _ message: MessageView,
        _ flags: QueueEntry.Flags,
        serial: UInt64
    ) {
        let headerSize = 8 + ChannelAddress.batchedSize + 16
        let size = headerSize + BatchedMessage.size(of: message)
        let base = self.appendRecord(.deliver, size: size, to: consumer.pointee.channel.shard)
        consumer.pointee.channel.write(at: base + 8)
        base.storeBytes(of: serial, toByteOffset: 24, as: UInt64.self)
        base.storeBytes(of: consumer.pointee.channelIndex, toByteOffset: 32, as: UInt32.self)
        BatchedMessage.write(message, flags: flags, at: base + headerSize)
        // As many octets as the record says, which are what comes back.
        consumer.pointee.window -= (size + 7) & ~7
    }

    /// Consumers of a connection that waited for room may take messages again.
    func resumeStalledConsumers(_ connection: UnsafeMutablePointer<ConnectionState>) {
        guard connection.pointee.hasStalledConsumers else { return }
        connection.pointee.hasStalledConsumers = false
        for channel in connection.pointee.channels.all where channel.pointee.phase == .open {
            for consumer in channel.pointee.consumers {
                guard let consumer, consumer.pointee.isAttached, consumer.pointee.queue.shard == self.index,
                    let queue = self.queue(consumer.pointee.queue),
                    let state = queue.pointee.consumers[Int(consumer.pointee.consumer)]
                else { continue }
                self.makeReady(state, of: queue)
            }
        }
    }
}
