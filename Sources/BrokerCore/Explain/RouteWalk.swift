internal import AMQPProtocol

/// Follows a question through the exchanges of a virtual host.
///
/// 1. Nothing is changed: not the stamps of routing, not the source of random numbers, no state of a queue.
/// 2. What comes at all events is followed to its end first; then what depends on the chance of an exchange that draws,
///    so that whatever both reach counts as certain.
/// 3. Every exchange is visited once, so that circles end. At most ``ShardLimits/explainedBindings`` bindings are looked at.
struct RouteWalk {
    private let host: VirtualHost
    private let message: QuestionMessage
    private let now: UInt64
    /// Whether a message is known at the window of an exchange; nil when another shard would know.
    private let isKnown: (Exchange, MessageIdentity) -> Bool?
    private var pending: [Step] = []
    private var chances: [Step] = []
    private var visited: Set<ObjectIdentifier> = []
    private var found: [ObjectIdentifier: Int] = [:]
    private var budget = ShardLimits.explainedBindings
    /// The exchanges, in the order in which they were come to.
    private(set) var visits: [ExchangeVisit] = []
    /// The queues, in the order in which they were found.
    private(set) var queues: [(info: QueueInfo, isCertain: Bool)] = []
    /// Whether every binding was looked at.
    private(set) var isComplete = true
    /// How long the message waits before it is routed; nil when not at all.
    private(set) var delay: UInt64?
    /// Whether a queue was found in front of every exchange that lets messages wait.
    private(set) var hasQueueNow = false
    /// Whether the message goes no further as its key is known.
    private(set) var isDuplicate = false

    private struct Step {
        let exchange: Exchange
        let origin: ExchangeVisit.Origin
        let isCertain: Bool
        /// Whether it is taken only when the message has waited.
        var isLater: Bool
    }

    /// Makes a walk that has not begun.
    init(
        _ host: VirtualHost,
        _ message: QuestionMessage,
        now: UInt64,
        isKnown: @escaping (Exchange, MessageIdentity) -> Bool?
    ) {
        self.host = host
        self.message = message
        self.now = now
        self.isKnown = isKnown
    }

    /// Walks from an exchange on.
    mutating func run(from start: Exchange) {
        // On any exchange a message may ask to wait; one that is made for it says so itself.
        self.delay = DelayHeaders.deadline(self.message.headers, now: self.now).map { $0 - self.now }
        self.pending = [Step(exchange: start, origin: .publish, isCertain: true, isLater: false)]
        while true {
            let step: Step
            if !self.pending.isEmpty {
                step = self.pending.removeFirst()
            } else if !self.chances.isEmpty {
                step = self.chances.removeFirst()
            } else {
                return
            }
            guard self.visited.insert(ObjectIdentifier(step.exchange)).inserted else { continue }
            self.visit(step)
        }
    }

    private mutating func follow(
        _ exchange: Exchange,
        _ origin: ExchangeVisit.Origin,
        from step: Step,
        isCertain: Bool
    ) {
        let step = Step(exchange: exchange, origin: origin, isCertain: isCertain, isLater: step.isLater)
        if isCertain { self.pending.append(step) } else { self.chances.append(step) }
    }

