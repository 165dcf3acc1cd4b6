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

/// What kept records from being read.
public struct ReadProblem: Hashable, Sendable, CustomStringConvertible {
    /// What a caller can do about it.
    public enum Reason: Hashable, Sendable {
        /// What stands there is not the record, or there is no such place any more: asking again is no use.
        case damaged
        /// The system has refused to read.
        case refused
        /// The disk was not asked, for want of a file descriptor or memory.
        case shortage
    }

    /// In words, with the file and the place in it.
    public let description: String
    /// Records that could not be read, by their numbers; some of them may have been found all the same.
    public let records: Range<Int>
    /// What a caller can do about it.
    public let reason: Reason
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

    /// Reads in one call that are refused and lead to others, of parts of what they were to read.
    private static let splits = 32

    /// Neighbours that are read at once.
    private struct Group {
        var records: Range<Int>
        /// The position that ``source`` is the place of; none of the records begins before.
        let start: UInt64
        let source: RecordSource
    }

    /// Reads records; returns what is wrong with those that are not found.
    ///
    /// With `isSplit`, what the disk refuses to read at once is read in parts, so that one bad sector costs only the record
    /// that lies there.
    func read(
        _ places: [RecordPlace],
        isSplit: Bool = false,
        allocate: (Int) -> UnsafeMutableRawBufferPointer,
        source: (UInt64) throws(StoreError) -> RecordSource?,
        found: (Int, UnsafeRawBufferPointer) -> Void
    ) -> [ReadProblem] {
        var problems: [ReadProblem] = []
        var splits = isSplit ? Self.splits : 0
        var index = 0
        while index < places.count {
            let first = index
            let start = places[first].position
            do throws(StoreError) {
                index += 1
                guard let source = try source(start) else {
                    problems.append(Self.damage("no file holds position \(start)", first))
                    continue
                }
                var end = start + Self.recordSize(places[first])
                while index < places.count, places[index].position >= start,
                    places[index].position <= end + Self.gapBytes,
                    max(end, places[index].position + Self.recordSize(places[index])) - start <= Self.windowBytes,
                    places[index].position - start < source.room
                {
                    end = max(end, places[index].position + Self.recordSize(places[index]))
                    index += 1
                }
                let group = Group(records: first..<index, start: start, source: source)
                self.read(group, of: places, &splits, allocate: allocate, found: found, &problems)
            } catch {
                problems.append(Self.refusal(error, at: nil, first..<index))
            }
        }
        return problems
    }

    /// Reads neighbours; when the disk refuses, each half of them, as long as there are splits left.
    private func read(
        _ group: Group,
        of places: [RecordPlace],
        _ splits: inout Int,
        allocate: (Int) -> UnsafeMutableRawBufferPointer,
        found: (Int, UnsafeRawBufferPointer) -> Void,
        _ problems: inout [ReadProblem]
    ) {
        // The first one need not be the one that stands first.
        let start = group.records.reduce(UInt64.max) { min($0, places[$1].position) }
        let end = group.records.reduce(0) { max($0, places[$1].position + Self.recordSize(places[$1])) }
        let first = start - group.start
        let octet = group.source.offset + first
        do throws(StoreError) {
            let buffer = allocate(Int(min(end - start, group.source.room - first)))
            let count = try group.source.file.read(into: buffer, at: octet)
            let bytes = UnsafeRawBufferPointer(start: buffer.baseAddress, count: count)
            for number in group.records {
                let position = places[number].position
                if let payload = self.payload(bytes, at: Int(position - start), position: position) {
                    found(number, payload)
                } else if let payload = try self.readAlone(position, group.source, position - group.start, allocate) {
                    found(number, payload)
                } else {
                    let octet = group.source.offset + (position - group.start)
                    problems.append(Self.damage("\(group.source.file.path) is damaged at octet \(octet)", number))
                }
            }
        } catch {
            let refusal = Self.refusal(error, at: octet, group.records)
            guard refusal.reason == .refused, group.records.count > 1, splits > 0 else {
                problems.append(refusal)
                return
            }
            splits -= 1
            let middle = group.records.lowerBound + group.records.count / 2
            var half = group
            for records in [group.records.lowerBound..<middle, middle..<group.records.upperBound] {
                half.records = records
                self.read(half, of: places, &splits, allocate: allocate, found: found, &problems)
            }
        }
    }

    private static func refusal(_ error: StoreError, at octet: UInt64?, _ records: Range<Int>) -> ReadProblem {
        let reason: ReadProblem.Reason =
            switch error.reason {
            case .shortage: .shortage
            case .missing: .damaged
            default: .refused
            }
        let place = octet.map { " (from octet \($0) on)" } ?? ""
        return ReadProblem(description: "\(error)\(place)", records: records, reason: reason)
    }

    private static func damage(_ description: String, _ record: Int) -> ReadProblem {
        ReadProblem(description: description, records: record..<record + 1, reason: .damaged)
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
