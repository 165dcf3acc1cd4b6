internal import CChecksum

/// The first octets of a log file: which one it is and where its records begin.
///
/// Written twice, into sectors of their own, so that one damaged sector does not cost a file.
struct LogFileHeader: Equatable {
    /// Ties the file to its data directory.
    var identity: UInt64
    /// The number in the file's name.
    var sequence: UInt64
    /// Position of the first record.
    var firstPosition: UInt64
    /// Octets of the whole file, this header included.
    var capacity: UInt64
    /// Whether it was known to hold nothing but zeros before: what is behind the records then was written here.
    var wasZeros = false

    /// Octets before the first record.
    static let size = 1024
    /// Where the two copies begin.
    static let copyOffsets = [0, 512]
    /// The format this code writes, and the newest it reads.
    static let version: UInt32 = 1

    private static let magic: UInt64 = 0x474F_4C54_4C54_524D
    private static let copySize = 64
    /// Nothing that we wrote reaches this far, and sums of a few numbers below it do not overflow.
    private static let bound: UInt64 = 1 << 60

    /// What is found where a copy should be.
    enum Copy: Equatable {
        case valid(LogFileHeader)
        case newer(UInt32)
        case invalid
    }

    /// The octets of both copies, with zeros between.
    var encoded: [UInt8] {
        var copy: [UInt8] = []
        for word in [
            Self.magic, UInt64(Self.version), self.identity, self.sequence, self.firstPosition, self.capacity,
            self.wasZeros ? 1 : 0,
        ] {
            copy.append(littleEndian: word)
        }
        copy.append(contentsOf: [0, 0, 0, 0])
        copy.append(littleEndian: copy.withUnsafeBytes { martlet_crc32c(0, $0.baseAddress, $0.count) })
        var bytes = [UInt8](repeating: 0, count: Self.size)
        for offset in Self.copyOffsets {
            bytes.replaceSubrange(offset..<(offset + Self.copySize), with: copy)
        }
        return bytes
    }

    /// Reads one copy.
    static func decode(_ bytes: UnsafeRawBufferPointer, copyAt offset: Int) -> Copy {
        guard bytes.count - offset >= self.copySize else { return .invalid }
        let copy = UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + self.copySize)])
        guard copy.littleEndian64(at: 0) == self.magic,
            UInt32(copy.littleEndian64(at: 56) >> 32) == martlet_crc32c(0, copy.baseAddress, 60)
        else { return .invalid }
        let version = UInt32(truncatingIfNeeded: copy.littleEndian64(at: 8))
        guard version <= self.version else { return .newer(version) }
        let header = LogFileHeader(
            identity: copy.littleEndian64(at: 16),
            sequence: copy.littleEndian64(at: 24),
            firstPosition: copy.littleEndian64(at: 32),
            capacity: copy.littleEndian64(at: 40),
            wasZeros: copy.littleEndian64(at: 48) & 1 == 1
        )
        guard header.firstPosition < self.bound, header.capacity < self.bound else { return .invalid }
        return .valid(header)
    }
}

extension [UInt8] {
    mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { self.append(contentsOf: $0) }
    }
}

extension UnsafeRawBufferPointer {
    func littleEndian64(at offset: Int) -> UInt64 {
        UInt64(littleEndian: self.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
