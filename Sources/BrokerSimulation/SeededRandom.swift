public import BrokerCore

/// Random numbers from a seed (xoshiro256**), the same on every machine.
public final class SeededRandom: RandomSource, RandomNumberGenerator {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    /// Starts the sequence of `seed`.
    public init(seed: UInt64) {
        var mixed = seed
        func splitMix() -> UInt64 {
            mixed &+= 0x9E37_79B9_7F4A_7C15
            var value = mixed
            value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
            value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
            return value ^ (value >> 31)
        }
        self.state = (splitMix(), splitMix(), splitMix(), splitMix())
    }

    /// The next 64 bits.
    public func next() -> UInt64 {
        let scrambled = self.state.1 &* 5
        let result = (scrambled << 7 | scrambled >> 57) &* 9
        let shifted = self.state.1 << 17
        self.state.2 ^= self.state.0
        self.state.3 ^= self.state.1
        self.state.1 ^= self.state.2
        self.state.0 ^= self.state.3
        self.state.2 ^= shifted
        self.state.3 = self.state.3 << 45 | self.state.3 >> 19
        return result
    }

    /// A number below `bound`, which is positive.
    public func below(_ bound: Int) -> Int {
        Int(self.next() % UInt64(bound))
    }

    /// True once in `count` times.
    public func oneIn(_ count: Int) -> Bool {
        self.below(count) == 0
    }
}
