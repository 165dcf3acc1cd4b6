/// What a shard wants to be woken for.
enum ShardTimer {
    /// `connection.open` is due.
    case handshake(ConnectionID)
    /// Look whether the peer is alive and whether it is time to send a heartbeat.
    case heartbeat(ConnectionID)
    /// `close-ok` is due.
    case closing(ConnectionID)
    /// Messages of a queue have waited long enough after they came back.
    case retries(QueueAddress)
    /// Deliveries of a queue may have waited too long for their acknowledgement.
    case acknowledgements(QueueAddress)
    /// Messages of a queue are due.
    case expiry(QueueAddress)
    /// Look whether a queue is still used.
    case lease(QueueAddress)
    /// Messages may be read that could not be.
    case pageIn
    /// Ask again for messages that the disk has refused for long.
    case unread
    /// Messages may be written to a scratch file again.
    case pageOut
    /// Dead messages may be read during the memory alarm.
    case deaths
    /// Try once more to hand on dead messages of a queue.
    case stuckDeaths(QueueAddress)
}

/// The deadlines of a shard, soonest first; ties in the order they were scheduled.
///
/// Timers are never cancelled: one that is no longer wanted finds nobody. Each connection has at most a few.
struct TimerQueue {
    private struct Element {
        var deadline: BrokerInstant
        var order: UInt64
        var timer: ShardTimer

        func isBefore(_ other: Element) -> Bool {
            self.deadline == other.deadline ? self.order < other.order : self.deadline < other.deadline
        }
    }

    private var heap: [Element] = []
    private var nextOrder: UInt64 = 0

    /// The soonest deadline.
    var nextDeadline: BrokerInstant? { self.heap.first?.deadline }

    /// Adds a timer.
    mutating func schedule(at deadline: BrokerInstant, _ timer: ShardTimer) {
        self.heap.append(Element(deadline: deadline, order: self.nextOrder, timer: timer))
        self.nextOrder += 1
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].isBefore(self.heap[parent]) else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Removes the soonest timer if it is due.
    mutating func popDue(_ now: BrokerInstant) -> ShardTimer? {
        guard let first = self.heap.first, first.deadline <= now else { return nil }
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else { return first.timer }
        self.heap[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count {
                if self.heap[child].isBefore(self.heap[smallest]) {
                    smallest = child
                }
            }
            guard smallest != parent else { return first.timer }
            self.heap.swapAt(parent, smallest)
            parent = smallest
        }
    }
}
