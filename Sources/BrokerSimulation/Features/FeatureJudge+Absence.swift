/// Why a message that should be in a queue is not there.
extension FeatureJudge {
    /// What is to be thought of a copy that is nowhere.
    enum Absence {
        /// It will not come back.
        case gone(String)
        /// It cannot be seen now, but may be later.
        case waiting(String)
    }

    /// Nothing moves, and whatever can be taken out of a queue is with the observer: what is missing must have a reason.
    func resolves() {
        guard self.failure == nil else { return }
        self.resolvedClocks.append(self.clock)
        for message in self.messages {
            for copy in message.orderedCopies {
                switch copy.place {
                case .out, .gone: continue
                case .dead: self.isGone(copy, "dead")
                case .queue, .settled, .consumed, .dying, .doubtful: self.resolve(copy)
                }
                guard self.failure == nil else { return }
            }
        }
    }

    private func resolve(_ copy: FeatureCopy) {
        // An unseen dead letter is asked for by its death.
        if !copy.isRoot && !copy.isCertain { return }
        switch self.absence(of: copy) {
        case .gone(let reason): self.isGone(copy, reason)
        case .waiting: break
        case nil:
            let path = copy.path.map(FeatureQueue.name).joined(separator: " > ")
            self.fail("m\(copy.message.id) is lost: it came to \(path), and nothing says why it is not there")
        }
    }

    /// Why a copy is not there; nil when there is no reason.
    private func absence(of copy: FeatureCopy, countsDuplicates: Bool = true) -> Absence? {
        let message = copy.message
        let queue = self.queues[copy.queue]
        if case .out = copy.place { return .gone("out") }
        if case .gone(let reason) = copy.place { return .gone(reason) }
        if let waiting = self.waiting(copy, queue) { return waiting }
        // Not even a crash takes what waits for room where its dead letter goes.
        if self.mayBeStuck(copy), case .waiting(let reason)? = self.death(of: copy, queue) { return .waiting(reason) }
        if copy.isRoot && !copy.isCertain { return self.neverCame(copy) }
        if copy.mayBeLost { return .gone("lost in a crash") }
        if copy.wasAcknowledged { return .gone("acknowledged") }
        if queue.lossClock > message.sentClock { return .gone("lost on its way to a consumer") }
        // What has left a dead letter has been there.
        if let death = self.death(of: copy, queue) { return death }
        return countsDuplicates && copy.isRoot && self.isDuplicate(copy) ? .gone("a duplicate") : nil
    }

    /// A copy that nobody was promised is not there.
    private func neverCame(_ copy: FeatureCopy) -> Absence? {
        let queue = self.queues[copy.queue]
        let settings = queue.settings(since: copy.message.sentClock)
        let isDeadLetter = settings.allSatisfy { $0.refuses && $0.overflow == .rejectPublishDeadLetter }
        // Certainly refused here, by a queue that makes dead letters of what it refuses.
        if copy.message.verdict == .refused, copy.message.route.count == 1, isDeadLetter, copy.message.crashes == 0 {
            return self.letter(of: copy, settings)
        }
        let mayHaveGone =
            copy.wasAcknowledged || copy.message.crashes > 0 || queue.lossClock > copy.message.sentClock
            || self.death(of: copy, queue) != nil
        return .gone(mayHaveGone ? "there or not" : "never there")
    }

    private func waiting(_ copy: FeatureCopy, _ queue: FeatureQueue) -> Absence? {
        let message = copy.message
        if copy.isRoot, let delay = message.delay, let handled = message.handledBy, self.now < handled + delay + 10 {
            return .waiting("for its time")
        }
        if self.mayWaitForRetry(copy, queue) { return .waiting("for another try") }
        if queue.declared.hasGroups, let group = message.group, self.isHeld(group, queue) {
            return .waiting("for its group")
        }
        return nil
    }

    private func mayWaitForRetry(_ copy: FeatureCopy, _ queue: FeatureQueue) -> Bool {
        let message = copy.message
        let retries = queue.settings(since: message.sentClock).compactMap(\.retry)
        guard let longest = retries.map(\.max).max(), copy.seenCount > 0 || message.disturbances > 0 else {
            return false
        }
        return self.now < max(copy.returnedAt, message.disturbedAt) + longest + 2
    }

    /// Whether a client has something of a group, so that the rest is its as well, or something of it waits.
    private func isHeld(_ group: Int, _ queue: FeatureQueue) -> Bool {
        self.messages.contains { message in
            guard message.group == group else { return false }
            return message.orderedCopies.contains { copy in
                guard copy.queue == queue.id, !copy.isGone else { return false }
                if case .out = copy.place { return true }
                return self.mayWaitForRetry(copy, queue)
            }
        }
    }

