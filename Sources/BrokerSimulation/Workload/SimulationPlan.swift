internal import BrokerStore

/// What one seed does: each one leaves some things out and does others often.
struct SimulationPlan {
    /// A kind of operation, as the workload draws it.
    enum Kind: CaseIterable {
        case publish, settle, consume, cancel, get, declareQueue, deleteQueue, inspectQueue, purgeQueue
        case declareExchange, deleteExchange, bind, unbind, recover, qos, selectConfirms, selectTransactions
        case commit, rollBack, openChannel, closeChannel, mistake

        /// How often it is drawn, compared with the others.
        var weight: Int {
            switch self {
            case .publish: 60
            case .settle: 50
            case .consume: 14
            case .get: 12
            case .declareQueue, .bind: 9
            case .commit, .openChannel: 8
            case .selectConfirms: 6
            case .cancel, .declareExchange, .unbind, .inspectQueue, .qos: 4
            case .rollBack, .closeChannel, .selectTransactions, .recover, .deleteQueue: 2
            case .deleteExchange, .purgeQueue, .mistake: 1
            }
        }

        /// Without these nothing happens at all.
        var isNeeded: Bool {
            switch self {
            case .publish, .declareQueue, .openChannel: true
            default: false
            }
        }
    }

    /// How large messages are.
    enum Bodies {
        case small
        /// Now and then one that needs many frames.
        case mixed
        /// So large that windows between shards and output buffers fill up.
        case large
    }

    /// Shards of the broker.
    let shardCount: Int
    /// Connections at a time.
    let clientLimit: Int
    /// Channels of a connection.
    let channelLimit: Int
    /// Queues at a time.
    let queueLimit: Int
    /// Steps between two looks at a broker in which nothing moves, about.
    let phaseLength: Int
    /// The kinds of operations, each as often as it is wanted.
    let kinds: [Kind]
    /// Connections break, and are closed.
    let breaksConnections: Bool
    /// Some clients read slowly, through a small socket.
    let hasSlowReaders: Bool
    /// How large messages are.
    let bodies: Bodies
    /// Some consumers do not acknowledge.
    let hasAutomaticAcknowledgement: Bool
    /// Limits that clients set.
    let prefetches: [Int]
    /// There is a commit log, which takes its time.
    let isDurable: Bool
    /// What happens to the broker and its disk.
    let faults: Set<Fault>
    /// Steps between two faults, about.
    let faultInterval: Int
    /// How long commits take, compared with everything else.
    let commitPatience: Int
    /// How the log is kept.
    let log: SimulatedLogOptions
    /// The log is trimmed as often as it can be.
    var trimsOften: Bool { self.isDurable && (self.log.identity >> 24) % 4 == 0 }
    /// Next to nothing stays in memory.
    let pagesMessages: Bool

    /// Draws a plan.
    init(_ random: SeededRandom) {
        self.shardCount = 1 + random.below(4)
        self.clientLimit = 2 + random.below(5)
        self.channelLimit = 1 + random.below(3)
        self.queueLimit = 2 + random.below(6)
        self.phaseLength = 30 + random.below(200)
        var kinds: [Kind] = []
        for kind in Kind.allCases {
            let isLeftOut = random.oneIn(6) && !kind.isNeeded
            let isPromise = kind == .selectConfirms || kind == .selectTransactions
            let factor = random.oneIn(isPromise ? 2 : 5) ? 3 : 1
            if !isLeftOut {
                kinds += Array(repeating: kind, count: kind.weight * factor)
            }
        }
        self.kinds = kinds
        self.breaksConnections = !random.oneIn(4)
        self.hasSlowReaders = random.oneIn(2)
        self.bodies = random.oneIn(3) ? (random.oneIn(3) ? .large : .mixed) : .small
        self.hasAutomaticAcknowledgement = !random.oneIn(3)
        self.prefetches = random.oneIn(2) ? [1, 2, 3] : [0, 1, 5, 20]
        self.isDurable = !random.oneIn(3)
        var log = Self.drawLog(random)
        // Not drawn, so that seeds go on doing what they did.
        self.pagesMessages = log.identity % 3 == 0
        log.staysInLog = self.pagesMessages
        self.log = log
        var faults = self.isDurable ? Self.drawFaults(random, self.log) : []
        if !faults.isEmpty && self.pagesMessages && (self.log.identity >> 20) % 2 == 0 { faults.insert(.readError) }
        self.faults = faults
        self.faultInterval = 20 + random.below(150)
        self.commitPatience = random.oneIn(3) ? 1 : 1 + random.below(40)
    }

    private static func drawLog(_ random: SeededRandom) -> SimulatedLogOptions {
        var log = SimulatedLogOptions()
        log.fileBytes = 4096 << random.below(3)
        log.spareFiles = random.oneIn(2) ? 0 : 1 + random.below(2)
        log.policy = random.oneIn(5) ? .never : .always
        log.identity = 1 + random.next() / 2
        return log
    }

    private static func drawFaults(_ random: SeededRandom, _ log: SimulatedLogOptions) -> Set<Fault> {
        guard !random.oneIn(6) else { return [] }
        var faults = Set(Fault.allCases.filter { $0 != .readError && random.below(3) > 0 })
        if log.policy != .always {
            // Such a log promises nothing to those who lose power.
            faults.subtract([.powerLoss, .syncError])
        }
        return faults
    }
}
