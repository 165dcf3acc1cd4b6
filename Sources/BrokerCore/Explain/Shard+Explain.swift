internal import AMQPProtocol

/// Telling what would become of a publish.
///
/// Every shard knows all exchanges, bindings and queues, but how a queue is and which deduplication keys are known only the
/// shard where they live: a front end asks all of them and puts the answers together, ``RouteExplanation/merge(_:)``.
extension Shard {
    /// Says what would become of a publish, as far as this shard knows; changes nothing.
    func explain(_ question: RouteQuestion) throws(AdministrationFailure) -> RouteExplanation {
        let host = try self.virtualHost(question.virtualHost)
        guard let name = ShortString(Array(question.exchange.utf8)),
            let key = ShortString(Array(question.routingKey.utf8))
        else { throw .invalid("the names of exchanges and routing keys are not longer than 255 octets") }
        var explanation = RouteExplanation()
        guard let exchange = self.check(question, name, host, &explanation) else { return explanation }
        if name.isEmpty, key.bytes.withUnsafeBytes({ ReplyAddress($0) }) != nil {
            explanation.outcome = .directReply
            return explanation
        }
        let now = self.epochMilliseconds(at: self.now)
        let isPersistent = self.log.isOn && question.properties.deliveryMode == 2
        let message = Self.message(question.properties, key, isPersistent: isPersistent)
        var walk = RouteWalk(host, message, now: now) { exchange, identity in
            guard let station = exchange.station, station.home(of: self.count) == self.index else { return nil }
            let window = self.windows.byStation[station.number]
            return window?.knowledge(of: identity, isPersistent: isPersistent, now: now).isDuplicate ?? false
        }
        walk.run(from: exchange)
        explanation.exchanges = walk.visits
        explanation.isComplete = walk.isComplete
        explanation.queues = walk.queues.map { queue, isCertain in
            QueueVerdict(
                name: "\(queue.name)",
                isCertain: isCertain,
                shard: Int(queue.address.shard),
                state: self.judge(queue, question)
            )
        }
        explanation.outcome = explanation.verdict(
            isMandatory: question.isMandatory,
            delay: walk.delay,
            hasQueueNow: walk.hasQueueNow,
            isDuplicate: walk.isDuplicate
        )
        return explanation
    }

    private static func message(
        _ properties: BasicProperties,
        _ key: ShortString,
        isPersistent: Bool
    ) -> QuestionMessage {
        let headers = properties.headers ?? .empty
        let copies = ["CC", "BCC"].compactMap { (name: ShortString) in headers[name] }
        // Not more than the first 255 octets of each, as everywhere.
        let extraKeys = copies.flatMap { self.routingKeys($0) ?? [] }
        let entries = headers.enumerated()
            .sorted { ($0.element.key, $0.offset) < ($1.element.key, $1.offset) }
            .map { (key: $0.element.key, value: $0.element.value) }
        return QuestionMessage(
            keys: [key.bytes] + extraKeys,
            properties: properties.encoded,
            headers: entries,
            isPersistent: isPersistent
        )
    }

    // MARK: Checks

    /// Makes the checks of a publish in their order; returns the exchange if all allow it.
    private func check(
        _ question: RouteQuestion,
        _ name: ShortString,
        _ host: VirtualHost,
        _ explanation: inout RouteExplanation
    ) -> Exchange? {
        func refuse(_ check: AccessVerdict.Check, _ code: ReplyCode, _ text: String) {
            explanation.access.append(AccessVerdict(check: check, isAllowed: false, reason: text))
            explanation.outcome = .refused(code: code.rawValue, text: text)
        }
        func allow(_ check: AccessVerdict.Check, _ reason: String) {
            explanation.access.append(AccessVerdict(check: check, isAllowed: true, reason: reason))
        }
        guard let exchange = host.exchange(named: name) else {
            refuse(.exchange, .notFound, "no exchange '\(name)' in vhost '\(host.name)'")
            return nil
        }
        allow(.exchange, "exchange '\(name)' is there")
        guard !exchange.definition.isInternal else {
            let text = "cannot publish to internal exchange '\(name)' in vhost '\(host.name)'"
            refuse(.internalExchange, .accessRefused, text)
            return nil
        }
        allow(.internalExchange, "clients may publish to it")
        allow(.write, "every user may write to every exchange: this broker has no permissions yet")
        if exchange.definition.routedType == .topic {
            allow(.topicWrite, "every user may use every routing key: this broker has no topic permissions yet")
        }
        if let text = Self.refusal(of: question.properties) {
            refuse(.properties, .preconditionFailed, text)
            return nil
        }
        allow(.properties, "expiration, CC and BCC make sense")
        guard let claimed = question.properties.userID else { return exchange }
        guard let user = question.user else {
            allow(.userID, "user-id is '\(claimed)'; who publishes is not said")
            return exchange
        }
        guard "\(claimed)" == user else {
            let text = "user_id property set to '\(claimed)' but authenticated user was '\(user)'"
            refuse(.userID, .preconditionFailed, text)
            return nil
        }
        allow(.userID, "user-id is the publisher")
        return exchange
    }

