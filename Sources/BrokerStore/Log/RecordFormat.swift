// Invariants
// 1. A record is `[length u32][crc u32][type u8][flags u8][check u16][payload][zeros up to a multiple of 8]`, numbers in
//    little-endian order. `length` is the payload's.
// 2. `crc` is the CRC-32C over the log's identity, the record's position, length, type, flags and payload; it is never 0,
//    so that eight zeros are never a record. `check` is 16 bits of the same sum before the payload: a search for records
//    in damaged octets needs it to pass over everything else at the price of sixteen octets each.
// 3. Position and identity take part, so a record left in a recycled file, or one that a client has put into a message
//    body, is not taken for a record.

internal import CChecksum

/// How a record lies in a file, and in a `LogBatch` before the log has filled in position and sums.
enum RecordFormat {
    /// Octets before the payload.
    static let headSize = 12

    /// Records begin at multiples of this.
    static let alignment = 8

    /// The largest payload.
    ///
    /// Small enough that no sum of sizes in one record overflows.
    static let maxPayloadSize = 1 << 30

    /// Everything before this record was synced before it was written.
    static let startsCommit: UInt8 = 1

    /// The record is the log's own and carries nothing.
    static let marker: UInt8 = 2

    /// A record with its head and padding.
    static func size(payload: Int) -> Int {
        (payload + self.headSize + self.alignment - 1) & ~(self.alignment - 1)
    }

    /// The sum that every record of a log starts from.
    static func seed(identity: UInt64) -> UInt32 {
        withUnsafeBytes(of: identity.littleEndian) { martlet_crc32c(0, $0.baseAddress, $0.count) }
    }

    /// Begins a record of a payload that the caller fills in: length, type, and zeros at the end.
    static func begin(_ record: UnsafeMutableRawPointer, type: UInt8, payload: Int) {
        let size = self.size(payload: payload)
        // The last word first: it holds the padding, and of the smallest record a part of the head.
        record.storeBytes(of: 0, toByteOffset: size - 8, as: UInt64.self)
        record.storeBytes(of: UInt64(payload).littleEndian, as: UInt64.self)
        record.storeBytes(of: UInt32(type).littleEndian, toByteOffset: 8, as: UInt32.self)
    }

    /// Fills in what depends on where a begun record comes to stand.
    static func finish(_ record: UnsafeMutableRawPointer, position: UInt64, flags: UInt8, seed: UInt32) {
        let length = UInt32(littleEndian: record.loadUnaligned(as: UInt32.self))
        let type = record.load(fromByteOffset: 8, as: UInt8.self)
        let sum = self.headSum(position: position, length: length, type: type, flags: flags, seed: seed)
        record.storeBytes(of: flags, toByteOffset: 9, as: UInt8.self)
        record.storeBytes(of: self.check(sum).littleEndian, toByteOffset: 10, as: UInt16.self)
        let crc = self.nonzero(martlet_crc32c(sum, record + self.headSize, Int(length)))
        record.storeBytes(of: crc.littleEndian, toByteOffset: 4, as: UInt32.self)
    }

    /// The size of a record that we wrote ourselves.
    static func sizeOfBegun(_ record: UnsafeRawPointer) -> Int {
        self.size(payload: Int(UInt32(littleEndian: record.loadUnaligned(as: UInt32.self))))
    }

    /// The head that stands at an offset, or nil when there is none for this position.
    ///
    /// The payload is not looked at.
    static func head(
        _ bytes: UnsafeRawBufferPointer,
        at offset: Int,
        position: UInt64,
        seed: UInt32
    ) -> RecordHead? {
        guard bytes.count - offset >= self.headSize, let base = bytes.baseAddress else { return nil }
        let record = base + offset
        let word = UInt64(littleEndian: record.loadUnaligned(as: UInt64.self))
        guard word >> 32 != 0 else { return nil }
        let length = UInt32(truncatingIfNeeded: word)
        guard length <= UInt32(self.maxPayloadSize) else { return nil }
        let size = self.size(payload: Int(length))
        guard size <= bytes.count - offset else { return nil }
        let type = record.load(fromByteOffset: 8, as: UInt8.self)
        let flags = record.load(fromByteOffset: 9, as: UInt8.self)
        let check = UInt16(littleEndian: record.loadUnaligned(fromByteOffset: 10, as: UInt16.self))
        let sum = self.headSum(position: position, length: length, type: type, flags: flags, seed: seed)
        guard check == self.check(sum) else { return nil }
        return RecordHead(
            type: type,
            flags: flags,
            payloadSize: Int(length),
            size: size,
            crc: UInt32(truncatingIfNeeded: word >> 32),
            headSum: sum
        )
    }

    /// The record that stands whole and undamaged at an offset, or nil.
    static func record(
        _ bytes: UnsafeRawBufferPointer,
        at offset: Int,
        position: UInt64,
        seed: UInt32
    ) -> RecordHead? {
        guard let head = self.head(bytes, at: offset, position: position, seed: seed),
            let base = bytes.baseAddress,
            head.crc == self.nonzero(martlet_crc32c(head.headSum, base + offset + self.headSize, head.payloadSize))
        else { return nil }
        return head
    }

    private static func headSum(position: UInt64, length: UInt32, type: UInt8, flags: UInt8, seed: UInt32) -> UInt32 {
        martlet_crc32c_words(seed, position, UInt64(length) | UInt64(type) << 32 | UInt64(flags) << 40)
    }

    private static func check(_ sum: UInt32) -> UInt16 {
        UInt16(truncatingIfNeeded: sum ^ (sum >> 16))
    }

    private static func nonzero(_ crc: UInt32) -> UInt32 { crc == 0 ? .max : crc }
}

/// The head of a record in a file.
struct RecordHead {
    let type: UInt8
    let flags: UInt8
    let payloadSize: Int
    /// With head and padding.
    let size: Int
    fileprivate let crc: UInt32
    fileprivate let headSum: UInt32

    var startsCommit: Bool { self.flags & RecordFormat.startsCommit != 0 }
    var isMarker: Bool { self.flags & RecordFormat.marker != 0 }
}
