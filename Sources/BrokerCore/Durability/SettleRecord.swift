/// Messages of one queue that are never delivered again.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   count   UInt32
/// 8   queue   UInt64
/// 16  ranges: first, count   UInt64 each; in any order
/// ```
struct SettleRecord: Equatable {
    private static let fixedSize = 16

    /// The queue's durable number.
    let queue: UInt64
    /// The places of the messages.
    let ranges: [SequenceRange]

    /// Octets of a payload.
    static func size(ranges: Int) -> Int { self.fixedSize + ranges * RecordLayout.pairSize }

    /// Writes a payload into as many octets as ``size(ranges:)`` says.
    static func write(queue: UInt64, ranges: [SequenceRange], at base: UnsafeMutableRawPointer) {
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: ranges.count), at: base, 4)
        RecordLayout.store(queue, at: base, 8)
        RecordLayout.write(ranges, at: base, self.fixedSize)
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let count = RecordLayout.load(UInt32.self, from: payload, 4)
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        self.ranges = try RecordLayout.readRanges(count, from: payload, Self.fixedSize)
    }
}