    /// Why properties are refused, in the words of a publish; nil when they are not.
    private static func refusal(of properties: BasicProperties) -> String? {
        if let expiration = properties.expiration, let reason = self.whyInvalid(expiration: expiration.bytes) {
            return "invalid expiration '\(expiration)': \(reason)"
        }
        var count = 0
        for name: ShortString in ["CC", "BCC"] {
            guard let value = properties.headers?[name] else { continue }
            guard let keys = self.routingKeys(value) else {
                return "invalid message: \(self.describeCopies(name, value))"
            }
            count += keys.count
        }
        let most = ShardLimits.extraRoutingKeys
        return count > most ? "more than \(most) routing keys in CC and BCC" : nil
    }

    // MARK: Queues

    /// How a queue of this shard is and what it would do with a message; nil for another shard's.
    private func judge(_ info: QueueInfo, _ question: RouteQuestion) -> QueueVerdict.State? {
        guard info.address.shard == self.index, let queue = self.queue(info.address) else { return nil }
        let settings = queue.pointee.settings
        var notes = self.idNotes(queue, question)
        let deliversAtOnce = queue.pointee.readyCount == 0 && !queue.pointee.rotation.isEmpty && notes.isEmpty
        // Who refuses does so before a consumer is looked for; who drops, after.
        if notes.isEmpty, !deliversAtOnce || settings.overflow != .dropHead {
            notes += self.limitNotes(queue, bodyBytes: question.bodyBytes)
        }
        let own = question.properties.expiration.flatMap { UInt64("\($0)") }
        if notes.first != .duplicate, let time = [own, settings.messageTTLMilliseconds].compactMap({ $0 }).min() {
            if time > 0 {
                notes.append(.expires(milliseconds: time))
            } else if !deliversAtOnce {
                notes.append(.expiresAtOnce(deadLetterExchange: settings.deadLetterExchange.map { "\($0)" }))
            }
        }
        if let priority = question.properties.priority, let highest = settings.maxPriority, priority > highest {
            notes.append(.priorityLowered(to: highest))
        }
        if queue.pointee.consumerCount == 0 { notes.append(.noConsumer) }
        if question.properties.deliveryMode == 2, !info.durable { notes.append(.notDurable) }
        return QueueVerdict.State(
            ready: queue.pointee.readyCount,
            unacknowledged: queue.pointee.unacknowledged,
            consumers: queue.pointee.consumerCount,
            deliversAtOnce: deliversAtOnce,
            notes: notes
        )
    }

    /// What a queue makes of the headers that it looks at.
    private func idNotes(_ queue: UnsafeMutablePointer<QueueState>, _ question: RouteQuestion) -> [QueueNote] {
        let header = queue.pointee.settings.delayHeader
        guard queue.pointee.unique != nil || header != nil else { return [] }
        return question.properties.encoded.withUnsafeBytes { octets in
            guard let base = octets.baseAddress else { return [] }
            let message = MessageView(
                names: base,
                namesSize: 0,
                properties: base,
                propertiesSize: octets.count,
                body: base,
                bodySize: 0
            )
            let isLogged = queue.pointee.isLogged && question.properties.deliveryMode == 2
            if let key = UniqueMessages.key(of: message),
                queue.pointee.unique?.contains(key, mustBeLogged: isLogged) == true
            {
                return [.duplicate]
            }
            let now = self.epochMilliseconds(at: self.now)
            guard let header, let time = Self.instant(in: message, header), time > now else { return [] }
            return [.waits(milliseconds: time - now, header: "\(header)")]
        }
    }

