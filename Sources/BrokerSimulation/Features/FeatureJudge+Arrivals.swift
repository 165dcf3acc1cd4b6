internal import AMQPProtocol

/// What clients get.
extension FeatureJudge {
    /// A message as it came to a client.
    struct Arrival {
        let message: FeatureMessage
        /// The queues in which it died, and the one it comes from.
        let path: [Int]
        /// Why it died in each.
        let reasons: [String]
        let isRedelivered: Bool
        /// How often it has come back, if that is told.
        let returns: Int?
    }

    /// Somebody got a message out of a queue; `emittedAfter` says when it was sent at the soonest.
    func receives(
        _ arrival: Arrival,
        from queue: FeatureQueue,
        tag: UInt64,
        noAck: Bool,
        emittedAfter: UInt64,
        on channel: FeatureChannel
    ) {
        guard self.failure == nil else { return }
        self.tick()
        let what = "\(channel.name): m\(arrival.message.id) of \(queue.name)"
        let story = arrival.reasons.isEmpty ? "" : " \(arrival.reasons) in \(arrival.path.dropLast())"
        self.note(
            "\(channel.name) < #\(tag) m\(arrival.message.id) of \(queue.name)\(story)"
                + (arrival.isRedelivered ? " redelivered" : "") + (arrival.returns.map { " count \($0)" } ?? "")
        )
        guard arrival.path.last == queue.id, let copy = self.copy(arrival) else {
            return self.fail("\(what) should not be there: not routed to it")
        }
        if !self.isLoose(copy) {
            self.checkPlace(copy, what)
            self.checkMarks(copy, arrival, queue, what)
            self.checkOrder(copy, arrival, queue, channel, what)
        }
        self.checkDeaths(copy, arrival, what)
        self.checkTimes(copy, emittedAfter, what)
        self.checkUnique(copy, what)
        // Who does not acknowledge is done with a message at once, whenever it is read.
        if !noAck { self.checkGroupLock(copy, queue, channel, what) }
        self.checkGroupOrder(copy, queue, what)
        copy.seenCount += 1
        copy.arrivedBy = min(copy.arrivedBy ?? self.now, self.now)
        copy.wasAcknowledged = noAck
        copy.wasRejected = false
        copy.isMarked = true
        copy.place = noAck ? .consumed : .out(channel, tag: tag)
        self.parentDied(of: copy, what)
        if !noAck {
            channel.unacknowledged.append(FeatureChannel.Delivery(tag: tag, copy: copy))
        }
    }

    /// Whether a copy may be there more than once after a crash.
    ///
    /// A message may have died again, and its dead letter come again; so may a message whose time came shortly before.
    func isLoose(_ copy: FeatureCopy) -> Bool {
        copy.isRoot ? copy.message.mayComeTwice : copy.message.crashes > 0
    }

    private func copy(_ arrival: Arrival) -> FeatureCopy? {
        if let copy = arrival.message.copies[arrival.path] { return copy }
        guard arrival.path.count > 1, arrival.message.route.contains(arrival.path[0]) else { return nil }
        let since = arrival.message.sentClock
        for (from, to) in zip(arrival.path, arrival.path.dropFirst()) {
            guard self.queues[from].settings(since: since).contains(where: { $0.deadLettersTo == to }) else {
                return nil
            }
        }
        let copy = FeatureCopy(arrival.message, arrival.path)
        arrival.message.copies[arrival.path] = copy
        return copy
    }

    private func checkPlace(_ copy: FeatureCopy, _ what: String) {
        switch copy.place {
        case .queue, .doubtful: break
        case .out(let holder, let tag): self.fail("\(what) is delivered while \(holder.name) has it as #\(tag)")
        case .settled(let holder, _): self.fail("\(what) comes back after \(holder.name) has settled it")
        case .consumed: self.fail("\(what) comes back after somebody took it without acknowledgement")
        case .dying: self.fail("\(what) comes back after it was rejected")
        case .dead: self.fail("\(what) is still there, but its dead letter has been seen")
        case .gone(let reason): self.fail("\(what) comes back, but was \(reason)")
        }
    }

