internal import AMQPProtocol
internal import DequeModule

/// Acknowledgements: from delivery tags of a channel to outcomes at a queue.
extension Shard {
    /// `basic.ack`, `basic.nack`, `basic.reject`.
    @inline(__always)
    func receiveSettlement(
        _ channel: UnsafeMutablePointer<ChannelState>,
        tag: UInt64,
        isMultiple: Bool,
        outcome: SettleOutcome,
        _ method: MethodID
    ) {
        if !isMultiple {
            guard let entry = channel.pointee.ledger.remove(tag) else {
                self.refuseTag(channel, tag, method)
                return
            }
            self.settleOrDefer(channel, tag, entry, outcome)
            return
        }
        // 0 is everything; any other tag must be open itself.
        if tag != 0 {
            guard channel.pointee.ledger.value(tag) != nil else {
                self.refuseTag(channel, tag, method)
                return
            }
        }
        self.settleUpTo(channel, tag == 0 ? .max : tag, outcome)
    }

    private func refuseTag(_ channel: UnsafeMutablePointer<ChannelState>, _ tag: UInt64, _ method: MethodID) {
        self.closeChannel(channel, .preconditionFailed, "unknown delivery tag \(tag)", method)
    }

    private func settleOrDefer(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ tag: UInt64,
        _ entry: LedgerEntry,
        _ outcome: SettleOutcome
    ) {
        if channel.pointee.mode == .transaction {
            channel.pointee.transaction?.settlements.append(
                Transaction.Settlement(tag: tag, entry: entry, outcome: outcome)
            )
        } else {
            self.settle(channel, entry, outcome)
        }
    }

    /// Settles everything open up to a tag, in runs per consumer.
    private func settleUpTo(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ tag: UInt64,
        _ outcome: SettleOutcome
    ) {
        let isPlain = outcome == .acknowledge && channel.pointee.mode != .transaction
        while let first = channel.pointee.ledger.first, first.key <= tag {
            if isPlain, self.acknowledgeRun(channel, first.value, upTo: tag) { continue }
            _ = channel.pointee.ledger.removeFirst()
            self.settleOrDefer(channel, first.key, first.value, outcome)
        }
    }

    /// Acknowledges what is open up to a tag, from the first on, as far as it is one consumer's in the order of delivery:
    /// what concerns consumer and queue is looked at once.
    ///
    /// Returns whether there was anything of that kind; if not, nothing has been done.
    private func acknowledgeRun(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ first: LedgerEntry,
        upTo tag: UInt64
    ) -> Bool {
        guard let local = channel.pointee.consumers[Int(first.consumer)], !local.pointee.isGlobalLimited,
            local.pointee.queue.shard == self.index, let queue = self.queue(local.pointee.queue),
            !queue.pointee.followsMessages, Int(local.pointee.consumer) < queue.pointee.consumers.count,
            let consumer = queue.pointee.consumers[Int(local.pointee.consumer)]
        else { return false }
        var count = 0
        while let (key, entry) = channel.pointee.ledger.first, key <= tag, entry.consumer == first.consumer,
            let (serial, delivery) = consumer.pointee.outstanding.first, serial == entry.serial
        {
            _ = channel.pointee.ledger.removeFirst()
            _ = consumer.pointee.outstanding.removeFirst()
            self.logSettled(queue, delivery.sequence, delivery.entry.flags)
            self.store.release(delivery.entry.slot)
            count &+= 1
        }
        guard count > 0 else { return false }
        local.pointee.unacknowledged &-= count
        queue.pointee.unacknowledged &-= count
        self.goOn(consumer, of: queue)
        if local.pointee.isRetired && local.pointee.unacknowledged == 0 {
            self.freeConsumer(channel, local)
        }
        return true
    }

    /// A consumer whose deliveries have been settled may take messages again, or go.
    @inline(__always)
    private func goOn(
        _ consumer: UnsafeMutablePointer<ConsumerState>,
        of queue: UnsafeMutablePointer<QueueState>
    ) {
        guard !consumer.pointee.isReady else { return }
        if consumer.pointee.isCancelled {
            self.freeIfSettled(queue, consumer)
        } else {
            self.makeReady(consumer, of: queue)
        }
    }

