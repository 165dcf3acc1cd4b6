internal import AMQPProtocol
internal import BrokerCore

/// Times at which nothing moves, and the end.
extension FeatureRun {
    /// Runs until nothing moves any more, and no read that the disk has refused waits to be tried again.
    func settle() {
        var waits = 0
        repeat {
            self.runUntilNothingMoves()
            guard self.judge.failure == nil, self.broker.shards.contains(where: \.hasRefusedReads) else { return }
            self.advance(100)
            waits += 1
        } while waits < 1000
        self.judge.fail("the disk has refused reads for 100 s")
    }

    private func runUntilNothingMoves() {
        var isMoving = true
        while isMoving && self.judge.failure == nil {
            self.broker.run(self.random)
            // What is due already, as after a start.
            self.broker.advance(milliseconds: 0)
            isMoving = self.observer.read()
            for client in self.clients { isMoving = client.read() || isMoving }
            isMoving = isMoving || self.broker.hasEvents
        }
    }

    /// Settles and looks into every queue; sometimes does what can only be judged now.
    func look() {
        guard self.judge.failure == nil else { return }
        self.healDisk()
        self.settle()
        self.judge.settled()
        self.checkAlterations()
        if !self.random.oneIn(4) {
            self.takeEverything()
            self.judge.resolves()
            let outcome: FeatureCopy.Outcome = self.random.oneIn(2) ? .requeue : .acknowledge
            let endsNow = outcome == .requeue && self.endsWhileGroupsWait
            endsNow ? self.giveSomeBack() : self.giveBack(outcome)
            self.settle()
            self.judge.settled()
            if endsNow { self.endWhileGroupsWait() }
        }
        self.checkLease()
        if self.features.hasPolicies && self.random.oneIn(2) { self.changePolicy() }
        for queue in self.features.queues where self.random.oneIn(3) { self.probe(queue) }
        self.settle()
        self.judge.settled()
        let open = self.judge.channels.flatMap(\.unacknowledged).map { FeatureQueue.name($0.copy.queue) }
        self.checkAccounts(open: Dictionary(open.map { ($0, 1) }, uniquingKeysWith: +))
        // Not drawn, so that seeds go on doing what they did.
        if self.judge.step % 4 == 0 { self.compareLog() }
    }

    /// The observer takes every message that it can get.
    private func takeEverything() {
        for queue in self.features.queues {
            guard self.judge.failure == nil else { return }
            _ = self.observer.takeGot()
            repeat {
                self.observer.get(queue, noAck: false)
                self.settle()
            } while !self.observer.isEmpty && self.judge.failure == nil
            self.judge.holds(queue, self.observer.takeGot())
        }
    }

    /// The observer settles what it has: all at once, or one after the other.
    private func giveBack(_ outcome: FeatureCopy.Outcome) {
        guard self.judge.failure == nil else { return }
        let deliveries = self.observer.channel.unacknowledged
        if self.random.oneIn(2), let last = deliveries.last {
            self.observer.settle(last, isMultiple: true, outcome)
        } else {
            for delivery in deliveries { self.observer.settle(delivery, isMultiple: false, outcome) }
        }
    }

    /// The observer gives every other message back.
    private func giveSomeBack() {
        for (number, delivery) in self.observer.channel.unacknowledged.enumerated() where number % 2 == 1 {
            self.observer.settle(delivery, isMultiple: false, .requeue)
        }
    }

    // MARK: Policies

    private func changePolicy() {
        guard self.judge.failure == nil, let queue = self.pick(self.features.queues) else { return }
        var policy = FeatureQueue.Policy()
        var definition: [(ShortString, FieldValue)] = []
        if self.random.oneIn(2) {
            let limit = self.random.below(6)
            definition.append(("max-length", .int64(Int64(limit))))
            policy.maxLength = limit
        }
        if self.random.oneIn(2) {
            let time = UInt64(self.random.below(2000))
            definition.append(("message-ttl", .int64(Int64(time))))
            policy.timeToLive = time
        }
        // Not drawn, so that seeds go on doing what they did.
        if self.judge.step % 3 == 0 {
            let limit = 20 + self.judge.step % 300
            definition.append(("max-length-bytes", .int64(Int64(limit))))
            policy.maxBytes = limit
        }
        if self.random.oneIn(3), queue.declared.deadLettersTo == nil, queue.id + 1 < self.features.queues.count {
            let target = queue.id + 1
            let exchange = FeatureQueue.deadLetterExchange(to: target)
            definition.append(("dead-letter-exchange", .longString(exchange.bytes)))
            definition.append(("dead-letter-routing-key", .string(FeatureQueue.name(target))))
            policy.deadLettersTo = target
        }
        let name = "p\(queue.id)"
        let request: AdministrationRequest
        if definition.isEmpty {
            request = .clearPolicy(virtualHost: "/", name: name, isOperator: false)
        } else {
            request = .setPolicy(
                PolicyRequest(
                    virtualHost: "/",
                    name: name,
                    pattern: "^\(queue.name)$",
                    definition: FieldTable(definition)
                ),
                isOperator: false
            )
        }
        let answers = self.broker.administer(request)
        switch answers.first {
        case .done, .failed(.notFound): self.judge.governs(queue, policy)
        default: self.judge.fail("a policy for \(queue.name) was answered by \(answers)")
        }
        self.settle()
    }