    private func checkMarks(_ copy: FeatureCopy, _ arrival: Arrival, _ queue: FeatureQueue, _ what: String) {
        if copy.isMarked && !arrival.isRedelivered {
            self.fail("\(what) comes again without being marked as redelivered")
        }
        if arrival.isRedelivered && copy.seenCount == 0 && copy.message.disturbances == 0 {
            self.fail("\(what) is marked as redelivered, but nobody can have had it")
        }
        guard queue.alwaysShowsCount else { return }
        let returns = arrival.returns ?? 0
        if returns < copy.returns {
            self.fail("\(what) has come back \(copy.returns) times, but its count is \(returns)")
        }
        if returns > copy.returns && copy.message.disturbances == 0 {
            self.fail("\(what) has come back \(copy.returns) times only, but its count is \(returns)")
        }
        let limits = queue.settings(since: copy.message.sentClock).map { queue.deliveryLimit($0) }
        if let highest = limits.compactMap({ $0 }).max(), limits.allSatisfy({ $0 != nil }), returns > highest {
            self.fail("\(what) has come back \(returns) times, the limit is \(highest)")
        }
        copy.returns = max(copy.returns, returns)
    }

    private func checkOrder(
        _ copy: FeatureCopy,
        _ arrival: Arrival,
        _ queue: FeatureQueue,
        _ channel: FeatureChannel,
        _ what: String
    ) {
        guard let order = self.order(of: copy), !arrival.isRedelivered, !queue.isChanging else { return }
        if let last = channel.lastDelivered[order], last >= copy.message.id {
            self.fail("\(what) comes after m\(last), which the same channel published later")
        }
        channel.lastDelivered[order] = copy.message.id
    }

    /// The messages among which a copy keeps the order of publishing; nil when there are none.
    func order(of copy: FeatureCopy) -> FeatureChannel.Order? {
        guard copy.isRoot, copy.message.delay == nil, copy.message.identity == nil else { return nil }
        let queue = self.queues[copy.queue]
        return FeatureChannel.Order(
            queue: queue.id,
            publisher: ObjectIdentifier(copy.message.publisher),
            priority: self.priority(of: copy),
            group: queue.declared.hasGroups ? copy.message.group : nil
        )
    }

    /// The priority that counts in a copy's queue.
    func priority(of copy: FeatureCopy) -> UInt8 {
        guard let highest = self.queues[copy.queue].settings.maxPriority else { return 0 }
        return min(copy.message.priority ?? 0, highest)
    }

    // MARK: Deaths

    private func checkDeaths(_ copy: FeatureCopy, _ arrival: Arrival, _ what: String) {
        for (index, reason) in arrival.reasons.enumerated() {
            let path = Array(arrival.path.prefix(index + 1))
            guard let problem = self.problem(reason, path, copy.message) else { continue }
            self.fail("\(what) is said to have been \(reason) in \(self.queues[path[index]].name): \(problem)")
        }
    }

    /// Why a message cannot have died so in the last queue of a path; nil when it can.
    private func problem(_ reason: String, _ path: [Int], _ message: FeatureMessage) -> String? {
        let queue = self.queues[path[path.count - 1]]
        let copy = message.copies[path] ?? FeatureCopy(message, path)
        let settings = queue.settings(since: message.sentClock)
        switch reason {
        case "expired":
            guard let time = self.shortestTime(of: copy) else { return "nothing limits its time" }
            let soonest = self.soonestArrival(of: copy) + time
            return self.now >= soonest ? nil : "its time ends at \(soonest) at the soonest"
        case "maxlen":
            return settings.contains { self.mayBeBeyond($0, copy) } ? nil : "the queue cannot have been full"
        case "rejected":
            return copy.wasRejected || copy.seenCount > 0 && message.crashes > 0 ? nil : "nobody has"
        case "delivery_limit":
            let limit = settings.compactMap { queue.deliveryLimit($0) }.min()
            guard let limit else { return "there is no limit" }
            return self.mayExceed(limit, copy) ? nil : "it was tried \(copy.seenCount) times"
        default:
            return "that is no reason"
        }
    }

