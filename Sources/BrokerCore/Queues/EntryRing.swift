internal import DequeModule

/// One message in a queue.
struct QueueEntry {
    /// The message in the shard's ``MessageStore``.
    var slot: UInt32
    /// See ``Flags``.
    var flags: Flags

    /// What a queue remembers of a message besides its bytes.
    struct Flags: OptionSet {
        var rawValue: UInt32

        /// It was handed out before and came back.
        static let redelivered = Flags(rawValue: 1)
        /// The publisher asked for it to be kept (delivery mode 2).
        static let persistent = Flags(rawValue: 2)
        /// It must leave at a time that the queue's ``ExpiryIndex`` knows, or has passed.
        static let hasDeadline = Flags(rawValue: 4)
        /// Its properties say how long it may stay in a queue.
        static let hasExpiration = Flags(rawValue: 8)
        /// A client published it with deaths of its own in `x-death`: 1 and the number of entries that we have put in
        /// front of them; none of these bits when all entries are ours.
        static let ownDeaths = Flags(rawValue: 0xF0)

        /// The most entries that ``ownDeaths`` counts.
        static let maxOwnDeaths = 14

        /// How many entries of `x-death` are ours; nil when all are.
        var ownDeathCount: Int? {
            let bits = Int(self.rawValue >> 4 & 15)
            return bits == 0 ? nil : bits - 1
        }

        /// Flags of a message with so many deaths of ours in front of a client's.
        static func ownDeaths(_ count: Int) -> Flags {
            Flags(rawValue: UInt32(min(count, self.maxOwnDeaths) + 1) << 4)
        }
    }

    /// Stands where a message left the middle of a ring.
    static let hole = QueueEntry(slot: .max, flags: [])

    /// Whether there is no message here.
    @inline(__always)
    var isHole: Bool { self.slot == .max }
}

/// The ready messages of a queue, oldest first: blocks behind pointers, without uniqueness or exclusivity checks.
///
/// A small ring is one block that grows by doubling up to ``blockEntries``; a backlog is a row of blocks of that size, so
/// that a growing queue never copies what it has and holds hardly more than it needs. A block that is used up is given
/// back, and so is the memory of an empty ring that has grown: an idle queue costs nothing here.
struct EntryRing: ~Copyable {
    private typealias Block = UnsafeMutablePointer<QueueEntry>

    /// Entries of a full block.
    static let blockEntries = 4096
    /// Entries of the first block of a ring.
    private static let firstEntries = 16
    /// Entries kept allocated when the ring runs empty.
    private static let keptEntries = 1024

    /// The block with the oldest entries, and those behind it; only the first one can be smaller than ``blockEntries``.
    private var first: Block?
    private var firstCapacity = 0
    private var later: Deque<Block> = []
    /// The oldest entry, in `first`, and the end of that block.
    private var head: Block?
    private var headEnd: Block?
    /// Where the next entry goes, in the last block, and the end of that.
    private var tail: Block?
    private var tailEnd: Block?
    private(set) var count = 0
    /// Where the memory of the queue's messages is counted.
    let memory: MemoryCount?

