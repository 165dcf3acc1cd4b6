internal import AMQPProtocol

/// What the owner of the topology keeps besides the topology itself.
struct OwnerState {
    /// Who is answered once every shard has applied a change.
    enum Completion {
        case reply(ChannelAddress, TopologyReply)
        /// A channel that knows already what it will be told.
        case settled(ChannelAddress)
        case connection(ConnectionAddress)
        /// An operator's request, by its ticket.
        case operation(UInt64)
        case nobody
    }

    /// Changes that some shard has not applied.
    struct PendingChange {
        var remaining: Int
        var completion: Completion
    }

    var nextSequence: UInt64 = 1
    var pending: [UInt64: PendingChange] = [:]
    /// Exclusive queues still to be deleted of connections that end.
    var endings: [ConnectionAddress: Int] = [:]
}

/// Declaring, deleting and binding: asked by channels, decided by the owner (shard 0), applied by all shards in the
/// owner's order, answered when all have applied.
extension Shard {
    // MARK: The channel's side

    /// A method of the classes queue and exchange that changes the topology.
    func receiveTopologyMethod(_ method: Method, _ channel: UnsafeMutablePointer<ChannelState>) {
        let operation: TopologyRequest.Operation
        var noWait = false
        switch method {
        case .exchangeDeclare(let method):
            noWait = method.noWait
            operation = .declareExchange(
                name: method.exchange,
                type: method.type,
                passive: method.passive,
                durable: method.durable,
                autoDelete: method.autoDelete,
                internal: method.internal,
                arguments: method.arguments
            )
        case .exchangeDelete(let method):
            noWait = method.noWait
            operation = .deleteExchange(name: method.exchange, ifUnused: method.ifUnused)
        case .exchangeBind(let method):
            noWait = method.noWait
            operation = .bindExchange(
                destination: method.destination,
                source: method.source,
                routingKey: method.routingKey,
                arguments: method.arguments
            )
        case .exchangeUnbind(let method):
            noWait = method.noWait
            operation = .unbindExchange(
                destination: method.destination,
                source: method.source,
                routingKey: method.routingKey,
                arguments: method.arguments
            )
        case .queueDeclare(let method):
            if self.receiveReplyDeclare(method, channel) { return }
            noWait = method.noWait
            // Looked for, no name is not the last one's: RabbitMQ has no queue of that name.
            let isServerNamed = !method.passive && method.queue.withoutLineBreaks.isEmpty
            operation = .declareQueue(
                name: isServerNamed ? self.makeName(prefix: "amq.gen-") : method.queue,
                serverNamed: isServerNamed,
                passive: method.passive,
                durable: method.durable,
                exclusive: method.exclusive,
                autoDelete: method.autoDelete,
                arguments: method.arguments
            )
        case .queueDelete(let method):
            noWait = method.noWait
            guard let name = self.queueName(method.queue, channel, QueueDelete.id) else { return }
            operation = .deleteQueue(name: name, ifUnused: method.ifUnused, ifEmpty: method.ifEmpty)
        case .queueBind(let method):
            noWait = method.noWait
            guard let name = self.queueName(method.queue, channel, QueueBind.id) else { return }
            let isShort = method.queue.isEmpty && method.routingKey.isEmpty
            operation = .bindQueue(
                queue: name,
                exchange: method.exchange,
                routingKey: isShort ? name : method.routingKey,
                arguments: method.arguments
            )
        case .queueUnbind(let method):
            guard let name = self.queueName(method.queue, channel, QueueUnbind.id) else { return }
            let isShort = method.queue.isEmpty && method.routingKey.isEmpty
            operation = .unbindQueue(
                queue: name,
                exchange: method.exchange,
                routingKey: isShort ? name : method.routingKey,
                arguments: method.arguments
            )
        default:
            return
        }
        guard let virtualHost = channel.pointee.connection.pointee.virtualHost else { return }
        channel.pointee.isWaiting = true
        channel.pointee.pendingMethod = method.id
        channel.pointee.pendingNoWait = noWait
        let request = TopologyRequest(
            virtualHost: virtualHost.name,
            connection: self.connectionAddress(channel),
            home: self.index,
            operation: operation
        )
        self.send(.requestTopology(request, self.address(of: channel)), to: 0)
    }

    private func queueName(
        _ name: ShortString,
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ method: MethodID
    ) -> ShortString? {
        guard name.isEmpty else { return name }
        guard let last = channel.pointee.lastQueue else {
            self.closeChannel(channel, .notFound, "no previously declared queue", method)
            return nil
        }
        return last
    }

