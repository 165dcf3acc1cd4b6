internal import AMQPProtocol

/// Judges what queues with limits, times, dead letters, priorities, delays and counts show to their clients.
///
/// Exchanges and queues are there from the beginning and stay, so that it is known where a message goes. What becomes of
/// it then depends on what happens at the same time; so nothing is predicted, but everything must have a reason:
///
/// 1. What is delivered may be there: routed there, not done with, in order, neither too early nor too late, with the
///    marks and counts that it must have. A dead letter tells a death that can have happened.
/// 2. When nothing moves, everything that is anywhere is looked at (``resolves()``). What was confirmed and is not there
///    must have gone for a reason: acknowledged, expired after its time, dropped by a full queue, rejected, tried too
///    often, a duplicate. If its queue has somewhere for dead letters to go it must have arrived there, or be gone from
///    there for a reason.
/// 3. A crash makes what clients have done in vain, unless it was seen at rest before; it never takes what was confirmed.
///    A death and its dead letter may both survive, never neither.
///
/// The first contradiction is kept in ``failure``.
final class FeatureJudge {
    let queues: [FeatureQueue]
    var messages: [FeatureMessage] = []
    /// Channels that have not ended.
    var channels: [FeatureChannel] = []
    /// The current step of the simulation.
    var step = 0
    /// Counts what is sent and received.
    private(set) var clock = 0
    /// Milliseconds of the simulation.
    var now: UInt64 = 0
    /// When everything was looked at, by ``clock``.
    var resolvedClocks: [Int] = []
    /// Nothing that waits for room has to wait any more.
    var isEnding = false
    /// The broker has a log, and so persistent messages outlive it.
    var isDurable = true
    /// The disk may refuse reads for a while.
    var mayRefuseReads = false
    /// The broker stops and says so to everybody.
    var isStopping = false
    /// Channels that have ended since nothing moved: messages sent later may still have been on their way to them.
    private var recentEnds = 0
    /// What contradicts the model, if anything does.
    private(set) var failure: String?
    /// What has happened, one line each.
    private(set) var trace: [String] = []

    init(_ queues: [FeatureQueue]) {
        self.queues = queues
    }

    func tick() { self.clock += 1 }

    func note(_ line: @autoclosure () -> String) {
        self.trace.append("\(self.step) \(self.now)ms \(line())")
    }

    func fail(_ text: String) {
        guard self.failure == nil else { return }
        self.failure = text
        self.note("FAILED: \(text)")
    }

    // MARK: Clients

    /// A client publishes.
    func sends(_ message: FeatureMessage) {
        self.tick()
        message.sentAt = self.now
        message.sentClock = self.clock
        message.disturbances = self.recentEnds
        message.disturbedAt = self.recentEnds > 0 ? self.now : 0
        self.messages.append(message)
        for queue in message.route {
            message.copies[[queue]] = FeatureCopy(message, [queue])
        }
        let channel = message.publisher
        if channel.isConfirming {
            channel.unconfirmed[channel.nextPublish] = message
            channel.nextPublish += 1
        } else {
            message.verdict = .unknown
            channel.unanswered.append(message)
        }
        self.note("\(channel.name) > publish \(message.description)")
    }

    /// A publisher is told.
    func confirms(_ tag: UInt64, isMultiple: Bool, isRefused: Bool, on channel: FeatureChannel) {
        self.tick()
        self.note("\(channel.name) < \(isRefused ? "nack" : "ack") \(tag)\(isMultiple ? " multiple" : "")")
        let covered = channel.unconfirmed.keys.filter { isMultiple ? $0 <= tag : $0 == tag }.sorted()
        guard !covered.isEmpty else { return self.fail("\(channel.name): confirm \(tag) of nothing that is open") }
        for tag in covered {
            guard let message = channel.unconfirmed.removeValue(forKey: tag) else { continue }
            self.isHandled(message)
            message.verdict = isRefused ? .refused : .accepted
            for queue in message.route {
                self.verdictCame(message, at: self.queues[queue])
            }
            if isRefused && !message.route.contains(where: { self.mayRefuse(message, at: $0) }) {
                self.fail("m\(message.id) is refused, but none of its queues can have been full")
            }
        }
    }

