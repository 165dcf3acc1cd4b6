/// Hashes short runs of octets with a secret, so that peers cannot choose names that collide.
///
/// Octets are taken eight at a time, each xored with a secret word before two of them are multiplied to 128 bits and
/// folded. Because both factors carry a secret, no input makes a product zero for all seeds.
struct BytesHash {
    private let first: UInt64
    private let second: UInt64
    private let third: UInt64

    /// Derives the secret words from a number that peers must not be able to guess.
    init(seed: UInt64) {
        self.first = Self.scramble(seed)
        self.second = Self.scramble(self.first)
        self.third = Self.scramble(self.second) | 1
    }

    /// The hash of octets; about 2 ns for names of usual length.
    @inline(__always)
    func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        let count = bytes.count
        // Wrapping arithmetic throughout: this is mixing, not counting.
        var state = self.third &* (UInt64(truncatingIfNeeded: count) &+ 1)
        guard let base = bytes.baseAddress, count > 0 else {
            return Self.fold(state ^ self.first, self.second)
        }
        var low: UInt64
        var high: UInt64
        if count >= 8 {
            var offset = 0
            while offset &+ 16 < count {
                low = base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                high = base.loadUnaligned(fromByteOffset: offset &+ 8, as: UInt64.self)
                state = Self.fold(low ^ self.first, high ^ state) ^ self.third
                offset &+= 16
            }
            // At most 16 octets are left; the two words may overlap, which the count in the state makes unambiguous.
            let rest = count &- offset
            if rest >= 8 {
                low = base.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            } else {
                low = base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
            }
            high = base.loadUnaligned(fromByteOffset: count &- 8, as: UInt64.self)
        } else if count >= 4 {
            low = UInt64(base.loadUnaligned(as: UInt32.self))
            high = UInt64(base.loadUnaligned(fromByteOffset: count &- 4, as: UInt32.self))
        } else {
            low = UInt64(base.load(as: UInt8.self))
            high =
                UInt64(base.load(fromByteOffset: count >> 1, as: UInt8.self)) << 8
                | UInt64(base.load(fromByteOffset: count &- 1, as: UInt8.self))
        }
        return Self.fold(low ^ self.first, high ^ state ^ self.second)
    }

    /// Combines a hash with the number of the small map that the key belongs to.
    @inline(__always)
    func scoped(_ hash: UInt64, _ scope: UInt32) -> UInt64 {
        Self.fold(hash ^ self.second, UInt64(scope) &+ self.third)
    }

    @inline(__always)
    private static func fold(_ left: UInt64, _ right: UInt64) -> UInt64 {
        let product = left.multipliedFullWidth(by: right)
        return product.high ^ product.low
    }

    private static func scramble(_ value: UInt64) -> UInt64 {
        var mixed = value &+ 0x9E37_79B9_7F4A_7C15
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
