/// Messages that came back to a queue, ordered by their old place, or by when they came.
///
/// All of them are older than anything in the queue's ring: they left from its head. A binary heap, because they come
/// back in any order and leave lowest first.
struct RequeueHeap: ~Copyable {
    /// A returned message and its place in the queue.
    struct Element {
        var sequence: UInt64
        var entry: QueueEntry
        /// What they leave by.
        fileprivate var order: UInt64
    }

    private var elements: [Element] = []
    private let memory: MemoryCount?

    /// A heap whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        self.memory?.remove(self.elements.capacity * MemoryLayout<Element>.stride)
    }

    var isEmpty: Bool { self.elements.isEmpty }

    var count: Int { self.elements.count }

    /// What the first message leaves by.
    var firstOrder: UInt64? { self.elements.first?.order }

    /// Puts a message back.
    ///
    /// `order` is the place where nothing else is said.
    mutating func insert(_ sequence: UInt64, _ entry: QueueEntry, order: UInt64? = nil) {
        let capacity = self.elements.capacity
        self.elements.append(Element(sequence: sequence, entry: entry, order: order ?? sequence))
        if self.elements.capacity != capacity {
            self.memory?.add((self.elements.capacity - capacity) * MemoryLayout<Element>.stride)
        }
        var child = self.elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.elements[child].order < self.elements[parent].order else { return }
            self.elements.swapAt(child, parent)
            child = parent
        }
    }

    /// Removes the first message; the heap must not be empty.
    mutating func removeFirst() -> Element {
        let first = self.elements[0]
        let last = self.elements.removeLast()
        if self.elements.isEmpty {
            self.drop()
            return first
        }
        self.elements[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.elements.count {
                if self.elements[child].order < self.elements[smallest].order {
                    smallest = child
                }
            }
            guard smallest != parent else { return first }
            self.elements.swapAt(parent, smallest)
            parent = smallest
        }
    }

    /// Hands over messages, the older ones rather first, until `body` has enough.
    func forEachNext(_ body: (QueueEntry) -> Bool) {
        for element in self.elements {
            guard body(element.entry) else { return }
        }
    }

    /// Hands over everything, in no particular order.
    func forEach(_ body: (Element) -> Void) {
        for element in self.elements {
            body(element)
        }
    }

    /// Removes everything, in no particular order.
    mutating func removeAll(_ body: (QueueEntry) -> Void) {
        for element in self.elements {
            body(element.entry)
        }
        self.drop()
    }

    private mutating func drop() {
        self.memory?.remove(self.elements.capacity * MemoryLayout<Element>.stride)
        self.elements = []
    }
}