    private func verdictCame(_ message: FeatureMessage, at queue: FeatureQueue) {
        guard let copy = message.copies[[queue.id]] else { return }
        let refusers = message.route.filter { id in
            self.queues[id].settings(since: message.sentClock).contains(where: \.refuses)
        }
        if message.verdict == .accepted || !refusers.contains(queue.id) {
            copy.isCertain = true
        } else if refusers == [queue.id], message.delay == nil {
            // Nowhere else can have refused it.
            switch copy.place {
            case .queue, .dead: self.isGone(copy, "refused")
            case .out, .settled, .consumed, .dying, .doubtful, .gone:
                self.fail("m\(message.id) is refused after it was seen in \(queue.name)")
            }
        }
    }

    /// The broker is certainly done with routing a message by now.
    private func isHandled(_ message: FeatureMessage) {
        guard message.handledBy == nil else { return }
        message.handledBy = self.now
        message.handledClock = self.clock
    }

    /// A client settles deliveries.
    func settles(_ deliveries: [FeatureChannel.Delivery], _ outcome: FeatureCopy.Outcome, on channel: FeatureChannel) {
        self.tick()
        for delivery in deliveries {
            channel.unacknowledged.removeAll { $0.tag == delivery.tag }
            let copy = delivery.copy
            switch outcome {
            case .acknowledge: copy.wasAcknowledged = true
            case .reject: copy.wasRejected = true
            case .requeue: break
            }
            guard case .out(channel, delivery.tag) = copy.place else { continue }
            switch outcome {
            case .acknowledge, .reject:
                copy.place = .settled(channel, outcome)
            case .requeue: self.comesBack(copy)
            }
        }
    }

    private func comesBack(_ copy: FeatureCopy) {
        copy.place = .queue
        copy.returns += 1
        copy.returnedAt = self.now
        let retries = self.queues[copy.queue].settings(since: copy.message.sentClock).map(\.retry)
        if retries.count == 1, let retry = retries[0] {
            copy.waitsUntil = self.now + min(retry.min * UInt64(copy.returns), retry.max)
        }
    }

    /// A connection has broken.
    func ends(_ channel: FeatureChannel) {
        guard !channel.isEnded else { return }
        self.tick()
        self.note("\(channel.name) is cut")
        self.leaves(channel)
        self.recentEnds += 1
        for message in self.messages {
            message.disturbances += 1
            message.disturbedAt = self.now
            for copy in message.orderedCopies {
                switch copy.place {
                case .out(channel, _): self.comesBack(copy)
                case .settled(channel, _): copy.place = .doubtful
                case .out, .settled, .queue, .consumed, .dying, .dead, .doubtful, .gone: break
                }
            }
        }
        channel.unacknowledged = []
    }

    private func leaves(_ channel: FeatureChannel) {
        channel.isEnded = true
        self.channels.removeAll { $0 === channel }
        for message in channel.unconfirmed.sorted(by: { $0.key < $1.key }).map(\.value) + channel.unanswered {
            self.isHandled(message)
            if message.verdict == .open { message.verdict = .unknown }
        }
        channel.unconfirmed = [:]
        channel.unanswered = []
        for queue in channel.automaticQueues {
            self.queues[queue].lossClock = .max
        }
    }

    // MARK: The broker

    /// The broker is gone, in good order or not.
    func brokerEnds() {
        self.tick()
        self.note("the broker is gone")
        self.isStopping = false
        self.recentEnds = 0
        for channel in self.channels {
            self.leaves(channel)
            channel.unacknowledged = []
        }
        self.noteDying()
        for message in self.messages {
            message.crashes += 1
            message.mayComeTwice = message.mayComeTwice || (message.delay != nil && !message.hasWaited)
            message.disturbances += 1
            message.disturbedAt = self.now
            for copy in message.orderedCopies where !copy.isGone {
                self.outlive(copy)
            }
        }
    }

    /// What may be dead, and kept until its dead letter has arrived, may be alive again with its dead letter there.
    private func noteDying() {
        for copy in self.messages.flatMap(\.orderedCopies) where copy.isRoot && !copy.isGone && self.mayBeStuck(copy) {
            if self.mayHaveDied(copy, self.queues[copy.queue]) { copy.mayComeBackFromDeath = true }
        }
    }