    /// Whether a copy can have come back more often than `limit`.
    func mayExceed(_ limit: Int, _ copy: FeatureCopy) -> Bool {
        copy.seenCount + copy.message.disturbances > limit
    }

    private func parentDied(of copy: FeatureCopy, _ what: String) {
        guard !copy.isRoot, let parent = copy.message.copies[Array(copy.path.dropLast())] else { return }
        let isStrict = copy.message.crashes == 0
        switch parent.place {
        case .out(let holder, let tag) where isStrict:
            self.fail("\(what) is a dead letter, but \(holder.name) has the message as #\(tag)")
        case .settled(let holder, .acknowledge) where isStrict:
            self.fail("\(what) is a dead letter, but \(holder.name) has acknowledged the message")
        case .consumed where isStrict:
            self.fail("\(what) is a dead letter, but somebody took the message without acknowledgement")
        // After a crash both may be there.
        case .queue, .settled, .doubtful: if isStrict { parent.place = .dead }
        case .out, .consumed, .dying, .dead, .gone: break
        }
    }

    // MARK: Times

    /// When a copy can have come to its queue at the soonest.
    func soonestArrival(of copy: FeatureCopy) -> UInt64 {
        copy.message.sentAt + (copy.message.delay ?? 0)
    }

    /// When it can have come at the latest; nil when nobody knows.
    func latestArrival(of copy: FeatureCopy) -> UInt64? {
        if self.isLoose(copy) { return nil }
        // It comes when it can be read.
        if copy.message.delay != nil && self.mayRefuseReads { return copy.arrivedBy }
        let handled = copy.isRoot ? copy.message.handledBy.map { $0 + (copy.message.delay.map { $0 + 10 } ?? 0) } : nil
        guard let handled else { return copy.arrivedBy }
        return min(handled, copy.arrivedBy ?? handled)
    }

    /// The shortest time that a copy may have had in its queue; nil when nothing limits it.
    func shortestTime(of copy: FeatureCopy) -> UInt64? {
        let times = self.queues[copy.queue].settings(since: copy.message.sentClock).map(\.timeToLive)
        return ((copy.isRoot ? [copy.message.expiration] : []) + times).compactMap { $0 }.min()
    }

    /// The longest time that a copy may have had; nil when perhaps nothing limits it.
    private func longestTime(of copy: FeatureCopy) -> UInt64? {
        let times = self.queues[copy.queue].settings(since: copy.message.sentClock).map(\.timeToLive)
        let ofQueue = times.contains { $0 == nil } ? nil : times.compactMap { $0 }.max()
        guard copy.isRoot, let own = copy.message.expiration else { return ofQueue }
        return min(own, ofQueue ?? own)
    }

    private func checkTimes(_ copy: FeatureCopy, _ emittedAfter: UInt64, _ what: String) {
        // Of two that are there after a crash only one waits.
        let soonest = max(self.soonestArrival(of: copy), self.isLoose(copy) ? 0 : copy.waitsUntil)
        if self.now < soonest {
            self.fail("\(what) comes \(soonest - self.now) ms too early")
        }
        guard let time = self.longestTime(of: copy), let arrival = self.latestArrival(of: copy) else { return }
        // Deadlines are whole milliseconds, rounded up.
        if emittedAfter > arrival + time + 2 {
            self.fail("\(what) comes \(emittedAfter - arrival - time) ms after its time")
        }
    }

    // MARK: Duplicates

    private func checkUnique(_ copy: FeatureCopy, _ what: String) {
        let message = copy.message
        guard let key = message.identity, copy.isRoot else { return }
        let first = self.messages.first {
            $0.identity == key && $0 !== message && $0.handledClock < message.sentClock && $0.verdict == .accepted
                && ($0.isPersistent || $0.crashes == 0) && self.mayBeOriginal($0, of: message)
                // Not a duplicate itself, perhaps of one that is not persistent.
                && ($0.copies[copy.path]?.seenCount ?? 0) > 0
        }
        if let first {
            self.fail("\(what) has come through, but has the same key as m\(first.id)")
        }
    }
}
