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
        self.rise(self.heap.count - 1)
    }

    private mutating func rise(_ index: Int) {
        var child = index
        while child > 0 {
            let parent = (child - 1) / 2
            guard self.heap[child].isBefore(self.heap[parent]) else { return }
            self.heap.swapAt(child, parent)
            child = parent
        }
    }

    private mutating func sink(_ index: Int) {
        var parent = index
        while true {
            var smallest = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < self.heap.count {
                if self.heap[child].isBefore(self.heap[smallest]) {
                    smallest = child
                }
            }
            guard smallest != parent else { return }
            self.heap.swapAt(parent, smallest)
            parent = smallest
        }
    }

    /// Removes the first message if it is due.
    mutating func popDue(_ now: BrokerInstant) -> Element? {
        guard let first = self.heap.first, first.due <= now else { return nil }
        return self.popFirst()
    }

    /// Removes the first message.
    mutating func popFirst() -> Element? {
        self.heap.isEmpty ? nil : self.remove(at: 0)
    }

    /// Removes the message of a place; nil when it is not here.
    ///
    /// Looks through all of them.
    mutating func remove(_ sequence: UInt64) -> Element? {
        self.heap.firstIndex { $0.sequence == sequence }.map { self.remove(at: $0) }
    }

    private mutating func remove(at index: Int) -> Element {
        let element = self.heap[index]
        let last = self.heap.removeLast()
        self.memory?.remove(MemoryLayout<Element>.stride)
        if self.heap.isEmpty {
            // What a storm of failures took is not kept.
            self.heap = []
        } else if index < self.heap.count {
            self.heap[index] = last
            self.sink(index)
            self.rise(index)
        }
        return element
    }

    /// Hands over messages, soonest first, until `body` has enough; costs no more than what it hands over.
    func forEachInOrder(_ body: (Element) -> Bool) {
        // Candidates, the next one last: whatever comes first is at the top of what is left.
        var next = self.heap.isEmpty ? [] : [0]
        while let index = next.popLast() {
            guard body(self.heap[index]) else { return }
            for child in [2 * index + 1, 2 * index + 2] where child < self.heap.count {
                var low = 0
                var high = next.count
                while low < high {
                    let middle = (low + high) / 2
                    if self.heap[child].isBefore(self.heap[next[middle]]) {
                        low = middle + 1
                    } else {
                        high = middle
                    }
                }
                next.insert(child, at: low)
            }
        }
    }

    /// Hands over every message, in no particular order.
    func forEach(_ body: (Element) -> Void) {
        for element in self.heap {
            body(element)
        }
    }
}
