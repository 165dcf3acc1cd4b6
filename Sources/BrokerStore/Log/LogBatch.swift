/// Records that one shard puts together and hands to the log as a whole; used again when they are durable.
///
/// Adding a record allocates nothing once the block has grown to the usual size.
///
/// `@unchecked Sendable`: a batch has one owner at a time. The shard gives it away with `LogWriter.submit` and does not
/// touch it until `onCommitted` gives it back; both cross a mutex.
public final class LogBatch: @unchecked Sendable {
    private var block: RawBlock

    /// Records in the batch.
    public private(set) var recordCount = 0

    /// Where the first record stands in the log; set when the log takes the batch.
    ///
    /// The record that began at `octetCount` n stands at n octets after this.
    public internal(set) var firstPosition = LogPosition.start

    /// A number of the owner's, carried along: what it waits for with this batch.
    public var mark: UInt64 = 0

    /// The largest payload of a record.
    public static let maxPayloadSize = RecordFormat.maxPayloadSize

    /// A batch with room for so many octets before it grows.
    public init(capacity: Int = 4096) {
        self.block = RawBlock(capacity: capacity)
    }

    /// A batch of records that somebody else has begun, in allocated memory that becomes the batch's own.
    ///
    /// Each is laid out as `append(type:size:)` and its caller would have: length, 4 zero octets, type, 3 zero octets,
    /// payload, and zeros up to a multiple of 8.
    public init(adopting base: UnsafeMutableRawPointer, count: Int, capacity: Int, recordCount: Int) {
        self.block = RawBlock(adopting: base, count: count, capacity: capacity)
        self.recordCount = recordCount
    }

    /// Octets of all records as they will stand in the log.
    public var octetCount: Int { self.block.count }

    /// Whether there is nothing to commit.
    public var isEmpty: Bool { self.block.count == 0 }

    /// Adds a record of a payload that the caller fills in, all of it, before anything else is done with the batch.
    ///
    /// `size` is at most `maxPayloadSize`.
    public func append(type: UInt8, size: Int) -> UnsafeMutableRawPointer {
        precondition(size >= 0 && size <= RecordFormat.maxPayloadSize)
        let record = self.block.extend(by: RecordFormat.size(payload: size))
        RecordFormat.begin(record, type: type, payload: size)
        self.recordCount += 1
        return record + RecordFormat.headSize
    }

    /// Adds a record.
    public func append(type: UInt8, payload: UnsafeRawBufferPointer) {
        let place = self.append(type: type, size: payload.count)
        UnsafeMutableRawBufferPointer(start: place, count: payload.count).copyMemory(from: payload)
    }

    /// Empties the batch to use it again; a block beyond `keeping` octets is given back.
    public func reset(keeping: Int = .max) {
        self.block.reset(keeping: keeping)
        self.recordCount = 0
        self.mark = 0
    }

    /// The begun records, one after the other.
    var bytes: UnsafeRawBufferPointer { self.block.bytes }
}
