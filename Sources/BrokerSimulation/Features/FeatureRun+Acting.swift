internal import AMQPProtocol
internal import BrokerCore

/// What clients do.
extension FeatureRun {
    /// A client does something.
    func act() {
        guard let client = self.pick(self.clients) else { return self.connect() }
        switch self.random.below(100) {
        case 0..<40:
            for _ in 0...(self.random.oneIn(3) ? self.random.below(8) : 0) { self.publish(client) }
        case 40..<78:
            self.settle(client)
        case 78..<88:
            guard client.channel.consumers.count < 3, let queue = self.pick(self.features.queues) else { return }
            let noAck = self.plan.hasAutomaticAcknowledgement && self.random.oneIn(4)
            client.consume(queue, noAck: noAck, prefetch: self.plan.prefetches[self.random.below(3)])
        case 88..<93:
            if let tag = self.pick(client.channel.consumers.keys.sorted()) { client.cancel(tag) }
        default:
            guard let queue = self.pick(self.features.queues), !queue.declared.hasGroups else { return }
            client.get(queue, noAck: self.plan.hasAutomaticAcknowledgement && self.random.oneIn(4))
        }
    }

    func connect() {
        guard self.clients.count < self.features.clientLimit else { return }
        self.clientCount += 1
        self.clients.append(
            FeatureClient(
                self.judge,
                self.broker,
                name: "c\(self.clientCount)",
                shard: self.random.below(self.broker.shards.count),
                isConfirming: !self.random.oneIn(4),
                readLimit: self.random.oneIn(3) ? 64 : 1 << 20
            )
        )
    }

    func changeClients() {
        guard self.clients.count == self.features.clientLimit || self.random.oneIn(4) else { return self.connect() }
        guard self.plan.breaksConnections, let client = self.pick(self.clients) else { return }
        self.clients.removeAll { $0 === client }
        client.cut()
    }

    private func settle(_ client: FeatureClient) {
        let channel = client.channel
        guard let delivery = self.pick(channel.unacknowledged), let first = channel.unacknowledged.first else { return }
        let outcome: FeatureCopy.Outcome =
            switch self.random.below(10) {
            case 0...1: .reject
            case 2...4: .requeue
            default: .acknowledge
            }
        let chosen = self.random.oneIn(2) ? first : delivery
        client.settle(chosen, isMultiple: self.random.oneIn(4), outcome)
    }

    /// A client publishes a drawn message.
    func publish(_ client: FeatureClient) {
        let features = self.features
        guard let queue = self.pick(features.queues) else { return }
        let id = self.judge.messages.count
        let name = ShortString(truncating: queue.name)
        if features.hasNumbers, client.channel.isConfirming, self.random.oneIn(4) {
            return self.publishNumbered(client, to: queue)
        }
        let isUnique = features.hasUniqueKeys && self.random.oneIn(3)
        let isLate = features.hasDelays && self.random.oneIn(4)
        let message: FeatureMessage
        if isUnique {
            message = FeatureMessage(id: id, publisher: client.channel, exchange: "once", key: name, route: [queue.id])
            message.uniqueKey = 100 * queue.id + self.random.below(12)
        } else if isLate {
            let exchange: ShortString = self.random.oneIn(2) ? "late" : "dead"
            message = FeatureMessage(
                id: id,
                publisher: client.channel,
                exchange: exchange,
                key: name,
                route: [queue.id]
            )
            message.delay = UInt64(1 + self.random.below(self.random.oneIn(2) ? 200 : 5000))
        } else if self.random.oneIn(4), let number = self.pick([0, 1]) {
            let exchange = ShortString(truncating: "pair\(number)")
            let route = features.pairs[number]
            message = FeatureMessage(id: id, publisher: client.channel, exchange: exchange, key: "", route: route)
        } else {
            message = FeatureMessage(id: id, publisher: client.channel, exchange: "", key: name, route: [queue.id])
        }
        self.dress(message)
        client.publish(message)
    }

    /// Draws what a message is besides where it goes.
    func dress(_ message: FeatureMessage) {
        let features = self.features
        message.isPersistent = !(features.hasTransient && self.random.oneIn(3))
        message.priority = self.random.oneIn(2) ? UInt8(self.random.below(10)) : nil
        if features.hasExpirations && self.random.oneIn(3) {
            message.expiration = self.random.oneIn(10) ? 0 : UInt64(self.random.below(3000))
        }
        message.group = self.random.oneIn(4) ? nil : self.random.below(features.groupCount)
        message.bodySize = self.bodySize()
    }

    private func bodySize() -> Int {
        switch self.plan.bodies {
        case .small: self.random.below(60)
        case .mixed, .large: self.random.oneIn(30) ? self.random.below(20_000) : self.random.below(60)
        }
    }

    /// Time passes; before that everything happens that does not need it.
    func passTime() {
        self.broker.run(self.random)
        if !self.random.oneIn(3) {
            for client in self.clients { while client.read() { self.broker.run(self.random) } }
        }
        let isShort = self.random.oneIn(2)
        for _ in 0...self.random.below(3) {
            self.advance(UInt64(1 + self.random.below(isShort ? 30 : 1500)))
        }
    }

    /// Lets time pass; who has an empty socket now, gets everything else later.
    func advance(_ milliseconds: UInt64) {
        for client in self.clients + [self.observer] { client.noteEmpty() }
        self.broker.advance(milliseconds: milliseconds)
        self.judge.now = self.broker.now.nanoseconds / 1_000_000
    }
}
