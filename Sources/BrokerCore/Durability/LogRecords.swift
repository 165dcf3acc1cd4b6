/// What one shard has for the commit log in a turn: records in one block of memory, in order.
///
/// A record is the size of its payload, 4 octets for a checksum, its type, 3 more for the log's own use, then the payload,
/// with zeros up to a multiple of 8 octets: as it will stand in a file, so that where a record of the batch will be found
/// is known when it is written.
///
/// `@unchecked Sendable`: filled by the shard alone, then handed over whole and never touched by it again.
public final class LogRecords: @unchecked Sendable {
    /// The number by which ``Shard/logCommitted(upTo:now:)`` knows it; they count from 1.
    public let number: UInt64
    /// The records.
    public private(set) var base: UnsafeMutableRawPointer
    /// Octets of all records.
    public private(set) var count = 0
    /// The number of records.
    public private(set) var recordCount = 0
    private var capacity: Int
    private var isGivenAway = false

    /// Octets before the payload.
    public static let headSize = 12

    /// A record with its head and padding.
    @inline(__always)
    public static func size(payload: Int) -> Int { (payload &+ (self.headSize + 7)) & ~7 }

    init(number: UInt64, capacity: Int) {
        self.number = number
        self.capacity = capacity
        self.base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        if !self.isGivenAway {
            self.base.deallocate()
        }
    }

    /// Gives the memory away, which the receiver deallocates; nothing else may be done with the records afterwards.
    public func giveAway() -> (base: UnsafeMutableRawPointer, capacity: Int) {
        self.isGivenAway = true
        return (self.base, self.capacity)
    }

    /// Reserves a record with a payload of `size` octets, which the caller fills.
    @inline(__always)
    func append(_ type: LogRecordType, size: Int) -> UnsafeMutableRawPointer {
        let total = Self.size(payload: size)
        if self.count &+ total > self.capacity {
            self.grow(total)
        }
        let record = self.base + self.count
        // The last word first: it holds the padding.
        record.storeBytes(of: 0, toByteOffset: total &- 8, as: UInt64.self)
        record.storeBytes(of: UInt64(UInt32(truncatingIfNeeded: size)).littleEndian, as: UInt64.self)
        record.storeBytes(of: UInt32(type.rawValue).littleEndian, toByteOffset: 8, as: UInt32.self)
        self.count &+= total
        self.recordCount &+= 1
        return record + Self.headSize
    }

    /// Hands over every record's type and payload, in order.
    public func forEach(_ body: (_ type: UInt8, _ payload: UnsafeRawBufferPointer) -> Void) {
        var offset = 0
        while offset < self.count {
            let record = self.base + offset
            let size = Int(UInt32(littleEndian: record.loadUnaligned(as: UInt32.self)))
            body(
                record.load(fromByteOffset: 8, as: UInt8.self),
                UnsafeRawBufferPointer(start: record + Self.headSize, count: size)
            )
            offset += Self.size(payload: size)
        }
    }

    @inline(never)
    private func grow(_ size: Int) {
        let capacity = max(self.capacity * 2, self.count + size)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: self.base, byteCount: self.count)
        self.base.deallocate()
        self.base = larger
        self.capacity = capacity
    }
}
