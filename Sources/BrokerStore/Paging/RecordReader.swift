/// A record to be read: where it begins, and how many octets its payload has at least.
public struct RecordPlace: Sendable {
    /// Where the record begins.
    public let position: UInt64
    /// Octets of its payload, at least.
    public let size: Int

    /// A place.
    public init(position: UInt64, size: Int) {
        self.position = position
        self.size = size
    }
}

/// What kept a record from being read.
public struct ReadProblem: Sendable, CustomStringConvertible {
    /// In words, with the file.
    public let description: String
    /// Whether the disk was not asked for all of them, for want of a file descriptor or memory: it is worth another try.
    public let isShortage: Bool

    init(_ description: String, isShortage: Bool = false) {
        self.description = description
        self.isShortage = isShortage
    }
}

/// Where octets of a position are found.
struct RecordSource {
    let file: any StoreFile
    /// The offset in the file.
    let offset: UInt64
    /// Octets from there on that belong to positions of this file.
    let room: UInt64
}

/// Reads records by their positions, neighbours with one read, and hands over those whose checksums are right.
struct RecordReader {
    let seed: UInt32
    /// Octets of one read, more only for a single record.
    private static let windowBytes: UInt64 = 1 << 20
    /// Octets between two records that are rather read than skipped.
    private static let gapBytes: UInt64 = 16 << 10

    /// Reads records; returns a shortage if there was one, otherwise what is wrong with the first one that is not there or
    /// damaged.
    func read(
        _ places: [RecordPlace],
        allocate: (Int) -> UnsafeMutableRawBufferPointer,
        source: (UInt64) throws(StoreError) -> RecordSource?,
        found: (Int, UnsafeRawBufferPointer) -> Void
    ) -> ReadProblem? {
        var problem: ReadProblem?
        var index = 0
        while index < places.count {
            let first = index
            let start = places[first].position
            do throws(StoreError) {
                guard let source = try source(start) else {
                    problem = problem ?? ReadProblem("no file holds position \(start)")
                    index += 1
                    continue
                }
                var end = start + Self.recordSize(places[first])
                index += 1
                while index < places.count, places[index].position >= start,
                    places[index].position <= end + Self.gapBytes,
                    max(end, places[index].position + Self.recordSize(places[index])) - start <= Self.windowBytes,
                    places[index].position - start < source.room
                {
                    end = max(end, places[index].position + Self.recordSize(places[index]))
                    index += 1
                }
                let buffer = allocate(Int(min(end - start, source.room)))
                let count = try source.file.read(into: buffer, at: source.offset)
                let bytes = UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)
                for number in first..<index {
                    let place = places[number]
                    let offset = Int(place.position - start)
                    if let payload = self.payload(bytes, at: offset, position: place.position) {
                        found(number, payload)
                    } else if let payload = try self.readAlone(place.position, source, UInt64(offset), allocate) {
                        found(number, payload)
                    } else {
                        problem =
                            problem
                            ?? ReadProblem(
                                "\(source.file.path) is damaged at octet \(source.offset + UInt64(offset))"
                            )
                    }
                }
            } catch {
                if error.reason == .shortage {
                    problem = ReadProblem("\(error)", isShortage: true)
                } else {
                    problem = problem ?? ReadProblem("\(error)")
                }
                index = max(index, first + 1)
            }
        }
        return problem
    }

    /// With its head, one place in a queue, and padding.
    private static func recordSize(_ place: RecordPlace) -> UInt64 {
        UInt64(RecordFormat.size(payload: max(0, place.size) + 16))
    }

    private func payload(_ bytes: UnsafeRawBufferPointer, at offset: Int, position: UInt64) -> UnsafeRawBufferPointer? {
        guard offset < bytes.count,
            let head = RecordFormat.record(bytes, at: offset, position: position, seed: self.seed)
        else { return nil }
        let start = offset + RecordFormat.headSize
        return UnsafeRawBufferPointer(rebasing: bytes[start..<start + head.payloadSize])
    }

    /// Reads a record that is longer than was known.
    private func readAlone(
        _ position: UInt64,
        _ source: RecordSource,
        _ offset: UInt64,
        _ allocate: (Int) -> UnsafeMutableRawBufferPointer
    ) throws(StoreError) -> UnsafeRawBufferPointer? {
        var length: UInt32 = 0
        var failure: StoreError?
        withUnsafeMutableBytes(of: &length) { buffer in
            do throws(StoreError) {
                _ = try source.file.read(into: buffer, at: source.offset + offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        let size = RecordFormat.size(payload: Int(UInt32(littleEndian: length)))
        guard size <= RecordFormat.size(payload: RecordFormat.maxPayloadSize), offset < source.room,
            UInt64(size) <= source.room - offset
        else { return nil }
        let buffer = allocate(size)
        let count = try source.file.read(into: buffer, at: source.offset + offset)
        return self.payload(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count), at: 0, position: position)
    }
}
