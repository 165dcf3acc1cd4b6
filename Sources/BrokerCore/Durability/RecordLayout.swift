/// The first 16 octets of a record that a shard writes for one queue or one message, and what they have in common.
///
/// ```
/// 0   version   UInt8
/// 1   flags     UInt8
/// 2   names     UInt16   publish only
/// 4   count     UInt32   pairs of numbers that follow the fixed part
/// ```
///
/// All numbers are little-endian and at multiples of their size, so that they are written by plain stores.
enum RecordLayout {
    /// The version of every record we write, and the only one we read, where the record does not say otherwise.
    static let version: UInt8 = 1
    /// Octets of a pair of 64-bit numbers.
    static let pairSize = 16

    /// Stores a number at an offset.
    @inline(__always)
    static func store<Number: FixedWidthInteger & BitwiseCopyable>(
        _ value: Number,
        at base: UnsafeMutableRawPointer,
        _ offset: Int
    ) {
        base.storeBytes(of: value.littleEndian, toByteOffset: offset, as: Number.self)
    }

    /// Loads a number that the caller knows to lie inside the payload.
    @inline(__always)
    static func load<Number: FixedWidthInteger & BitwiseCopyable>(
        _ type: Number.Type,
        from payload: UnsafeRawBufferPointer,
        _ offset: Int
    ) -> Number {
        Number(littleEndian: payload.loadUnaligned(fromByteOffset: offset, as: Number.self))
    }

    /// Refuses other versions, and payloads without the fixed part.
    ///
    /// Returns the version; `newest` is the newest one that the caller reads.
    @discardableResult
    static func check(
        _ payload: UnsafeRawBufferPointer,
        fixedSize: Int,
        newest: UInt8 = RecordLayout.version
    ) throws(RecordError) -> UInt8 {
        guard let version = payload.first else { throw .damaged }
        guard version >= 1, version <= newest else { throw .unknownVersion(version) }
        guard payload.count >= fixedSize else { throw .damaged }
        return version
    }

    /// Writes ranges one after the other.
    static func write(_ ranges: [SequenceRange], at base: UnsafeMutableRawPointer, _ start: Int) {
        var offset = start
        for range in ranges {
            assert(range.count > 0, "a range has a place")
            self.store(range.first, at: base, offset)
            self.store(range.count, at: base, offset + 8)
            offset += self.pairSize
        }
    }

    /// Reads ranges that take all of the payload after its fixed part; refuses empty ones and ends beyond 64 bits.
    static func readRanges(
        _ count: UInt32,
        from payload: UnsafeRawBufferPointer,
        _ start: Int
    ) throws(RecordError) -> [SequenceRange] {
        // At most 2^32 pairs of 16 octets: no overflow in 64 bits.
        guard payload.count - start == Int(count) * self.pairSize else { throw .damaged }
        var ranges: [SequenceRange] = []
        ranges.reserveCapacity(Int(count))
        for offset in stride(from: start, to: payload.count, by: self.pairSize) {
            let range = SequenceRange(
                first: self.load(UInt64.self, from: payload, offset),
                count: self.load(UInt64.self, from: payload, offset + 8)
            )
            guard range.count > 0, !range.first.addingReportingOverflow(range.count).overflow else { throw .damaged }
            ranges.append(range)
        }
        return ranges
    }
}