    /// The owner's answer.
    func topologyReply(_ address: ChannelAddress, _ reply: TopologyReply) {
        guard let channel = self.channel(address), channel.pointee.phase == .open else { return }
        switch reply {
        case .queueExists(let queue, let request):
            self.send(.describeQueue(queue, request, address), to: queue.shard)
            return
        case .mayDelete(let queue, let ifUnused, let ifEmpty):
            self.send(
                .deleteQueue(queue, ifUnused: ifUnused, ifEmpty: ifEmpty, .request(address)),
                to: queue.shard
            )
            return
        case .done, .queueDeclared, .queueDeleted, .refused:
            break
        }
        guard channel.pointee.answers.isEmpty else {
            // Behind what was asked before.
            self.hold(reply, of: channel, until: nil)
            return
        }
        self.resume(channel)
        let method = channel.pointee.pendingMethod
        channel.pointee.pendingMethod = ChannelState.noMethod
        self.answer(reply, to: method, isSilent: channel.pointee.pendingNoWait, channel)
        self.tellGoneWithQueue(channel)
    }

    /// Tells a client what became of its method; `isSilent` when it has said `nowait`.
    func answer(
        _ reply: TopologyReply,
        to method: MethodID,
        isSilent: Bool,
        _ channel: UnsafeMutablePointer<ChannelState>
    ) {
        switch reply {
        case .queueExists, .mayDelete:
            assertionFailure("no answer yet")
        case .refused(let violation):
            self.refuse(channel, violation)
        case .queueDeclared(let name, let messageCount, let consumerCount):
            channel.pointee.lastQueue = name
            if !isSilent {
                self.sendMethod(
                    QueueDeclareOk(queue: name, messageCount: messageCount, consumerCount: consumerCount),
                    channel
                )
            }
        case .queueDeleted(let messageCount):
            if !isSilent {
                self.sendMethod(QueueDeleteOk(messageCount: messageCount), channel)
            }
        case .done:
            if !isSilent {
                self.sendDone(method, channel)
            }
        }
    }

    /// Tells of consumers whose queues have gone, once no `queue.delete` waits for its answer.
    func tellGoneWithQueue(_ channel: UnsafeMutablePointer<ChannelState>) {
        guard channel.pointee.phase == .open, !channel.pointee.goneWithQueue.isEmpty,
            !channel.pointee.isDeletingQueue
        else { return }
        for tag in channel.pointee.goneWithQueue {
            self.sendMethod(BasicCancel(consumerTag: tag, noWait: true), channel)
        }
        channel.pointee.goneWithQueue = []
    }

    /// Tells the log that a channel declares what is there otherwise; once, if the channel goes on: it may do so all day.
    func declaredOtherwise(_ address: ChannelAddress, _ redeclaration: Redeclaration) {
        guard let channel = self.channel(address) else { return }
        if !redeclaration.isRefused {
            if self.loggedRedeclarations.count >= ShardLimits.loggedRedeclarations {
                self.loggedRedeclarations.removeAll()
            }
            guard self.loggedRedeclarations.insert(redeclaration.text).inserted else { return }
        }
        self.log(
            .warning,
            "channel",
            "Connection \(self.describe(channel.pointee.connection)), channel \(channel.pointee.number): "
                + redeclaration.text
        )
    }

    private func sendDone(_ method: MethodID, _ channel: UnsafeMutablePointer<ChannelState>) {
        switch method {
        case ExchangeDeclare.id: self.sendMethod(ExchangeDeclareOk(), channel)
        case ExchangeDelete.id: self.sendMethod(ExchangeDeleteOk(), channel)
        case ExchangeBind.id: self.sendMethod(ExchangeBindOk(), channel)
        case ExchangeUnbind.id: self.sendMethod(ExchangeUnbindOk(), channel)
        case QueueBind.id: self.sendMethod(QueueBindOk(), channel)
        case QueueUnbind.id: self.sendMethod(QueueUnbindOk(), channel)
        case QueueDelete.id: self.sendMethod(QueueDeleteOk(messageCount: 0), channel)
        default: assertionFailure("a topology method without an answer")
        }
    }

    // MARK: The owner's side

    /// Decides a request.
    func requestTopology(_ request: TopologyRequest, _ asker: ChannelAddress) {
        let decision = self.owner.decide(request, topology: self.topology)
        if let redeclaration = self.owner.takeRedeclaration() {
            self.send(.declaredOtherwise(asker, redeclaration), to: asker.shard)
        }
        switch decision {
        case .violation(let violation):
            self.send(.topologyReply(asker, .refused(violation)), to: asker.shard)
        case .done:
            // What somebody else has just changed is told like one's own change: not before it is so everywhere.
            self.distribute([], .reply(asker, .done))
        case .apply(let changes):
            self.distribute(changes, .reply(asker, .done))
        case .existingQueue(let info):
            self.distribute([], .reply(asker, .queueExists(info.address, request)))
        case .declaredQueue(let name, let changes):
            self.distribute(
                changes,
                .reply(asker, .queueDeclared(name: name, messageCount: 0, consumerCount: 0))
            )
        case .deleteQueue(let address, let ifUnused, let ifEmpty):
            self.send(
                .topologyReply(asker, .mayDelete(address, ifUnused: ifUnused, ifEmpty: ifEmpty)),
                to: asker.shard
            )
        }
    }

