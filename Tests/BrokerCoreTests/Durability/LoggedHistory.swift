import AMQPProtocol
import BrokerSimulation

@testable import BrokerCore

/// Random histories of one virtual host, written as records and kept in plain dictionaries at the same time.
struct LoggedHistory {
    private struct Message {
        var number: Int
        var isPersistent: Bool
    }

    private struct Queue {
        var id: UInt64
        var next: UInt64 = 0
        var deliveredUpTo: UInt64 = 0
        var live: [UInt64: Message] = [:]
    }

    /// What has been written so far.
    private(set) var records: [LoggedRecord] = []
    /// Where each snapshot begins.
    private(set) var snapshots: [Int] = []
    private let random: SeededRandom
    private var nextID: UInt64 = 1
    private var nextMessage = 0
    private var exchanges: Set<String> = []
    private var queues: [String: Queue] = [:]
    private var bindings: Set<[String]> = []

    init(seed: UInt64) {
        self.random = SeededRandom(seed: seed)
    }

    /// What ``RecoveredState/listing`` must be.
    var listing: [String] {
        var lines = self.exchanges.sorted().map { "exchange / \($0)" }
        for (name, queue) in self.queues.sorted(by: { $0.key < $1.key }) {
            lines.append("queue / \(name) id \(queue.id) next \(queue.next) count \(queue.live.count)")
            for (sequence, message) in queue.live.sorted(by: { $0.key < $1.key }) {
                let again = sequence < queue.deliveredUpTo ? " again" : ""
                lines.append("\(sequence) message \(message.number)\(again)\(message.isPersistent ? "" : " transient")")
            }
        }
        return lines
            + self.bindings.sorted { $0.lexicographicallyPrecedes($1) }.map {
                "binding / \($0[0]) -> queue \($0[1]) \($0[2])"
            }
    }

    /// The number that the next queue would have.
    var nextDurableID: UInt64 { self.nextID }

    // MARK: Steps

    /// Does something.
    mutating func step() {
        switch self.random.below(24) {
        case 0, 1: self.declareQueue()
        case 2: self.deleteQueue()
        case 3: self.declareOrDeleteExchange()
        case 4, 5: self.bindOrUnbind()
        case 6...14: self.publish()
        case 15...18: self.settle()
        case 19, 20: self.deliver()
        case 21: self.purge()
        case 22: self.late()
        default:
            if self.random.oneIn(4) { self.snapshot() }
        }
    }

    private func name(_ letter: String) -> String { "\(letter)\(self.random.below(4))" }

    private func anyQueue() -> String? {
        let names = self.queues.keys.sorted()
        return names.isEmpty ? nil : names[self.random.below(names.count)]
    }

    private mutating func declareQueue() {
        let name = self.name("q")
        guard self.queues[name] == nil else { return }
        self.queues[name] = Queue(id: self.nextID)
        self.records.append(.queue(name, self.nextID))
        self.nextID += 1
    }

    private mutating func deleteQueue() {
        guard let name = self.anyQueue(), let queue = self.queues.removeValue(forKey: name) else { return }
        self.bindings = self.bindings.filter { $0[1] != name }
        self.records.append(.topology(.removeQueue(virtualHost: "/", name.short, durableID: queue.id)))
    }

    private mutating func declareOrDeleteExchange() {
        let name = self.name("e")
        if self.exchanges.remove(name) != nil {
            self.bindings = self.bindings.filter { $0[0] != name }
            self.records.append(.topology(.removeExchange(virtualHost: "/", name.short)))
        } else {
            self.exchanges.insert(name)
            self.records.append(.topology(.addExchange(virtualHost: "/", .durable(name))))
        }
    }

    private mutating func bindOrUnbind() {
        let sources = self.exchanges.sorted() + ["amq.topic"]
        guard let queue = self.anyQueue() else { return }
        let names = [sources[self.random.below(sources.count)], queue, self.name("k")]
        let binding = BindingDefinition.toQueue(names[0], names[1], names[2])
        if self.bindings.remove(names) != nil {
            self.records.append(.topology(.removeBinding(virtualHost: "/", binding)))
        } else {
            self.bindings.insert(names)
            self.records.append(.topology(.addBinding(virtualHost: "/", binding)))
        }
    }

