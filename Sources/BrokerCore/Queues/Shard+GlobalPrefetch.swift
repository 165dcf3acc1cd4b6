internal import DequeModule

/// `basic.qos` with global: one limit for all consumers of a channel, whose queues may live on other shards.
///
/// Invariants:
/// 1. ``ChannelState/globalInFlight`` is the number of open deliveries of limited consumers, and of their grants that
///    have come to nothing yet (``ChannelConsumer/grants``).
/// 2. A queue asks for a grant when it has a message for a limited consumer, at most one at a time
///    (``ConsumerState/isAwaitingGrant``). A grant is used up by a delivery or comes back, at
///    the latest when the disk has brought the message that it was for.
/// 3. Deliveries that were on their way when their consumer became limited came without a grant; they count when they
///    arrive.
/// 4. A consumer without acknowledgements waits while the limit is reached, as in RabbitMQ; what it gets does not count.
extension Shard {
    // MARK: On the channel's side

    /// A limited consumer gets a delivery.
    @inline(__always)
    func countGlobalDelivery(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>
    ) {
        if consumer.pointee.grants > 0 {
            consumer.pointee.grants &-= 1
        } else {
            channel.pointee.globalInFlight &+= 1
        }
    }

    /// A limited consumer without acknowledgements gets a delivery: its grant is free again.
    @inline(never)
    func passGlobalLimit(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>
    ) {
        guard consumer.pointee.grants > 0 else { return }
        consumer.pointee.grants -= 1
        self.returnGlobalCredit(channel)
    }

    /// A delivery that counted against the channel's limit is settled.
    func returnGlobalCredit(_ channel: UnsafeMutablePointer<ChannelState>) {
        assert(channel.pointee.globalInFlight > 0, "more settled than delivered")
        channel.pointee.globalInFlight -= 1
        self.grantWaiting(channel)
    }

    /// Gives grants to consumers that wait, as far as the limit allows.
    func grantWaiting(_ channel: UnsafeMutablePointer<ChannelState>) {
        let limit = channel.pointee.globalPrefetchCount
        while limit == 0 || channel.pointee.globalInFlight < limit,
            let index = channel.pointee.waitingForGrant.popFirst()
        {
            guard let consumer = channel.pointee.consumers[Int(index)], consumer.pointee.isAttached,
                !consumer.pointee.isCancelled
            else { continue }
            channel.pointee.globalInFlight += 1
            consumer.pointee.grants += 1
            self.send(
                .grant(
                    consumer.pointee.queue,
                    consumer: consumer.pointee.consumer,
                    self.address(of: channel),
                    channelIndex: index
                ),
                to: consumer.pointee.queue.shard
            )
        }
    }

    /// A queue has a message for a consumer whose channel has a limit.
    func requestGrant(_ address: ChannelAddress, _ channelIndex: UInt32) {
        guard let channel = self.channel(address), channel.pointee.phase == .open else { return }
        channel.pointee.waitingForGrant.append(channelIndex)
        self.grantWaiting(channel)
    }

    /// A grant was not needed.
    ///
    /// One that comes back to a consumer that is gone has been taken back with it.
    func grantReturned(_ queue: QueueAddress, _ address: ChannelAddress, _ channelIndex: UInt32) {
        guard let channel = self.channel(address), let consumer = channel.pointee.consumers[Int(channelIndex)],
            consumer.pointee.queue == queue, consumer.pointee.grants > 0
        else { return }
        consumer.pointee.grants -= 1
        self.returnGlobalCredit(channel)
    }

    /// A consumer goes: its requests and grants go with it, because its place may be another consumer's next.
    func forgetGrants(
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ consumer: UnsafeMutablePointer<ChannelConsumer>
    ) {
        guard consumer.pointee.isGlobalLimited else { return }
        let index = consumer.pointee.index
        channel.pointee.waitingForGrant.removeAll { $0 == index }
        guard consumer.pointee.grants > 0 else { return }
        channel.pointee.globalInFlight -= consumer.pointee.grants
        consumer.pointee.grants = 0
        self.grantWaiting(channel)
    }

    // MARK: On the queue's side

    /// The channel allows one message.
    func grant(_ address: QueueAddress, _ id: UInt32, _ channel: ChannelAddress, _ channelIndex: UInt32) {
        guard let queue = self.queue(address), Int(id) < queue.pointee.consumers.count,
            let consumer = queue.pointee.consumers[Int(id)], consumer.pointee.channel == channel,
            consumer.pointee.channelIndex == channelIndex
        else {
            self.returnGrant(address, channel, channelIndex)
            return
        }
        consumer.pointee.isAwaitingGrant = false
        guard consumer.pointee.isActive, queue.pointee.hasReady else {
            // Cancelled meanwhile, or somebody else took the message.
            self.returnGrant(address, channel, channelIndex)
            self.makeReady(consumer, of: queue)
            return
        }
        consumer.pointee.grants += 1
        self.makeReady(consumer, of: queue)
        self.touch(queue)
        self.dispatchTouchedQueues()
        if consumer.pointee.grants > 0 {
            if queue.pointee.isStalled {
                // Kept for what the disk will bring: until a grant came again that might have left memory again.
                self.paging.grants.append(
                    PagingState.Grant(queue: address, consumer: id, channel: channel, channelIndex: channelIndex)
                )
                return
            }
            consumer.pointee.grants = 0
            self.returnGrant(address, channel, channelIndex)
        }
    }

    /// The disk has answered, and what it has brought is handed out: gives grants back that have come to nothing.
    func returnKeptGrants() {
        let grants = self.paging.grants
        self.paging.grants = []
        for grant in grants {
            guard let queue = self.queue(grant.queue), Int(grant.consumer) < queue.pointee.consumers.count,
                let consumer = queue.pointee.consumers[Int(grant.consumer)], consumer.pointee.channel == grant.channel,
                consumer.pointee.channelIndex == grant.channelIndex, consumer.pointee.grants > 0
            else { continue }
            if queue.pointee.isStalled {
                self.paging.grants.append(grant)
            } else {
                consumer.pointee.grants = 0
                self.returnGrant(grant.queue, grant.channel, grant.channelIndex)
            }
        }
    }

    /// Gives a grant back that has come to nothing.
    func returnGrant(_ queue: QueueAddress, _ channel: ChannelAddress, _ channelIndex: UInt32) {
        self.send(.returnGrant(queue, channel, channelIndex: channelIndex), to: channel.shard)
    }
}
