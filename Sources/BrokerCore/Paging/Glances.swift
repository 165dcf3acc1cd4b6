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
}
