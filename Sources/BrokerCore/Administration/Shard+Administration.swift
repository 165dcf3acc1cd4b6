internal import AMQPProtocol

/// Answering operators.
extension Shard {
    /// Begins to carry out a request; the answer comes as ``ShardEffect/answer(_:_:)`` with the same ticket.
    public func administer(_ request: AdministrationRequest, ticket: UInt64, now: BrokerInstant) {
        self.now = now
        do throws(AdministrationFailure) {
            if let answer = try self.answer(request, ticket) {
                self.effects.append(.answer(ticket, answer))
            }
        } catch {
            self.effects.append(.answer(ticket, .failed(error)))
        }
        self.runLocalCommands()
    }

    /// The answer, or nil when it comes later.
    private func answer(
        _ request: AdministrationRequest,
        _ ticket: UInt64
    ) throws(AdministrationFailure) -> AdministrationAnswer? {
        switch request {
        case .setPolicy(let policy, let isOperator):
            try self.setPolicy(policy, isOperator: isOperator, ticket)
            return nil
        case .clearPolicy(let virtualHost, let name, let isOperator):
            try self.clearPolicy(virtualHost, name, isOperator: isOperator, ticket)
            return nil
        case .alterQueue(let virtualHost, let name, let changes):
            try self.alterQueue(virtualHost, name, changes, ticket)
            return nil
        case .listPolicies(let virtualHost, let isOperator):
            return .policies(try self.policySnapshots(virtualHost, isOperator: isOperator))
        case .listQueues(let virtualHost, let position):
            return try self.queuePage(virtualHost, from: position)
        case .listExchanges(let virtualHost):
            return .exchanges(try self.exchangeSnapshots(virtualHost))
        case .listBindings(let virtualHost, let position):
            return try self.bindingPage(virtualHost, from: position)
        case .listVirtualHosts:
            return .names(self.topology.virtualHostNames.map { "\($0)" })
        case .setTracing(let virtualHost, let isOn):
            guard self.setTracing(virtualHost: virtualHost, isOn: isOn) else { throw .noVirtualHost(virtualHost) }
            return .done
        case .listDelayedMessages(let virtualHost, let limit):
            return self.listDelayed(ticket, "\(try self.virtualHost(virtualHost).name)", limit: limit)
        case .explain(let question):
            return .explanation(try self.explain(question))
        case .listUnroutable(let virtualHost, let limit):
            let name = try virtualHost.map { name throws(AdministrationFailure) in "\(try self.virtualHost(name).name)"
            }
            let all = self.unroutable.publishes(shard: Int(self.index), limit: ShardLimits.unroutablePublishes)
            let wanted = all.filter { name == nil || $0.question.virtualHost == name }
            return .unroutable(Array(wanted.prefix(max(limit, 0))))
        case .cancelDelayedMessage(let id, .some(let name)):
            return try self.changeWithheld(ticket, name) { self.cancelWithheld($0, id) }
        case .rescheduleDelayedMessage(let id, let deadline, .some(let name)):
            return try self.changeWithheld(ticket, name) { self.rescheduleWithheld($0, id, deadline) }
        case .cancelDelayedMessage(let id, nil):
            return try self.changeDelay(ticket) { self.cancelDelayedMessage(id: id) }
        case .rescheduleDelayedMessage(let id, let deadline, nil):
            return try self.changeDelay(ticket) {
                self.rescheduleDelayedMessage(id: id, toEpochMilliseconds: deadline)
            }
        }
    }

    /// The virtual host of a name.
    func virtualHost(_ name: String) throws(AdministrationFailure) -> VirtualHost {
        guard let short = ShortString(Array(name.utf8)), let host = self.topology.virtualHost(named: short) else {
            throw .noVirtualHost(name)
        }
        return host
    }

    /// The virtual host of a name, or all.
    func virtualHosts(_ name: String?) throws(AdministrationFailure) -> [VirtualHost] {
        guard let name else {
            return self.topology.virtualHostNames.compactMap { self.topology.virtualHost(named: $0) }
        }
        return [try self.virtualHost(name)]
    }

    // MARK: Policies

