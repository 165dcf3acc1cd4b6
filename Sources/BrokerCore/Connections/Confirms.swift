/// Publisher confirms of one channel.
///
/// Sequence numbers count from 1. A number is settled when every queue the message was routed to has answered. Numbers
/// settled in a row from the lowest open one are told in one `basic.ack(multiple)` a turn; a number settled behind an
/// open one is told by itself.
struct Confirms: ~Copyable {
    /// What is open of one publish.
    struct Open {
        /// Queues (or shards) that have not answered.
        var remaining: UInt32
        /// One of them refused.
        var isRejected: Bool
    }

    /// The number the next publish gets.
    private(set) var nextSequence: UInt64 = 1
    /// Publishes that wait for answers, by number.
    private var open = SparseRing<Open>()
    /// Numbers settled at once since the last flush: everything up to here but what is in ``open``.
    private var settledUpTo: UInt64 = 0
    /// The highest number told with `multiple`.
    private var toldUpTo: UInt64 = 0
    /// Numbers above ``toldUpTo`` that were told one by one.
    private var singles: Set<UInt64> = []
    /// Numbers settled out of order, or refused, since the last flush.
    private var outOfOrder: [(sequence: UInt64, isAck: Bool)] = []
    /// Whether the shard knows that there is something to tell.
    var isDirty = false

    init() {}

    /// Whether any publish waits for an answer.
    var hasOpen: Bool { !self.open.isEmpty }

    /// Numbers a publish that is settled at once.
    @inline(__always)
    mutating func addSettled() {
        self.settledUpTo = self.nextSequence
        self.nextSequence &+= 1
    }

    /// Numbers a publish that is refused at once.
    mutating func addRejected() {
        self.open.append(self.nextSequence, Open(remaining: 1, isRejected: true))
        let sequence = self.nextSequence
        self.settledUpTo = sequence
        self.nextSequence &+= 1
        self.answer(sequence, isRejected: true)
    }

    /// Numbers a publish that `count` queues or shards will answer.
    mutating func addOpen(count: UInt32) -> UInt64 {
        let sequence = self.nextSequence
        self.open.append(sequence, Open(remaining: count, isRejected: false))
        self.settledUpTo = sequence
        self.nextSequence &+= 1
        return sequence
    }

    /// Takes one answer.
    mutating func answer(_ sequence: UInt64, isRejected: Bool) {
        guard var open = self.open.value(sequence) else { return }
        open.remaining -= 1
        open.isRejected = open.isRejected || isRejected
        guard open.remaining == 0 else {
            self.open.update(sequence, open)
            return
        }
        _ = self.open.remove(sequence)
        self.outOfOrder.append((sequence, !open.isRejected))
    }

    /// Takes an answer for each of `count` publishes from `first` on, none of them a refusal.
    mutating func acknowledge(first: UInt64, count: UInt64) {
        var next = first
        let end = first &+ count
        // Nearly always they are the oldest ones, and wait for nobody else.
        while next < end, let (sequence, open) = self.open.first, sequence == next, open.remaining == 1,
            !open.isRejected
        {
            _ = self.open.removeFirst()
            next &+= 1
        }
        while next < end {
            self.answer(next, isRejected: false)
            next &+= 1
        }
    }

    /// Something to send to the publisher.
    struct Told {
        var sequence: UInt64
        var isMultiple: Bool
        var isAck: Bool
    }

    /// Appends what is to be told now, in the order it must be sent.
    mutating func flush(into told: inout [Told]) {
        self.isDirty = false
        let barrier = self.open.firstKey ?? (self.settledUpTo &+ 1)
        // Refusals first, so that `multiple` never covers one.
        var settledSingles: [UInt64] = []
        var refused: [UInt64] = []
        for (sequence, isAck) in self.outOfOrder {
            if !isAck {
                refused.append(sequence)
            } else if sequence > barrier {
                settledSingles.append(sequence)
            }
        }
        if !refused.isEmpty {
            self.tell(&refused, into: &told)
        }
        self.outOfOrder.removeAll(keepingCapacity: true)
        let end = barrier &- 1
        if end > self.toldUpTo {
            // Numbers told already may be the last ones below the barrier; `multiple` up to the last untold one.
            var last = end
            while last > self.toldUpTo && self.singles.contains(last) {
                last &-= 1
            }
            if last > self.toldUpTo {
                told.append(Told(sequence: last, isMultiple: last &- self.toldUpTo > 1, isAck: true))
            }
            self.toldUpTo = end
            if !self.singles.isEmpty {
                self.singles = self.singles.filter { $0 > end }
            }
        }
        // Settled at once behind an open number: told one by one.
        if self.settledUpTo > barrier {
            for sequence in settledSingles {
                told.append(Told(sequence: sequence, isMultiple: false, isAck: true))
                self.singles.insert(sequence)
            }
        }
    }

    /// Appends refusals; those that follow on what has been told say so, as RabbitMQ's do, but each is told by itself:
    /// its message may have come back right before.
    @inline(never)
    private mutating func tell(_ refused: inout [UInt64], into told: inout [Told]) {
        refused.sort()
        var covered = self.toldUpTo
        for sequence in refused {
            while covered &+ 1 < sequence && self.singles.contains(covered &+ 1) {
                covered &+= 1
            }
            let follows = sequence == covered &+ 1
            covered = follows ? sequence : covered
            told.append(Told(sequence: sequence, isMultiple: follows, isAck: false))
        }
        self.singles.formUnion(refused)
    }
}
