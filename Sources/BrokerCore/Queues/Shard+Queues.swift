internal import AMQPProtocol

/// Queues at their home shard: life, consumers, purge and get.
extension Shard {
    // MARK: Life

    /// A queue was declared with this shard as its home.
    func createQueue(_ info: QueueInfo) {
        let slot = Int(info.address.slot)
        while self.queues.count <= slot {
            self.queues.append(nil)
        }
        assert(self.queues[slot] == nil, "two queues in one place")
        let queue = UnsafeMutablePointer<QueueState>.allocate(capacity: 1)
        queue.initialize(
            to: QueueState(
                info: info,
                isLogged: self.log.isOn && info.durableID != 0,
                counting: self.ringMemory
            )
        )
        self.queues[slot] = queue
        self.matchPolicies(queue)
        self.noteUse(queue)
    }

    /// A queue was declared again: its counts, or the owner is asked once more if it is gone.
    func describeQueue(_ address: QueueAddress, _ request: TopologyRequest, _ asker: ChannelAddress) {
        guard let queue = self.queue(address) else {
            self.send(.requestTopology(request, asker), to: 0)
            return
        }
        self.noteUse(queue)
        self.dispatchTouchedQueues()
        self.send(
            .topologyReply(
                asker,
                .queueDeclared(
                    name: queue.pointee.info.name,
                    messageCount: UInt32(clamping: queue.pointee.readyCount),
                    consumerCount: UInt32(clamping: queue.pointee.consumerCount)
                )
            ),
            to: asker.shard
        )
    }

    /// Deletes a queue if the conditions hold.
    func deleteQueue(_ address: QueueAddress, ifUnused: Bool, ifEmpty: Bool, _ reason: DeletionReason) {
        guard let queue = self.queue(address) else {
            self.send(.queueRemoved(address, messageCount: 0, reason), to: 0)
            return
        }
        var refusal: String?
        if ifEmpty
            && (queue.pointee.readyCount > 0 || queue.pointee.withheld?.pointee.count ?? 0 > 0
                || !queue.pointee.extra.setAside.isEmpty)
        {
            refusal = "not empty"
        } else if ifUnused && queue.pointee.consumerCount > 0 {
            refusal = "in use"
        }
        if let refusal {
            if case .request(let asker) = reason {
                let text: ReplyText =
                    "queue '\(queue.pointee.info.name)' in vhost '\(queue.pointee.info.virtualHostName)' \(refusal)"
                let violation = Violation.channel(.preconditionFailed, text: text, method: QueueDelete.id)
                self.send(.topologyReply(asker, .refused(violation)), to: asker.shard)
            }
            return
        }
        self.removeQueue(queue, reason)
    }

    /// Takes a queue down: consumers are told, messages dropped, the owner informed.
    func removeQueue(_ queue: UnsafeMutablePointer<QueueState>, _ reason: DeletionReason) {
        let address = queue.pointee.address
        let messageCount = UInt32(clamping: queue.pointee.readyCount)
        self.runDeaths(of: queue)
        while !queue.pointee.extra.dying.isEmpty {
            self.store.release(queue.pointee.extra.dying.removeFirst().entry.slot)
        }
        // The topology's record says that the queue is gone, and with it everything in it.
        _ = self.dropWithheld(queue, isLogged: false)
        _ = self.dropSetAside(queue, isLogged: false)
        self.dropReady(queue, isLogged: false, purge: nil)
        if queue.pointee.isDeliveredNoted {
            self.log.deliveredQueues.removeAll { $0 == queue }
        }
        for consumer in queue.pointee.consumers {
            guard let consumer else { continue }
            if !consumer.pointee.outstanding.isEmpty {
                self.condemned.append(
                    CondemnedMessages(outstandingOf: consumer, of: queue, counting: self.ringMemory)
                )
            }
            // One that was cancelled has been answered; its channel may have given its place to another consumer.
            if !consumer.pointee.isCancelled {
                self.send(
                    .consumerGone(consumer.pointee.channel, channelIndex: consumer.pointee.channelIndex),
                    to: consumer.pointee.channel.shard
                )
            }
            consumer.deinitialize(count: 1)
            consumer.deallocate()
        }
        if queue.pointee.isTouched {
            self.touchedQueues.removeAll { $0 == queue }
        }
        self.queues[Int(address.slot)] = nil
        self.resumeGets()
        queue.deinitialize(count: 1)
        queue.deallocate()
        // Cached routes may point here until the topology has changed.
        self.routeEpoch += 1
        self.send(.queueRemoved(address, messageCount: messageCount, reason), to: 0)
    }

    /// Drops all ready messages, many of them in later turns; the purge, if that is why, is answered after the last one.
    private func dropReady(
        _ queue: UnsafeMutablePointer<QueueState>,
        isLogged: Bool,
        purge: CondemnedMessages.Purge?
    ) {
        self.releaseHeld(queue)
        self.condemned.append(
            CondemnedMessages(readyOf: queue, isLogged: isLogged, purge: purge, counting: self.ringMemory)
        )
        if self.condemned.count == 1 {
            // The usual few are gone at once.
            self.releaseCondemned()
        }
    }

