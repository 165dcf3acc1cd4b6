internal import AMQPProtocol

/// `basic.get` at a queue's home shard.
extension Shard {
    /// `basic.get`.
    func get(
        _ address: QueueAddress,
        _ channel: ChannelAddress,
        _ channelIndex: UInt32,
        _ id: UInt32?,
        noAck: Bool
    ) {
        // Consumers that wait come first.
        self.dispatchTouchedQueues()
        if channel.shard == self.index && self.channel(channel)?.pointee.phase != .open {
            self.send(.getEmpty(channel), to: channel.shard)
            return
        }
        let queue = self.queue(address)
        if let queue {
            self.noteUse(queue)
        }
        if let queue, queue.pointee.isArranging || queue.pointee.nextExpiry <= self.now.nanoseconds {
            guard !queue.pointee.isArranging, !queue.pointee.isTrimming, self.expireDue(queue) else {
                self.pendingWork.append(.get(address, channel, channelIndex: channelIndex, consumer: id, noAck: noAck))
                return
            }
        }
        // A getter that has left belongs to a channel that has ended.
        guard let queue, queue.pointee.hasReady, id.map({ self.consumer(queue, $0, channel) != nil }) ?? true else {
            self.send(.getEmpty(channel), to: channel.shard)
            return
        }
        let again = ShardCommand.get(address, channel, channelIndex: channelIndex, consumer: id, noAck: noAck)
        if queue.pointee.groups == nil && !self.isNextResident(queue) {
            if self.stall(queue) {
                self.send(again, to: self.index)
            } else {
                self.park(again)
            }
            return
        }
        let known = noAck ? nil : id.flatMap { self.consumer(queue, $0, channel) }
        let isGrouped = queue.pointee.groups != nil
        // Of messages in groups not every one may be got.
        guard let delivery = isGrouped ? self.takeForGet(queue, known) : self.takeNext(queue) else {
            if queue.pointee.isStalled {
                self.park(again)
            } else {
                self.send(.getEmpty(channel), to: channel.shard)
            }
            return
        }
        var serial: UInt64 = 0
        var number: UInt32 = 0
        if !noAck {
            let getter = known ?? self.addGetter(queue, channel, channelIndex)
            if known == nil && isGrouped {
                self.claimGroup(queue, delivery, getter)
            }
            number = getter.pointee.id
            serial = getter.pointee.nextSerial
            getter.pointee.nextSerial += 1
            getter.pointee.outstanding.append(serial, delivery)
            if getter.pointee.isTimed {
                self.noteDeliveryTime(queue, getter, serial)
            }
            queue.pointee.unacknowledged += 1
            self.logDelivered(queue, delivery.sequence, delivery.entry)
        } else {
            queue.pointee.unique?.remove(delivery.sequence)
            self.logSettled(queue, delivery.sequence, delivery.entry.flags)
        }
        let messageCount = UInt32(clamping: queue.pointee.readyCount)
        let answer = GetAnswer(
            channelIndex: channelIndex,
            consumer: number,
            serial: serial,
            messageCount: messageCount,
            flags: delivery.entry.flags
        )
        let view = self.store.record(delivery.entry.slot).view
        let count = delivery.entry.flags.deliveryCount
        if queue.pointee.returnRules.showsCountAlways || (count > 0 && queue.pointee.returnRules.showsCount) {
            self.withDeliveryCount(view, count, queue.pointee.returnRules) { self.answerGet(channel, answer, $0) }
        } else {
            self.answerGet(channel, answer, view)
        }
        if noAck {
            self.store.release(delivery.entry.slot)
        }
    }

    /// A channel goes: its `basic.get` that waits, for the disk or for the queue to be in order, gets nothing.
    ///
    /// It would get what the channel's consumers give back, and count a second return of what the client saw once.
    func dropWaitingGets(of channel: ChannelAddress, at queue: QueueAddress) {
        if !self.paging.gets.isEmpty {
            self.paging.gets.removeAll { get in
                guard case .get(queue, channel, _, _, _) = get else { return false }
                self.send(.getEmpty(channel), to: channel.shard)
                return true
            }
        }
        if !self.pendingWork.isEmpty {
            self.pendingWork.removeAll { work in
                guard case .get(queue, channel, _, _, _) = work else { return false }
                self.send(.getEmpty(channel), to: channel.shard)
                return true
            }
        }
    }

    /// What goes with a message that somebody has got.
    private struct GetAnswer {
        var channelIndex: UInt32
        var consumer: UInt32
        var serial: UInt64
        var messageCount: UInt32
        var flags: QueueEntry.Flags
    }

    private func answerGet(_ channel: ChannelAddress, _ answer: GetAnswer, _ message: MessageView) {
        if channel.shard == self.index {
            guard let local = self.channel(channel) else { return }
            self.getOk(
                local,
                channelIndex: answer.channelIndex,
                consumer: answer.consumer,
                serial: answer.serial,
                messageCount: answer.messageCount,
                message,
                isRedelivered: answer.flags.contains(.redelivered)
            )
            return
        }
        let headerSize = 8 + ChannelAddress.batchedSize + 24
        let base = self.outbox(channel.shard).append(.getOk, size: headerSize + BatchedMessage.size(of: message))
        channel.write(at: base + 8)
        base.storeBytes(of: answer.serial, toByteOffset: 24, as: UInt64.self)
        base.storeBytes(of: answer.channelIndex, toByteOffset: 32, as: UInt32.self)
        base.storeBytes(of: answer.consumer, toByteOffset: 36, as: UInt32.self)
        base.storeBytes(of: answer.messageCount, toByteOffset: 40, as: UInt32.self)
        BatchedMessage.write(message, flags: answer.flags, at: base + headerSize)
    }

    private func addGetter(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ channel: ChannelAddress,
        _ channelIndex: UInt32
    ) -> UnsafeMutablePointer<ConsumerState> {
        self.addConsumer(
            queue,
            ConsumerRequest(
                channel: channel,
                channelIndex: channelIndex,
                noAck: false,
                isExclusive: false,
                priority: 0,
                prefetchCount: 0,
                isGlobalLimited: false
            ),
            isGetter: true
        )
    }
}