    /// A ring whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        self.first?.deallocate()
        for block in self.later {
            block.deallocate()
        }
        self.memory?.remove(self.allocatedBytes)
    }

    @inline(__always)
    var isEmpty: Bool { self.count == 0 }

    /// Octets of all blocks.
    private var allocatedBytes: Int {
        (self.firstCapacity + self.later.count * Self.blockEntries) * MemoryLayout<QueueEntry>.stride
    }

    @inline(__always)
    mutating func append(_ entry: QueueEntry) {
        if self.tail == self.tailEnd {
            self.makeRoom()
        }
        // There is a block: `makeRoom` has seen to it.
        let place = self.tail.unsafelyUnwrapped
        place.initialize(to: entry)
        self.tail = place + 1
        self.count &+= 1
    }

    /// Removes the oldest entry; the ring must not be empty.
    @inline(__always)
    mutating func removeFirst() -> QueueEntry {
        assert(self.count > 0, "empty ring")
        let place = self.head.unsafelyUnwrapped
        let entry = place.pointee
        self.head = place + 1
        self.count &-= 1
        if self.count == 0 || self.head == self.headEnd {
            self.leaveBlock()
        }
        return entry
    }

    /// The entry `offset` places behind the oldest.
    func entry(at offset: Int) -> QueueEntry {
        assert(offset >= 0 && offset < self.count, "beyond the ring")
        guard let first = self.first, let head = self.head else { preconditionFailure("an empty ring has no entry") }
        let index = (head - first) + offset
        guard index >= self.firstCapacity else { return first[index] }
        let rest = index - self.firstCapacity
        return self.later[rest / Self.blockEntries][rest % Self.blockEntries]
    }

    /// Replaces the entry `offset` places behind the oldest.
    mutating func replace(at offset: Int, with entry: QueueEntry) {
        assert(offset >= 0 && offset < self.count, "beyond the ring")
        guard let first = self.first, let head = self.head else { preconditionFailure("an empty ring has no entry") }
        let index = (head - first) + offset
        if index < self.firstCapacity {
            first[index] = entry
        } else {
            let rest = index - self.firstCapacity
            self.later[rest / Self.blockEntries][rest % Self.blockEntries] = entry
        }
    }

    /// The last block is full, or there is none.
    @inline(never)
    private mutating func makeRoom() {
        guard let first = self.first, let head = self.head else {
            self.start(Self.allocate(Self.firstEntries, self.memory), capacity: Self.firstEntries, count: 0)
            return
        }
        if !self.later.isEmpty || (self.firstCapacity == Self.blockEntries && self.count > Self.blockEntries / 2) {
            let block = Self.allocate(Self.blockEntries, self.memory)
            self.later.append(block)
            self.tail = block
            self.tailEnd = block + Self.blockEntries
        } else if self.count <= self.firstCapacity / 2 {
            // Half of it was used up: no more is moved than was taken since the last time.
            first.update(from: head, count: self.count)
            self.start(first, capacity: self.firstCapacity, count: self.count)
        } else {
            let capacity = self.firstCapacity * 2
            let larger = Self.allocate(capacity, self.memory)
            larger.initialize(from: head, count: self.count)
            Self.free(first, self.firstCapacity, self.memory)
            self.start(larger, capacity: capacity, count: self.count)
        }
    }

    /// The first block is used up, or the ring is empty.
    @inline(never)
    private mutating func leaveBlock() {
        if self.count == 0 {
            guard self.firstCapacity > Self.keptEntries || !self.later.isEmpty else {
                // From the start again, which is in the cache.
                self.head = self.first
                self.tail = self.first
                return
            }
            self.dropAll()
            return
        }
        guard let first = self.first, let next = self.later.popFirst() else {
            preconditionFailure("entries lie in blocks")
        }
        Self.free(first, self.firstCapacity, self.memory)
        self.first = next
        self.firstCapacity = Self.blockEntries
        self.head = next
        self.headEnd = next + Self.blockEntries
    }

    private mutating func start(_ block: Block, capacity: Int, count: Int) {
        self.first = block
        self.firstCapacity = capacity
        self.head = block
        self.headEnd = block + capacity
        self.tail = block + count
        self.tailEnd = self.headEnd
    }

    private mutating func dropAll() {
        if let first = self.first {
            Self.free(first, self.firstCapacity, self.memory)
        }
        for block in self.later {
            Self.free(block, Self.blockEntries, self.memory)
        }
        self.later = []
        self.first = nil
        self.firstCapacity = 0
        self.head = nil
        self.headEnd = nil
        self.tail = nil
        self.tailEnd = nil
    }

    private static func allocate(_ capacity: Int, _ memory: MemoryCount?) -> Block {
        memory?.add(capacity * MemoryLayout<QueueEntry>.stride)
        return .allocate(capacity: capacity)
    }

    private static func free(_ block: Block, _ capacity: Int, _ memory: MemoryCount?) {
        memory?.remove(capacity * MemoryLayout<QueueEntry>.stride)
        block.deallocate()
    }
}