    private func isDuplicate(_ copy: FeatureCopy) -> Bool {
        let message = copy.message
        guard let key = message.identity else { return false }
        return self.messages.contains { other in
            guard other.identity == key, other !== message, other.sentClock < message.handledClock,
                self.mayBeOriginal(other, of: message),
                let twin = other.copies[copy.path]
            else { return false }
            // It has been there, or is gone for a reason of its own.
            if twin.seenCount > 0 { return true }
            if case .gone(let reason) = twin.place, reason != "there or not" {
                return !["a duplicate", "never there", "refused"].contains(reason)
            }
            // Nobody knows whether it came; what was refused leaves no key, nor does what never came.
            guard twin.isCertain else { return other.verdict != .refused && self.mayHaveBeenThere(twin) }
            return self.absence(of: twin, countsDuplicates: false) != nil
        }
    }

    /// Whether a copy that nobody was promised, and that is not there, may have been there.
    private func mayHaveBeenThere(_ copy: FeatureCopy) -> Bool {
        let queue = self.queues[copy.queue]
        return copy.mayBeLost || copy.wasAcknowledged || queue.lossClock > copy.message.sentClock
            || self.waiting(copy, queue) != nil || self.mayHaveDied(copy, queue) || self.mayBeStuck(copy)
    }

    /// What is to outlive a crash is no duplicate of what is not.
    func mayBeOriginal(_ other: FeatureMessage, of message: FeatureMessage) -> Bool {
        other.isPersistent || !message.isPersistent || !self.isDurable
    }

    // MARK: Deaths

    /// Whether a copy that was in its queue can have died there.
    func mayHaveDied(_ copy: FeatureCopy, _ queue: FeatureQueue) -> Bool {
        let settings = queue.settings(since: copy.message.sentClock)
        if copy.wasRejected { return true }
        if let time = self.shortestTime(of: copy), self.soonestArrival(of: copy) + time <= self.now { return true }
        if settings.contains(where: { $0.drops && self.mayBeBeyond($0, copy) }) { return true }
        if let limit = settings.compactMap({ queue.deliveryLimit($0) }).min(), self.mayExceed(limit, copy) {
            return true
        }
        // A dead letter that is refused may be one in turn.
        return !copy.isRoot && settings.contains(where: { $0.refuses && self.mayBeBeyond($0, copy) })
            && settings.contains { $0.overflow == .rejectPublishDeadLetter }
    }

    /// How a copy can have died, if what that leaves is there.
    private func death(of copy: FeatureCopy, _ queue: FeatureQueue) -> Absence? {
        let settings = queue.settings(since: copy.message.sentClock)
        var hasDied = self.mayHaveDied(copy, queue)
        // It may have been there unseen, and be kept because nobody takes it.
        if hasDied && self.mayBeStuck(copy), case .waiting(let reason)? = self.letter(of: copy, settings) {
            return .waiting(reason)
        }
        // A message that has waited is refused without a word; not one that was there.
        let mayHaveBeenRefused = copy.message.delay != nil && (copy.seenCount == 0 || copy.message.mayComeTwice)
        if mayHaveBeenRefused, settings.contains(where: { $0.refuses && self.mayBeBeyond($0, copy) }) {
            guard settings.allSatisfy({ $0.overflow == .rejectPublishDeadLetter }), copy.message.crashes == 0 else {
                return .gone("refused when its time came")
            }
            hasDied = true
        }
        return hasDied ? self.letter(of: copy, settings) : nil
    }

    /// What has become of the dead letter of a copy.
    private func letter(of copy: FeatureCopy, _ settings: [FeatureQueue.Settings]) -> Absence? {
        let message = copy.message
        if settings.contains(where: { $0.deadLettersTo == nil }) { return .gone("dead") }
        for target in Set(settings.compactMap(\.deadLettersTo)).sorted() {
            let path = copy.path + [target]
            let queue = self.queues[target]
            let letter = message.copies[path] ?? FeatureCopy(message, path)
            let isKnown = letter.isCertain || letter.isGone
            let isAtLeastOnce = settings.contains(where: \.isAtLeastOnce)
            // It is judged by itself, unless its message may have died again: there is another one then, and that must
            // arrive as well.
            if isKnown && !(isAtLeastOnce && self.mayHaveDiedTwice(copy)) { return .gone("dead") }
            if message.crashes > 0 && !message.isPersistent { letter.mayBeLost = true }
            let mayBeFull = queue.settings(since: message.sentClock).contains {
                $0.refuses && self.mayBeBeyond($0, letter)
            }
            if mayBeFull && !self.isEnding { return isAtLeastOnce ? .waiting("for room") : .gone("refused when dead") }
            if isKnown { return .gone("dead") }
            if let absence = self.absence(of: letter) { return absence.after(death: copy) }
        }
        return nil
    }

