internal import DequeModule

/// Which numbers of one publisher an exchange with `x-message-deduplication` has seen.
///
/// ```
///        floor            holes        in order of arrival
/// 0 ------|------------[a..b]---[c..d]-------------------|------------->
///  unknown      known   new      new   known   under way   new (next)
/// ```
///
/// 1. A publisher gives its numbers in growing order, so one below the highest that came is known, whether it came or not.
/// 2. But never one that a queue has refused: those are ``holes``, until they come again. When there are too many the lowest
///    is forgotten together with everything below it: what is forgotten goes through, perhaps twice, and is never lost.
/// 3. A start counts nothing as known that other shards have not answered, but what was answered behind that: ``told``.
struct PublisherSequence: Sendable {
    /// How much is known of a number.
    enum Knowledge: Equatable {
        /// It has not come, or was refused, or is forgotten.
        case new
        /// Other shards have still to answer for its message.
        case underWay(ticket: UInt64)
        /// It has come, and its message is where it belongs.
        case known
    }

    /// Numbers that were refused, one behind the other.
    struct Hole: Equatable, Sendable {
        /// The lowest.
        var first: UInt64
        /// The highest.
        var last: UInt64
    }

    /// Numbers from here on have not come.
    private(set) var next: UInt64 = 0
    /// Numbers below are not remembered.
    private(set) var floor: UInt64 = 0
    /// What was refused, lowest first, all of it from ``floor`` on.
    private(set) var holes: [Hole] = []
    /// The tickets of numbers that other shards have not answered.
    private var open: [UInt64: UInt64] = [:]
    /// Of these the ones that came in order, and some that are not open any more; the first one is open.
    private var row: Deque<UInt64> = []

    /// Makes one that knows nothing.
    init() {}

    /// Goes on with what the log has.
    init(next: UInt64, floor: UInt64, holes: [Hole]) {
        self.next = next
        self.floor = floor
        self.holes = holes
    }

    /// Whether a record could have this: nobody numbers messages so high that the next one has no number, and holes are in
    /// order.
    var isPlausible: Bool {
        guard self.next <= Self.end, self.floor <= Self.end, self.holes.count <= ShardLimits.publisherHoles else {
            return false
        }
        let edges = self.holes.flatMap { [$0.first, $0.last] }
        return zip(edges, edges.dropFirst()).allSatisfy { $0 <= $1 } && edges.last ?? 0 < Self.end
    }

    /// Numbers are below: they come from signed ones.
    private static let end: UInt64 = 1 << 63

    /// What the log is told.
    ///
    /// What is under way counts as refused. When there is too much of it, numbers behind count as not seen.
    var told: PublisherSequence {
        var holes: [Hole] = []
        var refused = self.holes[...]
        var open = self.row.filter { self.open[$0] != nil }[...]
        while let first = [refused.first?.first, open.first].compactMap({ $0 }).min() {
            var hole = Hole(first: first, last: first)
            if refused.first?.first == first { hole = refused.removeFirst() }
            if open.first == first { open.removeFirst() }
            if let last = holes.last, hole.first <= last.last + 1 {
                holes[holes.count - 1].last = max(last.last, hole.last)
            } else if holes.count < ShardLimits.publisherHoles {
                holes.append(hole)
            } else {
                return PublisherSequence(next: hole.first, floor: self.floor, holes: holes)
            }
        }
        return PublisherSequence(next: self.next, floor: self.floor, holes: holes)
    }

    /// Messages that other shards have not answered.
    var openCount: Int { self.open.count }

    /// What is known of a number.
    func knowledge(of number: UInt64) -> Knowledge {
        if let ticket = self.open[number] { return .underWay(ticket: ticket) }
        guard number < self.next, number >= self.floor else { return .new }
        let index = self.firstHole(endingFrom: number)
        return index < self.holes.count && self.holes[index].first <= number ? .new : .known
    }

    /// The message with a number that was ``Knowledge/new`` is where it belongs, or a queue has refused it.
    mutating func arrive(_ number: UInt64, isRejected: Bool) {
        assert(number < Self.end, "numbers come from signed ones")
        self.next = max(self.next, number + 1)
        if isRejected {
            self.addHole(number)
        } else {
            self.fillHole(number)
        }
    }

    /// Other shards will answer for the message with a number that was ``Knowledge/new``.
    mutating func begin(_ number: UInt64, ticket: UInt64) {
        assert(number < Self.end, "numbers come from signed ones")
        self.open[number] = ticket
        guard number >= self.next else { return }
        self.next = number + 1
        self.row.append(number)
        if self.row.count > 2 * self.open.count + 16 {
            let open = self.open
            self.row.removeAll { open[$0] == nil }
        }
    }

    /// All shards have answered; returns whether it was this message that the number stands for.
    mutating func settle(_ number: UInt64, ticket: UInt64, isRejected: Bool) -> Bool {
        guard self.open[number] == ticket else { return false }
        self.open[number] = nil
        if isRejected {
            self.addHole(number)
        } else {
            self.fillHole(number)
        }
        while let first = self.row.first, self.open[first] == nil {
            self.row.removeFirst()
        }
        return true
    }

    // MARK: Holes

    /// The place of the first hole that does not end before a number.
    private func firstHole(endingFrom number: UInt64) -> Int {
        var low = 0
        var high = self.holes.count
        while low < high {
            let middle = (low + high) / 2
            if self.holes[middle].last < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private mutating func addHole(_ number: UInt64) {
        guard number >= self.floor else { return }
        let index = self.firstHole(endingFrom: number)
        if index < self.holes.count, self.holes[index].first <= number { return }
        let joinsLast = index > 0 && self.holes[index - 1].last + 1 == number
        let joinsNext = index < self.holes.count && number + 1 == self.holes[index].first
        if joinsLast, joinsNext {
            self.holes[index - 1].last = self.holes[index].last
            self.holes.remove(at: index)
        } else if joinsLast {
            self.holes[index - 1].last = number
        } else if joinsNext {
            self.holes[index].first = number
        } else {
            self.holes.insert(Hole(first: number, last: number), at: index)
        }
        self.keepFewHoles()
    }

    private mutating func fillHole(_ number: UInt64) {
        let index = self.firstHole(endingFrom: number)
        guard index < self.holes.count, self.holes[index].first <= number else { return }
        let hole = self.holes.remove(at: index)
        if number < hole.last {
            self.holes.insert(Hole(first: number + 1, last: hole.last), at: index)
        }
        if hole.first < number {
            self.holes.insert(Hole(first: hole.first, last: number - 1), at: index)
        }
        self.keepFewHoles()
    }

    private mutating func keepFewHoles() {
        while self.holes.count > ShardLimits.publisherHoles {
            self.floor = self.holes.removeFirst().last + 1
        }
    }
}
