/// Consecutive places in a queue's order of publishing.
struct SequenceRange: Equatable, Sendable {
    /// The first place.
    var first: UInt64
    /// How many there are, at least one.
    var count: UInt64

    /// One past the last place.
    ///
    /// Ranges that were read have been checked: it does not overflow.
    var end: UInt64 { self.first + self.count }
}
