/// How far a queue has been handed to consumers that acknowledge: what is older and still there was delivered before.
///
/// ```
/// 0   version, flags (0), 6 octets unused
/// 8   queue   UInt64
/// 16  upTo    UInt64
/// ```
struct DeliveredRecord: Equatable {
    /// Octets of a payload.
    static let size = 24

    /// The queue's durable number.
    let queue: UInt64
    /// One past the highest sequence that was handed out.
    let upTo: UInt64

    /// Writes a payload into ``size`` octets.
    static func write(queue: UInt64, upTo: UInt64, at base: UnsafeMutableRawPointer) {
        RecordLayout.store(UInt64(RecordLayout.version), at: base, 0)
        RecordLayout.store(queue, at: base, 8)
        RecordLayout.store(upTo, at: base, 16)
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.size)
        guard payload.count == Self.size else { throw .damaged }
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        self.upTo = RecordLayout.load(UInt64.self, from: payload, 16)
    }
}
