/// Messages on disk of which something is looked at that stays there: they do not come back into memory.
struct Glances<Key> {
    private var missing: ArraySlice<(key: Key, place: PageRead.Wanted)> = []
    private var asked: [Key] = []

    /// Adds a message.
    mutating func add(_ key: Key, _ place: PageRead.Wanted) {
        self.missing.append((key, place))
    }

    /// Puts the next messages into a read; returns whether there are some.
    mutating func ask(_ read: PageRead) -> Bool {
        self.asked = []
        while read.octets < ShardLimits.pageReadBytes, let (key, place) = self.missing.popFirst() {
            self.asked.append(key)
            read.wanted.append(place)
            read.octets += place.size
        }
        return !self.asked.isEmpty
    }

    /// Hands over what was read, in the order in which it was asked for; nil for what is damaged, or not there any more.
    func answer(_ read: PageRead, _ body: (Key, MessageView?) -> Void) {
        for (key, wanted) in zip(self.asked, read.wanted) {
            body(key, wanted.payload.flatMap { Shard.message(in: $0, wanted) })
        }
    }
}

/// The groups of messages that wait since before a restart, as far as they are on disk.
final class GroupReading {
    fileprivate var glances = Glances<UInt64>()

    /// Adds a message by its place in the queue.
    func add(_ sequence: UInt64, _ place: PageRead.Wanted?) {
        if let place { self.glances.add(sequence, place) }
    }
}

extension Shard {
    /// Where a message is on disk, to be looked at; nil when it is in memory.
    func glance(_ slot: UInt32, isDelayed: Bool = false) -> PageRead.Wanted? {
        guard let word = self.store.paged(slot) else { return nil }
        return PageRead.Wanted(
            isScratch: word.isScratch,
            position: self.store.position(word),
            size: self.store.bodySize(slot, word) + MessageStore.logOverhead,
            slot: slot,
            isDelayed: isDelayed
        )
    }

    /// Asks for the next groups of messages that wait, if there are more.
    func readOn(_ reading: GroupReading, of queue: QueueAddress) {
        let read = PageRead(for: .groups(queue, reading))
        if reading.glances.ask(read) {
            self.paging.requests.append(.read(read))
        }
    }

    /// The disk has told groups of messages that wait.
    func fill(_ reading: GroupReading, _ read: PageRead, of address: QueueAddress) {
        guard let queue = self.queue(address) else { return }
        reading.glances.answer(read) { sequence, view in
            queue.pointee.groups?.pointee.know(sequence, view)
        }
        self.readOn(reading, of: address)
    }
}
