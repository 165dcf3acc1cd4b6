internal import DequeModule

/// Messages of a queue in the order of their places, which need not be in a row, or of when they came: those that came
/// back, or whose death is under way.
///
/// Sorted pieces of a few hundred elements, so that putting in, finding and taking out anywhere costs a short search and
/// a short move, and both ends cost next to nothing.
struct OrderedEntries: ~Copyable {
    /// A message and its place in the queue.
    struct Element {
        var sequence: UInt64
        var entry: QueueEntry
        /// What they leave by.
        fileprivate(set) var order: UInt64
    }

    /// Elements of a piece at most.
    private static let pieceSize = 256

    /// None is empty; the first one begins at ``head``.
    private var pieces: Deque<[Element]> = []
    /// Elements of the first piece that are gone.
    private var head = 0
    private(set) var count = 0
    /// Elements whose order is not their place.
    private var strangers = 0
    private let memory: MemoryCount?

    /// Entries whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        self.memory?.remove(self.pieces.reduce(0) { $0 + Self.bytes($1.capacity) })
    }

    private static func bytes(_ capacity: Int) -> Int { capacity * MemoryLayout<Element>.stride }

    /// Counts what a piece has become larger or smaller by.
    private func countMemory(_ index: Int, since capacity: Int) {
        let now = self.pieces[index].capacity
        if now != capacity {
            self.memory?.add(Self.bytes(now - capacity))
        }
    }

    @inline(__always)
    var isEmpty: Bool { self.count == 0 }

    /// The message that stands first; there is one.
    var first: Element { self.pieces[0][self.head] }

    /// What the first message leaves by; nil when there is none.
    var firstOrder: UInt64? { self.count == 0 ? nil : self.first.order }

    /// Puts a message in its place, which is free.
    ///
    /// `order` is the place where nothing else is said.
    mutating func insert(_ sequence: UInt64, _ entry: QueueEntry, order: UInt64? = nil) {
        let order = order ?? sequence
        let element = Element(sequence: sequence, entry: entry, order: order)
        self.count += 1
        if order != sequence {
            self.strangers += 1
        }
        guard let last = self.pieces.last?.last, last.order >= order else {
            self.append(element)
            return
        }
        let index = self.piece(of: order)
        let start = index == 0 ? self.head : 0
        let position = Self.position(of: order, in: self.pieces[index], from: start)
        if position == start && start > 0 {
            self.head -= 1
            self.pieces[0][self.head] = element
            return
        }
        let capacity = self.pieces[index].capacity
        self.pieces[index].insert(element, at: position)
        self.countMemory(index, since: capacity)
        if self.pieces[index].count > Self.pieceSize {
            self.split(index)
        }
    }

    private mutating func append(_ element: Element) {
        let index = self.pieces.count - 1
        guard index >= 0, self.pieces[index].count < Self.pieceSize else {
            self.pieces.append([element])
            self.countMemory(index + 1, since: 0)
            return
        }
        let capacity = self.pieces[index].capacity
        self.pieces[index].append(element)
        self.countMemory(index, since: capacity)
    }

    private mutating func split(_ index: Int) {
        if index == 0 && self.head > 0 {
            self.pieces[0].removeFirst(self.head)
            self.head = 0
        }
        let half = self.pieces[index].count / 2
        let upper = Array(self.pieces[index][half...])
        self.pieces[index].removeLast(upper.count)
        self.pieces.insert(upper, at: index + 1)
        self.countMemory(index + 1, since: 0)
    }

    /// Removes the message that stands first; there is one.
    mutating func removeFirst() -> Element {
        let element = self.pieces[0][self.head]
        self.head += 1
        self.count -= 1
        if element.order != element.sequence {
            self.strangers -= 1
        }
        if self.head == self.pieces[0].count {
            self.memory?.remove(Self.bytes(self.pieces[0].capacity))
            self.pieces.removeFirst()
            self.head = 0
        }
        return element
    }

    /// Removes the message at a place; nil when none is there.
    mutating func remove(_ sequence: UInt64) -> QueueEntry? {
        guard self.count > 0 else { return nil }
        let index = self.piece(of: sequence)
        if index < self.pieces.count {
            let start = index == 0 ? self.head : 0
            let position = Self.position(of: sequence, in: self.pieces[index], from: start)
            if position < self.pieces[index].count, self.pieces[index][position].sequence == sequence {
                return self.remove(index, position)
            }
        }
        // Those whose order is another one are few: they came back to a queue that hands them out as they come.
        return self.strangers == 0 ? nil : self.removeStranger(sequence)
    }

    /// Removes the message that leaves by an order; nil when none does.
    mutating func remove(order: UInt64) -> QueueEntry? {
        let index = self.piece(of: order)
        guard index < self.pieces.count else { return nil }
        let position = Self.position(of: order, in: self.pieces[index], from: index == 0 ? self.head : 0)
        guard position < self.pieces[index].count, self.pieces[index][position].order == order else { return nil }
        return self.remove(index, position)
    }

    private mutating func removeStranger(_ sequence: UInt64) -> QueueEntry? {
        for index in self.pieces.indices.reversed() {
            let start = index == 0 ? self.head : 0
            if let position = self.pieces[index][start...].firstIndex(where: { $0.sequence == sequence }) {
                return self.remove(index, position)
            }
        }
        return nil
    }

    private mutating func remove(_ index: Int, _ position: Int) -> QueueEntry {
        if index == 0 && position == self.head { return self.removeFirst().entry }
        self.count -= 1
        let element = self.pieces[index].remove(at: position)
        if element.order != element.sequence {
            self.strangers -= 1
        }
        if self.pieces[index].isEmpty {
            self.memory?.remove(Self.bytes(self.pieces[index].capacity))
            self.pieces.remove(at: index)
        }
        return element.entry
    }

    /// Removes everything, in order.
    mutating func removeAll(_ body: (QueueEntry) -> Void) {
        while self.count > 0 {
            body(self.removeFirst().entry)
        }
    }

    /// Hands over everything in order.
    func forEach(_ body: (Element) -> Void) {
        for (index, piece) in self.pieces.enumerated() {
            for element in piece[(index == 0 ? self.head : 0)...] {
                body(element)
            }
        }
    }

    /// Hands over entries from the first one on until `body` has enough; returns whether it wants more.
    @discardableResult
    func forEachNext(_ body: (QueueEntry) -> Bool) -> Bool {
        for (index, piece) in self.pieces.enumerated() {
            for element in piece[(index == 0 ? self.head : 0)...] {
                guard body(element.entry) else { return false }
            }
        }
        return true
    }

    /// Hands over entries whose order is not below one, in order, until `body` has enough.
    ///
    /// Returns the order of the first one that `body` did not want, to go on with; nil when it has had all.
    func forEach(from order: UInt64, _ body: (Element) -> Bool) -> UInt64? {
        guard self.count > 0 else { return nil }
        var index = self.piece(of: order)
        while index < self.pieces.count {
            let piece = self.pieces[index]
            let start = Self.position(of: order, in: piece, from: index == 0 ? self.head : 0)
            for element in piece[start...] {
                guard body(element) else { return element.order }
            }
            index += 1
        }
        return nil
    }

    /// The first piece whose last element is not before one of that order; the number of pieces when there is none.
    private func piece(of order: UInt64) -> Int {
        var low = 0
        var high = self.pieces.count
        while low < high {
            let middle = (low + high) / 2
            // No piece is empty.
            if self.pieces[middle][self.pieces[middle].count - 1].order < order {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    private static func position(of order: UInt64, in piece: [Element], from start: Int) -> Int {
        var low = start
        var high = piece.count
        while low < high {
            let middle = (low + high) / 2
            if piece[middle].order < order {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }
}
