/// When messages of a queue must leave, by deadline.
///
/// Invariants:
/// 1. A message that has a deadline (``QueueEntry/Flags/hasDeadline``) is in a run here until the deadline has come.
///    What became due while it was with a consumer is in ``overdue``; what is in neither is dead already.
/// 2. Messages that left earlier stay in their runs; when these outnumber the living, ``compact(isLive:)`` takes them out.
///
/// Messages that were enqueued one after the other with one deadline are one run, so that a queue whose messages all live
/// equally long has one run a millisecond. Runs are in a binary heap: such a queue appends to it in order, which moves
/// nothing. Deadlines are milliseconds of the driver's clock.
struct ExpiryIndex {
    /// Messages in a row that leave together.
    struct Run: Equatable {
        var deadline: UInt64
        var first: UInt64
        var count: UInt64

        var end: UInt64 { self.first &+ self.count }

        func isBefore(_ other: Run) -> Bool {
            self.deadline == other.deadline ? self.first < other.first : self.deadline < other.deadline
        }
    }

    private var heap: [Run] = []
    /// The run that grows; not in the heap yet.
    private var tail: Run?
    /// Places that became due while their messages were with consumers; others may be among them.
    private var overdue: [SequenceRange] = []
    private var isOverdueSorted = true

    /// Runs that are kept whatever the number of living messages.
    static let keptRuns = 64

    init() {}

    /// Runs, of living and other messages.
    var runCount: Int { self.heap.count + (self.tail == nil ? 0 : 1) }

    /// Ranges of places that became due with consumers.
    var overdueCount: Int { self.overdue.count }

    /// The soonest deadline.
    var nextDeadline: UInt64? {
        guard let first = self.heap.first else { return self.tail?.deadline }
        guard let tail = self.tail else { return first.deadline }
        return min(first.deadline, tail.deadline)
    }

    /// Adds a message.
    mutating func add(_ sequence: UInt64, deadline: UInt64) {
        if let tail = self.tail {
            if tail.deadline == deadline && tail.end == sequence {
                self.tail?.count += 1
                return
            }
            self.push(tail)
        }
        self.tail = Run(deadline: deadline, first: sequence, count: 1)
    }

    /// Puts a run back that has not been worked off.
    mutating func putBack(_ run: Run) {
        self.push(run)
    }

    /// Takes the soonest run that is due.
    mutating func takeDue(at now: UInt64) -> Run? {
        if let tail = self.tail, tail.deadline <= now, self.heap.first.map({ tail.isBefore($0) }) ?? true {
            self.tail = nil
            return tail
        }
        guard let first = self.heap.first, first.deadline <= now else { return nil }
        self.removeFirst()
        return first
    }

    /// Takes out runs without a living message.
    mutating func compact(isLive: (Run) -> Bool) {
        var runs = self.heap.filter(isLive)
        runs.sort { $0.isBefore($1) }
        // Sorted is a heap.
        self.heap = runs
        if let tail = self.tail, !isLive(tail) {
            self.tail = nil
        }
    }

    /// When a message must leave that is not due; nil when no run has it.
    ///
    /// Looks at every run.
    func deadline(of sequence: UInt64) -> UInt64? {
        if let tail = self.tail, tail.first <= sequence, sequence < tail.end { return tail.deadline }
        return self.heap.first { $0.first <= sequence && sequence < $0.end }?.deadline
    }

    /// All runs by place.
    var runsByPlace: [Run] {
        var runs = self.heap
        if let tail = self.tail {
            runs.append(tail)
        }
        runs.sort { $0.first < $1.first }
        return runs
    }

    /// Forgets everything.
    mutating func removeAll() {
        self = ExpiryIndex()
    }

    // MARK: With consumers

    /// Places have become due whose messages may be with consumers.
    mutating func noteOverdue(_ range: SequenceRange) {
        if let last = self.overdue.last {
            if last.end == range.first {
                self.overdue[self.overdue.count - 1].count += range.count
                return
            }
            if last.first > range.first {
                self.isOverdueSorted = false
            }
        }
        self.overdue.append(range)
    }

    /// Whether a message that comes back from a consumer is due.
    mutating func isOverdue(_ sequence: UInt64) -> Bool {
        guard !self.overdue.isEmpty else { return false }
        if !self.isOverdueSorted {
            self.overdue.sort { $0.first < $1.first }
            self.isOverdueSorted = true
        }
        var low = 0
        var high = self.overdue.count
        while low < high {
            let middle = (low + high) / 2
            if self.overdue[middle].end <= sequence {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < self.overdue.count && self.overdue[low].first <= sequence
    }

    /// Keeps of the overdue places only those of messages that may come back, `away` in order.
    mutating func compactOverdue(away: [UInt64]) {
        let kept = away.filter { self.isOverdue($0) }
        self.overdue.removeAll(keepingCapacity: true)
        for sequence in kept {
            self.noteOverdue(SequenceRange(first: sequence, count: 1))
        }
    }

    // MARK: The heap

    private mutating func push(_ run: Run) {
        self.heap.append(run)
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard run.isBefore(self.heap[parent]) else { break }
            self.heap[child] = self.heap[parent]
            child = parent
        }
        self.heap[child] = run
    }

    private mutating func removeFirst() {
        let last = self.heap.removeLast()
        guard !self.heap.isEmpty else {
            self.heap = []
            return
        }
        let count = self.heap.count
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < count else { break }
            if child + 1 < count && self.heap[child + 1].isBefore(self.heap[child]) {
                child += 1
            }
            guard self.heap[child].isBefore(last) else { break }
            self.heap[parent] = self.heap[child]
            parent = child
        }
        self.heap[parent] = last
    }
}
