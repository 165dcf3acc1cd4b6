internal import AMQPProtocol

/// From what a client received to what it tells.
extension FeatureJudge {
    /// Understands a message; nil when it is wrong.
    func read(
        at queue: Int,
        _ names: (exchange: ShortString, key: ShortString),
        _ properties: BasicProperties,
        _ body: [UInt8],
        isRedelivered: Bool,
        by channel: FeatureChannel
    ) -> Arrival? {
        guard let id = ModelMessage.id(inBody: body), self.messages.indices.contains(id) else {
            self.fail("\(channel.name) got a body that nobody has published")
            return nil
        }
        let message = self.messages[id]
        let what = "\(channel.name): m\(id) of \(FeatureQueue.name(queue))"
        if body != message.body { self.fail("\(what) has another body than it was published with") }
        guard let deaths = Self.deaths(properties) else {
            self.fail("\(what) has a story that cannot be read: \(properties)")
            return nil
        }
        // RabbitMQ's order of entries is its own; the way through the queues is in the order of their numbers.
        let ordered = deaths.sorted { $0.queue < $1.queue }
        let path = ordered.map(\.queue) + [queue]
        let times = deaths.map(\.epochSeconds)
        if times.contains(where: { $0 < Self.epochSeconds(message.sentAt) || $0 > Self.epochSeconds(self.now) }) {
            self.fail("\(what) is said to have died at \(times)")
        }
        if let last = ordered.last {
            self.checkStory(deaths, last, properties, what)
            let exchange = FeatureQueue.deadLetterExchange(to: queue)
            if names.exchange != exchange || "\(names.key)" != FeatureQueue.name(queue) {
                self.fail("\(what) came with exchange '\(names.exchange)' and key '\(names.key)'")
            }
        } else if names.exchange != message.exchange || names.key != message.key {
            self.fail("\(what) came with exchange '\(names.exchange)' and key '\(names.key)'")
        }
        self.checkProperties(message, properties, isDead: !deaths.isEmpty, what)
        return Arrival(
            message: message,
            path: path,
            reasons: ordered.map(\.reason),
            isRedelivered: isRedelivered,
            returns: properties.headers?["x-delivery-count"]?.integerValue.map { Int($0) }
        )
    }

    private static func epochSeconds(_ milliseconds: UInt64) -> UInt64 {
        (SimulatedBroker.startOfTime + milliseconds - 1000) / 1000
    }

    private struct ToldDeath {
        let queue: Int
        let reason: String
        let count: Int64
        let epochSeconds: UInt64
        let hasExpiration: Bool
    }

    /// The entries of `x-death`, none without it; nil when they cannot be read.
    private static func deaths(_ properties: BasicProperties) -> [ToldDeath]? {
        guard let value = properties.headers?["x-death"] else { return [] }
        guard case .array(let entries) = value else { return nil }
        var deaths: [ToldDeath] = []
        for entry in entries {
            guard case .table(let table) = entry, let reason = table["reason"]?.stringValue,
                let queue = table["queue"]?.stringValue.flatMap({ FeatureQueue.id(ofName: $0) }),
                let count = table["count"]?.integerValue, case .timestamp(let time)? = table["time"]
            else { return nil }
            let hasExpiration = table["original-expiration"] != nil
            deaths.append(
                ToldDeath(
                    queue: queue,
                    reason: String(decoding: reason, as: UTF8.self),
                    count: count,
                    epochSeconds: time,
                    hasExpiration: hasExpiration
                )
            )
        }
        return deaths
    }

    private func checkStory(_ deaths: [ToldDeath], _ last: ToldDeath, _ properties: BasicProperties, _ what: String) {
        if let repeated = deaths.first(where: { $0.count != 1 }) {
            self.fail("\(what) is said to have died \(repeated.count) times in \(FeatureQueue.name(repeated.queue))")
        }
        func header(_ key: ShortString) -> String {
            String(decoding: properties.headers?[key]?.stringValue ?? [], as: UTF8.self)
        }
        if deaths[0].queue != last.queue { self.fail("\(what): the latest death is not the first entry of x-death") }
        let first = deaths.min { $0.queue < $1.queue } ?? last
        if header("x-first-death-queue") != FeatureQueue.name(first.queue)
            || header("x-first-death-reason") != first.reason
        {
            self.fail("\(what) tells another first death: \(header("x-first-death-queue"))")
        }
        if header("x-last-death-queue") != FeatureQueue.name(last.queue) || header("x-last-death-reason") != last.reason
        {
            self.fail("\(what) tells another last death: \(header("x-last-death-queue"))")
        }
    }

    private func checkProperties(
        _ message: FeatureMessage,
        _ properties: BasicProperties,
        isDead: Bool,
        _ what: String
    ) {
        let sent = message.properties
        if properties.deliveryMode != sent.deliveryMode || properties.priority != sent.priority
            || properties.correlationID != sent.correlationID
            || properties.expiration != (isDead ? nil : sent.expiration)
        {
            self.fail("\(what) came with other properties: \(properties)")
        }
        guard let delay = message.delay else { return }
        if properties.headers?["x-delay"]?.integerValue != -Int64(delay) {
            self.fail("\(what) has waited, but its x-delay says \(String(describing: properties.headers?["x-delay"]))")
        }
    }

    // MARK: Queues at rest

    /// What a queue had, in the order in which it gave it; nothing moved meanwhile.
    func holds(_ queue: FeatureQueue, _ copies: [FeatureCopy]) {
        guard self.failure == nil else { return }
        let settings = queue.settings
        if settings.overflow == .dropHead {
            if let limit = settings.maxLength, copies.count > limit {
                self.fail("\(queue.name) has \(copies.count) messages, its limit is \(limit)")
            }
            let octets = copies.reduce(0) { $0 + $1.message.size }
            if let limit = settings.maxBytes, octets > limit {
                self.fail("\(queue.name) has \(octets) octets, its limit is \(limit)")
            }
        }
        if settings.maxPriority != nil, !queue.declared.hasGroups {
            let priorities = copies.map { self.priority(of: $0) }
            if priorities != priorities.sorted(by: >) {
                self.fail("\(queue.name) gave priorities in the order \(priorities)")
            }
        }
        guard queue.keepsPlaces else { return }
        var last: [FeatureChannel.Order: Int] = [:]
        for copy in copies {
            guard let order = self.order(of: copy) else { continue }
            if let before = last[order], before > copy.message.id {
                self.fail("\(queue.name) had m\(copy.message.id) behind m\(before), which was published later")
            }
            last[order] = copy.message.id
        }
        var numbers: [ObjectIdentifier: Int] = [:]
        for copy in copies {
            numbers[ObjectIdentifier(copy), default: 0] += 1
            // A crash may find a dead letter under way in each queue that it came through, and here: all go on.
            let mostOfCrash = max(1, copy.path.count - 1)
            if numbers[ObjectIdentifier(copy), default: 0] > 1 + copy.message.crashes * mostOfCrash {
                self.fail("\(queue.name) has m\(copy.message.id) too often")
            }
        }
    }
}