    /// Nothing but what queues were declared with: a policy may leave no room for dead letters that must arrive.
    private func clearPolicies() {
        guard self.features.hasPolicies, self.judge.failure == nil else { return }
        self.settle()
        for queue in self.features.queues {
            _ = self.broker.administer(.clearPolicy(virtualHost: "/", name: "p\(queue.id)", isOperator: false))
            self.judge.governs(queue, FeatureQueue.Policy())
        }
        self.settle()
    }

    // MARK: Probes

    /// Publishes one message to a queue where nothing else happens, whose outcome is certain.
    private func probe(_ queue: FeatureQueue) {
        guard self.judge.failure == nil, queue.settings.maxBytes == nil,
            !self.clients.contains(where: { $0.channel.consumers.values.contains { $0.queue == queue.id } })
        else { return }
        let before = self.count(queue)
        let id = self.judge.messages.count
        let message = FeatureMessage(
            id: id,
            publisher: self.observer.channel,
            exchange: "",
            key: ShortString(truncating: queue.name),
            route: [queue.id]
        )
        self.observer.publish(message)
        self.settle()
        let after = self.count(queue)
        guard self.judge.failure == nil else { return }
        let limit = queue.settings.maxLength ?? .max
        // Dead letters that wait for somebody to take them take room, too, and cannot be seen.
        let isTight = queue.settings.isAtLeastOnce && queue.settings.overflow != .dropHead && limit != .max
        let mustRefuse =
            queue.settings.overflow != .dropHead && before >= limit || isTight && message.verdict == .refused
        let expected = mustRefuse || queue.settings.timeToLive == 0 ? before : min(before + 1, max(limit, 0))
        if (message.verdict == .refused) != mustRefuse {
            self.judge.fail("\(queue.name) had \(before) messages, limit \(limit), and m\(id) is \(message.verdict)")
        }
        if after != expected {
            self.judge.fail("\(queue.name) had \(before) messages and has \(after) after m\(id), not \(expected)")
        }
    }

    private func count(_ queue: FeatureQueue) -> Int {
        self.observer.inspect(queue)
        self.settle()
        return self.observer.messageCount ?? -1
    }

    // MARK: The end

    /// All clients go, all waiting ends, and everything must have been somewhere.
    func finish() {
        guard self.judge.failure == nil else { return }
        if !self.plan.faults.isEmpty && self.random.oneIn(2) { self.suffer() }
        self.look()
        for client in self.clients { client.cut() }
        self.clients = []
        self.clearPolicies()
        self.liftLimitsTooSmall()
        var quietRounds = 0
        for _ in 0..<2000 where quietRounds < 2 && self.judge.failure == nil {
            self.healDisk()
            self.settle()
            self.judge.settled()
            self.takeEverything()
            self.judge.resolves()
            // Dead letters that found no room come one by one, and may expire before they are looked for.
            let isQuiet =
                self.observer.channel.unacknowledged.isEmpty
                && self.broker.shards.allSatisfy { $0.census.messages == 0 }
            self.giveBack(.acknowledge)
            self.settle()
            self.judge.settled()
            // Dead letters that nobody has taken are tried every five seconds.
            self.advance(isQuiet ? 6000 : 1000)
            quietRounds = isQuiet ? quietRounds + 1 : 0
        }
        self.judge.isEnding = true
        self.judge.resolves()
        self.judge.nothingIsLeft()
        self.deleteQueues()
    }

    private func deleteQueues() {
        guard self.judge.failure == nil else { return }
        for queue in self.features.queues {
            self.observer.client.send(QueueDelete(queue: ShortString(truncating: queue.name), ifEmpty: true))
        }
        self.deleteLease()
        self.broker.run()
        self.observer.client.collect()
        for case .method(_, .channelClose(let close)) in self.observer.client.takeInbox() {
            self.judge.fail("a queue cannot be deleted: \(close.replyText)")
        }
        self.observer.client.disconnect()
        self.broker.run()
        for (index, shard) in self.broker.shards.enumerated() where !shard.census.isEmpty {
            return self.judge.fail("shard \(index) is not empty at the end: \(shard.census)")
        }
        if self.broker.lentBlocks != 0 {
            self.judge.fail("\(self.broker.lentBlocks) blocks of output memory are not given back")
        }
    }
}
