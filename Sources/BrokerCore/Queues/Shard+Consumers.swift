internal import AMQPProtocol

/// Consumers as their channels see them: `basic.qos`, `consume`, `cancel`, `get`.
extension Shard {
    /// `basic.qos`.
    func receiveQos(_ method: BasicQos, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard method.prefetchSize == 0 else {
            self.closeConnection(
                channel.pointee.connection,
                .notImplemented,
                "prefetch_size!=0 (\(method.prefetchSize))",
                BasicQos.id
            )
            return
        }
        if method.global {
            channel.pointee.globalPrefetchCount = UInt32(method.prefetchCount)
            if method.prefetchCount > 0 {
                self.limitConsumers(channel)
            }
            self.sendMethod(BasicQosOk(), channel)
            self.grantWaiting(channel)
        } else {
            channel.pointee.prefetchCount = UInt32(method.prefetchCount)
            // RabbitMQ lifts the channel's limit here.
            channel.pointee.globalPrefetchCount = 0
            if channel.pointee.connection.pointee.changesPrefetchWhileConsuming {
                self.changePrefetch(channel)
            }
            self.sendMethod(BasicQosOk(), channel)
            self.grantWaiting(channel)
        }
    }

    /// The new limit holds for the consumers that are there, too; see
    /// ``ConnectionState/changesPrefetchWhileConsuming``.
    private func changePrefetch(_ channel: UnsafeMutablePointer<ChannelState>) {
        for consumer in channel.pointee.consumers {
            guard let consumer, consumer.pointee.isAttached, !consumer.pointee.noAck, !consumer.pointee.isGetter else {
                continue
            }
            self.send(
                .changePrefetch(
                    consumer.pointee.queue,
                    consumer: consumer.pointee.consumer,
                    prefetchCount: channel.pointee.prefetchCount
                ),
                to: consumer.pointee.queue.shard
            )
        }
    }

    /// The channel's limit holds for the consumers that are there, too.
    private func limitConsumers(_ channel: UnsafeMutablePointer<ChannelState>) {
        for consumer in channel.pointee.consumers {
            guard let consumer, !consumer.pointee.isGetter, !consumer.pointee.isGlobalLimited else { continue }
            consumer.pointee.isGlobalLimited = true
            channel.pointee.globalInFlight += UInt32(consumer.pointee.unacknowledged)
            // What is open of a queue that is gone counts, but nothing comes from there any more.
            guard consumer.pointee.isAttached else { continue }
            self.send(
                .limitConsumer(consumer.pointee.queue, consumer: consumer.pointee.consumer),
                to: consumer.pointee.queue.shard
            )
        }
    }

    /// The queue a method names: an empty name is the channel's last declared one.
    ///
    /// Refuses what is not there or locked.
    func findQueue(
        _ name: ShortString,
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ method: MethodID
    ) -> QueueInfo? {
        var name = name
        if name.isEmpty {
            guard let last = channel.pointee.lastQueue else {
                self.closeChannel(channel, .notFound, "no previously declared queue", method)
                return nil
            }
            name = last
        }
        guard let virtualHost = channel.pointee.connection.pointee.virtualHost else { return nil }
        guard let info = virtualHost.queue(named: name) else {
            self.closeChannel(channel, .notFound, "no queue '\(name)' in vhost '\(virtualHost.name)'", method)
            return nil
        }
        if let owner = info.exclusiveOwner, owner != self.connectionAddress(channel) {
            self.closeChannel(
                channel,
                .resourceLocked,
                "cannot obtain exclusive access to locked queue '\(name)' in vhost '\(virtualHost.name)'. It could be "
                    + "originally declared on another connection or the exclusive property value does not match that "
                    + "of the original declaration.",
                method
            )
            return nil
        }
        return info
    }

    func connectionAddress(_ channel: UnsafeMutablePointer<ChannelState>) -> ConnectionAddress {
        ConnectionAddress(shard: self.index, id: channel.pointee.connection.pointee.id.rawValue)
    }