    /// `queue.purge`.
    func purge(_ address: QueueAddress, _ asker: ChannelAddress) {
        guard let queue = self.queue(address) else {
            self.answerPurge(asker, messageCount: 0, isLogged: false)
            return
        }
        // Those that wait would come back to a queue that was to be empty.
        let asideCount = self.dropWithheld(queue, isLogged: true) + self.dropSetAside(queue, isLogged: true)
        let count = UInt32(clamping: queue.pointee.readyCount + asideCount)
        self.dropReady(queue, isLogged: true, purge: .init(asker: asker, messageCount: count))
        if queue.pointee.unacknowledged == 0 {
            self.forgetDeadlines(queue)
        }
    }

    // MARK: Consumers

    /// `basic.consume`.
    func consume(_ address: QueueAddress, _ request: ConsumerRequest) {
        func answer(_ id: UInt32, _ refusal: Violation?) {
            guard request.channel.shard != self.index else {
                // At once: whatever is done next may deliver.
                self.consumeReply(request.channel, request.channelIndex, id, refusal)
                return
            }
            self.send(
                .consumeReply(
                    request.channel,
                    channelIndex: request.channelIndex,
                    consumer: id,
                    refusal: refusal
                ),
                to: request.channel.shard
            )
        }
        guard let queue = self.queue(address) else {
            answer(0, .channel(.notFound, text: "no queue in vhost", method: BasicConsume.id))
            return
        }
        let isRefused =
            queue.pointee.hasExclusiveConsumer || (request.isExclusive && queue.pointee.consumerCount > 0)
            || (request.isExclusive && queue.pointee.isSingleActive)
        if isRefused {
            let name = queue.pointee.info.name
            let vhost = queue.pointee.info.virtualHostName
            let text: ReplyText = "queue '\(name)' in vhost '\(vhost)' in exclusive use"
            answer(0, .channel(.accessRefused, text: text, method: BasicConsume.id))
            return
        }
        let consumer = self.addConsumer(queue, request, isGetter: false)
        queue.pointee.consumerCount += 1
        queue.pointee.hadConsumer = true
        queue.pointee.hasExclusiveConsumer = request.isExclusive
        answer(consumer.pointee.id, nil)
        if queue.pointee.isSingleActive {
            consumer.pointee.isActive = false
            self.electActiveConsumer(queue)
        } else {
            self.makeReady(consumer, of: queue)
        }
    }

    func addConsumer(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ request: ConsumerRequest,
        isGetter: Bool
    ) -> UnsafeMutablePointer<ConsumerState> {
        let id = queue.pointee.consumers.firstIndex { $0 == nil } ?? queue.pointee.consumers.count
        let consumer = UnsafeMutablePointer<ConsumerState>.allocate(capacity: 1)
        consumer.initialize(
            to: ConsumerState(
                id: UInt32(id),
                channel: request.channel,
                channelIndex: request.channelIndex,
                noAck: request.noAck,
                isExclusive: request.isExclusive,
                isGetter: isGetter,
                priority: request.priority,
                prefetchCount: request.prefetchCount,
                isGlobalLimited: request.isGlobalLimited,
                arrival: queue.pointee.nextArrival,
                ownTimeoutMilliseconds: request.timeoutMilliseconds
            )
        )
        self.setTimeout(queue, consumer)
        consumer.pointee.outstanding = SparseRing(counting: self.ringMemory)
        queue.pointee.nextArrival += 1
        if request.channel.shard == self.index, let channel = self.channel(request.channel) {
            consumer.pointee.localChannel = channel
            consumer.pointee.localConsumer = channel.pointee.consumers[Int(request.channelIndex)]
        }
        if isGetter {
            consumer.pointee.isActive = false
        }
        if id == queue.pointee.consumers.count {
            queue.pointee.consumers.append(consumer)
        } else {
            queue.pointee.consumers[id] = consumer
        }
        return consumer
    }

    /// Of a single active queue's consumers the one of highest priority, in a quorum queue any, that came first gets everything.
    func electActiveConsumer(_ queue: UnsafeMutablePointer<QueueState>) {
        guard queue.pointee.activeConsumer == nil else { return }
        var best: UnsafeMutablePointer<ConsumerState>?
        for consumer in queue.pointee.consumers {
            guard let consumer, !consumer.pointee.isGetter, !consumer.pointee.isCancelled else { continue }
            guard let current = best else {
                best = consumer
                continue
            }
            // RabbitMQ's quorum queues do not look at priorities here.
            let isAbove =
                !queue.pointee.settings.isQuorum && consumer.pointee.priority > current.pointee.priority
            let isLevel =
                queue.pointee.settings.isQuorum || consumer.pointee.priority == current.pointee.priority
            let isBetter = isAbove || (isLevel && consumer.pointee.arrival < current.pointee.arrival)
            if isBetter {
                best = consumer
            }
        }
        guard let best else { return }
        queue.pointee.activeConsumer = best.pointee.id
        best.pointee.isActive = true
        self.makeReady(best, of: queue)
    }

