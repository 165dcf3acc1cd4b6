internal import AMQPProtocol
internal import BrokerCore
internal import BrokerStore

/// What came of one seed.
package struct SimulationReport: Sendable {
    /// The seed.
    package let seed: UInt64
    /// Steps that were taken.
    package let steps: Int
    /// What contradicts the model; nil when nothing does.
    package let failure: String?
    /// What happened, one line each.
    package let trace: [String]
    /// Messages that clients published.
    package let messages: Int
    /// What happened to the broker and its disk, and how often.
    package let faults: [Fault: Int]
}

/// One run of a broker and its clients from one seed.
///
/// Everything that can happen next is drawn: which client acts and how, which shard reads how much of which socket,
/// which batch between shards arrives, who takes how much from a socket, whose connection breaks, how time passes. Now
/// and then nothing new is done until nothing moves any more, and the judge looks.
package final class SimulationRun {
    /// Steps of a run unless somebody wants more.
    package static let usualSteps = 1500

    let seed: UInt64
    let random: SeededRandom
    let plan: SimulationPlan
    let judge = Judge()
    /// The broker of the current life.
    var broker: SimulatedBroker
    let workload: Workload
    var observer: SimulatedClient
    var actors: [SimulationActor] = []
    /// What outlives brokers.
    let disk = SimulatedFileSystem()
    /// What has happened to broker and disk, and how often.
    var faultCounts: [Fault: Int] = [:]
    /// Who tells lies about what lies around the broker.
    let liar: Liar
    /// The step at which the disk is well again.
    var diskIsWellAt = Int.max
    /// Queues whose deletion the last broker had answered when it ended.
    var deletedInHaste: [Int] = []
    private let steps: Int

    /// Prepares the run of a seed.
    ///
    /// With a lie something around the broker is not as it should be, and the run must end with a contradiction.
    package init(seed: UInt64, steps: Int = SimulationRun.usualSteps, lie: Lie? = nil) {
        self.seed = seed
        self.steps = steps
        self.liar = Liar(lie)
        self.random = SeededRandom(seed: seed)
        self.plan = SimulationPlan(self.random)
        self.workload = Workload(self.judge, self.random, self.plan)
        // Until the first start.
        self.broker = SimulatedBroker(shardCount: self.plan.shardCount, seed: seed)
        self.observer = SimulatedClient(self.broker, shard: 0)
    }

    /// Runs to the end, or to the first contradiction.
    package func run() -> SimulationReport {
        self.start()
        var nextLook = self.plan.phaseLength
        while self.judge.step < self.steps && self.judge.failure == nil {
            self.judge.step += 1
            self.takeStep()
            if self.judge.step >= nextLook {
                self.look()
                nextLook = self.judge.step + self.plan.phaseLength / 2 + self.random.below(self.plan.phaseLength)
            }
        }
        self.finish()
        if self.judge.failure != nil {
            for line in self.broker.logLines.suffix(5) {
                self.judge.note("log: \(line)")
            }
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

    // MARK: Steps

    private func takeStep() {
        if self.random.oneIn(40) {
            self.chooseSlowLink()
        }
        if self.judge.step >= self.diskIsWellAt {
            self.healDisk()
        }
        if !self.plan.faults.isEmpty && self.random.oneIn(self.plan.faultInterval) {
            self.suffer()
        }
        switch self.random.below(100) {
        case 0..<35: self.broker.run(self.random, maxEvents: 1 + self.random.below(4))
        case 35..<75: self.act()
        case 75..<92: self.readSomething()
        case 92..<96: self.chase()
        case 96..<97: self.changeConnections()
        case 97..<98: self.chase()
        default: self.passTime()
        }
        self.actors.removeAll { $0.model.state == .ended }
    }

    /// Batches from one shard to another take long for a while, most often those from the owner of the topology.
    private func chooseSlowLink() {
        let count = self.broker.shards.count
        guard count > 1, !self.random.oneIn(3) else {
            self.broker.slowLink = nil
            return
        }
        let from = self.random.oneIn(2) ? 0 : self.random.below(count)
        self.broker.slowLink = (from, (from + 1 + self.random.below(count - 1)) % count)
    }

    /// A client does something.
    private func act() {
        guard let actor = self.workload.pick(self.actors.filter { $0.model.state == .open }) else {
            return self.connect()
        }
        let channels = actor.model.orderedChannels.filter { $0.state == .open || $0.state == .opening }
        if channels.isEmpty || (channels.count < self.plan.channelLimit && self.random.oneIn(10)) {
            self.openChannel(actor)
            return
        }
        guard let channel = self.workload.pick(channels) else { return }
        // Most clients wait for an answer before they go on; some do not.
        let isWaiting = channel.pending.contains { $0.operation.isAnswered }
        guard !isWaiting || (channel.pending.count < 30 && self.random.oneIn(3)) else { return }
        for _ in 0...(self.random.oneIn(4) ? self.random.below(8) : 0) {
            guard let (operation, mustFail) = self.workload.next(actor, channel) else { continue }
            actor.send(operation, on: channel, mustFail: mustFail)
            // What a client says after it knows that it was wrong, or has closed, means nothing.
            if channel.state == .closing { return }
        }
    }

    /// One client is told that something is done, and another one relies on it before anything else moves.
    private func chase() {
        let open = self.actors.filter { $0.model.state == .open }
        guard let told = self.workload.pick(open), let chaser = self.workload.pick(open), told !== chaser,
            let channel = chaser.model.orderedChannels.first(where: { $0.state == .open && $0.pending.isEmpty })
        else { return }
        let publisher = told.model.orderedChannels.first {
            $0.state == .open && $0.mode == .confirm && !$0.pending.contains { $0.operation.isAnswered }
        }
        if let publisher, let operation = self.workload.publishToQuietQueue(publisher) {
            told.send(operation, on: publisher)
            self.broker.readAll(told.client.socket)
            _ = told.read()
        }
        let before = self.workload.news
        for _ in 0..<self.random.below(6) where self.workload.news == before {
            self.broker.run(self.random, maxEvents: 1)
            _ = told.read()
        }
        guard let operation = self.workload.relyOnNews(channel) else { return }
        chaser.send(operation, on: channel)
        self.broker.readAll(chaser.client.socket)
    }

    private func openChannel(_ actor: SimulationActor) {
        let number = UInt16(1 + self.random.below(5))
        guard actor.model.channels[number].map({ $0.state == .closed }) ?? true else { return }
        actor.openChannel(number)
    }

    private func connect() {
        guard self.actors.count < self.plan.clientLimit else { return }
        let actor = SimulationActor(
            self.judge,
            self.broker,
            shard: self.random.below(self.broker.shards.count),
            frameMaxBytes: self.random.oneIn(3) ? 4096 : 131_072,
            heartbeatSeconds: self.random.oneIn(3) ? 10 : 0,
            readLimit: self.random.oneIn(3) ? 64 : 1 << 20
        )
        if self.plan.hasSlowReaders && self.random.oneIn(2) {
            actor.client.socket.capacity = 200 + self.random.below(5000)
        }
        self.actors.append(actor)
    }

    private func readSomething() {
        guard let actor = self.workload.pick(self.actors) else { return }
        _ = actor.read(1 + self.random.below(actor.readLimit))
    }

    private func changeConnections() {
        guard self.actors.count == self.plan.clientLimit || self.random.oneIn(3) else { return self.connect() }
        guard self.plan.breaksConnections, let actor = self.workload.pick(self.actors) else { return }
        if self.random.oneIn(2) {
            actor.cut()
        } else if actor.model.state == .open {
            actor.close()
        }
    }

    /// Time passes; clients with heartbeats show that they live, and those that log in get on with it.
    private func passTime() {
        self.sendHeartbeats()
        self.broker.advance(milliseconds: UInt64(1 + self.random.below(1500)))
    }

    func sendHeartbeats() {
        for actor in self.actors {
            if actor.heartbeatSeconds > 0 && actor.model.state == .open && !actor.model.isSilent {
                actor.sendHeartbeat()
            }
            if actor.heartbeatSeconds > 0 || actor.model.state == .connecting {
                self.broker.readAll(actor.client.socket)
            }
        }
    }
}
