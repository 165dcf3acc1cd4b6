internal import AMQPProtocol
internal import BrokerCore
internal import BrokerStore

/// One run of a broker whose queues have limits, times, dead letters, priorities and more, from one seed.
///
/// Faults are those of ``SimulationRun``; see ``FeatureJudge`` for what is judged.
package final class FeatureRun: FaultyRun {
    let seed: UInt64
    let random: SeededRandom
    let plan: SimulationPlan
    let features: FeaturePlan
    let judge: FeatureJudge
    /// What outlives brokers.
    let disk = SimulatedFileSystem()
    /// The broker of the current life.
    var broker: SimulatedBroker
    var clients: [FeatureClient] = []
    /// Looks into queues when nothing moves.
    var observer: FeatureClient
    /// What has happened to broker and disk, and how often.
    var faultCounts: [Fault: Int] = [:]
    /// Who tells lies about what lies around the broker.
    let liar: Liar
    /// The step at which the disk is well again.
    var diskIsWellAt = Int.max
    var lease = FeatureLease()
    /// What queues are to be, and may not be yet.
    var alterations: [Alteration] = []
    /// Who numbers messages.
    let publishers = [FeaturePublisher(id: 0), FeaturePublisher(id: 1)]
    /// Clients so far.
    var clientCount = 0
    private let steps: Int
    private var isDeclared = false

    /// Prepares the run of a seed.
    ///
    /// With a lie something around the broker is not as it should be, and the run must end with a contradiction.
    package init(seed: UInt64, steps: Int = SimulationRun.usualSteps, lie: Lie? = nil) {
        self.seed = seed
        self.steps = steps
        self.liar = Liar(lie)
        self.random = SeededRandom(seed: seed ^ 0xFEA7_0000_0000)
        self.plan = SimulationPlan(self.random)
        self.features = FeaturePlan(self.random, identity: self.plan.log.identity)
        self.judge = FeatureJudge(self.features.queues)
        self.judge.isDurable = self.plan.isDurable
        self.judge.mayRefuseReads = self.plan.faults.contains(.readError)
        // Until the first start.
        self.broker = SimulatedBroker(shardCount: self.plan.shardCount, seed: seed)
        self.observer = FeatureClient(
            self.judge,
            self.broker,
            name: "nobody",
            shard: 0,
            isConfirming: false,
            readLimit: .max
        )
        self.judge.channels = []
    }

    /// Runs to the end, or to the first contradiction.
    package func run() -> SimulationReport {
        for queue in self.features.queues { self.judge.note(queue.description) }
        self.judge.now = self.broker.now.nanoseconds / 1_000_000
        self.start()
        var nextLook = self.features.phaseLength
        while self.judge.step < self.steps && self.judge.failure == nil {
            self.judge.step += 1
            self.takeStep()
            if self.judge.step >= nextLook {
                self.look()
                nextLook =
                    self.judge.step + self.features.phaseLength / 2
                    + self.random.below(self.features.phaseLength)
            }
        }
        self.finish()
        if self.judge.failure != nil {
            for line in self.broker.logLines.suffix(5) { self.judge.note("log: \(line)") }
        }
        return SimulationReport(
            seed: self.seed,
            steps: self.judge.step,
            failure: self.judge.failure,
            trace: self.judge.trace,
            messages: self.judge.messages.count,
            faults: self.faultCounts
        )
    }

    private func takeStep() {
        if self.judge.step >= self.diskIsWellAt { self.healDisk() }
        if !self.plan.faults.isEmpty && self.random.oneIn(self.plan.faultInterval) { self.suffer() }
        // Not drawn, so that other seeds go on doing what they did.
        if self.plan.trimsOften && self.step % 25 == 0 { self.broker.beginTrim() }
        if self.features.hasAlterations && self.random.oneIn(50) { self.alterQueue() }
        switch self.random.below(100) {
        case 0..<35: self.broker.run(self.random, maxEvents: 1 + self.random.below(4))
        case 35..<75: self.act()
        case 75..<92: self.somebodyReads()
        case 92..<94: self.changeClients()
        default: self.passTime()
        }
    }

    // MARK: Faults

    // A queue may begin to count, and cease to.
    var comparesCounts: Bool { !self.features.hasAlterations }
    var step: Int { self.judge.step }
    var failure: String? { self.judge.failure }

    func note(_ line: String) { self.judge.note(line) }

    func fail(_ text: String) { self.judge.fail(text) }

    func somebodyReads() {
        if let client = self.pick(self.clients) { _ = client.read(1 + self.random.below(client.readLimit)) }
    }

    func someRead() {
        for client in self.clients where self.random.oneIn(2) { _ = client.read() }
    }

    func sayGoodbye() {
        self.judge.note("the broker stops")
        self.judge.isStopping = true
        self.broker.stop()
        for client in self.clients {
            while client.read() || self.broker.hasEvents { self.broker.run(self.random) }
        }
    }

    func brokerEnded(inOrder: Bool) {
        self.clients = []
        self.judge.brokerEnds()
    }

    func brokerStarted() {
        if !self.isDeclared {
            self.isDeclared = true
            self.declare()
        }
        self.leaseSurvives()
        self.alterAgain()
        self.observer = FeatureClient(
            self.judge,
            self.broker,
            name: "observer",
            shard: self.random.below(self.broker.shards.count),
            isConfirming: true,
            readLimit: .max
        )
        self.broker.run()
        _ = self.observer.read()
    }

    /// Makes exchanges and queues, each on a shard of its own choice.
    private func declare() {
        for queue in self.features.queues {
            let client = SimulatedClient(self.broker, shard: self.random.below(self.broker.shards.count)).open()
            let name = ShortString(truncating: queue.name)
            client.send(QueueDeclare(queue: name, durable: true, arguments: queue.arguments))
            let kinds: [(ShortString, ShortString, FieldTable)] = [
                ("dead", "direct", .empty), ("late", "x-delayed-message", Self.delayed),
                ("once", "direct", FieldTable([("x-message-deduplication", .boolean(true))])),
            ]
            for (exchange, kind, arguments) in kinds {
                client.send(ExchangeDeclare(exchange: exchange, type: kind, durable: true, arguments: arguments))
                client.send(QueueBind(queue: name, exchange: exchange, routingKey: name))
            }
            for (number, pair) in self.features.pairs.enumerated() where pair.contains(queue.id) {
                let exchange = ShortString(truncating: "pair\(number)")
                client.send(ExchangeDeclare(exchange: exchange, type: "fanout", durable: true))
                client.send(QueueBind(queue: name, exchange: exchange, routingKey: ""))
            }
            for case .method(_, .channelClose(let close)) in client.receive() {
                self.judge.fail("declaring \(queue.description): \(close.replyText)")
            }
            client.disconnect()
        }
        self.broker.runToRest()
    }

    private static let delayed = FieldTable([("x-delayed-type", .string("direct"))])

    /// One of a list, if it has any.
    func pick<Element>(_ elements: [Element]) -> Element? {
        elements.isEmpty ? nil : elements[self.random.below(elements.count)]
    }
}