    private func setPolicy(
        _ request: PolicyRequest,
        isOperator: Bool,
        _ ticket: UInt64
    ) throws(AdministrationFailure) {
        precondition(self.index == 0, "only the owner of the topology changes it")
        let host = try self.virtualHost(request.virtualHost)
        guard let name = ShortString(Array(request.name.utf8)) else {
            throw .invalid("Validation failed\n\nname is longer than 255 octets\n")
        }
        let pattern: Pattern
        do throws(PatternError) {
            pattern = try Pattern(request.pattern)
        } catch {
            throw .invalid(
                "Validation failed\n\npattern should be regular expression but is invalid: \(error.erlangTerm)\n"
            )
        }
        guard let target = PolicyTarget(name: request.applyTo) else {
            throw .invalid(
                "Validation failed\n\napply-to '\(request.applyTo)' unrecognised; should be 'queues', 'exchanges' or 'all'\n"
            )
        }
        if let refusal = PolicyDefinition.refusal(of: request.definition, isOperator: isOperator) {
            throw .invalid("Validation failed\n\n\(refusal)\n")
        }
        let list = host.policies.list(isOperator: isOperator)
        guard list.count < ShardLimits.policies || list.contains(where: { $0.name == name }) else {
            throw .limit("vhost '\(request.virtualHost)' has \(list.count) policies, and may have no more")
        }
        let policy = Policy(
            name: name,
            pattern: pattern,
            target: target,
            priority: request.priority,
            definition: request.definition
        )
        let change = TopologyChange.setPolicy(virtualHost: host.name, policy, isOperator: isOperator)
        self.distribute([change], .operation(ticket))
    }

    private func clearPolicy(
        _ virtualHost: String,
        _ name: String,
        isOperator: Bool,
        _ ticket: UInt64
    ) throws(AdministrationFailure) {
        precondition(self.index == 0, "only the owner of the topology changes it")
        let host = try self.virtualHost(virtualHost)
        let known = host.policies.list(isOperator: isOperator).first { "\($0.name)" == name }
        guard let known else { throw .notFound("Parameter does not exist") }
        let change = TopologyChange.removePolicy(virtualHost: host.name, known.name, isOperator: isOperator)
        self.distribute([change], .operation(ticket))
    }

    private func policySnapshots(
        _ virtualHost: String?,
        isOperator: Bool
    ) throws(AdministrationFailure) -> [PolicySnapshot] {
        try self.virtualHosts(virtualHost).flatMap { host in
            host.policies.list(isOperator: isOperator).map { policy in
                PolicySnapshot(
                    virtualHost: "\(host.name)",
                    name: "\(policy.name)",
                    pattern: String(decoding: policy.pattern.source, as: UTF8.self),
                    applyTo: policy.target.name,
                    definition: policy.definition,
                    priority: policy.priority
                )
            }
        }
    }

    // MARK: Queues

    private func alterQueue(
        _ virtualHost: String,
        _ name: String,
        _ changes: FieldTable,
        _ ticket: UInt64
    ) throws(AdministrationFailure) {
        precondition(self.index == 0, "only the owner of the topology changes it")
        let host = try self.virtualHost(virtualHost)
        guard let queue = ShortString(Array(name.utf8)).flatMap({ host.queue(named: $0) }) else {
            throw .notFound("no queue '\(name)' in vhost '\(virtualHost)'")
        }
        let change: TopologyChange?
        do throws(Violation) {
            change = try self.owner.alter(queue, by: changes)
        } catch {
            throw .invalid("\(error.text)")
        }
        self.distribute(change.map { [$0] } ?? [], .operation(ticket))
    }

    // MARK: Delayed messages

    /// Changes a message that waits; the answer comes when the log has the change.
    private func changeDelay(
        _ ticket: UInt64,
        _ change: () -> Bool
    ) throws(AdministrationFailure) -> AdministrationAnswer? {
        guard change() else { throw .notFound("Delayed message does not exist") }
        guard self.log.isOn, !self.delays.unlogged.isEmpty else { return .done }
        self.flushDelays()
        self.waitToAnswer(ticket)
        return nil
    }

    /// Changes a message that waits in a queue; the answer comes when the log has the change.
    ///
    /// `change` returns whether the log has to have it; nil when there is no such message.
    private func changeWithheld(
        _ ticket: UInt64,
        _ name: QueueName,
        _ change: (UnsafeMutablePointer<QueueState>) -> Bool?
    ) throws(AdministrationFailure) -> AdministrationAnswer? {
        let host = try self.virtualHost(name.virtualHost)
        let info = ShortString(Array(name.name.utf8)).flatMap { host.queue(named: $0) }
        guard let info, info.address.shard == self.index, let queue = self.queue(info.address),
            let isLogged = change(queue)
        else { throw .notFound("Delayed message does not exist") }
        guard isLogged else { return .done }
        self.flushLog()
        self.waitToAnswer(ticket)
        return nil
    }
}
