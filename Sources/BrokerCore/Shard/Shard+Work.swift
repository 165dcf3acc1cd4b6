internal import DequeModule

/// Something that may take long and is done in pieces, one a turn.
///
/// Each piece ends with the work's removal or with its going to the end of the line.
enum ShardWork {
    /// A queue drops what is expired or beyond its limits.
    case trim(QueueAddress)
    /// A queue whose priorities are others puts more messages where they belong.
    case arrange(QueueAddress)
    /// A queue with groups goes on looking for messages that may be delivered.
    case dispatch(QueueAddress)
    /// A queue takes more messages in again that have waited after they came back.
    case retries(QueueAddress)
    /// Dead messages are handed on.
    case deaths
    /// A `basic.get` of a queue that must be trimmed or arranged first.
    case get(QueueAddress, ChannelAddress, channelIndex: UInt32, consumer: UInt32?, noAck: Bool)
    /// Queues are looked at whose policies may have changed.
    case matchPolicies
}

extension Shard {
    /// Does one piece of the work that waits longest.
    func doPendingWork() {
        guard let work = self.pendingWork.popFirst() else { return }
        switch work {
        case .trim(let address):
            if let queue = self.queue(address) {
                self.trim(queue)
            }
        case .arrange(let address):
            if let queue = self.queue(address) {
                self.arrange(queue)
            }
        case .deaths:
            self.areDeathsPending = false
            self.runDeaths()
        case .get(let address, let channel, let channelIndex, let consumer, let noAck):
            self.get(address, channel, channelIndex, consumer, noAck: noAck)
        case .retries(let address):
            self.fireRetries(address)
        case .dispatch(let address):
            if let queue = self.queue(address) {
                self.touch(queue)
            }
        case .matchPolicies:
            self.sweepPolicies()
        }
    }
}
