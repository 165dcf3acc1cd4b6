/// What clients send: from their side it is done at once.
extension Judge {
    /// A client has sent an operation.
    ///
    /// `mustFail` says that it is wrong, so that the broker must close the channel.
    package func sends(_ operation: Operation, on channel: ModelChannel, mustFail: Bool = false) {
        self.tick()
        self.note("\(channel.name) > \(self.describe(operation))\(mustFail ? " (wrong)" : "")")
        let number = channel.nextOperation
        channel.nextOperation += 1
        channel.pending.append(
            PendingOperation(number: number, operation: operation, sentAt: self.clock, mustFail: mustFail)
        )
        guard !mustFail else {
            if case .publish(let message) = operation {
                self.messages[message].certainty = .never
            }
            return
        }
        switch operation {
        case .openChannel, .inspectQueue, .declareExchange, .get:
            break
        case .closeChannel:
            channel.state = .closing
            self.startEnding(channel)
        case .declareQueue(let queue, _):
            self.queues[queue].openDeclarations += 1
        case .deleteQueue(let queue, _, _):
            self.doubt(self.queues[queue])
        case .purgeQueue(let queue):
            self.weakened.insert(queue)
        case .deleteExchange(let exchange):
            if self.topology.exchanges[exchange].existence == .certain {
                self.topology.exchanges[exchange].existence = .doubtful
            }
            self.exchangeDoubts[exchange] = self.clock
            self.topologyChanged()
        case .bind(let binding, _):
            self.topology.bindings[binding].openRequests += 1
            self.topology.bindings[binding].wasRequested = true
            if self.topology.bindings[binding].existence == .gone {
                self.topology.bindings[binding].existence = .starting
            }
            self.topologyChanged()
        case .unbind(let binding):
            self.topology.bindings[binding].openRequests += 1
            self.topology.bindings[binding].openUnbinds += 1
            if self.topology.bindings[binding].existence == .certain {
                self.topology.bindings[binding].existence = .doubtful
            }
            self.topologyChanged()
        case .publish(let message):
            self.sendsMessage(self.messages[message], on: channel)
        case .consume(let tag, let queue, let noAck, _, _):
            channel.consumers.append(
                ModelConsumer(tag: tag, queue: queue, noAck: noAck, prefetch: channel.prefetch)
            )
        case .cancel(let tag):
            self.stop(channel.consumer(tag))
        case .settle(let tag, let isMultiple, let outcome):
            self.sendsSettlement(tag, isMultiple, outcome, number, on: channel)
        case .recover:
            channel.isRecovering = true
            self.expectReturns(from: channel)
        case .qos(let count, let isGlobal):
            if isGlobal {
                channel.globalLimits.append(count)
            } else {
                channel.prefetch = count
                channel.globalLimits.append(0)
            }
        case .selectConfirms:
            channel.mode = .confirm
        case .selectTransactions:
            channel.mode = .transaction
        case .commit:
            self.sendsCommit(number, on: channel)
        case .rollBack:
            self.sendsRollback(on: channel)
        }
    }

    private func sendsMessage(_ message: ModelMessage, on channel: ModelChannel) {
        message.isTransactional = channel.mode == .transaction
        message.certainty = message.isTransactional ? .never : .possible
        message.sentAt = self.clock
        message.era = self.era
        message.operation = channel.nextOperation - 1
        self.routing.append(message)
        self.route(message, isFirst: true)
        switch channel.mode {
        case .plain:
            break
        case .confirm:
            channel.lastPublish += 1
            channel.unconfirmed[channel.lastPublish] = message
        case .transaction:
            channel.transactionMessages.append(message)
        }
    }

