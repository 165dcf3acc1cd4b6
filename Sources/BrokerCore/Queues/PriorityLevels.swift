/// The ready messages of a queue that tells priorities apart.
///
/// Invariants:
/// 1. A message is in the level of its priority, which is at most ``highest``.
/// 2. In a level, what came back is older than what has not left yet, as in a queue without priorities.
/// 3. A level's bit in ``occupied`` is set exactly while it holds messages.
///
/// A level costs memory from its first message on.
struct PriorityLevels: ~Copyable {
    private struct Level: ~Copyable {
        var ring: PlacedRing
        /// Elements of the ring whose messages left before their turn; the first one is none.
        var holes = 0
        var returned: OrderedEntries
        private let memory: MemoryCount?

        init(counting memory: MemoryCount?) {
            self.ring = PlacedRing(counting: memory)
            self.returned = OrderedEntries(counting: memory)
            self.memory = memory
        }

        var isEmpty: Bool { self.ring.isEmpty && self.returned.isEmpty }

        mutating func removeFirst() -> ConsumerState.Delivery {
            guard self.returned.isEmpty else {
                let element = self.returned.removeFirst()
                return ConsumerState.Delivery(sequence: element.sequence, entry: element.entry)
            }
            let delivery = self.ring.removeFirst()
            self.skipHoles()
            return delivery
        }

        var first: QueueEntry {
            self.returned.isEmpty ? self.ring.element(at: 0).entry : self.returned.first.entry
        }

        /// Returns whether `body` wants more.
        func forEachNext(_ body: (QueueEntry) -> Bool) -> Bool {
            guard self.returned.forEachNext(body) else { return false }
            for offset in 0..<self.ring.count {
                let entry = self.ring.element(at: offset).entry
                guard entry.isHole || body(entry) else { return false }
            }
            return true
        }

        mutating func remove(_ sequence: UInt64) -> QueueEntry? {
            if let entry = self.returned.remove(sequence) { return entry }
            let offset = self.ring.offset(of: sequence)
            guard offset < self.ring.count else { return nil }
            let element = self.ring.element(at: offset)
            guard element.sequence == sequence, !element.entry.isHole else { return nil }
            if offset == 0 {
                _ = self.ring.removeFirst()
                self.skipHoles()
                return element.entry
            }
            self.ring.replace(at: offset, with: ConsumerState.Delivery(sequence: sequence, entry: .hole))
            self.holes += 1
            if self.holes > self.ring.count - self.holes + PriorityLevels.keptHoles {
                self.closeUp()
            }
            return element.entry
        }

        private mutating func skipHoles() {
            while self.holes > 0, !self.ring.isEmpty, self.ring.element(at: 0).entry.isHole {
                _ = self.ring.removeFirst()
                self.holes -= 1
            }
        }

        private mutating func closeUp() {
            var closed = PlacedRing(counting: self.memory)
            while !self.ring.isEmpty {
                let element = self.ring.removeFirst()
                if !element.entry.isHole {
                    closed.append(element)
                }
            }
            self.ring = closed
            self.holes = 0
        }
    }

    /// Holes that a level keeps whatever the number of its messages.
    private static let keptHoles = 64

    /// The highest priority that counts.
    let highest: UInt8
    private let levels: UnsafeMutablePointer<UnsafeMutablePointer<Level>?>
    private let levelCount: Int
    /// One bit a level, 64 to a word.
    private var occupied: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    /// Messages of all levels.
    private(set) var count = 0

    private let memory: MemoryCount?

    /// Makes empty levels from 0 to `highest`, whose memory is counted somewhere, or nowhere.
    init(highest: UInt8, counting memory: MemoryCount? = nil) {
        self.highest = highest
        self.memory = memory
        self.levelCount = Int(highest) + 1
        self.levels = .allocate(capacity: self.levelCount)
        self.levels.initialize(repeating: nil, count: self.levelCount)
    }

    deinit {
        for index in 0..<self.levelCount {
            self.levels[index]?.deinitialize(count: 1)
            self.levels[index]?.deallocate()
        }
        self.levels.deallocate()
    }

    /// Adds the newest message.
    mutating func append(_ sequence: UInt64, _ entry: QueueEntry) {
        let level = self.level(entry)
        level.pointee.ring.append(ConsumerState.Delivery(sequence: sequence, entry: entry))
        self.count += 1
    }

