/// Bounds of what exchanges keep.
extension ShardLimits {
    /// Octets of messages that one `x-recent-history` exchange keeps, however many it may have.
    static let historyBytes = 64 << 20
    /// Octets of keys that one exchange with `x-message-deduplication` keeps, however many it may have.
    static let windowBytes = 256 << 20
    /// Octets of keys that every such exchange may keep, whatever the others of its shard have.
    static let windowShareBytes = 64 << 10
    /// What a key counts besides its octets: its places in a table and in an order, both half empty, and their headers.
    static let windowKeyBytes = 160
    /// Publishers that such an exchange remembers, where its arguments say nothing else.
    static let publishers = 1024
    /// What a publisher counts besides its name: its places in a table and in an order, both half empty, and its state.
    static let publisherBytes = 384
    /// What a message counts that other shards have not answered: its places in a table and a row.
    static let publisherOpenBytes = 64
    /// Rows of refused numbers that are remembered of a publisher; in a record together with those under way.
    static let publisherHoles = 256
    /// Windows together may have an eighth of the memory limit, their shards the same part of it each.
    static let windowMemoryShift: UInt64 = 3
}
