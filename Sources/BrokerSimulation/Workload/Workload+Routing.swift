/// Drawing exchanges, bindings and messages.
extension Workload {
    private static let exchangeLimit = 9
    private static let bindingLimit = 40

    /// An exchange, most often one that is there.
    private func exchange() -> Int? {
        let isDaring = self.random.oneIn(12)
        return self.pick(
            self.judge.topology.exchanges.indices.filter {
                let existence = self.judge.topology.exchanges[$0].existence
                return isDaring ? existence.isPossible : existence == .certain
            }
        )
    }

    /// A new exchange.
    func declareExchange() -> Operation? {
        let exchanges = self.judge.topology.exchanges
        if self.random.oneIn(3) {
            // Once more, perhaps before anybody was answered; nobody must be deleting it.
            return self.pick(
                exchanges.indices.filter {
                    $0 > self.missingExchange && !exchanges[$0].isAutoDelete
                        && (exchanges[$0].existence == .certain || exchanges[$0].existence == .starting)
                }
            ).map { .declareExchange($0) }
        }
        guard exchanges.count(where: \.existence.isPossible) < Self.exchangeLimit else { return nil }
        let kinds = ModelExchange.Kind.allCases
        self.judge.topology.exchanges.append(
            ModelExchange(
                name: "e\(exchanges.count)",
                kind: kinds[self.random.below(kinds.count)],
                isAutoDelete: self.random.oneIn(4),
                isDurable: exchanges.count % 2 == 0,
                existence: .starting
            )
        )
        return .declareExchange(exchanges.count)
    }

    /// An exchange that is there and not the broker's own goes.
    func deleteExchange() -> Operation? {
        self.pick(
            self.judge.topology.exchanges.indices.filter {
                $0 > self.missingExchange && self.judge.topology.exchanges[$0].existence == .certain
            }
        ).map { .deleteExchange($0) }
    }

    /// A new binding, or an old one again.
    func bind(_ channel: ModelChannel) -> Operation? {
        guard let source = self.exchange() else { return nil }
        let target: ModelBinding.Target
        if self.random.oneIn(4) {
            guard let exchange = self.exchange() else { return nil }
            target = .exchange(exchange)
        } else {
            guard let queue = self.queue(for: channel) else { return nil }
            target = .queue(queue.id)
        }
        let kind = self.judge.topology.exchanges[source].kind
        let binding = ModelBinding(
            source: source,
            target: target,
            key: kind == .topic ? self.words(["a", "b", "*", "#"]) : Self.keys[self.random.below(3)],
            headers: kind == .headers ? self.headers() : [:],
            needsAll: kind != .headers || self.random.oneIn(2),
            existence: .gone
        )
        let noWait = self.random.oneIn(6)
        let same = self.judge.topology.bindings.firstIndex {
            $0.source == source && $0.target == target && $0.key == binding.key && $0.headers == binding.headers
                && $0.needsAll == binding.needsAll
        }
        if let same {
            // A binding and an unbinding at a time have no order that anybody knows.
            return self.judge.topology.bindings[same].openUnbinds == 0 ? .bind(same, noWait: noWait) : nil
        }
        guard self.judge.topology.bindings.count(where: { self.isUsable($0) }) < Self.bindingLimit else { return nil }
        self.judge.topology.bindings.append(binding)
        return .bind(self.judge.topology.bindings.count - 1, noWait: noWait)
    }

    private func isUsable(_ binding: ModelBinding) -> Bool {
        guard binding.existence.isPossible, self.judge.topology.exchanges[binding.source].existence.isPossible else {
            return false
        }
        switch binding.target {
        case .queue(let queue): return self.judge.queues[queue].existence.isPossible
        case .exchange(let exchange): return self.judge.topology.exchanges[exchange].existence.isPossible
        }
    }

    /// A binding that is there goes.
    func unbind(_ channel: ModelChannel) -> Operation? {
        self.pick(
            self.judge.topology.bindings.indices.filter { index in
                let binding = self.judge.topology.bindings[index]
                guard binding.existence == .certain || binding.openUnbinds > 0,
                    binding.openRequests == binding.openUnbinds, self.isUsable(binding)
                else {
                    return false
                }
                guard case .queue(let queue) = binding.target else { return true }
                let owner = self.judge.queues[queue].owner
                return owner == nil || owner == channel.client.id
            }
        ).map { .unbind($0) }
    }

    // MARK: Messages

    /// A message for an exchange, or for a queue by its name.
    func publish(_ channel: ModelChannel) -> Operation? {
        if let last = self.lastRoutes[ObjectIdentifier(channel)], self.random.oneIn(2), self.isPossible(last.exchange) {
            return .publish(self.message(channel, exchange: last.exchange, key: last.key, isPlain: true).id)
        }
        if self.random.oneIn(2) {
            return .publish(self.message(channel, exchange: nil, key: self.queueName()).id)
        }
        guard let exchange = self.exchange() else { return nil }
        let isTopic = self.judge.topology.exchanges[exchange].kind == .topic
        let key = isTopic ? self.words(["a", "b", "c"]) : Self.keys[self.random.below(3)]
        return .publish(self.message(channel, exchange: exchange, key: key).id)
    }

    private func isPossible(_ exchange: Int?) -> Bool {
        exchange.map { self.judge.topology.exchanges[$0].existence.isPossible } ?? true
    }

    /// The name of a queue, most often of one that is there.
    private func queueName() -> String {
        let queues = self.judge.queues.filter { $0.existence.isPossible }
        let queue = self.random.oneIn(4) ? self.newest(queues) : self.pick(queues)
        guard let queue, !self.random.oneIn(10) else { return "nowhere" }
        return queue.name
    }

    /// Makes a message; a plain one has nothing that needs a closer look.
    func message(_ channel: ModelChannel, exchange: Int?, key: String, isPlain: Bool = false) -> ModelMessage {
        self.lastRoutes[ObjectIdentifier(channel)] = (exchange, key)
        let message = ModelMessage(
            id: self.judge.messages.count,
            publisher: channel,
            exchange: exchange,
            key: key
        )
        message.isMandatory = self.random.oneIn(4)
        message.bodySize = self.bodySize()
        let takesQueueNames = exchange == nil
        func copies() -> [String] {
            guard self.random.oneIn(10) else { return [] }
            return (0...self.random.below(2)).map { _ in
                takesQueueNames ? self.queueName() : self.words(["a", "b", "c"])
            }
        }
        if !isPlain {
            message.copiedTo = copies()
            message.secretlyCopiedTo = copies()
        }
        if !isPlain && self.random.oneIn(3) {
            message.headers = self.headers()
        }
        self.judge.messages.append(message)
        return message
    }

    private func bodySize() -> Int {
        switch self.plan.bodies {
        case .small: return self.random.below(60)
        case .mixed where self.random.oneIn(100): return 300_000
        case .mixed where self.random.oneIn(10): return self.random.below(20_000)
        case .large where self.random.oneIn(3): return self.random.below(150_000)
        case .mixed, .large: return self.random.below(60)
        }
    }

    private func words(_ vocabulary: [String]) -> String {
        (0..<self.random.below(4)).map { _ in vocabulary[self.random.below(vocabulary.count)] }.joined(separator: ".")
    }

    private func headers() -> [String: Int] {
        var headers: [String: Int] = [:]
        for name in ["x1", "y", "z"] where self.random.oneIn(2) {
            headers[name] = self.random.below(2)
        }
        return headers
    }
}
