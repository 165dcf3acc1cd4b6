/// Where a queue lives: a slot in its home shard's table.
///
/// The topology's owner hands the slots out. A slot is used again once its queue is gone, with the next generation, so
/// that a late command for the old queue never reaches the new one.
struct QueueAddress: Hashable, Sendable {
    /// The home shard.
    var shard: UInt16
    /// The place in the home shard's table of queues; small numbers are used again first.
    var slot: UInt32
    /// How often the slot had been used before this queue.
    var generation: UInt32
}
