/// Draws operations that make sense on a channel, from what the model knows.
///
/// Most are right; an operation on something that may be gone is drawn now and then, and a wrong one on purpose
/// (``mistake(_:)``), so that refusals happen.
final class Workload {
    let judge: Judge
    let random: SeededRandom
    let plan: SimulationPlan
    private var nextTag = 1
    /// Where channels have published to last: brokers remember that, too.
    var lastRoutes: [ObjectIdentifier: (exchange: Int?, key: String)] = [:]

    static let keys = ["a", "b", "c"]
    /// Never declared.
    let missingExchange: Int
    /// Never declared.
    let missingQueue: Int

    init(_ judge: Judge, _ random: SeededRandom, _ plan: SimulationPlan) {
        self.judge = judge
        self.random = random
        self.plan = plan
        self.missingExchange = judge.topology.exchanges.count
        judge.topology.exchanges.append(ModelExchange(name: "missing", kind: .direct, existence: .gone))
        self.missingQueue = judge.queues.count
        let queue = ModelQueue(id: self.missingQueue)
        queue.existence = .gone
        judge.queues.append(queue)
    }

    /// A drawn operation, or nil when what was drawn makes no sense now.
    func next(_ actor: SimulationActor, _ channel: ModelChannel) -> (operation: Operation, mustFail: Bool)? {
        let kind = self.plan.kinds[self.random.below(self.plan.kinds.count)]
        if kind == .mistake {
            return (self.mistake(channel), true)
        }
        return self.draw(kind, channel).map { ($0, false) }
    }

    private func draw(_ kind: SimulationPlan.Kind, _ channel: ModelChannel) -> Operation? {
        switch kind {
        case .publish: return self.publish(channel)
        case .settle: return self.settle(channel)
        case .consume: return self.consume(channel)
        case .cancel: return self.cancel(channel)
        case .get:
            let noAck = self.plan.hasAutomaticAcknowledgement && self.random.oneIn(3)
            let queue = self.random.oneIn(2) ? self.lastConfirmedQueue(for: channel) : nil
            return (queue ?? self.queue(for: channel)).map { .get(queue: $0.id, noAck: noAck) }
        case .declareQueue: return self.declareQueue(channel)
        case .deleteQueue: return self.deleteQueue(channel)
        case .inspectQueue: return self.queue(for: channel).map { .inspectQueue($0.id) }
        case .purgeQueue: return self.queue(for: channel).map { .purgeQueue($0.id) }
        case .declareExchange: return self.declareExchange()
        case .deleteExchange: return self.deleteExchange()
        case .bind: return self.bind(channel)
        case .unbind: return self.unbind(channel)
        case .recover: return channel.isRecovering ? nil : .recover
        case .qos: return self.qos()
        case .selectConfirms: return channel.mode == .transaction ? nil : .selectConfirms
        case .selectTransactions: return channel.mode == .confirm ? nil : .selectTransactions
        case .commit: return channel.mode == .transaction ? .commit : nil
        case .rollBack: return channel.mode == .transaction && !channel.isRecovering ? .rollBack : nil
        case .closeChannel: return .closeChannel
        case .openChannel, .mistake: return nil
        }
    }

    /// Grows with every message that is confirmed and every queue that is declared.
    var news: Int {
        (self.judge.lastConfirmed?.confirmedAt ?? 0) + (self.judge.queues.map(\.lastDoubt).max() ?? 0)
    }

    /// A publish to a queue without consumers, where the message can be looked for.
    func publishToQuietQueue(_ channel: ModelChannel) -> Operation? {
        let busy = self.judge.channels.flatMap(\.consumers).filter { $0.state != .ended }.map(\.queue)
        let quiet = self.judge.queues.filter { $0.existence == .certain && !busy.contains($0.id) }
        return self.pick(quiet).map { .publish(self.message(channel, exchange: nil, key: $0.name, isPlain: true).id) }
    }

    /// An operation that goes wrong if what was told last is not so.
    func relyOnNews(_ channel: ModelChannel) -> Operation? {
        if self.random.oneIn(2), let queue = self.lastConfirmedQueue(for: channel) {
            return .get(queue: queue.id, noAck: true)
        }
        let queues = self.judge.queues.filter { $0.existence == .certain && self.isAccessible($0, channel) }
        guard let queue = self.newest(queues) else { return nil }
        return self.random.oneIn(2)
            ? .inspectQueue(queue.id)
            : .publish(self.message(channel, exchange: nil, key: queue.name, isPlain: true).id)
    }