    private func outlive(_ copy: FeatureCopy) {
        switch copy.place {
        case .out: copy.place = .queue
        case .settled, .consumed, .dead: copy.place = .doubtful
        case .dying where self.mayBeStuck(copy): copy.place = .doubtful
        case .queue, .doubtful, .dying, .gone: break
        }
        copy.returnedAt = self.now
        copy.waitsUntil = copy.loggedWait
        copy.isMarked = copy.isMarkLogged
        copy.returns = copy.loggedReturns
        if !copy.message.isPersistent || (copy.isRoot && copy.message.verdict == .refused) {
            copy.mayBeLost = true
        }
        guard !copy.isRoot else { return }
        // Its message may die again.
        copy.arrivedBy = nil
        // A dead letter that was seen may be lost when its death is: then the message is where it died.
        if !copy.isMarkLogged { copy.isCertain = false }
    }

    /// Nothing moves any more, everything has been read and is in the log.
    func settled() {
        guard self.failure == nil else { return }
        self.tick()
        self.note("settled")
        self.recentEnds = 0
        for queue in self.queues where queue.lossClock == .max {
            queue.lossClock = self.clock
        }
        for queue in self.queues where queue.isChanging {
            queue.settle(at: self.clock)
            // What had another priority has another place.
            for channel in self.channels {
                channel.lastDelivered = channel.lastDelivered.filter { $0.key.queue != queue.id }
            }
        }
        for channel in self.channels {
            if let open = channel.unconfirmed.min(by: { $0.key < $1.key }) {
                return self.fail("\(channel.name): publish \(open.key), m\(open.value.id), is not confirmed")
            }
            for message in channel.unanswered {
                self.isHandled(message)
                for copy in message.orderedCopies where copy.isRoot {
                    copy.isCertain = copy.isCertain || !self.mayRefuse(message, at: copy.queue)
                }
            }
            channel.unanswered = []
        }
        for message in self.messages {
            if let delay = message.delay, let handled = message.handledBy, self.now >= handled + delay + 10 {
                message.hasWaited = true
            }
            for copy in message.orderedCopies {
                switch copy.place {
                case .settled(_, .acknowledge), .consumed: self.isGone(copy, "acknowledged")
                case .dead: self.isGone(copy, "dead")
                case .settled(_, .reject): copy.place = .dying
                case .settled(_, .requeue), .queue, .out, .dying, .doubtful, .gone: break
                }
                copy.isMarkLogged = copy.isMarked
                // A channel whose `basic.get` waits for the disk is heard later.
                if self.mayRefuseReads && copy.returns > copy.loggedReturns { copy.returnedAt = self.now }
                copy.loggedReturns = copy.returns
                copy.loggedWait = copy.waitsUntil
                // The last return of a message that is dead, and kept only because nobody takes it, is told nowhere.
                if self.mayBeStuck(copy) { copy.loggedReturns = min(copy.returns, self.lowestLimit(of: copy)) }
                if copy.isMarked { copy.isCertain = true }
            }
        }
    }

    private func lowestLimit(of copy: FeatureCopy) -> Int {
        let queue = self.queues[copy.queue]
        return queue.settings(since: copy.message.sentClock).compactMap { queue.deliveryLimit($0) }.min() ?? .max
    }

    /// Whether a dead message may be kept because nobody takes it.
    func mayBeStuck(_ copy: FeatureCopy) -> Bool {
        self.queues[copy.queue].settings(since: copy.message.sentClock).contains(where: \.isAtLeastOnce)
    }

    func isGone(_ copy: FeatureCopy, _ reason: String) {
        copy.place = .gone(reason)
        copy.goneClock = self.clock
    }

    /// Another policy governs a queue; nothing moves.
    func governs(_ queue: FeatureQueue, _ policy: FeatureQueue.Policy) {
        self.tick()
        queue.govern(policy, since: self.clock)
        self.note("policy: \(queue.description)")
    }

    /// Somebody asks for other arguments of a queue; they count some time before nothing moves any more.
    func alters(_ queue: FeatureQueue, _ declared: FeatureQueue.Settings) {
        self.tick()
        queue.alter(declared, since: self.clock)
        // What comes back is given the time that counts when the broker hears of it.
        for copy in self.messages.flatMap(\.orderedCopies) where copy.queue == queue.id {
            copy.waitsUntil = 0
            copy.loggedWait = 0
        }
        self.note("altered: \(queue.description)")
    }
}
