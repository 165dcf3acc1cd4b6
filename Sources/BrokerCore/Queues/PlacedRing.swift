internal import DequeModule

/// Messages with their places, oldest first, in blocks that come and go with them.
///
/// A ``EntryRing`` holds consecutive places; this one holds any ascending ones, at twice the memory.
struct PlacedRing: ~Copyable {
    /// A message and its place in its queue's order of publishing.
    typealias Element = ConsumerState.Delivery

    private static let blockCapacity = 256

    private var blocks: Deque<UnsafeMutablePointer<Element>> = []
    /// Index of the oldest element in the first block.
    private var head = 0
    /// The number of elements.
    private(set) var count = 0

    private let memory: MemoryCount?

    private static let blockBytes = Self.blockCapacity * MemoryLayout<Element>.stride

    /// Makes an empty ring, whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        self.memory?.remove(self.blocks.count * Self.blockBytes)
        for block in self.blocks {
            block.deallocate()
        }
    }

    var isEmpty: Bool { self.count == 0 }

    /// Appends an element, whose place is above those before.
    mutating func append(_ element: Element) {
        let index = self.head + self.count
        if index == self.blocks.count * Self.blockCapacity {
            self.blocks.append(.allocate(capacity: Self.blockCapacity))
            self.memory?.add(Self.blockBytes)
        }
        (self.blocks[index / Self.blockCapacity] + index % Self.blockCapacity).initialize(to: element)
        self.count += 1
    }

    /// The element `offset` places behind the oldest.
    func element(at offset: Int) -> Element {
        assert(offset >= 0 && offset < self.count, "beyond the ring")
        let index = self.head + offset
        return self.blocks[index / Self.blockCapacity][index % Self.blockCapacity]
    }

    /// Removes the oldest element; there is one.
    mutating func removeFirst() -> Element {
        assert(self.count > 0, "empty ring")
        let element = self.blocks[0][self.head]
        self.head += 1
        self.count -= 1
        if self.head == Self.blockCapacity {
            self.blocks.removeFirst().deallocate()
            self.memory?.remove(Self.blockBytes)
            self.head = 0
        } else if self.count == 0 {
            // The block is filled anew: what comes and goes one by one needs no other.
            self.head = 0
        }
        return element
    }

    /// Replaces the element `offset` places behind the oldest by one of the same place.
    mutating func replace(at offset: Int, with element: Element) {
        assert(offset >= 0 && offset < self.count, "beyond the ring")
        let index = self.head + offset
        self.blocks[index / Self.blockCapacity][index % Self.blockCapacity] = element
    }

    /// The offset of the first element whose place is not below `sequence`.
    func offset(of sequence: UInt64) -> Int {
        var lower = 0
        var upper = self.count
        while lower < upper {
            let middle = (lower + upper) / 2
            if self.element(at: middle).sequence < sequence {
                lower = middle + 1
            } else {
                upper = middle
            }
        }
        return lower
    }
}
