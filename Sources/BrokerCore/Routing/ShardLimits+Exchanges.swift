/// Bounds of what exchanges keep.
extension ShardLimits {
    /// Octets of messages that one `x-recent-history` exchange keeps, however many it may have.
    static let historyBytes = 64 << 20
}
