internal import AMQPProtocol

/// Queues with `x-message-deduplication`: a message is ignored while another with its id is in the queue or out at a
/// consumer.
///
/// ```
/// free --a message with the id comes--> taken --it is acknowledged, or leaves in any other way--> free
///                                       taken --another one comes--> taken, the other one is acknowledged and ignored
/// ```
///
/// 1. A duplicate counts as routed and is never refused, however full the queue is.
/// 2. A duplicate is acknowledged when its original is as safe as the duplicate would have been: it waits for the log
///    like one, and one that the log should have is no duplicate of one that the log does not have.
/// 3. Nothing of it is logged: a start finds the ids in the messages.
extension Shard {
    /// Whether a message has to be ignored, because another with its id is there.
    func isDuplicate(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ message: MessageView,
        _ flags: QueueEntry.Flags
    ) -> Bool {
        guard let unique = queue.pointee.unique, let key = UniqueMessages.key(of: message) else { return false }
        if queue.pointee.nextExpiry <= self.now.nanoseconds {
            // What is over does not stand in anybody's way.
            _ = self.expireDue(queue)
        }
        return unique.contains(key, mustBeLogged: self.isDurable(queue, flags))
    }

    /// Whether the log has messages with such flags of a queue.
    func isDurable(_ queue: UnsafeMutablePointer<QueueState>, _ flags: QueueEntry.Flags) -> Bool {
        queue.pointee.isLogged && flags.contains(.persistent)
    }

    /// Answers the publish of a duplicate, for a publisher whose message has one queue.
    @inline(never)
    func settleDuplicate(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ flags: QueueEntry.Flags,
        on channel: UnsafeMutablePointer<ChannelState>
    ) {
        guard channel.pointee.mode == .confirm, self.isDurable(queue, flags) else {
            self.settlePublish(channel)
            return
        }
        self.waitToConfirm(self.address(of: channel), channel.pointee.confirms.addOpen(count: 1))
    }

    /// A message has come to a place.
    @inline(never)
    func noteUnique(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64, _ entry: QueueEntry) {
        guard let key = UniqueMessages.key(of: self.store.record(entry.slot).view) else { return }
        queue.pointee.unique?.insert(sequence, key, isLogged: self.isDurable(queue, entry.flags))
    }

    /// A message that was out at a consumer, of a queue that follows its messages, is done with.
    @inline(never)
    func settleFollowed(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64) {
        if queue.pointee.groups != nil {
            self.settleInGroup(queue, sequence)
        }
        queue.pointee.unique?.remove(sequence)
    }
}
