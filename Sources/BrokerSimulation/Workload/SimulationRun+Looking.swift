internal import AMQPProtocol
internal import BrokerCore

/// Times at which nothing moves, and the end.
extension SimulationRun {
    /// Runs until nothing moves any more, and no read that the disk has refused waits to be tried again.
    func settle() {
        self.runUntilNothingMoves()
        for _ in 0..<1000 where self.broker.shards.contains(where: \.hasRefusedReads) && self.judge.failure == nil {
            self.sendHeartbeats()
            self.broker.advance(milliseconds: 100)
            self.runUntilNothingMoves()
        }
        self.actors.removeAll { $0.model.state == .ended }
        self.judge.settles()
    }

    private func runUntilNothingMoves() {
        var isMoving = true
        while isMoving && self.judge.failure == nil {
            self.broker.run(self.random)
            isMoving = false
            for actor in self.actors where !actor.model.isSilent && actor.model.state != .ended {
                isMoving = actor.read() || isMoving
            }
            isMoving = isMoving || self.broker.hasEvents
        }
    }

    /// Settles and looks at every queue; sometimes does what can only be judged now.
    func look() {
        self.healDisk()
        self.settle()
        self.checkDeletedInHaste()
        var filled: [Int] = []
        for number in self.judge.queues.indices where self.judge.queues[number].existence.isPossible {
            let observation = self.observe(number)
            if case .present(1..., _) = observation { filled.append(number) }
            self.judge.observes(number, observation)
            if case .present(let messages, _) = observation, self.random.oneIn(12) {
                self.purge(number, expected: messages)
            }
        }
        for number in self.judge.topology.exchanges.indices
        where self.judge.topology.exchanges[number].existence.isPossible {
            self.judge.observes(exchange: number, isThere: self.isThere(exchange: number))
        }
        self.checkAccounts(open: self.judge.openDeliveries)
        if self.endsInHaste {
            self.endInHaste(filled)
            return
        }
        if self.random.oneIn(4) {
            self.silenceSomebody()
        }
        self.acknowledgeEverything()
        self.judge.step += 1
    }

    /// Acknowledges tag 0, which is everything: only now is it known what that is.
    private func acknowledgeEverything() {
        guard let actor = self.workload.pick(self.actors.filter { $0.model.state == .open }),
            let channel = actor.model.orderedChannels.first(where: { $0.state == .open }), self.random.oneIn(3)
        else { return }
        let outcome: Operation.Outcome = self.random.oneIn(2) ? .acknowledge : .requeue
        actor.send(.settle(tag: 0, isMultiple: true, outcome), on: channel)
        // Before anything else can be delivered.
        self.broker.readAll(actor.client.socket)
    }

    private func isThere(exchange: Int) -> Bool {
        let name = self.judge.topology.exchanges[exchange].name
        let received = self.observer.call(ExchangeDeclare(exchange: ShortString(truncating: name), passive: true))
        switch received.first {
        case .method(_, .exchangeDeclareOk)?:
            return true
        case .method(_, .channelClose)?:
            self.observer.send(ChannelCloseOk())
            self.observer.call(ChannelOpen())
            return false
        default:
            self.judge.fail("the observer got \(received) for a passive declaration")
            return false
        }
    }

    func observe(_ number: Int) -> Judge.Observation {
        let received = self.observer.call(
            QueueDeclare(queue: ShortString(truncating: ModelQueue.name(number)), passive: true)
        )
        switch received.first {
        case .method(_, .queueDeclareOk(let ok))?:
            return .present(messages: Int(ok.messageCount), consumers: Int(ok.consumerCount))
        case .method(_, .channelClose(let close))?:
            self.observer.send(ChannelCloseOk())
            self.observer.call(ChannelOpen())
            return close.replyCode == ReplyCode.resourceLocked.rawValue ? .locked : .absent
        default:
            self.judge.fail("the observer got \(received) for a passive declaration")
            return .locked
        }
    }

    private func purge(_ number: Int, expected: Int) {
        let received = self.observer.call(QueuePurge(queue: ShortString(truncating: ModelQueue.name(number))))
        guard case .method(_, .queuePurgeOk(let ok))? = received.first else {
            return self.judge.fail("the observer got \(received) for a purge")
        }
        self.judge.purgesQuietly(number, count: Int(ok.messageCount), expected: expected)
    }

    /// A client stops to show signs of life: its connection must be closed, all others stay.
    private func silenceSomebody() {
        let candidates = self.actors.filter { $0.heartbeatSeconds > 0 && $0.model.state == .open }
        guard let silent = self.workload.pick(candidates) else { return }
        self.judge.note("c\(silent.model.id) falls silent")
        silent.model.isSilent = true
        for _ in 0..<3 * silent.heartbeatSeconds {
            for actor in self.actors where !actor.model.isSilent {
                actor.sendHeartbeat()
            }
            self.broker.run(self.random)
            self.broker.advance(milliseconds: 1000)
            for actor in self.actors where !actor.model.isSilent {
                _ = actor.read()
            }
        }
        guard silent.client.socket.isClosed else {
            return self.judge.fail("c\(silent.model.id) is silent and was not closed")
        }
        self.judge.loses(silent.model)
        self.settle()
    }
}
