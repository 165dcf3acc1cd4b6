import AMQPProtocol

/// How far an exchange with `x-message-deduplication` has come with a publisher's persistent messages; told again, the last
/// record counts.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   names      UInt32   octets of virtual host, exchange and publisher
/// 8   deadline   UInt64   milliseconds since 1970; the highest number is for ever
/// 16  next       UInt64   numbers below that came are in the log in front of this record, or in holes
/// 24  floor      UInt64   numbers below are not remembered
/// 32  holes      UInt32   numbers that were refused, or were under way
/// 36  4 octets unused
/// 40  holes in pairs of the first one and how many they are, then three short strings
/// ```
struct PublisherRecord {
    private static let fixedSize = 40

    /// The virtual host of the exchange.
    let virtualHost: ShortString
    /// The exchange.
    let exchange: ShortString
    /// The publisher.
    let publisher: [UInt8]
    /// Until when it is remembered.
    let deadline: UInt64
    /// Its numbers.
    let sequence: PublisherSequence

    /// Octets of a payload.
    static func size(_ publisher: [UInt8], holes: Int, _ host: ShortString, _ exchange: ShortString) -> Int {
        self.fixedSize + RecordLayout.pairSize * holes + host.encodedSize + exchange.encodedSize + 1 + publisher.count
    }

    /// Writes a payload into as many octets as the size function says; of the sequence what is ``PublisherSequence/told``.
    static func write(
        _ publisher: [UInt8],
        _ sequence: PublisherSequence,
        _ host: ShortString,
        _ exchange: ShortString,
        deadline: UInt64,
        at base: UnsafeMutableRawPointer
    ) {
        let names = [host.bytes, exchange.bytes, publisher].flatMap { [UInt8(truncatingIfNeeded: $0.count)] + $0 }
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: names.count), at: base, 4)
        RecordLayout.store(deadline, at: base, 8)
        RecordLayout.store(sequence.next, at: base, 16)
        RecordLayout.store(sequence.floor, at: base, 24)
        RecordLayout.store(UInt32(truncatingIfNeeded: sequence.holes.count), at: base, 32)
        RecordLayout.store(UInt32(0), at: base, 36)
        // A hole ends in front of 2^63: it has a count.
        let ranges = sequence.holes.map { SequenceRange(first: $0.first, count: $0.last - $0.first + 1) }
        RecordLayout.write(ranges, at: base, self.fixedSize)
        let start = self.fixedSize + RecordLayout.pairSize * ranges.count
        names.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(start: base + start, count: names.count).copyMemory(from: $0)
        }
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let size = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        let start = payload.count - size
        guard start >= Self.fixedSize else { throw .damaged }
        let ranges = try RecordLayout.readRanges(
            RecordLayout.load(UInt32.self, from: payload, 32),
            from: UnsafeRawBufferPointer(rebasing: payload[..<start]),
            Self.fixedSize
        )
        var reader = WireReader(UnsafeRawBufferPointer(rebasing: payload[start...]))
        do throws(DecodeError) {
            self.virtualHost = try reader.readShortString()
            self.exchange = try reader.readShortString()
            self.publisher = try reader.readShortString().bytes
            guard reader.isAtEnd else { throw .trailingBytes }
        } catch {
            throw .damaged
        }
        self.deadline = RecordLayout.load(UInt64.self, from: payload, 8)
        let sequence = PublisherSequence(
            next: RecordLayout.load(UInt64.self, from: payload, 16),
            floor: RecordLayout.load(UInt64.self, from: payload, 24),
            holes: ranges.map { PublisherSequence.Hole(first: $0.first, last: $0.first + $0.count - 1) }
        )
        guard sequence.isPlausible else { throw .damaged }
        self.sequence = sequence
    }
}