    /// Whether a crash may have come between the arrival of a copy's dead letter and the end of the copy.
    private func mayHaveDiedTwice(_ copy: FeatureCopy) -> Bool {
        copy.isRoot ? copy.mayComeBackFromDeath : copy.message.crashes > 0
    }

    // MARK: Full queues

    /// Whether some setting of a queue may have had it refuse a message.
    func mayRefuse(_ message: FeatureMessage, at queue: Int) -> Bool {
        guard let copy = message.copies[[queue]] else { return false }
        return self.queues[queue].settings(since: message.sentClock).contains {
            $0.refuses && self.mayBeBeyond($0, copy)
        }
    }

    /// Whether so much else may have been in a copy's queue that there was no room for it.
    ///
    /// To be dropped it must have been in front of all that.
    func mayBeBeyond(_ settings: FeatureQueue.Settings, _ copy: FeatureCopy) -> Bool {
        guard settings.isLimited else { return false }
        var count = 0
        var octets = copy.message.size
        for message in self.messages where message !== copy.message {
            for size in self.sizes(of: message, at: copy, settings) {
                count += 1
                octets += size
            }
        }
        if let limit = settings.maxLength, count >= limit { return true }
        if let limit = settings.maxBytes, octets > limit { return true }
        return false
    }

    /// The octets of each copy of another message that may have been in a copy's queue at the same time.
    private func sizes(
        of message: FeatureMessage,
        at copy: FeatureCopy,
        _ settings: FeatureQueue.Settings
    ) -> [Int] {
        let since = copy.message.sentClock
        // Whatever died before then, its dead letter was looked for.
        let resolved = self.resolvedClocks.last { $0 <= since } ?? 0
        var count = 0
        for other in message.orderedCopies {
            let isInPlace = other.queue == copy.queue
            if other.isGone && other.goneClock < (isInPlace ? since : resolved) { continue }
            // A crash may have had it come again.
            let times = self.isLoose(other) ? 1 + message.crashes : 1
            if isInPlace {
                // Whatever a channel has published before is in front, unless there are priorities.
                let isBefore =
                    copy.isRoot && other.isRoot && settings.drops && message.publisher === copy.message.publisher
                    && message.id < copy.message.id && self.hasOneOrder(copy.queue, since: message.sentClock)
                    && message.delay == nil
                    && copy.message.delay == nil && !settings.hasGroups && message.identity == nil
                    && copy.message.identity == nil
                count += isBefore ? 0 : times
            } else {
                // It may have died, and its dead letter been here for a while.
                let leadsHere = self.isLed(from: other.queue, to: copy.queue, since: message.sentClock)
                count += leadsHere ? times : 0
            }
        }
        return Array(repeating: message.size, count: count)
    }

    /// Whether a queue has had no priorities since then, and what comes back takes its old place.
    private func hasOneOrder(_ queue: Int, since clock: Int) -> Bool {
        self.queues[queue].settings(since: clock).allSatisfy { $0.maxPriority == nil && !$0.isQuorum }
    }

    /// Whether dead letters of a queue may come to another one.
    private func isLed(from queue: Int, to target: Int, since clock: Int) -> Bool {
        self.queues[queue].settings(since: clock).compactMap(\.deadLettersTo).contains { next in
            next == target || self.isLed(from: next, to: target, since: clock)
        }
    }
}

extension FeatureJudge.Absence {
    /// What it means for the message that its dead letter is not there.
    fileprivate func after(death copy: FeatureCopy) -> FeatureJudge.Absence {
        switch self {
        case .gone(let reason): .gone("dead, and its dead letter \(reason)")
        case .waiting: self
        }
    }
}

extension FeatureJudge {
    /// At the end every copy has gone for a reason.
    func nothingIsLeft() {
        guard self.failure == nil else { return }
        for message in self.messages {
            for copy in message.orderedCopies where !copy.isGone && (copy.isRoot || copy.isCertain) {
                self.fail("m\(message.id) still waits in \(FeatureQueue.name(copy.queue)) at the end")
            }
        }
    }
}
