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
    /// The addresses of ``infos``, in the same order.
    private(set) var queues: [QueueAddress] = []
    private var pending: ContiguousArray<Exchange> = []
    private var epoch: UInt64 = 0

    /// Makes an accumulator without queues.
    init() {}

    /// Whether the message goes nowhere.
    var isEmpty: Bool { self.queues.isEmpty }
    /// The number of queues.
    var count: Int { self.queues.count }

    /// Forgets the queues and keeps the memory.
    mutating func reset() {
        self.infos.removeAll(keepingCapacity: true)
        self.queues.removeAll(keepingCapacity: true)
        self.pending.removeAll(keepingCapacity: true)
    }

    /// Starts the look for a message's queues; stamps of other epochs do not count.
    mutating func begin(epoch: UInt64) {
        self.reset()
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
        for binding in bindings.items {
            self.add(binding)
        }
        return !bindings.isEmpty
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
