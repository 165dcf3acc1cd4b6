/// Hands out places for queues, shard by shard.
///
/// The lowest numbers are not guaranteed, but a slot that was given back is used before a new one, so that tables stay
/// as small as the most queues there ever were at once.
struct SlotAllocator {
    private struct Shard {
        var generations: [UInt32] = []
        var free: [UInt32] = []
    }

    private var shards: [Shard] = []

    /// Makes an allocator that has given nothing away.
    init() {}

    /// A place on a shard that no queue has; the generation counts from 0.
    mutating func allocate(on shard: UInt16) -> QueueAddress {
        while self.shards.count <= Int(shard) {
            self.shards.append(Shard())
        }
        let index = Int(shard)
        if let slot = self.shards[index].free.popLast() {
            return QueueAddress(shard: shard, slot: slot, generation: self.shards[index].generations[Int(slot)])
        }
        let slot = UInt32(self.shards[index].generations.count)
        self.shards[index].generations.append(0)
        return QueueAddress(shard: shard, slot: slot, generation: 0)
    }

    /// Whether a place that was handed out has not been given back.
    func isTaken(_ address: QueueAddress) -> Bool {
        let shard = Int(address.shard)
        let slot = Int(address.slot)
        guard shard < self.shards.count, slot < self.shards[shard].generations.count else { return false }
        return self.shards[shard].generations[slot] == address.generation
    }

    /// Takes back a place that was handed out.
    mutating func release(_ address: QueueAddress) {
        let index = Int(address.shard)
        let slot = Int(address.slot)
        precondition(self.shards[index].generations[slot] == address.generation, "a place is given back once")
        // Wraps after four billion queues in one slot: no command is that late.
        self.shards[index].generations[slot] &+= 1
        self.shards[index].free.append(address.slot)
    }
}
