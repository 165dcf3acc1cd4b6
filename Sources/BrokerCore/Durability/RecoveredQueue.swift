import AMQPProtocol
import DequeModule

/// A durable queue while its records are read back.
///
/// Invariants:
/// 1. `entries` is ordered by sequence, and every sequence is in it at most once.
/// 2. The first entry is live. An entry that is settled holds no octets any more.
/// 3. Every sequence that any record has named for the queue is below ``nextSequence``.
struct RecoveredQueue {
    private struct Entry {
        let sequence: UInt64
        /// Nil once it is settled.
        var message: RecoveredMessage?
        /// When it must leave, in milliseconds since 1970; 0 is never.
        let deadline: UInt64
    }

    /// A live message.
    struct Message: Equatable {
        /// Its place in the queue's order of publishing.
        let sequence: UInt64
        /// Its octets and flags; queues share the octets.
        let message: RecoveredMessage
        /// Whether a consumer may have seen it before.
        let isRedelivered: Bool
        /// How often it has come back.
        var deliveryCount: UInt16 = 0
        /// When it may be delivered again, in milliseconds since 1970; 0 is at once.
        var retryAtMilliseconds: UInt64 = 0
        /// When it must leave the queue, in milliseconds since 1970; 0 is never.
        let deadline: UInt64
    }

    /// What was declared.
    var definition: DurableQueue
    /// The place of the next message.
    private(set) var nextSequence: UInt64 = 0
    /// Messages below were handed out.
    private(set) var deliveredUpTo: UInt64 = 0
    /// The number of live messages.
    private(set) var count = 0
    private var entries: Deque<Entry> = []
    /// What is known of messages that came back, by sequence; few do.
    private var returned: [UInt64: Returned] = [:]

    private struct Returned {
        var deliveryCount: UInt16 = 0
        var retryAtMilliseconds: UInt64 = 0
    }

    /// The ids of live messages, by sequence; only of a queue that takes each message once, or may turn out to be one.
    private(set) var keys: [UInt64: [UInt8]] = [:]
    /// Whether ``keys`` has to know of messages.
    private(set) var wantsKeys = true

    /// Settled entries between live ones that are kept whatever the number of live ones.
    private static let keptHoles = 64

    /// Makes a queue without messages.
    init(_ definition: DurableQueue) {
        self.definition = definition
        self.define(definition)
    }

    /// Makes a queue of which nobody knows more than its number.
    init(undefined number: UInt64) {
        self.definition = DurableQueue(
            virtualHost: "",
            name: "",
            durableID: number,
            isAutoDelete: false,
            arguments: [:]
        )
    }

    /// It is known what was declared.
    mutating func define(_ definition: DurableQueue) {
        self.definition = definition
        self.wantsKeys = DeduplicationArguments.isOn(definition.arguments)
        if !self.wantsKeys {
            self.keys = [:]
        }
    }

    /// The live messages in order.
    var messages: some Sequence<Message> {
        self.entries.lazy.compactMap { [deliveredUpTo, returned] entry in
            entry.message.map {
                let known = returned.isEmpty ? nil : returned[entry.sequence]
                let count = known?.deliveryCount ?? 0
                return Message(
                    sequence: entry.sequence,
                    message: $0,
                    isRedelivered: entry.sequence < deliveredUpTo || count > 0,
                    deliveryCount: count,
                    retryAtMilliseconds: known?.retryAtMilliseconds ?? 0,
                    deadline: entry.deadline
                )
            }
        }
    }

    /// The last place of a message that waits at a time of day; nil when none does.
    func lastWithheld(at epochMilliseconds: UInt64) -> UInt64? {
        self.returned.filter { $0.value.retryAtMilliseconds > epochMilliseconds }.keys.max()
    }

    /// Live messages and those settled between them that still have a place in memory.
    var entryCount: Int { self.entries.count }

    // MARK: Changing