    /// Sends the outcome of one delivery to its queue.
    @inline(__always)
    func settle(_ channel: UnsafeMutablePointer<ChannelState>, _ entry: LedgerEntry, _ outcome: SettleOutcome) {
        guard let consumer = channel.pointee.consumers[Int(entry.consumer)] else { return }
        consumer.pointee.unacknowledged &-= 1
        let address = consumer.pointee.queue
        if consumer.pointee.isGlobalLimited {
            self.returnGlobalCredit(channel)
        }
        if address.shard == self.index {
            if let queue = self.queue(address) {
                self.settle(queue, consumer: consumer.pointee.consumer, serial: entry.serial, outcome)
            }
        } else {
            self.forwardSettlement(consumer, entry, outcome)
        }
        if consumer.pointee.isRetired && consumer.pointee.unacknowledged == 0 {
            self.freeConsumer(channel, consumer)
        }
    }

    /// Tells a queue's shard an outcome; apart from ``settle(_:_:_:)`` so that local outcomes do without its references.
    @inline(never)
    private func forwardSettlement(
        _ consumer: UnsafeMutablePointer<ChannelConsumer>,
        _ entry: LedgerEntry,
        _ outcome: SettleOutcome
    ) {
        let address = consumer.pointee.queue
        let base = self.appendRecord(.settle, size: 32, to: address.shard)
        base.storeBytes(of: address.slot, toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: address.generation, toByteOffset: 12, as: UInt32.self)
        base.storeBytes(of: consumer.pointee.consumer, toByteOffset: 16, as: UInt32.self)
        base.storeBytes(of: UInt32(outcome.rawValue), toByteOffset: 20, as: UInt32.self)
        base.storeBytes(of: entry.serial, toByteOffset: 24, as: UInt64.self)
    }

    /// Carries an outcome out at the queue's home.
    @inline(__always)
    func settle(
        _ queue: UnsafeMutablePointer<QueueState>,
        consumer id: UInt32,
        serial: UInt64,
        _ outcome: SettleOutcome
    ) {
        guard Int(id) < queue.pointee.consumers.count, let consumer = queue.pointee.consumers[Int(id)] else { return }
        guard let delivery = consumer.pointee.outstanding.remove(serial) else {
            self.settleLate(queue, consumer)
            return
        }
        queue.pointee.unacknowledged &-= 1
        switch outcome {
        case .acknowledge:
            if queue.pointee.followsMessages {
                self.settleFollowed(queue, delivery.sequence)
            }
            self.logSettled(queue, delivery.sequence, delivery.entry.flags)
            self.store.release(delivery.entry.slot)
        case .reject:
            if queue.pointee.groups != nil {
                self.settleInGroup(queue, delivery.sequence)
            }
            self.deadLetter(queue, delivery, .rejected)
        case .requeue:
            self.takeBack(queue, delivery, .failed)
        case .returned:
            self.takeBack(queue, delivery, .returned)
        case .recovered:
            self.takeBack(queue, delivery, .recovered)
        case .undelivered:
            self.becomeReady(queue, delivery)
        }
        self.goOn(consumer, of: queue)
    }

    /// `basic.recover`: everything open on the channel goes back.
    func receiveRecover(_ channel: UnsafeMutablePointer<ChannelState>, requeue: Bool, isAsync: Bool) {
        guard requeue else {
            self.closeConnection(
                channel.pointee.connection,
                .notImplemented,
                "requeue=false",
                isAsync ? BasicRecoverAsync.id : BasicRecover.id
            )
            return
        }
        if !isAsync {
            self.sendMethod(BasicRecoverOk(), channel)
        }
        while let (_, entry) = channel.pointee.ledger.removeFirst() {
            self.settle(channel, entry, .recovered)
        }
    }
}
