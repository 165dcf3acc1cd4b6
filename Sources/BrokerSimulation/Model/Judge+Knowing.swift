/// From sent to known: operations that have been carried out, and those that perhaps never were.
extension Judge {
    /// Everything before an operation of a channel has been carried out.
    func completeAll(before number: Int, on channel: ModelChannel) {
        while let first = channel.pending.first, first.number < number {
            channel.pending.removeFirst()
            if first.operation.isAnswered {
                self.fail("\(channel.name): no answer to \(self.describe(first.operation))")
                return
            }
            self.complete(first, on: channel)
        }
    }

    /// An operation has been carried out.
    func complete(_ pending: PendingOperation, on channel: ModelChannel) {
        guard !pending.mustFail else {
            self.fail("\(channel.name): \(self.describe(pending.operation)) was not refused")
            return
        }
        switch pending.operation {
        case .openChannel:
            // The client may have sent `close` already.
            if channel.state == .opening {
                channel.state = .open
            }
        case .closeChannel:
            self.endChannel(channel)
        case .declareQueue(let number, let noWait):
            let queue = self.queues[number]
            queue.openDeclarations -= 1
            if !noWait {
                self.isLogged(queue, pending)
            }
            if queue.existence == .starting {
                queue.lastDoubt = self.clock
                queue.existence = .certain
                self.topologyChanged()
            }
        case .deleteQueue(let queue, _, _):
            self.vanish(self.queues[queue])
        case .purgeQueue(let queue):
            self.purges(queue, pending, on: channel)
        case .declareExchange(let exchange):
            self.isLogged(exchange: exchange)
            if self.topology.exchanges[exchange].existence == .starting {
                self.topology.exchanges[exchange].existence = .certain
                self.exchangeDoubts[exchange] = self.clock
                self.topologyChanged()
            }
        case .deleteExchange(let exchange):
            self.topology.exchanges[exchange].existence = .gone
            self.topologyChanged()
        case .bind(let binding, let noWait):
            self.completeRequest(about: binding, .certain)
            self.topology.bindings[binding].isLogged = !noWait
        case .unbind(let binding):
            self.completeRequest(about: binding, .gone)
        case .publish(let number):
            self.completePublish(self.messages[number], on: channel)
        case .consume(let tag, let queue, _, _, _):
            guard let consumer = channel.consumer(tag) else { return }
            self.queues[queue].hadConsumer = true
            if consumer.state == .starting {
                consumer.state = .active
            }
        case .cancel(let tag):
            channel.consumer(tag)?.state = .ended
        case .recover:
            channel.isRecovering = false
            self.release(channel)
        case .commit:
            for message in channel.committing.removeValue(forKey: pending.number) ?? [] {
                self.isConfirmed(message, on: channel, askedAt: pending.sentAt)
                self.isOnItsQueues(message, on: channel)
            }
            channel.settledBy[pending.number] = nil
        case .settle:
            channel.settledBy[pending.number] = nil
        case .inspectQueue, .get, .qos, .selectConfirms, .selectTransactions, .rollBack:
            break
        }
    }

    /// One request less; returns whether all that are left want the same.
    @discardableResult
    func closeRequest(about binding: Int, isUnbind: Bool) -> Bool {
        self.topology.bindings[binding].openRequests -= 1
        if isUnbind {
            self.topology.bindings[binding].openUnbinds -= 1
        }
        let (requests, unbinds) = (
            self.topology.bindings[binding].openRequests, self.topology.bindings[binding].openUnbinds
        )
        return unbinds == (isUnbind ? requests : 0)
    }

    /// A binding is what the last request made it, if there was no other one at the same time.
    private func completeRequest(about binding: Int, _ existence: Existence) {
        let isOthersAlike = self.closeRequest(about: binding, isUnbind: existence == .gone)
        self.topology.bindings[binding].existence = isOthersAlike ? existence : .doubtful
        if self.topology.bindings[binding].existence == .certain {
            self.topology.bindings[binding].wasCertain = true
        }
        self.topologyChanged()
    }

    private func completePublish(_ message: ModelMessage, on channel: ModelChannel) {
        self.routing.removeAll { $0 === message }
        // In a transaction it has only been routed.
        if !message.isTransactional {
            self.isOnItsQueues(message, on: channel)
        }
    }

    /// The publisher knows that a message is on its queues.
    func isConfirmed(_ message: ModelMessage, on channel: ModelChannel, askedAt time: Int) {
        message.confirmedAt = self.clock
        self.lastConfirmed = message
        self.isLogged(message, on: channel, askedAt: time)
    }

