/// Names a connection on its shard for as long as the process lives; never reused.
public struct ConnectionID: Hashable, Sendable {
    /// Slot in the shard's table in the low half, its generation in the high half.
    public let rawValue: UInt64

    init(slot: UInt32, generation: UInt32) {
        self.rawValue = UInt64(generation) << 32 | UInt64(slot)
    }

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    var slot: Int { Int(self.rawValue & 0xFFFF_FFFF) }
}