    /// What a queue's limits mean for a message that is not delivered at once.
    private func limitNotes(_ queue: UnsafeMutablePointer<QueueState>, bodyBytes: Int) -> [QueueNote] {
        let settings = queue.pointee.settings
        let exchange = settings.deadLetterExchange.map { "\($0)" }
        func note(_ limit: String, _ most: UInt64, _ now: UInt64) -> QueueNote {
            switch settings.overflow {
            case .dropHead: .dropsOldest(limit: limit, of: most, now: now, deadLetterExchange: exchange)
            case .rejectPublish: .refuses(limit: limit, of: most, now: now)
            case .rejectPublishDlx:
                if let exchange {
                    .refusesToDeadLetter(limit: limit, of: most, now: now, exchange: exchange)
                } else {
                    .refuses(limit: limit, of: most, now: now)
                }
            }
        }
        // As a publish finds them, see `refuses(_:bodySize:)`.
        let isRefusing = settings.overflow != .dropHead
        let stuck = isRefusing ? queue.pointee.extra.stuckDeaths.count : 0
        let ready = UInt64(clamping: queue.pointee.readyCount + stuck)
        if let most = settings.maxLength, ready >= most { return [note("max-length", most, ready)] }
        guard let most = settings.maxLengthBytes else { return [] }
        let bytes = UInt64(clamping: queue.pointee.extra.readyBytes + (isRefusing ? queue.pointee.extra.stuckBytes : 0))
        let body = UInt64(clamping: bodyBytes)
        let (sum, isHuge) = bytes.addingReportingOverflow(body)
        guard isHuge || sum > most else { return [] }
        if settings.overflow == .dropHead, body > most { return [.tooLarge(limit: most)] }
        return [note("max-length-bytes", most, bytes)]
    }
}

extension RouteExplanation {
    /// How it ends, by what was found.
    func verdict(isMandatory: Bool, delay: UInt64?, hasQueueNow: Bool, isDuplicate: Bool) -> PublishVerdict {
        if isDuplicate && self.queues.isEmpty { return .duplicate }
        if let delay { return .waits(milliseconds: delay, isReturned: isMandatory && !hasQueueNow) }
        guard !self.queues.isEmpty else { return .unroutable(isReturned: isMandatory) }
        guard self.queues.contains(where: \.isCertain) || self.alwaysDraws else { return .dependsOnChance }
        return .routed(isRejected: self.isRejected)
    }

    private var isRejected: Bool { self.queues.contains { $0.isCertain && $0.accepts == false } }

    /// Whether every draw there is leads to a queue.
    private var alwaysDraws: Bool {
        self.exchanges.contains { visit in
            visit.isCertain && visit.untoldBindings == 0 && !visit.bindings.isEmpty
                && visit.bindings.allSatisfy { $0.match == .maybe && $0.isQueue }
        }
    }

    /// Puts together what all shards say: of each queue what its own shard says, of known keys what their shard says.
    public static func merge(_ answers: [RouteExplanation]) -> RouteExplanation? {
        let knows = { (answer: RouteExplanation) in
            answer.exchanges.contains { $0.stations.contains(.deduplicates(isKnown: true)) }
        }
        let decides = { (answer: RouteExplanation) in
            answer.exchanges.contains { $0.stations.contains(.deduplicates(isKnown: false)) }
        }
        guard var merged = answers.first(where: knows) ?? answers.first(where: decides) ?? answers.first else {
            return nil
        }
        for index in merged.queues.indices where merged.queues[index].state == nil {
            let name = merged.queues[index].name
            let states = answers.lazy.compactMap { answer in answer.queues.first { $0.name == name }?.state }
            merged.queues[index].state = states.first
        }
        if case .routed = merged.outcome { merged.outcome = .routed(isRejected: merged.isRejected) }
        return merged
    }
}