    /// `basic.consume`.
    func receiveConsume(_ method: BasicConsume, _ channel: UnsafeMutablePointer<ChannelState>) {
        if method.queue == ReplyAddress.pseudoQueue {
            self.receiveReplyConsume(method, channel)
            return
        }
        // Before the queue is looked for, as RabbitMQ does.
        let isTaken =
            channel.pointee.consumersByTag[method.consumerTag] != nil
            || channel.pointee.replyConsumerTag == method.consumerTag
        if !method.consumerTag.isEmpty && isTaken {
            self.closeConnection(
                channel.pointee.connection,
                .notAllowed,
                "attempt to reuse consumer tag '\(method.consumerTag)'",
                BasicConsume.id
            )
            return
        }
        guard let info = self.findQueue(method.queue, channel, BasicConsume.id) else { return }
        if let limit = self.settings.consumerMaxPerChannel, channel.pointee.consumersByTag.count >= limit {
            self.closeConnection(
                channel.pointee.connection,
                .notAllowed,
                "reached maximum (\(limit)) of consumers per channel",
                BasicConsume.id
            )
            return
        }
        if let refusal = ConsumerArguments.refusal(method.arguments, info) {
            self.closeChannel(channel, .preconditionFailed, refusal, BasicConsume.id)
            return
        }
        let priority = ConsumerArguments.priority(method.arguments)
        if info.parsed.queueType == .quorum && channel.pointee.globalPrefetchCount > 0 {
            self.closeConnection(
                channel.pointee.connection,
                .notImplemented,
                "queue '\(info.name)' in vhost '\(info.virtualHostName)' does not support global qos",
                BasicConsume.id
            )
            return
        }
        let tag = method.consumerTag.isEmpty ? self.makeName(prefix: "amq.ctag-") : method.consumerTag
        let consumer = self.addConsumer(channel, tag, info, noAck: method.noAck, isGetter: false)
        consumer.pointee.consumeNoWait = method.noWait
        consumer.pointee.isExclusive = method.exclusive
        consumer.pointee.arguments = method.arguments
        consumer.pointee.isGlobalLimited = channel.pointee.globalPrefetchCount > 0
        channel.pointee.consumersByTag[tag] = consumer.pointee.index
        channel.pointee.isWaiting = true
        self.send(
            .consume(
                info.address,
                ConsumerRequest(
                    channel: self.address(of: channel),
                    channelIndex: consumer.pointee.index,
                    noAck: method.noAck,
                    isExclusive: method.exclusive,
                    priority: Int32(clamping: priority),
                    prefetchCount: method.noAck ? 0 : channel.pointee.prefetchCount,
                    isGlobalLimited: consumer.pointee.isGlobalLimited,
                    timeoutMilliseconds: Self.consumerTimeout(method.arguments)
                )
            ),
            to: info.address.shard
        )
    }

    private func addConsumer(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ tag: ShortString,
        _ queue: QueueInfo,
        noAck: Bool,
        isGetter: Bool
    ) -> UnsafeMutablePointer<ChannelConsumer> {
        let index = channel.pointee.consumers.firstIndex { $0 == nil } ?? channel.pointee.consumers.count
        let consumer = UnsafeMutablePointer<ChannelConsumer>.allocate(capacity: 1)
        consumer.initialize(
            to: ChannelConsumer(
                index: UInt32(index),
                tag: tag,
                queue: queue,
                noAck: noAck,
                isGetter: isGetter,
                channel: channel.pointee.number
            )
        )
        if index == channel.pointee.consumers.count {
            channel.pointee.consumers.append(consumer)
        } else {
            channel.pointee.consumers[index] = consumer
        }
        return consumer
    }

    /// Forgets a consumer that has left its queue and has nothing open.
    func freeConsumer(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>
    ) {
        self.forgetGrants(channel, consumer)
        channel.pointee.consumers[Int(consumer.pointee.index)] = nil
        if consumer.pointee.isGetter {
            channel.pointee.getters[consumer.pointee.queue] = nil
        } else if channel.pointee.consumersByTag[consumer.pointee.tag] == consumer.pointee.index {
            channel.pointee.consumersByTag[consumer.pointee.tag] = nil
        }
        consumer.deinitialize(count: 1)
        consumer.deallocate()
    }

