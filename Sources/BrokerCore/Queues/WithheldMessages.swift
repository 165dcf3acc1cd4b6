/// Messages of a queue that came back and wait until they may be delivered again, soonest first.
///
/// They are neither ready nor unacknowledged.
struct WithheldMessages: ~Copyable {
    /// A message and when it is ready again.
    struct Element {
        var due: BrokerInstant
        var sequence: UInt64
        var entry: QueueEntry

        fileprivate func isBefore(_ other: Element) -> Bool {
            (self.due, self.sequence) < (other.due, other.sequence)
        }
    }

    private var heap: [Element] = []
    /// When the shard's timer looks here next.
    var timer: BrokerInstant?

    private let memory: MemoryCount?

    /// Makes an empty set, whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        self.memory?.remove(self.heap.count * MemoryLayout<Element>.stride)
    }

    /// The number of messages.
    var count: Int { self.heap.count }

    /// When the first one is ready again.
    var nextDue: BrokerInstant? { self.heap.first?.due }

    /// Adds a message.
    mutating func insert(_ element: Element) {
        self.heap.append(element)
        self.memory?.add(MemoryLayout<Element>.stride)
        var child = self.heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].isBefore(self.heap[parent]) else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    /// Removes the first message if it is due.
    mutating func popDue(_ now: BrokerInstant) -> Element? {
        guard let first = self.heap.first, first.due <= now else { return nil }
        return self.popFirst()
    }

    /// Removes the first message.
    mutating func popFirst() -> Element? {
        guard let first = self.heap.first, let last = self.heap.popLast() else { return nil }
        self.memory?.remove(MemoryLayout<Element>.stride)
        guard !self.heap.isEmpty else {
            // What a storm of failures took is not kept.
            self.heap = []
            return first
        }
        self.heap[0] = last
        var parent = 0
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count {
                if self.heap[child].isBefore(self.heap[smallest]) {
                    smallest = child
                }
            }
            guard smallest != parent else { return first }
            self.heap.swapAt(parent, smallest)
            parent = smallest
        }
    }

    /// Hands over every message, in no particular order.
    func forEach(_ body: (Element) -> Void) {
        for element in self.heap {
            body(element)
        }
    }
}