    /// One of a list, if it has any.
    func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[self.random.below(elements.count)]
    }

    // MARK: Queues and consumers

    private func isAccessible(_ queue: ModelQueue, _ channel: ModelChannel) -> Bool {
        queue.owner == nil || queue.owner == channel.client.id
    }

    /// A queue the channel may use; now and then one that may be gone.
    func queue(for channel: ModelChannel) -> ModelQueue? {
        let isDaring = self.random.oneIn(12)
        let queues = self.judge.queues.filter { queue in
            self.isAccessible(queue, channel)
                && (isDaring ? queue.existence.isPossible : queue.existence == .certain)
        }
        return self.random.oneIn(4) ? self.newest(queues) : self.pick(queues)
    }

    /// A queue that should have got a message by now, because the publisher has just been told so.
    private func lastConfirmedQueue(for channel: ModelChannel) -> ModelQueue? {
        guard let message = self.judge.lastConfirmed, message.publisher.client !== channel.client else { return nil }
        return self.pick(
            message.must.sorted().map { self.judge.queues[$0] }.filter {
                $0.existence == .certain && self.isAccessible($0, channel)
            }
        )
    }

    /// The queue that was declared last: some shards may not know it, if the answer came too early.
    func newest(_ queues: [ModelQueue]) -> ModelQueue? {
        queues.max { $0.lastDoubt < $1.lastDoubt }
    }

    private func declareQueue(_ channel: ModelChannel) -> Operation? {
        let noWait = self.random.oneIn(6)
        if self.random.oneIn(3) {
            // Once more: nobody must be deleting it, or it would be another one of the same name.
            return self.pick(
                self.judge.queues.filter {
                    ($0.existence == .certain || ($0.existence == .starting && $0.openDeclarations > 0))
                        && !$0.isAutoDelete && self.isAccessible($0, channel)
                }
            ).map { .declareQueue($0.id, noWait: noWait) }
        }
        guard self.judge.queues.count(where: \.existence.isPossible) < self.plan.queueLimit else { return nil }
        let queue = ModelQueue(
            id: self.judge.queues.count,
            owner: self.random.oneIn(6) ? channel.client.id : nil,
            isAutoDelete: self.random.oneIn(6),
            isSingleActive: self.random.oneIn(6)
        )
        self.judge.queues.append(queue)
        return .declareQueue(queue.id, noWait: noWait)
    }

    private func deleteQueue(_ channel: ModelChannel) -> Operation? {
        let isDaring = self.random.oneIn(4)
        return self.pick(
            self.judge.queues.filter {
                ($0.existence == .certain || (isDaring && $0.existence == .doubtful)) && $0.openDeclarations == 0
                    && self.isAccessible($0, channel)
            }
        ).map { .deleteQueue($0.id, ifUnused: self.random.oneIn(4), ifEmpty: self.random.oneIn(4)) }
    }

    private func consume(_ channel: ModelChannel) -> Operation? {
        guard channel.consumers.count(where: { $0.state != .ended }) < 4, let queue = self.queue(for: channel) else {
            return nil
        }
        self.nextTag += 1
        return .consume(
            tag: "t\(self.nextTag)",
            queue: queue.id,
            noAck: self.plan.hasAutomaticAcknowledgement && self.random.oneIn(4),
            priority: self.random.oneIn(4) ? self.random.below(3) - 1 : 0,
            noWait: self.random.oneIn(5)
        )
    }

    private func cancel(_ channel: ModelChannel) -> Operation? {
        self.pick(channel.consumers.filter { $0.state == .starting || $0.state == .active })
            .map { .cancel(tag: $0.tag) }
    }

    private func qos() -> Operation? {
        let limits = self.plan.prefetches
        return .qos(count: limits[self.random.below(limits.count)], isGlobal: self.random.oneIn(3))
    }

    private func settle(_ channel: ModelChannel) -> Operation? {
        // What is being recovered is no longer ours.
        guard !channel.isRecovering, let delivery = self.pick(channel.unacknowledged) else { return nil }
        let outcome: Operation.Outcome =
            switch self.random.below(10) {
            case 0: .drop
            case 1, 2: .requeue
            default: .acknowledge
            }
        let oldest = channel.unacknowledged[0].tag
        return .settle(
            tag: self.random.oneIn(2) ? oldest : delivery.tag,
            isMultiple: self.random.oneIn(3),
            outcome
        )
    }

    // MARK: Mistakes

    /// Something that the broker must refuse.
    private func mistake(_ channel: ModelChannel) -> Operation {
        switch self.random.below(6) {
        case 0: return .settle(tag: 1_000_000, isMultiple: self.random.oneIn(2), .acknowledge)
        case 1: return .inspectQueue(self.missingQueue)
        case 2: return .get(queue: self.missingQueue, noAck: false)
        case 3:
            self.nextTag += 1
            return .consume(
                tag: "t\(self.nextTag)",
                queue: self.missingQueue,
                noAck: false,
                priority: 0,
                noWait: self.random.oneIn(2)
            )
        case 4: return .purgeQueue(self.missingQueue)
        default: return .publish(self.message(channel, exchange: self.missingExchange, key: "a").id)
        }
    }
}
