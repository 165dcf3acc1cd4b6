/// A consumer as its queue sees it; the channel has a ``ChannelConsumer`` for the same.
///
/// The queue owns its messages until they are settled, wherever the consumer's connection lives: ``outstanding`` holds
/// what was handed out, under consecutive serial numbers.
struct ConsumerState: ~Copyable {
    /// What the queue keeps of a delivery.
    struct Delivery {
        /// The message's place in the queue.
        var sequence: UInt64
        var entry: QueueEntry
    }

    /// The queue's number for it: an index in ``QueueState/consumers``.
    let id: UInt32
    let channel: ChannelAddress
    /// Index in the channel's table.
    let channelIndex: UInt32
    let noAck: Bool
    let isExclusive: Bool
    let isGetter: Bool
    let priority: Int32
    /// Deliveries that may be open at a time; 0 is any number.
    var prefetchCount: UInt32
    /// The channel's global prefetch applies: each delivery needs a grant.
    var isGlobalLimited: Bool
    /// Order of arrival at the queue.
    let arrival: UInt64
    /// How long its acknowledgements may take, if its arguments say so; 0 is for ever.
    let ownTimeoutMilliseconds: UInt64?

    /// The channel, when it lives on this shard; valid until the consumer is detached.
    var localChannel: UnsafeMutablePointer<ChannelState>?
    /// The channel's side, when it lives on this shard.
    var localConsumer: UnsafeMutablePointer<ChannelConsumer>?

    var outstanding = SparseRing<Delivery>()
    var nextSerial: UInt64 = 1
    /// In the queue's rotation.
    var isReady = false
    /// Takes part in delivery at all; false for getters, cancelled ones and inactive single-active candidates.
    var isActive = true
    var isCancelled = false
    /// Octets that may still be sent to a consumer on another shard.
    var window = ShardLimits.consumerWindowBytes
    var grants: UInt32 = 0
    var isAwaitingGrant = false

    /// Deliveries must be acknowledged in time.
    var isTimed = false
    /// When they were handed out, if they are timed.
    var times: DeliveryTimes?
    /// Deliveries that went back because no acknowledgement came in time, and that the client has not answered yet.
    var lapsed: UInt32 = 0
}

/// The consumers of a queue that can take a message now, highest priority first, round robin within a priority.
struct ConsumerRotation: ~Copyable {
    private struct Level {
        var priority: Int32
        var consumers: IndexRing
    }

    private var levels: [Level] = []

    init() {}

    @inline(__always)
    var isEmpty: Bool { self.levels.isEmpty }

    /// The consumer whose turn it is.
    @inline(__always)
    var first: UInt32? {
        self.levels.isEmpty ? nil : self.levels[0].consumers.first
    }

    /// Puts a consumer at the end of its priority.
    mutating func append(_ consumer: UInt32, priority: Int32) {
        var index = 0
        while index < self.levels.count && self.levels[index].priority > priority {
            index += 1
        }
        if index == self.levels.count || self.levels[index].priority != priority {
            self.levels.insert(Level(priority: priority, consumers: IndexRing()), at: index)
        }
        self.levels[index].consumers.append(consumer)
    }

    /// Whether the consumer whose turn it is has no other beside it.
    @inline(__always)
    var isTurnOfOne: Bool { self.levels[0].consumers.count == 1 }

    /// The consumer whose turn it was goes to the end of its priority.
    @inline(__always)
    mutating func rotate() {
        if self.levels[0].consumers.count > 1 {
            self.levels[0].consumers.rotate()
        }
    }

    /// Hands over the consumers of the highest priority, the one whose turn it is first, at most `limit`.
    func forEachOfFirst(limit: Int, _ body: (UInt32) -> Void) {
        self.levels.first?.consumers.forEach(limit: limit, body)
    }

    /// Takes out the consumer whose turn it is.
    mutating func removeFirst() {
        self.levels[0].consumers.removeFirst()
        if self.levels[0].consumers.count == 0 {
            self.levels.removeFirst()
        }
    }

    /// Takes out a consumer, wherever it is.
    mutating func remove(_ consumer: UInt32, priority: Int32) {
        guard let index = self.levels.firstIndex(where: { $0.priority == priority }) else { return }
        self.levels[index].consumers.remove(consumer)
        if self.levels[index].consumers.count == 0 {
            self.levels.remove(at: index)
        }
    }
}

/// A small ring of indices.
struct IndexRing {
    private var elements: [UInt32] = []
    private var head = 0

    var count: Int { self.elements.count - self.head }

    var first: UInt32? {
        self.head < self.elements.count ? self.elements[self.head] : nil
    }

    mutating func append(_ element: UInt32) {
        if self.head > 32 && self.head * 2 > self.elements.count {
            self.elements.removeFirst(self.head)
            self.head = 0
        }
        self.elements.append(element)
    }

    mutating func removeFirst() {
        self.head += 1
        if self.head == self.elements.count {
            self.elements.removeAll(keepingCapacity: true)
            self.head = 0
        }
    }

    /// Hands over the first elements, at most `limit`.
    func forEach(limit: Int, _ body: (UInt32) -> Void) {
        for element in self.elements[self.head...].prefix(limit) {
            body(element)
        }
    }

    mutating func rotate() {
        let element = self.elements[self.head]
        self.removeFirst()
        self.append(element)
    }

    mutating func remove(_ element: UInt32) {
        if let index = self.elements[self.head...].firstIndex(of: element) {
            self.elements.remove(at: index)
        }
    }
}