    private func isOnItsQueues(_ message: ModelMessage, on channel: ModelChannel) {
        message.certainty = .certain
        if message.isMandatory && message.may.isEmpty && !message.isReturned {
            self.fail("\(channel.name): m\(message.id) had no route and was not returned")
        }
    }

    /// A channel has ended: what it had open comes back.
    func endChannel(_ channel: ModelChannel) {
        channel.state = .closed
        // A transaction that has not been committed never was.
        channel.unacknowledged += channel.transactionSettlements.map(\.delivery)
        channel.transactionSettlements = []
        self.expectReturns(from: channel)
        self.release(channel)
        for consumer in channel.consumers {
            consumer.state = .ended
        }
    }

    /// All open deliveries of a channel go back to their queues.
    func release(_ channel: ModelChannel) {
        for delivery in channel.unacknowledged {
            self.forget(delivery, on: channel)
            if self.isOut(delivery, on: channel) {
                delivery.message.copies[delivery.queue]?.place = .queue
            }
        }
        channel.unacknowledged = []
    }

    /// What has been sent on a channel and is not known to be done may be done or not.
    func abandon(_ channel: ModelChannel) {
        for pending in channel.pending where !pending.mustFail {
            switch pending.operation {
            case .declareQueue, .declareExchange, .bind, .unbind:
                self.abandonedRequests.append(pending.operation)
            case .publish(let number):
                self.routing.removeAll { $0 === self.messages[number] }
            case .settle, .commit:
                self.doubtSettlements(pending.number, of: channel)
            case .consume(_, let queue, _, _, _):
                self.doubtIfUnused(self.queues[queue])
            case .openChannel, .closeChannel, .inspectQueue, .deleteQueue, .purgeQueue, .deleteExchange,
                .cancel, .get, .recover, .qos, .selectConfirms, .selectTransactions, .rollBack:
                break
            }
        }
        channel.pending = []
    }

    private func doubtSettlements(_ number: Int, of channel: ModelChannel) {
        for delivery in channel.settledBy.removeValue(forKey: number) ?? [] {
            guard case .settled(let holder, number) = delivery.message.copies[delivery.queue]?.place,
                holder === channel
            else { continue }
            delivery.message.copies[delivery.queue]?.place = .doubtful
        }
    }

    /// The connection has been closed in order: everything that was sent before has been carried out and answered.
    func finish(_ channel: ModelChannel) {
        guard channel.state != .closed else { return }
        // Refused operations count as refused: nobody tells a client that is closing.
        if !self.mayBeRefused(channel) && channel.state != .closing {
            self.completeAll(before: .max, on: channel)
        }
        self.abandon(channel)
        self.endChannel(channel)
    }

    /// Whether deliveries of a channel may be coming back without the client knowing yet.
    func mayBeReturning(_ channel: ModelChannel) -> Bool {
        channel.state == .closing || channel.state == .closed || channel.client.state == .closing
            || channel.client.isSilent || channel.isRecovering || self.mayBeRefused(channel)
    }

    /// Whether the broker may have closed a channel by now.
    func mayBeRefused(_ channel: ModelChannel) -> Bool {
        channel.pending.contains { $0.mustFail || self.mayBeRefused($0) }
    }

    private func mayBeRefused(_ pending: PendingOperation) -> Bool {
        let since = pending.sentAt
        switch pending.operation {
        case .inspectQueue(let queue), .purgeQueue(let queue), .consume(_, let queue, _, _, _), .get(let queue, _):
            return !self.wasCertain(queue: queue, since: since)
        case .publish(let number):
            return !self.wasCertain(exchange: self.messages[number].exchange, since: since)
        case .deleteQueue(_, let ifUnused, let ifEmpty):
            return ifUnused || ifEmpty
        case .bind(let number, _):
            let binding = self.topology.bindings[number]
            guard self.wasCertain(exchange: binding.source, since: since) else { return true }
            switch binding.target {
            case .queue(let queue): return !self.wasCertain(queue: queue, since: since)
            case .exchange(let exchange): return !self.wasCertain(exchange: exchange, since: since)
            }
        case .openChannel, .closeChannel, .declareQueue, .declareExchange, .deleteExchange, .unbind, .cancel, .settle,
            .recover, .qos, .selectConfirms, .selectTransactions, .commit, .rollBack:
            return false
        }
    }
}
