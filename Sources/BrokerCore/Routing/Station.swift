/// An exchange that has to do something with a message before, or besides, handing it on.
///
/// What it does needs a place: a window of keys that were seen must be one for all shards, a history too. A station is
/// addressed like a queue, so that a message on its way to one takes the same path, confirms included; a queue never has
/// such an address.
struct Station: Equatable, Sendable {
    /// What is to be done with a message that arrives.
    enum Duty: UInt32 {
        /// Keep it for queues that are bound later.
        case remember = 0
        /// Let it wait as long as its headers say, then publish it to the exchange.
        case delay = 1
        /// The same for any exchange, the message's own; the number is that of the virtual host.
        case delayAnywhere = 2
        /// Let it through unless its key is known.
        case deduplicate = 3
    }

    /// Queues' slots are below.
    private static var bit: UInt32 { self.firstSlot }
    /// No queue has this slot or a higher one.
    static let firstSlot: UInt32 = 1 << 31

    /// The exchange's number, the same on all shards, given once.
    let number: UInt32

    /// The only shard, of so many, that keeps the station's window.
    func home(of shards: UInt16) -> UInt16 { UInt16(truncatingIfNeeded: self.number % UInt32(max(shards, 1))) }

    /// The address of the station for a task on a shard.
    func address(for task: Duty, on shard: UInt16) -> QueueAddress {
        QueueAddress(shard: shard, slot: Self.bit | self.number, generation: task.rawValue)
    }

    /// Whether an address is that of a window.
    @inline(__always)
    static func isWindow(_ address: QueueAddress) -> Bool {
        address.slot >= self.firstSlot && address.generation == Duty.deduplicate.rawValue
    }

    /// The station and task that an address stands for; nil for a queue's.
    static func at(_ address: QueueAddress) -> (station: Station, task: Duty)? {
        guard address.slot & Self.bit != 0, let task = Duty(rawValue: address.generation) else { return nil }
        return (Station(number: address.slot & ~Self.bit), task)
    }
}
