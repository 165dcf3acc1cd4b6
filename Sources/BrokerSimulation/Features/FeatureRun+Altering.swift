internal import AMQPProtocol
internal import BrokerCore

/// Queues get other arguments while they are used.
///
/// The request is an operator's, and nobody waits for its answer: until nothing moves the old ones may count, or the new
/// ones. A broker that ends meanwhile may not have heard of it, so the next one is asked again.
extension FeatureRun {
    /// A request that may not have been carried out.
    struct Alteration {
        let queue: FeatureQueue
        let changes: FieldTable
        let ticket: UInt64
    }

    private static let tickets: UInt64 = 1000

    /// Asks for something else of some queue.
    func alterQueue() {
        guard let queue = self.pick(self.features.queues), let (settings, changes) = self.drawChange(of: queue) else {
            return
        }
        let ticket = Self.tickets + UInt64(self.step)
        self.alterations.append(Alteration(queue: queue, changes: changes, ticket: ticket))
        self.judge.alters(queue, settings)
        self.broker.shards[0].administer(Self.request(queue, changes), ticket: ticket, now: self.broker.now)
        self.broker.endTurn(of: 0, !self.random.oneIn(3))
    }

    private static func request(_ queue: FeatureQueue, _ changes: FieldTable) -> AdministrationRequest {
        .alterQueue(virtualHost: "/", name: queue.name, changes: changes)
    }

    private func drawChange(of queue: FeatureQueue) -> (FeatureQueue.Settings, FieldTable)? {
        var settings = queue.declared
        func number(_ value: Int?) -> FieldValue { value.map { .int64(Int64($0)) } ?? .void }
        let isRemoved = self.random.oneIn(3)
        switch self.random.below(7) {
        case 0:
            settings.maxLength = isRemoved ? nil : self.random.below(9)
            return (settings, ["x-max-length": number(settings.maxLength)])
        case 1:
            settings.maxBytes = isRemoved ? nil : 20 + self.random.below(300)
            return (settings, ["x-max-length-bytes": number(settings.maxBytes)])
        case 2:
            settings.timeToLive = isRemoved ? nil : UInt64(self.random.below(4000))
            return (settings, ["x-message-ttl": number(settings.timeToLive.map { Int($0) })])
        case 3:
            guard !settings.isQuorum, !settings.hasGroups else { return nil }
            settings.maxPriority = isRemoved ? nil : UInt8(1 + self.random.below(9))
            return (settings, ["x-max-priority": number(settings.maxPriority.map { Int($0) })])
        case 4:
            settings.deliveryLimit = isRemoved ? nil : self.random.below(5)
            return (settings, ["x-delivery-limit": number(settings.deliveryLimit)])
        case 5:
            let shortest = 10 + self.random.below(400)
            settings.retry = isRemoved ? nil : FeatureQueue.Retry(min: UInt64(shortest), max: UInt64(3 * shortest))
            return (
                settings,
                [
                    "x-delayed-retry-min": number(isRemoved ? nil : shortest),
                    "x-delayed-retry-max": number(isRemoved ? nil : 3 * shortest),
                ]
            )
        default:
            // A quorum queue has no priorities, and knows fewer ways to be full; only there dead letters must arrive.
            guard settings.maxPriority == nil, settings.overflow != .rejectPublishDeadLetter, !settings.isAtLeastOnce
            else { return nil }
            settings.isQuorum.toggle()
            return (settings, ["x-queue-type": settings.isQuorum ? .string("quorum") : .void])
        }
    }

    /// No queue is too small for a dead letter any more: by its octets, or because it is never to have any message.
    ///
    /// A dead letter that must arrive would wait for ever where its queue refuses even the first.
    func liftLimitsTooSmall() {
        let queues = self.features.queues
        let mustTake = Set(queues.map(\.declared).filter(\.isAtLeastOnce).compactMap(\.deadLettersTo))
        for queue in queues where self.features.hasAlterations || mustTake.contains(queue.id) {
            var settings = queue.declared
            var changes: [(ShortString, FieldValue)] = []
            if settings.maxBytes != nil {
                settings.maxBytes = nil
                changes.append(("x-max-length-bytes", .void))
            }
            if settings.maxLength == 0 {
                settings.maxLength = nil
                changes.append(("x-max-length", .void))
            }
            guard !changes.isEmpty else { continue }
            self.judge.alters(queue, settings)
            let answers = self.broker.administer(Self.request(queue, FieldTable(changes)))
            if answers != [.done] { self.judge.fail("\(queue.name) is to have no limit, and the answer is \(answers)") }
        }
    }

    /// Another broker is there: it is asked for what the last one may not have heard of.
    func alterAgain() {
        for alteration in self.alterations {
            let answers = self.broker.administer(Self.request(alteration.queue, alteration.changes))
            self.check(answers.first, alteration)
        }
        self.alterations = []
    }

    /// Nothing moves: what was asked for is done, and the queues are what they were asked to be.
    func checkAlterations() {
        guard self.judge.failure == nil else { return }
        let altered = Set(self.alterations.map(\.queue.id)).sorted()
        for alteration in self.alterations { self.check(self.broker.answers[alteration.ticket], alteration) }
        self.alterations = []
        for queue in altered.map({ self.features.queues[$0] }) {
            let client = SimulatedClient(self.broker, shard: 0).open()
            let name = ShortString(truncating: queue.name)
            let declaration = QueueDeclare(queue: name, durable: true, arguments: queue.arguments)
            for case .method(_, .channelClose(let close)) in client.call(declaration) {
                self.judge.fail("\(queue.description) is declared as it was altered: \(close.replyText)")
            }
            client.disconnect()
        }
        if !altered.isEmpty { self.settle() }
    }

    private func check(_ answer: AdministrationAnswer?, _ alteration: Alteration) {
        if case .done? = answer { return }
        self.judge.fail(
            "\(alteration.queue.name) is to have \(alteration.changes), and the answer is \(String(describing: answer))"
        )
    }
}