    /// `basic.cancel`.
    func cancel(_ address: QueueAddress, _ id: UInt32, _ channel: ChannelAddress, _ channelIndex: UInt32) {
        // What acknowledgements before it have made room for is still the consumer's.
        self.dispatchTouchedQueues()
        self.send(.cancelReply(channel, channelIndex: channelIndex), to: channel.shard)
        guard let queue = self.queue(address), let consumer = self.consumer(queue, id, channel) else { return }
        self.stopConsumer(queue, consumer)
        if !self.deleteIfUnused(queue) {
            self.freeIfSettled(queue, consumer)
        }
    }

    /// A channel ends: its consumer leaves, what it has open comes back.
    func detach(_ address: QueueAddress, _ id: UInt32, _ channel: ChannelAddress) {
        self.send(.detachReply(channel), to: channel.shard)
        guard let queue = self.queue(address), let consumer = self.consumer(queue, id, channel) else { return }
        self.dropWaitingGets(of: channel, at: address)
        self.stopConsumer(queue, consumer)
        while let (_, delivery) = consumer.pointee.outstanding.removeFirst() {
            queue.pointee.unacknowledged -= 1
            self.takeBack(queue, delivery, .returned)
        }
        // Nobody will answer what has lapsed.
        consumer.pointee.lapsed = 0
        if !self.deleteIfUnused(queue) {
            self.freeIfSettled(queue, consumer)
        }
    }

    func consumer(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ id: UInt32,
        _ channel: ChannelAddress
    ) -> UnsafeMutablePointer<ConsumerState>? {
        guard Int(id) < queue.pointee.consumers.count, let consumer = queue.pointee.consumers[Int(id)],
            consumer.pointee.channel == channel
        else { return nil }
        return consumer
    }

    /// No more deliveries to a consumer.
    private func stopConsumer(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>
    ) {
        self.makeUnready(consumer, of: queue)
        consumer.pointee.isActive = false
        guard !consumer.pointee.isCancelled else { return }
        consumer.pointee.isCancelled = true
        guard !consumer.pointee.isGetter else { return }
        queue.pointee.consumerCount -= 1
        self.noteUse(queue)
        if consumer.pointee.isExclusive {
            queue.pointee.hasExclusiveConsumer = false
        }
        if consumer.pointee.grants > 0 {
            consumer.pointee.grants = 0
            self.returnGrant(queue.pointee.address, consumer.pointee.channel, consumer.pointee.channelIndex)
        }
        if queue.pointee.activeConsumer == consumer.pointee.id {
            queue.pointee.activeConsumer = nil
            self.electActiveConsumer(queue)
        }
        self.rebalance(queue)
    }

    /// Frees a consumer that is cancelled and has nothing open.
    func freeIfSettled(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ consumer: UnsafeMutablePointer<ConsumerState>
    ) {
        guard consumer.pointee.isCancelled, consumer.pointee.outstanding.isEmpty, consumer.pointee.lapsed == 0 else {
            return
        }
        queue.pointee.groups?.pointee.forgetConsumer(consumer.pointee.id)
        queue.pointee.consumers[Int(consumer.pointee.id)] = nil
        consumer.deinitialize(count: 1)
        consumer.deallocate()
    }

    /// An auto-delete queue goes with its last consumer.
    private func deleteIfUnused(_ queue: UnsafeMutablePointer<QueueState>) -> Bool {
        guard queue.pointee.info.autoDelete, queue.pointee.hadConsumer, queue.pointee.consumerCount == 0 else {
            return false
        }
        self.removeQueue(queue, .unused)
        return true
    }

    /// A consumer's limit is another one from now on.
    func changePrefetch(_ address: QueueAddress, _ id: UInt32, _ prefetchCount: UInt32) {
        guard let queue = self.queue(address), Int(id) < queue.pointee.consumers.count,
            let consumer = queue.pointee.consumers[Int(id)], !consumer.pointee.isGetter
        else { return }
        consumer.pointee.prefetchCount = prefetchCount
        self.makeReady(consumer, of: queue)
    }

    /// From now on a consumer needs grants.
    func limitConsumer(_ address: QueueAddress, _ id: UInt32) {
        guard let queue = self.queue(address), Int(id) < queue.pointee.consumers.count,
            let consumer = queue.pointee.consumers[Int(id)]
        else { return }
        consumer.pointee.isGlobalLimited = true
    }

    /// Octets of deliveries have been written to a remote consumer's socket.
    func openWindow(_ address: QueueAddress, _ id: UInt32, _ bytes: Int) {
        guard let queue = self.queue(address), Int(id) < queue.pointee.consumers.count,
            let consumer = queue.pointee.consumers[Int(id)]
        else { return }
        let wasShut = consumer.pointee.window <= 0
        consumer.pointee.window += bytes
        if wasShut && consumer.pointee.window > 0 {
            self.makeReady(consumer, of: queue)
        }
    }
}
