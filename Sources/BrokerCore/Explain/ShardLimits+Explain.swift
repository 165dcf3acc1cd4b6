/// What explanations and the ring of unroutable publishes may take.
extension ShardLimits {
    /// Bindings that are looked at for one question.
    static let explainedBindings = 20_000
    /// Bindings of an exchange that do not match and are told.
    static let toldBindings = 100
    /// Unroutable publishes that a shard keeps.
    static let unroutablePublishes = 128
    /// Octets of one of them: names and properties; properties that do not fit are left out.
    static let unroutableBytes = 2048
}