    private mutating func visit(_ start: Step) {
        var step = start
        let exchange = step.exchange
        var visit = ExchangeVisit(
            name: "\(exchange.name)",
            type: "\(exchange.definition.type.name)",
            origin: step.origin,
            isCertain: step.isCertain
        )
        guard self.passes(exchange, &visit) else {
            self.visits.append(visit)
            return
        }
        step.isLater = step.isLater || visit.isWaiting
        if exchange.name.isEmpty {
            self.findNamedQueues(step, &visit)
            self.visits.append(visit)
            return
        }
        let finding = exchange.explain(self.message, limit: self.budget)
        self.budget -= min(self.budget, finding.bindings.count)
        self.isComplete = self.isComplete && finding.unseen == 0
        var told = 0
        for (binding, verdict) in finding.bindings {
            var verdict = verdict
            switch (verdict.match, binding.destination) {
            case (.no, .exchange(let next)):
                verdict.leadsBack = self.visited.contains(ObjectIdentifier(next))
            case (_, .exchange(let next)):
                verdict.leadsBack = self.visited.contains(ObjectIdentifier(next))
                let isCertain = step.isCertain && verdict.match == .yes
                self.follow(next, .binding(of: visit.name), from: step, isCertain: isCertain)
            case (.no, .queue): break
            case (_, .queue(let queue)):
                self.find(queue, from: step, isCertain: step.isCertain && verdict.match == .yes)
            }
            if verdict.match == .no { told += 1 }
            if verdict.match != .no || told <= ShardLimits.toldBindings { visit.bindings.append(verdict) }
        }
        visit.bindings = visit.bindings.filter { $0.match != .no } + visit.bindings.filter { $0.match == .no }
        visit.untoldBindings = finding.unseen + max(0, told - ShardLimits.toldBindings)
        if let name = exchange.alternate { self.lookAt(alternate: name, of: exchange, finding.hasMatch, step, &visit) }
        self.visits.append(visit)
    }

    private mutating func lookAt(
        alternate name: ShortString,
        of exchange: Exchange,
        _ hasMatch: Bool,
        _ step: Step,
        _ visit: inout ExchangeVisit
    ) {
        let alternate = self.host.exchange(named: name)
        if hasMatch {
            visit.alternate = .unused("\(name)")
        } else if let alternate {
            let isBehind = self.visited.contains(ObjectIdentifier(alternate))
            visit.alternate = isBehind ? .visitedBefore("\(name)") : .taken("\(name)")
            self.follow(alternate, .alternate(of: visit.name), from: step, isCertain: step.isCertain)
        } else {
            visit.alternate = .missing("\(name)")
        }
    }

    private mutating func find(_ queue: QueueInfo, from step: Step, isCertain: Bool) {
        self.hasQueueNow = self.hasQueueNow || !step.isLater
        if let place = self.found[ObjectIdentifier(queue)] {
            self.queues[place].isCertain = self.queues[place].isCertain || isCertain
            return
        }
        self.found[ObjectIdentifier(queue)] = self.queues.count
        self.queues.append((queue, isCertain))
    }

    /// What the default exchange does: every queue is bound by its name.
    private mutating func findNamedQueues(_ step: Step, _ visit: inout ExchangeVisit) {
        for key in self.message.keys {
            guard let name = ShortString(key), let queue = self.host.queue(named: name) else { continue }
            self.find(queue, from: step, isCertain: step.isCertain)
            let verdict = BindingVerdict(
                destination: "\(name)",
                isQueue: true,
                routingKey: "\(name)",
                match: .yes,
                reason: .queueName
            )
            if !visit.bindings.contains(verdict) { visit.bindings.append(verdict) }
        }
    }

    /// Whether a message goes on behind what an exchange does besides routing.
    private mutating func passes(_ exchange: Exchange, _ visit: inout ExchangeVisit) -> Bool {
        guard exchange.station != nil else { return true }
        let arguments = exchange.definition.arguments
        if exchange.isDeduplicating,
            let identity = MessageIdentity(self.message.headers, arguments, isPersistent: self.message.isPersistent)
        {
            let isKnown = self.isKnown(exchange, identity)
            visit.stations.append(.deduplicates(isKnown: isKnown))
            if isKnown == true {
                self.isDuplicate = true
                return false
            }
        }
        switch exchange.definition.type {
        case .delayedMessage:
            if let delay = DelayHeaders.delay(self.message.headers) {
                visit.stations.append(.delays(milliseconds: delay))
                self.delay = self.delay ?? delay
            }
        case .recentHistory:
            let refusal = MessageHeaders.find("x-recent-history-no-store", in: self.message.headers)
            if refusal?.booleanValue != true { visit.stations.append(.remembers) }
        case .direct, .fanout, .topic, .headers, .consistentHash, .modulusHash, .random, .localRandom,
            .messageDeduplication:
            break
        }
        return true
    }
}

extension ExchangeVisit {
    /// Whether the message waits here.
    fileprivate var isWaiting: Bool {
        self.stations.contains { if case .delays = $0 { true } else { false } }
    }
}
