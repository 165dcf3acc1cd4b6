/// Names a connection across all shards; never used again within the life of the process.
struct ConnectionAddress: Hashable, Sendable {
    /// The shard that accepted the connection.
    var shard: UInt16
    /// The connection's number on that shard.
    var id: UInt64
}