    /// The queue's answer to `basic.consume`.
    func consumeReply(_ address: ChannelAddress, _ channelIndex: UInt32, _ id: UInt32, _ refusal: Violation?) {
        guard let channel = self.channel(address),
            let consumer = channel.pointee.consumers[Int(channelIndex)]
        else { return }
        consumer.pointee.isPending = false
        if channel.pointee.phase != .open {
            // The channel ended meanwhile and counts on us: see `releaseChannel`.
            if refusal != nil {
                self.detachReply(address)
            } else {
                self.send(.detach(consumer.pointee.queue, consumer: id, address), to: consumer.pointee.queue.shard)
            }
            return
        }
        self.resume(channel)
        if let refusal {
            self.freeConsumer(channel, consumer)
            self.refuse(channel, refusal)
            return
        }
        consumer.pointee.consumer = id
        consumer.pointee.isAttached = true
        self.tellCreated(consumer, of: channel)
        if !consumer.pointee.consumeNoWait {
            self.sendMethod(BasicConsumeOk(consumerTag: consumer.pointee.tag), channel)
        }
    }

    /// `basic.cancel`.
    func receiveCancel(_ method: BasicCancel, _ channel: UnsafeMutablePointer<ChannelState>) {
        if let tag = channel.pointee.replyConsumerTag, tag == method.consumerTag {
            channel.pointee.replyConsumerTag = nil
        }
        guard let index = channel.pointee.consumersByTag[method.consumerTag],
            let consumer = channel.pointee.consumers[Int(index)], !consumer.pointee.isCancelled
        else {
            if !method.noWait {
                self.sendMethod(BasicCancelOk(consumerTag: method.consumerTag), channel)
            }
            return
        }
        consumer.pointee.isCancelled = true
        consumer.pointee.cancelNoWait = method.noWait
        channel.pointee.isWaiting = true
        self.send(
            .cancel(
                consumer.pointee.queue,
                consumer: consumer.pointee.consumer,
                self.address(of: channel),
                channelIndex: index
            ),
            to: consumer.pointee.queue.shard
        )
    }

    /// The queue's answer to `basic.cancel`: no delivery comes after this.
    func cancelReply(_ address: ChannelAddress, _ channelIndex: UInt32) {
        guard let channel = self.channel(address) else { return }
        if channel.pointee.phase == .open {
            self.resume(channel)
        }
        guard let consumer = channel.pointee.consumers[Int(channelIndex)] else { return }
        let tag = consumer.pointee.tag
        if !consumer.pointee.cancelNoWait && channel.pointee.phase == .open {
            self.sendMethod(BasicCancelOk(consumerTag: tag), channel)
        }
        self.retire(channel, consumer)
    }

    /// A consumer gets nothing more: it goes when its last delivery is settled.
    private func retire(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>
    ) {
        self.tellDeleted(consumer, of: channel)
        channel.pointee.consumersByTag[consumer.pointee.tag] = nil
        consumer.pointee.isCancelled = true
        consumer.pointee.isRetired = true
        if consumer.pointee.unacknowledged == 0 && channel.pointee.phase == .open {
            self.freeConsumer(channel, consumer)
        }
    }

    /// The queue is gone: the client is told, if it wants to know.
    func consumerGone(_ address: ChannelAddress, _ channelIndex: UInt32) {
        guard let channel = self.channel(address), Int(channelIndex) < channel.pointee.consumers.count,
            let consumer = channel.pointee.consumers[Int(channelIndex)]
        else { return }
        consumer.pointee.isAttached = false
        // The client has asked to cancel it: the answer, which is under way, says the same.
        guard channel.pointee.phase == .open, !consumer.pointee.isCancelled else { return }
        if !consumer.pointee.isGetter && channel.pointee.connection.pointee.notifiesCancel {
            if channel.pointee.isDeletingQueue {
                // Clients that read until `delete-ok` take anything else for trouble.
                channel.pointee.goneWithQueue.append(consumer.pointee.tag)
            } else {
                self.sendMethod(BasicCancel(consumerTag: consumer.pointee.tag, noWait: true), channel)
            }
        }
        self.retire(channel, consumer)
    }

