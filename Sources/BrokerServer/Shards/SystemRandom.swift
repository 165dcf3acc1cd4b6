internal import BrokerCore

/// The operating system's random numbers for the core.
final class SystemRandom: RandomSource {
    private var generator = SystemRandomNumberGenerator()

    func next() -> UInt64 {
        self.generator.next()
    }
}
