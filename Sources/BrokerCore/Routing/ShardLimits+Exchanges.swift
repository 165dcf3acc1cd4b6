/// Bounds of what exchanges keep.
extension ShardLimits {
    /// Octets of messages that one `x-recent-history` exchange keeps, however many it may have.
    static let historyBytes = 64 << 20
    /// Octets of keys that one exchange with `x-message-deduplication` keeps, however many it may have.
    static let windowBytes = 4 << 20
    /// What a key counts besides its octets.
    static let windowKeyBytes = 96
}