    /// `basic.get`.
    func receiveGet(_ method: BasicGet, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard let info = self.findQueue(method.queue, channel, BasicGet.id) else { return }
        var channelIndex = UInt32.max
        var id: UInt32?
        if !method.noAck {
            if let index = channel.pointee.getters[info.address],
                let getter = channel.pointee.consumers[Int(index)]
            {
                channelIndex = index
                id = getter.pointee.isAttached ? getter.pointee.consumer : nil
            } else {
                let getter = self.addConsumer(channel, "", info, noAck: false, isGetter: true)
                channelIndex = getter.pointee.index
                channel.pointee.getters[info.address] = channelIndex
            }
        }
        channel.pointee.getQueue = info.name
        channel.pointee.isWaiting = true
        self.send(
            .get(
                info.address,
                self.address(of: channel),
                channelIndex: channelIndex,
                consumer: id,
                noAck: method.noAck
            ),
            to: info.address.shard
        )
    }

    /// The queue had nothing.
    func getEmpty(_ address: ChannelAddress) {
        guard let channel = self.channel(address) else { return }
        // A getter that was made for this get and has no number yet goes again.
        for consumer in channel.pointee.consumers {
            guard let consumer, consumer.pointee.isGetter, !consumer.pointee.isAttached,
                consumer.pointee.isPending
            else { continue }
            self.freeConsumer(channel, consumer)
            if channel.pointee.phase != .open {
                self.detachReply(address)
                return
            }
        }
        guard channel.pointee.phase == .open else { return }
        self.resume(channel)
        self.sendMethod(BasicGetEmpty(), channel)
    }

    /// The queue had a message.
    ///
    /// `consumer` is the queue's number for the getter.
    func getOk(
        _ channel: UnsafeMutablePointer<ChannelState>,
        channelIndex: UInt32,
        consumer id: UInt32,
        serial: UInt64,
        messageCount: UInt32,
        _ message: MessageView,
        isRedelivered: Bool
    ) {
        let getter = channelIndex == .max ? nil : channel.pointee.consumers[Int(channelIndex)]
        if let getter, getter.pointee.isPending {
            getter.pointee.isPending = false
            getter.pointee.consumer = id
            getter.pointee.isAttached = true
            if channel.pointee.phase != .open {
                let address = self.address(of: channel)
                self.send(.detach(getter.pointee.queue, consumer: id, address), to: getter.pointee.queue.shard)
            }
        }
        guard channel.pointee.phase == .open else { return }
        self.resume(channel)
        let tag = channel.pointee.nextDeliveryTag
        channel.pointee.nextDeliveryTag += 1
        if let getter {
            channel.pointee.ledger.append(tag, LedgerEntry(consumer: channelIndex, serial: serial))
            getter.pointee.unacknowledged += 1
        }
        self.sendMethod(
            BasicGetOk(
                deliveryTag: tag,
                redelivered: isRedelivered,
                exchange: ShortString(Array(message.exchange)) ?? "",
                routingKey: ShortString(Array(message.routingKey)) ?? "",
                messageCount: messageCount
            ),
            channel
        )
        self.writeContent(channel.pointee.connection, channel: channel.pointee.number, message)
        if self.isTracing {
            self.traceDelivery(message, from: channel.pointee.getQueue, to: channel, isRedelivered: isRedelivered)
        }
    }

    /// `queue.purge`.
    func receivePurge(_ method: QueuePurge, _ channel: UnsafeMutablePointer<ChannelState>) {
        guard let info = self.findQueue(method.queue, channel, QueuePurge.id) else { return }
        channel.pointee.isWaiting = true
        channel.pointee.pendingNoWait = method.noWait
        self.send(.purge(info.address, self.address(of: channel)), to: info.address.shard)
    }

    /// The queue's answer to `queue.purge`.
    func purgeReply(_ address: ChannelAddress, _ messageCount: UInt32) {
        guard let channel = self.channel(address), channel.pointee.phase == .open else { return }
        self.resume(channel)
        if !channel.pointee.pendingNoWait {
            self.sendMethod(QueuePurgeOk(messageCount: messageCount), channel)
        }
    }
}