    private func sendsSettlement(
        _ tag: UInt64,
        _ isMultiple: Bool,
        _ outcome: Operation.Outcome,
        _ number: Int,
        on channel: ModelChannel
    ) {
        // With multiple, 0 is everything.
        func isNamed(_ delivery: ModelChannel.Delivery) -> Bool {
            isMultiple ? tag == 0 || delivery.tag <= tag : delivery.tag == tag
        }
        let settled = channel.unacknowledged.filter(isNamed)
        channel.unacknowledged.removeAll(where: isNamed)
        for delivery in settled {
            if channel.mode == .transaction {
                channel.transactionSettlements.append((delivery, outcome))
            } else {
                self.settle(delivery, outcome, number, on: channel)
            }
        }
    }

    /// A delivery is no longer the client's.
    func settle(
        _ delivery: ModelChannel.Delivery,
        _ outcome: Operation.Outcome,
        _ number: Int,
        on channel: ModelChannel
    ) {
        self.forget(delivery, on: channel)
        // It may be somewhere else already: the channel may have ended without the client knowing.
        guard self.isOut(delivery, on: channel) else { return }
        switch outcome {
        case .acknowledge, .drop:
            delivery.message.copies[delivery.queue]?.place = .settled(channel, operation: number)
            channel.settledBy[number, default: []].append(delivery)
            channel.unloggedSettlements.append((number, delivery))
        case .requeue:
            delivery.message.copies[delivery.queue]?.place = .queue
        }
    }

    /// A delivery no longer counts against limits.
    func forget(_ delivery: ModelChannel.Delivery, on channel: ModelChannel) {
        guard let consumer = delivery.consumer else { return }
        consumer.unacknowledged -= 1
        channel.openDeliveries -= 1
    }

    /// Whether a delivery is what the model thinks is the copy's place.
    func isOut(_ delivery: ModelChannel.Delivery, on channel: ModelChannel) -> Bool {
        guard case .out(let holder, let tag) = delivery.message.copies[delivery.queue]?.place else { return false }
        return holder === channel && tag == delivery.tag
    }

    private func sendsCommit(_ number: Int, on channel: ModelChannel) {
        for message in channel.transactionMessages {
            message.certainty = .possible
            message.operation = number
        }
        channel.committing[number] = channel.transactionMessages
        channel.transactionMessages = []
        let settlements = channel.transactionSettlements
        channel.transactionSettlements = []
        for (delivery, outcome) in settlements {
            self.settle(delivery, outcome, number, on: channel)
        }
    }

    private func sendsRollback(on channel: ModelChannel) {
        channel.transactionMessages = []
        channel.unacknowledged += channel.transactionSettlements.map(\.delivery)
        channel.unacknowledged.sort { $0.tag < $1.tag }
        channel.transactionSettlements = []
    }

    private func stop(_ consumer: ModelConsumer?) {
        guard let consumer, consumer.state != .ended else { return }
        consumer.state = .stopping
        self.doubtIfUnused(self.queues[consumer.queue])
    }

    /// An auto-delete queue may go whenever a consumer does.
    func doubtIfUnused(_ queue: ModelQueue) {
        if queue.isAutoDelete {
            self.doubt(queue)
        }
    }

    /// A channel is on its way out: its consumers leave, its deliveries come back.
    func startEnding(_ channel: ModelChannel) {
        self.expectReturns(from: channel)
        for consumer in channel.consumers where consumer.state != .ended {
            if consumer.noAck {
                self.weakened.insert(consumer.queue)
            }
            self.stop(consumer)
        }
        for pending in channel.pending {
            if case .get(let queue, noAck: true) = pending.operation {
                self.weakened.insert(queue)
            }
        }
    }

    /// Deliveries that the client has not seen may come back to their queues, marked as redelivered.
    func expectReturns(from channel: ModelChannel) {
        for consumer in channel.consumers where consumer.state != .ended && !consumer.noAck {
            self.returning.insert(consumer.queue)
        }
        for pending in channel.pending {
            if case .get(let queue, noAck: false) = pending.operation {
                self.returning.insert(queue)
            }
        }
    }
}
