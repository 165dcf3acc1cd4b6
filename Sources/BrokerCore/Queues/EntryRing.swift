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

/// The ready messages of a queue, oldest first: a ring behind a pointer, without uniqueness or exclusivity checks.
///
/// An empty ring that has grown gives its memory back, so that an idle queue costs nothing here.
struct EntryRing: ~Copyable {
    private var storage: UnsafeMutablePointer<QueueEntry>?
    private var mask = 0
    private var head = 0
    private(set) var count = 0

    /// Entries kept allocated when the ring runs empty.
    private static let keptCapacity = 1024

    init() {}

    deinit {
        self.storage?.deallocate()
    }

    @inline(__always)
    var isEmpty: Bool { self.count == 0 }

    @inline(__always)
    mutating func append(_ entry: QueueEntry) {
        if self.storage == nil || self.count > self.mask {
            self.grow()
        }
        // `grow` has allocated; the index is masked into the capacity.
        (self.storage.unsafelyUnwrapped + ((self.head &+ self.count) & self.mask)).initialize(to: entry)
        self.count &+= 1
    }

    /// Removes the oldest entry; the ring must not be empty.
    @inline(__always)
    mutating func removeFirst() -> QueueEntry {
        assert(self.count > 0, "empty ring")
        let entry = self.storage.unsafelyUnwrapped[self.head]
        self.head = (self.head &+ 1) & self.mask
        self.count &-= 1
        if self.count == 0 && self.mask >= Self.keptCapacity {
            self.shrink()
        }
        return entry
    }

    /// The entry `offset` places behind the oldest.
    func entry(at offset: Int) -> QueueEntry {
        assert(offset < self.count, "beyond the ring")
        return self.storage.unsafelyUnwrapped[(self.head &+ offset) & self.mask]
    }

    @inline(never)
    private mutating func grow() {
        let capacity = self.storage == nil ? 16 : (self.mask + 1) * 2
        let larger = UnsafeMutablePointer<QueueEntry>.allocate(capacity: capacity)
        if let storage = self.storage {
            let firstPart = min(self.count, self.mask + 1 - self.head)
            larger.moveInitialize(from: storage + self.head, count: firstPart)
            (larger + firstPart).moveInitialize(from: storage, count: self.count - firstPart)
            storage.deallocate()
        }
        self.storage = larger
        self.mask = capacity - 1
        self.head = 0
    }

    @inline(never)
    private mutating func shrink() {
        self.storage?.deallocate()
        self.storage = nil
        self.mask = 0
        self.head = 0
    }
}
