internal import DequeModule

/// What the broker has moved by itself and the commit log does not have yet: dead letters, and messages whose time has come.
///
/// Publishers have windows toward the log and wait during alarms; the broker's own moves have nobody else to hold them
/// back. A move takes memory until it is durable: its records, and the message, which cannot leave memory before.
struct MoveWindow {
    /// Octets by the batches that have them, oldest first.
    private var open: Deque<(number: UInt64, octets: Int)> = []
    /// Octets that are not durable.
    private(set) var octets = 0

    /// Whether further moves wait.
    var isFull: Bool { self.octets >= ShardLimits.moveWindowBytes }

    /// The batch of a number has got so many octets more.
    mutating func note(_ octets: Int, in number: UInt64) {
        guard octets > 0 else { return }
        self.octets += octets
        if let last = self.open.indices.last, self.open[last].number == number {
            self.open[last].octets += octets
        } else {
            self.open.append((number, octets))
        }
    }

    /// Batches up to a number are durable; returns whether moves that waited may go on.
    mutating func end(upTo number: UInt64) -> Bool {
        let wasFull = self.isFull
        while let first = self.open.first, first.number <= number {
            self.octets -= first.octets
            self.open.removeFirst()
        }
        return wasFull && !self.isFull
    }
}

extension Shard {
    /// Octets in the batch under way, of which ``noteMoved(since:)`` wants to know.
    var batchOctets: Int { self.log.batch?.count ?? 0 }

    /// The batch under way has got what the broker has moved since it had so many octets.
    func noteMoved(since octets: Int) {
        guard let batch = self.log.batch else { return }
        self.log.moves.note(batch.count - octets, in: batch.number)
    }

    /// Whether messages to be moved are read from disk now.
    ///
    /// During the memory alarm that is a read now and then, not before `next`: more would keep the alarm, but they may not
    /// be what keeps it.
    func mayReadToMove(_ next: inout BrokerInstant) -> Bool {
        guard self.alarms.contains(.memory) else { return true }
        guard self.now >= next else { return false }
        next = self.now.advanced(milliseconds: ShardLimits.alarmedMoveMilliseconds)
        return true
    }
}
