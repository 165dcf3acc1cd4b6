/// What the commit log must have by now, seen from outside.
///
/// 1. Everything that was answered from the log is in it: a confirm, `commit-ok`, and the answers that make or take away
///    something durable. A message that went straight to a consumer that does not acknowledge never was in the log, and
///    its confirm says nothing about it.
/// 2. Whatever a client sees was handed to the log before, and the log keeps the order: what clients had seen before
///    somebody sent what was answered from the log, is in the log as well (``logProof``).
/// 3. An acknowledgement is in the log when a later publish of its channel to the same queue is.
/// 4. When nothing moves any more, everything is in the log.
extension Judge {
    /// A publisher was told that a message is on its queues, which it asked for at a time.
    func isLogged(_ message: ModelMessage, on channel: ModelChannel, askedAt time: Int) {
        guard message.isPersistent, !message.isReturned else { return }
        let queues = message.must.filter { self.queues[$0].survives && !self.mayHandOver($0) }
        guard !queues.isEmpty else { return }
        self.logProof = max(self.logProof, time)
        for queue in queues {
            message.copies[queue, default: .init()].isLogged = true
            self.queues[queue].isLogged = true
        }
        channel.unloggedSettlements.removeAll { operation, delivery in
            guard operation < message.operation, queues.contains(delivery.queue) else { return false }
            self.isFinal(delivery, operation, of: channel)
            return true
        }
    }

    /// Whether a message may have gone to a consumer of a queue without being kept.
    private func mayHandOver(_ queue: Int) -> Bool {
        self.channels.contains { channel in channel.consumers.contains { $0.queue == queue && $0.noAck } }
    }

    private func isFinal(_ delivery: ModelChannel.Delivery, _ operation: Int, of channel: ModelChannel) {
        guard case .settled(let holder, operation) = delivery.message.copies[delivery.queue]?.place, holder === channel
        else { return }
        delivery.message.copies[delivery.queue]?.isFinal = true
    }

    /// A declaration of a queue was answered.
    func isLogged(_ queue: ModelQueue, _ declaration: PendingOperation) {
        guard queue.survives else { return }
        // Of two who ask at a time the second is answered for what the first has written.
        if queue.existence == .starting && queue.openDeclarations == 0 {
            self.logProof = max(self.logProof, declaration.sentAt)
        }
        queue.isLogged = true
    }

    /// A declaration of an exchange was answered.
    func isLogged(exchange number: Int) {
        let exchange = self.topology.exchanges[number]
        guard exchange.isDurable else { return }
        self.topology.exchanges[number].isLogged = true
    }

    /// Nothing moves any more: the log has all there is.
    func everythingIsLogged() {
        self.logProof = self.clock + 1
        for channel in self.channels {
            channel.unloggedSettlements = []
        }
        for queue in self.queues where queue.existence == .certain {
            queue.isLogged = true
        }
        for index in self.topology.exchanges.indices where self.topology.exchanges[index].existence == .certain {
            self.topology.exchanges[index].isLogged = true
        }
        for index in self.topology.bindings.indices where self.topology.bindings[index].existence == .certain {
            self.topology.bindings[index].isLogged = true
        }
        for queue in self.queues where queue.survives {
            for message in queue.messages
            where message.isPersistent && message.certainty == .certain && message.must.contains(queue.id) {
                message.copies[queue.id, default: .init()].isLogged = true
            }
        }
    }
}
