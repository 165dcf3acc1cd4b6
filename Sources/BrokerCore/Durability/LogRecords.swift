/// What one shard has for the commit log in a turn: records in one block of memory, in order.
///
/// A record is its type and the size of its payload (4 octets each), then the payload, padded to 8 octets.
///
/// `@unchecked Sendable`: filled by the shard alone, then handed over whole and never touched by it again.
public final class LogRecords: @unchecked Sendable {
    /// The number by which ``Shard/logCommitted(upTo:now:)`` knows it; they count from 1.
    public let number: UInt64
    /// The records.
    public private(set) var base: UnsafeMutableRawPointer
    /// Octets of all records.
    public private(set) var count = 0
    private var capacity: Int

    init(number: UInt64, capacity: Int) {
        self.number = number
        self.capacity = capacity
        self.base = .allocate(byteCount: capacity, alignment: 16)
    }

    deinit {
        self.base.deallocate()
    }

    /// Reserves a record with a payload of `size` octets, which the caller fills.
    @inline(__always)
    func append(_ type: LogRecordType, size: Int) -> UnsafeMutableRawPointer {
        let total = 8 &+ ((size &+ 7) & ~7)
        if self.count &+ total > self.capacity {
            self.grow(total)
        }
        let record = self.base + self.count
        record.storeBytes(of: UInt32(type.rawValue), as: UInt32.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: size), toByteOffset: 4, as: UInt32.self)
        self.count &+= total
        return record + 8
    }

    /// Hands over every record's type and payload, in order.
    public func forEach(_ body: (_ type: UInt8, _ payload: UnsafeRawBufferPointer) -> Void) {
        var offset = 0
        while offset < self.count {
            let record = self.base + offset
            let size = Int(record.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
            body(
                UInt8(truncatingIfNeeded: record.loadUnaligned(as: UInt32.self)),
                UnsafeRawBufferPointer(start: record + 8, count: size)
            )
            offset += 8 + ((size + 7) & ~7)
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
