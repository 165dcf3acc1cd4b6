import AMQPProtocol

/// How a look for the queues of a message ended.
enum RouteOutcome: Equatable, Sendable {
    /// The exchange is there; the targets, none perhaps, are in the ``RouteTargets``.
    case routed
    /// There is no exchange with that name.
    case noExchange
    /// The exchange takes messages from other exchanges only.
    case internalExchange
}

/// The queues that one message goes to; made once and used for every message.
///
/// A queue or exchange that was reached is stamped with the number of the look (the epoch), so that reaching it again
/// costs one comparison. In the steady state nothing is allocated.
struct RouteTargets {
    /// The queues, each once, in the order in which they were found.
    private(set) var infos: ContiguousArray<QueueInfo> = []
    /// The addresses of ``infos``, in the same order, and of ``Station``s among them.
    private(set) var queues: [QueueAddress] = []
    private var pending: ContiguousArray<Exchange> = []
    private var epoch: UInt64 = 0
    /// The shard that looks; queues that live there are local.
    private let shard: UInt16
    private let random: (any RandomSource)?
    /// Whether every message with the same exchange and routing key, and without headers, gets the same queues.
    private(set) var isKeepable = true
    /// Whether headers have no say in it: ``isKeepable`` is for messages with headers, too.
    private(set) var isForHeaders = true
    /// Whether exchanges with `x-message-deduplication` stop messages: those of clients.
    private(set) var stopsAtWindows = false
    /// Whether one of ``queues`` is the window of such an exchange.
    private(set) var hasWindow = false
    private let shards: UInt16

    /// Makes an accumulator without queues; without a source of random numbers every draw is 0.
    init(shard: UInt16 = 0, of shards: UInt16 = 1, random: (any RandomSource)? = nil) {
        self.shards = shards
        self.shard = shard
        self.random = random
    }

    /// Whether the message goes nowhere.
    var isEmpty: Bool { self.queues.isEmpty }
    /// Whether the message goes to a queue now; ``Station``s do not count.
    var hasQueue: Bool { !self.infos.isEmpty }
    /// The number of queues and stations.
    var count: Int { self.queues.count }

    /// Forgets the queues and keeps the memory.
    mutating func reset() {
        self.infos.removeAll(keepingCapacity: true)
        self.queues.removeAll(keepingCapacity: true)
        self.pending.removeAll(keepingCapacity: true)
        self.isKeepable = true
        self.isForHeaders = true
        self.stopsAtWindows = false
        self.hasWindow = false
    }

    /// The targets depend on more than exchange and routing key.
    mutating func doNotKeep() {
        self.isKeepable = false
    }

    /// The targets depend on headers or other properties.
    mutating func dependOnHeaders() {
        self.isForHeaders = false
    }

    /// A random number below `count`, which is positive.
    func draw(below count: Int) -> Int {
        guard let random = self.random else { return 0 }
        // The remainder favours small numbers by less than one in 2^32 for any number of bindings there can be.
        return Int(random.next() % UInt64(count))
    }

    /// Whether a destination is a queue that lives on the shard that looks.
    func isLocal(_ destination: Destination) -> Bool {
        guard case .queue(let queue) = destination else { return false }
        return queue.address.shard == self.shard
    }

    /// Adds a station of the shard that looks, or of another one.
    mutating func add(_ station: Station, _ task: Station.Duty, on shard: UInt16? = nil) {
        self.isKeepable = false
        self.queues.append(station.address(for: task, on: shard ?? self.shard))
    }

    /// Adds the window of an exchange, on its home shard.
    mutating func addWindow(_ station: Station) {
        self.hasWindow = true
        self.add(station, .deduplicate, on: station.home(of: self.shards))
    }

    /// Starts the look for a message's queues; stamps of other epochs do not count.
    mutating func begin(epoch: UInt64, stopsAtWindows: Bool = false) {
        self.reset()
        self.stopsAtWindows = stopsAtWindows
        self.epoch = epoch
    }

    /// Adds a queue unless it is there already.
    @inline(__always)
    mutating func add(_ queue: QueueInfo) {
        guard queue.routeStamp != self.epoch else { return }
        queue.routeStamp = self.epoch
        self.infos.append(queue)
        self.queues.append(queue.address)
    }

    /// Remembers an exchange to route through unless it was visited already.
    mutating func visit(_ exchange: Exchange) {
        guard exchange.routeStamp != self.epoch else { return }
        exchange.routeStamp = self.epoch
        self.pending.append(exchange)
    }

    /// Adds where bindings lead; says whether there was any binding.
    @inline(__always)
    mutating func add(_ bindings: borrowing BindingList) -> Bool {
        switch bindings {
        case .empty: return false
        case .one(let binding): self.add(binding)
        case .many(let all):
            for binding in all {
                self.add(binding)
            }
        }
        return true
    }

    /// Adds where a binding leads.
    @inline(__always)
    mutating func add(_ binding: Binding) {
        switch binding.destination {
        case .queue(let queue): self.add(queue)
        case .exchange(let exchange): self.visit(exchange)
        }
    }

    /// The next exchange to route through; nil when all have been.
    mutating func nextExchange() -> Exchange? {
        self.pending.popLast()
    }
}
