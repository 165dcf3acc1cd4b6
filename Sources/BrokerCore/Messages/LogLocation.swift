internal import DequeModule

/// Where the commit log has a message, as far as the shard knows when it writes it.
///
/// ```
/// bit 63      set: bits 0 to 61 are the record's position in the log, in words of 8 octets
///             clear: bits 24 to 61 are the number of its batch, modulo 2^38; bits 0 to 23 its offset there, in words
/// bit 62      the message was published to more than one durable queue of the shard
/// rest 0      nobody remembers where: batches are numbered from 1
/// ```
///
/// When live messages are told again, a shared one is told for each of its queues alone: then it has no location any more.
struct LogLocation: Equatable {
    let rawValue: UInt64

    private static let absoluteBit: UInt64 = 1 << 63
    private static let offsetBits: UInt64 = 24
    private static let numberMask: UInt64 = (1 << 38) - 1
    private static let sharedBit: UInt64 = 1 << 62

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// A record in a batch that has no position yet; nil when it lies too far behind its beginning.
    init?(batch number: UInt64, offset: Int, isShared: Bool) {
        let words = UInt64(offset) / 8
        guard words >> Self.offsetBits == 0 else { return nil }
        self.rawValue = (number & Self.numberMask) << Self.offsetBits | words | (isShared ? Self.sharedBit : 0)
    }

    /// A record with a known position, a multiple of 8.
    init(position: UInt64, isShared: Bool) {
        self.rawValue = Self.absoluteBit | position >> 3 | (isShared ? Self.sharedBit : 0)
    }

    /// A record that is somewhere in the log.
    static func unknown(isShared: Bool) -> LogLocation {
        LogLocation(rawValue: isShared ? self.sharedBit : 0)
    }

    var isUnknown: Bool { self.rawValue & ~Self.sharedBit == 0 }

    var isShared: Bool { self.rawValue & Self.sharedBit != 0 }

    /// The position, if it is known by itself.
    var position: UInt64? {
        self.rawValue & Self.absoluteBit != 0 ? (self.rawValue & (Self.sharedBit - 1)) << 3 : nil
    }

    /// Octets between the beginning of the batch and the record.
    var offset: UInt64 { (self.rawValue & ((1 << Self.offsetBits) - 1)) << 3 }

    /// The number of the batch, which is not above `latest` and not 2^38 below.
    func batch(latest: UInt64) -> UInt64 {
        latest &- ((latest &- ((self.rawValue & (Self.sharedBit - 1)) >> Self.offsetBits)) & Self.numberMask)
    }
}

/// Where the batches of a shard begin in the log, by their numbers.
///
/// Only those of the last ``limit`` commits are known: of a message written before, and never paged out since, nobody
/// remembers where the log has it.
struct BatchPositions {
    /// Commits that are remembered.
    static let limit = 1 << 18

    private var first: UInt64 = 1
    private var positions: Deque<UInt64> = []

    /// The batch of a number is in the log; numbers come in order.
    mutating func note(_ number: UInt64, at position: UInt64) {
        if number != self.first &+ UInt64(self.positions.count) {
            self.positions.removeAll(keepingCapacity: true)
            self.first = number
        }
        self.positions.append(position)
        if self.positions.count > Self.limit {
            self.positions.removeFirst()
            self.first &+= 1
        }
    }

    /// The number of the next batch that will be committed.
    var end: UInt64 { self.first &+ UInt64(self.positions.count) }

    /// Where the last batch begins that is committed, as far as the shard has heard.
    var last: UInt64? { self.positions.last }

    /// Where a batch begins; nil when it is not committed or forgotten.
    func position(of number: UInt64) -> UInt64? {
        guard number >= self.first, number &- self.first < UInt64(self.positions.count) else { return nil }
        return self.positions[Int(number &- self.first)]
    }
}
