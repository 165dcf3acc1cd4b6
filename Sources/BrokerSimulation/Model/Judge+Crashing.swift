/// A broker that ends, and what another one that goes on with its log must have.
extension Judge {
    /// The broker is gone, and its clients' connections with it.
    ///
    /// After an end in good order the log has everything that any client saw.
    package func brokerEnds(inOrder: Bool) {
        self.tick()
        self.note(inOrder ? "the broker has stopped" : "the broker is gone")
        for client in self.clients {
            self.loses(client)
        }
        if inOrder {
            self.logProof = self.clock
        }
        self.resolve()
        self.isStopping = false
        self.lastConfirmed = nil
        self.routing = []
        self.era += 1
        for queue in self.queues {
            self.outlive(queue)
        }
        self.outliveExchanges()
        self.outliveBindings()
        for queue in self.queues where queue.existence.isPossible {
            self.outliveMessages(of: queue)
        }
        self.topologyChanged()
    }

    private func outlive(_ queue: ModelQueue) {
        queue.openDeclarations = 0
        queue.hadConsumer = false
        queue.activeConsumer = nil
        guard queue.survives else {
            for message in queue.messages {
                message.copies[queue.id, default: .init()].place = .ended
                message.must.remove(queue.id)
            }
            queue.messages = []
            return self.vanish(queue)
        }
        if queue.existence == .starting || (queue.existence == .certain && !queue.isLogged) {
            self.doubt(queue)
        }
    }

    private func outliveExchanges() {
        for index in self.topology.exchanges.indices {
            let exchange = self.topology.exchanges[index]
            self.exchangeDoubts[index] = self.clock
            guard exchange.isDurable else {
                self.topology.exchanges[index].existence = .gone
                continue
            }
            if exchange.existence == .starting || (exchange.existence == .certain && !exchange.isLogged) {
                self.topology.exchanges[index].existence = .doubtful
            }
        }
    }

    private func outliveBindings() {
        for index in self.topology.bindings.indices {
            let binding = self.topology.bindings[index]
            self.topology.bindings[index].openRequests = 0
            self.topology.bindings[index].openUnbinds = 0
            let survives: Bool
            switch binding.target {
            case .queue(let queue): survives = self.queues[queue].existence.isPossible
            case .exchange(let exchange): survives = self.topology.exchanges[exchange].existence.isPossible
            }
            if !survives || !self.topology.exchanges[binding.source].existence.isPossible {
                self.topology.bindings[index].existence = .gone
            } else if binding.existence == .starting || (binding.existence == .certain && !binding.isLogged) {
                self.topology.bindings[index].existence = .doubtful
            }
            // An exchange that goes with its last binding goes only if that ends while the broker runs.
            let existence = self.topology.bindings[index].existence
            self.topology.bindings[index].wasCertain = existence == .certain
            self.topology.bindings[index].wasRequested = binding.wasRequested && existence != .gone
        }
    }

    // MARK: Messages

    private func outliveMessages(of queue: ModelQueue) {
        // The log is read up to some record: what a channel published to a queue before something that is there, is
        // there as well.
        var logged: [ObjectIdentifier: Int] = [:]
        for message in queue.messages where message.isPersistent {
            if self.isCertainlyLogged(message, queue) {
                let publisher = ObjectIdentifier(message.publisher)
                logged[publisher] = max(logged[publisher] ?? 0, message.id)
            }
        }
        // A queue that somebody has asked to delete may have let go of its messages before it went itself.
        let mayBeEmptied = queue.existence == .doubtful
        for message in queue.messages {
            let last = logged[ObjectIdentifier(message.publisher)] ?? -1
            self.outlive(message, on: queue, isBeforeLogged: message.id <= last)
            if mayBeEmptied {
                message.copies[queue.id]?.mayBeLost = true
            }
        }
        queue.messages.removeAll { message in
            if case .ended = message.copies[queue.id]?.place { true } else { false }
        }
    }

    private func isCertainlyLogged(_ message: ModelMessage, _ queue: ModelQueue) -> Bool {
        guard let copy = message.copies[queue.id], message.certainty != .never else { return false }
        // Whoever saw a message saw what had been handed to the log before.
        return copy.isLogged || (copy.wasSeen && copy.seenAt < self.logProof)
            || (copy.takenAt > 0 && copy.takenAt < self.logProof)
    }

    private func outlive(_ message: ModelMessage, on queue: ModelQueue, isBeforeLogged: Bool) {
        var copy = message.copies[queue.id] ?? ModelMessage.Copy()
        defer { message.copies[queue.id] = copy }
        guard message.isPersistent else {
            copy.place = .ended
            message.must.remove(queue.id)
            return
        }
        let isExpected = message.certainty != .never && message.must.contains(queue.id)
        if isExpected && isBeforeLogged {
            copy.isLogged = true
        }
        self.keepOrForget(message, isExpected, &copy, queue)
        switch copy.place {
        case .settled where !copy.isFinal, .out:
            copy.place = .doubtful
        case .consumed where copy.takenAt >= self.logProof:
            copy.place = .doubtful
            copy.mayBeMarked = true
        case .queue, .doubtful, .settled, .consumed, .purged, .ended:
            break
        }
        if copy.wasSeen && copy.seenAt >= self.logProof {
            copy.wasSeen = false
            copy.mayBeMarked = true
        }
    }

    /// What the log has is certain from now on, everything else possible.
    private func keepOrForget(
        _ message: ModelMessage,
        _ isExpected: Bool,
        _ copy: inout ModelMessage.Copy,
        _ queue: ModelQueue
    ) {
        guard message.certainty != .never else { return }
        if copy.isLogged {
            message.must.insert(queue.id)
            message.certainty = .certain
        } else {
            message.must.remove(queue.id)
            copy.wasExpected = copy.wasExpected || isExpected
        }
    }

    /// A message of a broker that ended has come: so the log has it, and what its channel published before.
    func survived(_ message: ModelMessage, _ queue: ModelQueue) {
        for earlier in queue.messages
        where earlier.publisher === message.publisher && earlier.id <= message.id && earlier.era == message.era {
            guard var copy = earlier.copies[queue.id], copy.wasExpected, !copy.isLogged else { continue }
            copy.isLogged = true
            earlier.copies[queue.id] = copy
            earlier.must.insert(queue.id)
            earlier.certainty = .certain
        }
    }
}
