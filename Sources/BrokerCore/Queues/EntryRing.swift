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
    }
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
    private let memory: MemoryCount?

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