    /// Has all shards apply changes, then completes.
    ///
    /// Without changes it completes when every earlier change is applied everywhere and, if it is durable, in the log.
    func distribute(_ changes: [TopologyChange], _ completion: OwnerState.Completion) {
        guard !changes.isEmpty || !self.ownerState.pending.isEmpty else { return self.complete(completion) }
        let sequence = self.ownerState.nextSequence
        self.ownerState.nextSequence += 1
        let record = self.log.isOn ? TopologyRecord.durablePart(of: changes, in: self.topology) : nil
        self.applyChanges(changes, isTold: true)
        let waitsForLog = record != nil || (self.log.isOn && changes.isEmpty)
        let answers = Int(self.count) - 1 + (waitsForLog ? 1 : 0)
        guard answers > 0 else {
            self.complete(completion)
            return
        }
        let decided = self.decided(completion)
        self.ownerState.pending[sequence] = OwnerState.PendingChange(
            remaining: answers,
            completion: decided.map { .settled($0.asker) } ?? completion
        )
        if let record {
            self.logTopology(record, sequence: sequence)
        } else if waitsForLog {
            self.waitForTopology(sequence)
        }
        for shard in 0..<self.count where shard != self.index {
            self.send(.applyTopology(sequence: sequence, changes: changes), to: shard)
        }
        if let (asker, reply) = decided {
            // Behind the change itself: what the channel asks for next is asked of a shard that has applied it.
            self.send(.topologyDecided(asker, reply, sequence: sequence), to: asker.shard)
        }
    }

    /// What a channel may know before it is done, so that it can go on with its next declare or bind.
    private func decided(_ completion: OwnerState.Completion) -> (asker: ChannelAddress, reply: TopologyReply)? {
        guard case .reply(let asker, let reply) = completion else { return nil }
        // Who has yet to ask the queue must ask when it is there.
        if case .queueExists = reply { return nil }
        return (asker, reply)
    }

    /// A shard has applied a change.
    func topologyApplied(_ sequence: UInt64) {
        guard var pending = self.ownerState.pending[sequence] else { return }
        pending.remaining -= 1
        guard pending.remaining == 0 else {
            self.ownerState.pending[sequence] = pending
            return
        }
        self.ownerState.pending[sequence] = nil
        self.complete(pending.completion, sequence)
    }

    private func complete(_ completion: OwnerState.Completion, _ sequence: UInt64 = 0) {
        switch completion {
        case .reply(let asker, let reply):
            self.send(.topologyReply(asker, reply), to: asker.shard)
        case .settled(let asker):
            self.send(.topologySettled(asker, sequence: sequence), to: asker.shard)
        case .connection(let address):
            self.queueOfEndingConnectionRemoved(address)
        case .operation(let ticket):
            self.effects.append(.answer(ticket, .done))
        case .nobody:
            break
        }
    }

    /// A queue is gone from its home: now it goes from the topology.
    func queueRemoved(_ address: QueueAddress, _ messageCount: UInt32, _ reason: DeletionReason) {
        let changes = self.owner.changesForRemovedQueue(address, topology: self.topology)
        let completion: OwnerState.Completion =
            switch reason {
            case .request(let asker): .reply(asker, .queueDeleted(messageCount: messageCount))
            case .connection(let connection): .connection(connection)
            case .unused, .expired: .nobody
            }
        self.distribute(changes, completion)
    }

    /// A connection ends: its exclusive queues are deleted.
    func endConnection(_ connection: ConnectionAddress) {
        let queues = self.owner.exclusiveQueues(of: connection)
        guard !queues.isEmpty else {
            self.send(.connectionEnded(connection), to: connection.shard)
            return
        }
        self.ownerState.endings[connection] = queues.count
        for queue in queues {
            self.send(.deleteQueue(queue, ifUnused: false, ifEmpty: false, .connection(connection)), to: queue.shard)
        }
    }

    private func queueOfEndingConnectionRemoved(_ connection: ConnectionAddress) {
        guard let count = self.ownerState.endings[connection] else { return }
        guard count == 1 else {
            self.ownerState.endings[connection] = count - 1
            return
        }
        self.ownerState.endings[connection] = nil
        self.send(.connectionEnded(connection), to: connection.shard)
    }

    // MARK: Every shard

    /// Applies changes to this shard's replica and to the queues that live here.
    ///
    /// One shard tells them as events.
    func applyChanges(_ changes: [TopologyChange], isTold: Bool = false) {
        guard !changes.isEmpty else { return }
        self.routeEpoch += 1
        var hasPolicies = false
        for change in changes {
            if isTold { self.tellEnd(of: change) }
            self.forgetStation(removedBy: change)
            self.topology.apply(change)
            if isTold { self.tellBeginning(of: change) }
            self.replayHistory(to: change)
            switch change {
            case .setPolicy, .removePolicy: hasPolicies = true
            case .alterQueue(let definition) where definition.address.shard == self.index:
                self.queueAltered(definition.address)
            default: break
            }
            if let info = self.topology.queueAdded(by: change), info.address.shard == self.index {
                self.createQueue(info)
            }
        }
        if hasPolicies {
            self.policiesChanged()
        }
    }
}