    /// Puts a message in its place; one that is there stays.
    mutating func insert(
        _ message: RecoveredMessage,
        at sequence: UInt64,
        deadline: UInt64 = 0,
        key: [UInt8]? = nil
    ) {
        // The reader refuses the one sequence that has none after it.
        self.nextSequence = max(self.nextSequence, sequence + 1)
        if let key {
            self.keys[sequence] = key
        }
        guard let last = self.entries.last, last.sequence >= sequence else {
            self.entries.append(Entry(sequence: sequence, message: message, deadline: deadline))
            self.count += 1
            return
        }
        // Only records that are read again are out of order.
        let index = self.index(of: sequence)
        if self.entries[index].sequence != sequence {
            self.entries.insert(Entry(sequence: sequence, message: message, deadline: deadline), at: index)
        } else if self.entries[index].message == nil {
            self.entries[index] = Entry(sequence: sequence, message: message, deadline: deadline)
        } else {
            return
        }
        self.count += 1
    }

    /// Lets go of messages; those that are not there need not be.
    mutating func settle(_ ranges: [SequenceRange]) {
        for range in ranges {
            self.nextSequence = max(self.nextSequence, range.end)
            var index = self.index(of: range.first)
            while index < self.entries.count, self.entries[index].sequence < range.end {
                self.drop(index)
                index += 1
            }
        }
        self.trim()
    }

    /// Notes how far messages were handed out.
    mutating func deliver(upTo sequence: UInt64) {
        self.nextSequence = max(self.nextSequence, sequence)
        self.deliveredUpTo = max(self.deliveredUpTo, sequence)
    }

    /// Lets go of all messages below a sequence but those in ranges, which are ascending and disjoint.
    mutating func purge(upTo sequence: UInt64, keeping kept: [SequenceRange]) {
        self.nextSequence = max(self.nextSequence, sequence)
        var rest = kept[...]
        var index = 0
        while index < self.entries.count, self.entries[index].sequence < sequence {
            let current = self.entries[index].sequence
            while let range = rest.first, range.end <= current {
                rest.removeFirst()
            }
            if current < rest.first?.first ?? .max {
                self.drop(index)
            }
            index += 1
        }
        self.trim()
    }

    /// Notes how often messages have come back; what is not there is passed over.
    mutating func count(_ deliveryCount: UInt16, _ ranges: [SequenceRange]) {
        for range in ranges {
            self.nextSequence = max(self.nextSequence, range.end)
            var index = self.index(of: range.first)
            while index < self.entries.count, self.entries[index].sequence < range.end {
                if self.entries[index].message != nil {
                    self.returned[self.entries[index].sequence, default: Returned()].deliveryCount = deliveryCount
                }
                index += 1
            }
        }
    }

    /// Notes until when messages wait; what is not there is passed over.
    mutating func retry(_ retries: [RetryRecord.Retry]) {
        for retry in retries {
            let index = self.index(of: retry.sequence)
            guard index < self.entries.count, self.entries[index].sequence == retry.sequence,
                self.entries[index].message != nil
            else { continue }
            self.returned[retry.sequence, default: Returned()].retryAtMilliseconds = retry.epochMilliseconds
        }
    }

    /// Gives a message another place; nothing happens when it is not there.
    mutating func move(_ record: MoveRecord) {
        self.nextSequence = max(self.nextSequence, record.to + 1)
        let index = self.index(of: record.from)
        guard index < self.entries.count, self.entries[index].sequence == record.from,
            let message = self.entries[index].message
        else { return }
        let deadline = self.entries[index].deadline
        let key = self.keys[record.from]
        self.drop(index)
        self.trim()
        self.insert(message, at: record.to, deadline: deadline, key: key)
        self.returned[record.to] = Returned(deliveryCount: record.deliveryCount)
    }

    private mutating func drop(_ index: Int) {
        guard self.entries[index].message != nil else { return }
        if !self.returned.isEmpty {
            self.returned[self.entries[index].sequence] = nil
        }
        if !self.keys.isEmpty {
            self.keys[self.entries[index].sequence] = nil
        }
        self.entries[index].message = nil
        self.count -= 1
    }

    /// Takes settled entries out: those in front at once, those between others when they are more than half of all.
    private mutating func trim() {
        while let first = self.entries.first, first.message == nil {
            self.entries.removeFirst()
        }
        if self.entries.count - self.count > self.count + Self.keptHoles {
            self.entries.removeAll { $0.message == nil }
        }
    }

    /// The index of the first entry whose sequence is not below one.
    private func index(of sequence: UInt64) -> Int {
        var lower = 0
        var upper = self.entries.count
        while lower < upper {
            let middle = (lower + upper) / 2
            if self.entries[middle].sequence < sequence {
                lower = middle + 1
            } else {
                upper = middle
            }
        }
        return lower
    }
}