    private mutating func publish() {
        let message = Message(number: self.nextMessage, isPersistent: !self.random.oneIn(5))
        self.nextMessage += 1
        var places: [DurablePlace] = []
        for name in self.queues.keys.sorted() where self.random.oneIn(2) {
            guard var queue = self.queues[name] else { continue }
            // Messages that are not for the log have places, too.
            queue.next += self.random.oneIn(4) ? UInt64(self.random.below(3)) : 0
            places.append(DurablePlace(queue: queue.id, sequence: queue.next))
            queue.live[queue.next] = message
            queue.next += 1
            self.queues[name] = queue
        }
        self.records.append(.publish("message \(message.number)", places, persistent: message.isPersistent))
    }

    private mutating func settle() {
        guard let name = self.anyQueue(), var queue = self.queues[name], queue.next > 0 else { return }
        var ranges: [SequenceRange] = []
        for _ in 0...self.random.below(3) {
            let first = UInt64(self.random.below(Int(queue.next)))
            let range = SequenceRange(first, 1 + UInt64(self.random.below(min(4, Int(queue.next - first)))))
            ranges.append(range)
            queue.live = queue.live.filter { $0.key < range.first || $0.key >= range.end }
        }
        self.queues[name] = queue
        self.records.append(.settle(queue.id, ranges))
    }

    private mutating func deliver() {
        guard let name = self.anyQueue(), let queue = self.queues[name] else { return }
        let mark = UInt64(self.random.below(Int(queue.next) + 1))
        self.queues[name]?.deliveredUpTo = max(queue.deliveredUpTo, mark)
        self.records.append(.delivered(queue.id, upTo: mark))
    }

    private mutating func purge() {
        guard let name = self.anyQueue(), let queue = self.queues[name] else { return }
        let mark = UInt64(self.random.below(Int(queue.next) + 1))
        let kept = queue.live.keys.sorted().filter { $0 < mark && self.random.oneIn(3) }
        self.queues[name]?.live = queue.live.filter { $0.key >= mark || kept.contains($0.key) }
        self.records.append(.purge(queue.id, upTo: mark, kept: kept.map { SequenceRange($0, 1) }))
    }

    /// Records of a queue that is not there, whatever its number was.
    private mutating func late() {
        guard self.nextID > 1 else { return }
        let id = 1 + UInt64(self.random.below(Int(self.nextID) - 1))
        guard !self.queues.values.contains(where: { $0.id == id }) else { return }
        self.records.append(.publish("late", [DurablePlace(queue: id, sequence: 3)]))
        self.records.append(.settle(id, [SequenceRange(0, 2)]))
        self.records.append(.delivered(id, upTo: 2))
        self.records.append(.purge(id, upTo: 2))
    }

    /// Says again all that is live; the purge that removes nothing says how far each queue has come.
    private mutating func snapshot() {
        self.snapshots.append(self.records.count)
        self.records.append(LoggedRecord(type: .snapshotBegin, payload: []))
        for name in self.exchanges.sorted() {
            self.records.append(.topology(.addExchange(virtualHost: "/", .durable(name))))
        }
        var placesByMessage: [Int: (message: Message, places: [DurablePlace])] = [:]
        for (name, queue) in self.queues.sorted(by: { $0.key < $1.key }) {
            self.records.append(.queue(name, queue.id))
            for (sequence, message) in queue.live {
                placesByMessage[message.number, default: (message, [])].places
                    .append(DurablePlace(queue: queue.id, sequence: sequence))
            }
        }
        for (number, value) in placesByMessage.sorted(by: { $0.key < $1.key }) {
            let isPersistent = value.message.isPersistent
            self.records.append(.publish("message \(number)", value.places, persistent: isPersistent))
        }
        for (_, queue) in self.queues.sorted(by: { $0.key < $1.key }) {
            let kept = queue.live.keys.sorted().map { SequenceRange($0, 1) }
            self.records.append(.delivered(queue.id, upTo: queue.deliveredUpTo))
            self.records.append(.purge(queue.id, upTo: queue.next, kept: kept))
        }
        for names in self.bindings.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let binding = BindingDefinition.toQueue(names[0], names[1], names[2])
            self.records.append(.topology(.addBinding(virtualHost: "/", binding)))
        }
        self.records.append(LoggedRecord(type: .snapshotEnd, payload: []))
    }
}
