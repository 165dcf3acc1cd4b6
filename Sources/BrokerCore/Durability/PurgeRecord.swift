/// A queue lost every message up to a place, but for those that were out unacknowledged.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   count   UInt32
/// 8   queue   UInt64
/// 16  upTo    UInt64
/// 24  kept ranges: first, count   UInt64 each; ascending, disjoint
/// ```
struct PurgeRecord: Equatable {
    private static let fixedSize = 24

    /// The queue's durable number.
    let queue: UInt64
    /// One past the highest sequence that was purged.
    let upTo: UInt64
    /// The places below ``upTo`` that stay.
    let kept: [SequenceRange]

    /// Octets of a payload.
    static func size(kept: Int) -> Int { self.fixedSize + kept * RecordLayout.pairSize }

    /// Writes a payload into as many octets as ``size(kept:)`` says; `kept` is ascending and disjoint.
    static func write(queue: UInt64, upTo: UInt64, kept: [SequenceRange], at base: UnsafeMutableRawPointer) {
        assert(self.isAscending(kept), "what a purge keeps is in order")
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: kept.count), at: base, 4)
        RecordLayout.store(queue, at: base, 8)
        RecordLayout.store(upTo, at: base, 16)
        RecordLayout.write(kept, at: base, self.fixedSize)
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let count = RecordLayout.load(UInt32.self, from: payload, 4)
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        self.upTo = RecordLayout.load(UInt64.self, from: payload, 16)
        self.kept = try RecordLayout.readRanges(count, from: payload, Self.fixedSize)
        guard Self.isAscending(self.kept) else { throw .damaged }
    }

    private static func isAscending(_ ranges: [SequenceRange]) -> Bool {
        zip(ranges, ranges.dropFirst()).allSatisfy { $0.end <= $1.first }
    }
}
