/// Messages of a queue that came back, and how often by now.
///
/// ```
/// 0   version, flags (0)
/// 2   delivery count   UInt16
/// 4   count   UInt32
/// 8   queue   UInt64
/// 16  ranges: first, count   UInt64 each; in any order
/// ```
struct DeliveryCountRecord: Equatable {
    private static let fixedSize = 16

    /// The queue's durable number.
    let queue: UInt64
    /// How often each of the messages has come back.
    let deliveryCount: UInt16
    /// The places of the messages.
    let ranges: [SequenceRange]

    /// Octets of a payload.
    static func size(ranges: Int) -> Int { self.fixedSize + ranges * RecordLayout.pairSize }

    /// Writes a payload into as many octets as ``size(ranges:)`` says.
    static func write(
        queue: UInt64,
        deliveryCount: UInt16,
        ranges: [SequenceRange],
        at base: UnsafeMutableRawPointer
    ) {
        RecordLayout.store(UInt16(RecordLayout.version), at: base, 0)
        RecordLayout.store(deliveryCount, at: base, 2)
        RecordLayout.store(UInt32(truncatingIfNeeded: ranges.count), at: base, 4)
        RecordLayout.store(queue, at: base, 8)
        RecordLayout.write(ranges, at: base, self.fixedSize)
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let count = RecordLayout.load(UInt32.self, from: payload, 4)
        self.deliveryCount = RecordLayout.load(UInt16.self, from: payload, 2)
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        self.ranges = try RecordLayout.readRanges(count, from: payload, Self.fixedSize)
    }
}

/// Messages of a queue that wait before they are delivered again.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   count   UInt32
/// 8   queue   UInt64
/// 16  pairs: sequence, milliseconds since 1970   UInt64 each; in any order
/// ```
struct RetryRecord: Equatable {
    /// A message and when it is ready again.
    struct Retry: Equatable {
        var sequence: UInt64
        var epochMilliseconds: UInt64
    }

    private static let fixedSize = 16

    /// The queue's durable number.
    let queue: UInt64
    /// The messages.
    let retries: [Retry]

    /// Octets of a payload.
    static func size(retries: Int) -> Int { self.fixedSize + retries * RecordLayout.pairSize }

    /// Writes a payload into as many octets as ``size(retries:)`` says.
    static func write(queue: UInt64, retries: [Retry], at base: UnsafeMutableRawPointer) {
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: retries.count), at: base, 4)
        RecordLayout.store(queue, at: base, 8)
        var offset = self.fixedSize
        for retry in retries {
            RecordLayout.store(retry.sequence, at: base, offset)
            RecordLayout.store(retry.epochMilliseconds, at: base, offset + 8)
            offset += RecordLayout.pairSize
        }
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let count = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        // At most 2^32 pairs of 16 octets: no overflow in 64 bits.
        guard payload.count == Self.size(retries: count) else { throw .damaged }
        self.retries = (0..<count).map { index in
            let offset = Self.fixedSize + index * RecordLayout.pairSize
            return Retry(
                sequence: RecordLayout.load(UInt64.self, from: payload, offset),
                epochMilliseconds: RecordLayout.load(UInt64.self, from: payload, offset + 8)
            )
        }
    }
}

/// A message of a queue that came back to its end.
///
/// ```
/// 0   version, flags (0)
/// 2   delivery count   UInt16
/// 4   4 octets unused
/// 8   queue   UInt64
/// 16  from    UInt64
/// 24  to      UInt64
/// ```
struct MoveRecord: Equatable {
    /// Octets of a payload.
    static let size = 32

    /// The queue's durable number.
    let queue: UInt64
    /// How often the message has come back.
    let deliveryCount: UInt16
    /// The place it had.
    let from: UInt64
    /// The place it has now, which is higher.
    let to: UInt64

    /// Writes a payload into ``size`` octets.
    static func write(
        queue: UInt64,
        deliveryCount: UInt16,
        from: UInt64,
        to: UInt64,
        at base: UnsafeMutableRawPointer
    ) {
        RecordLayout.store(UInt16(RecordLayout.version), at: base, 0)
        RecordLayout.store(deliveryCount, at: base, 2)
        RecordLayout.store(UInt32(0), at: base, 4)
        RecordLayout.store(queue, at: base, 8)
        RecordLayout.store(from, at: base, 16)
        RecordLayout.store(to, at: base, 24)
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.size)
        guard payload.count == Self.size else { throw .damaged }
        self.deliveryCount = RecordLayout.load(UInt16.self, from: payload, 2)
        self.queue = RecordLayout.load(UInt64.self, from: payload, 8)
        self.from = RecordLayout.load(UInt64.self, from: payload, 16)
        self.to = RecordLayout.load(UInt64.self, from: payload, 24)
        // There is no next place after the last one.
        guard self.from < self.to, self.to != .max else { throw .damaged }
    }
}
