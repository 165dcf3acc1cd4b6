/// Hashes that are the same on every shard and after every start, for exchanges that spread messages by key.
///
/// Not secret: who knows a key can tell its queue, which is the point of such an exchange.
enum StableHash {
    private static let mixer = BytesHash(seed: 0x6d61_7274_6c65_7431)

    /// The hash of octets.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 { self.mixer.hash(bytes) }

    /// The hash of octets.
    static func hash(_ bytes: [UInt8]) -> UInt64 { bytes.withUnsafeBytes { self.hash($0) } }

    /// Mixes two hashes into one in which every bit depends on all of both.
    @inline(__always)
    static func mix(_ left: UInt64, _ right: UInt64) -> UInt64 {
        // Wrapping arithmetic: this is mixing, not counting.
        var mixed = left ^ (right &* 0x9E37_79B9_7F4A_7C15)
        mixed = (mixed ^ (mixed >> 32)) &* 0xD6E8_FEB8_6659_FD93
        mixed = (mixed ^ (mixed >> 32)) &* 0xD6E8_FEB8_6659_FD93
        return mixed ^ (mixed >> 32)
    }
}
