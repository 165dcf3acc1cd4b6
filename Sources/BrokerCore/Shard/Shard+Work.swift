internal import DequeModule

/// Something that may take long and is done in pieces, one a turn.
///
/// Each piece ends with the work's removal or with its going to the end of the line.
enum ShardWork {
    /// A queue drops what is expired or beyond its limits.
    case trim(QueueAddress)
    /// A queue with groups goes on looking for messages that may be delivered.
    case dispatch(QueueAddress)
}

extension Shard {
    /// Does one piece of the work that waits longest.
    func doPendingWork() {
        guard let work = self.pendingWork.popFirst() else { return }
        switch work {
        case .trim(let address):
            _ = self.queue(address)
        case .dispatch(let address):
            if let queue = self.queue(address) {
                self.touch(queue)
            }
        }
    }
}