    /// Puts a message back to its place.
    mutating func putBack(_ sequence: UInt64, _ entry: QueueEntry) {
        let level = self.level(entry)
        level.pointee.returned.insert(sequence, entry)
        self.count += 1
    }

    /// Removes the oldest message of the highest priority; there is one.
    mutating func removeFirst() -> ConsumerState.Delivery {
        let index = self.highestOccupied
        guard let level = self.levels[index] else { preconditionFailure("an occupied level has no memory") }
        self.count -= 1
        let delivery = level.pointee.removeFirst()
        if level.pointee.isEmpty {
            self.setOccupied(index, false)
        }
        return delivery
    }

    /// The message that ``removeFirst()`` would remove; there is one.
    var first: QueueEntry {
        guard let level = self.levels[self.highestOccupied] else {
            preconditionFailure("an occupied level has no memory")
        }
        return level.pointee.first
    }

    /// Hands over messages in the order in which they leave, until `body` has enough.
    func forEachNext(_ body: (QueueEntry) -> Bool) {
        for index in (0..<self.levelCount).reversed() {
            guard let level = self.levels[index] else { continue }
            guard level.pointee.forEachNext(body) else { return }
        }
    }

    /// Removes the message at a place; nil when none is there.
    mutating func remove(_ sequence: UInt64) -> QueueEntry? {
        for index in 0..<self.levelCount {
            guard let level = self.levels[index], let entry = level.pointee.remove(sequence) else { continue }
            self.count -= 1
            if level.pointee.isEmpty {
                self.setOccupied(index, false)
            }
            return entry
        }
        return nil
    }

    /// Hands over the messages with places from `sequence` to below `end`, level by level.
    ///
    /// Returns the lowest place from `end` on that a message has; nil when there is none.
    func forEach(
        from sequence: UInt64,
        to end: UInt64,
        _ body: (_ sequence: UInt64, _ entry: QueueEntry) -> Void
    ) -> UInt64? {
        var next: UInt64?
        for index in 0..<self.levelCount {
            guard let level = self.levels[index] else { continue }
            // In a level what came back stands in the order of the places.
            let rest = level.pointee.returned.forEach(from: sequence) { element in
                guard element.sequence < end else { return false }
                body(element.sequence, element.entry)
                return true
            }
            if let rest {
                next = min(next ?? .max, rest)
            }
            var offset = level.pointee.ring.offset(of: sequence)
            while offset < level.pointee.ring.count {
                let element = level.pointee.ring.element(at: offset)
                guard element.sequence < end else {
                    next = min(next ?? .max, element.sequence)
                    break
                }
                if !element.entry.isHole {
                    body(element.sequence, element.entry)
                }
                offset += 1
            }
        }
        return next
    }

    private mutating func level(_ entry: QueueEntry) -> UnsafeMutablePointer<Level> {
        let index = Int(min(entry.flags.priority, self.highest))
        self.setOccupied(index, true)
        if let level = self.levels[index] { return level }
        let level = UnsafeMutablePointer<Level>.allocate(capacity: 1)
        level.initialize(to: Level(counting: self.memory))
        self.levels[index] = level
        return level
    }

    private var highestOccupied: Int {
        if self.occupied.3 != 0 { return 255 - self.occupied.3.leadingZeroBitCount }
        if self.occupied.2 != 0 { return 191 - self.occupied.2.leadingZeroBitCount }
        if self.occupied.1 != 0 { return 127 - self.occupied.1.leadingZeroBitCount }
        assert(self.occupied.0 != 0, "no message")
        return 63 - self.occupied.0.leadingZeroBitCount
    }

    private mutating func setOccupied(_ index: Int, _ isOccupied: Bool) {
        let bit: UInt64 = 1 << UInt64(index & 63)
        func changed(_ word: UInt64) -> UInt64 { isOccupied ? word | bit : word & ~bit }
        switch index >> 6 {
        case 0: self.occupied.0 = changed(self.occupied.0)
        case 1: self.occupied.1 = changed(self.occupied.1)
        case 2: self.occupied.2 = changed(self.occupied.2)
        default: self.occupied.3 = changed(self.occupied.3)
        }
    }
}
