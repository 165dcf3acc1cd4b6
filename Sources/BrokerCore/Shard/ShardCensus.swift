/// What a shard holds, counted; for tests and the simulation, which expect nothing to be left when all is over.
public struct ShardCensus: Hashable, Sendable {
    /// Connections that have not been taken down.
    public var connections: Int
    /// Queues that live on the shard.
    public var queues: Int
    /// Messages in the shard's memory, whoever needs them.
    public var messages: Int
    /// Octets of bodies that are coming in.
    public var assemblyBytes: Int

    /// Octets that count against the windows of publishers; none while nothing is under way.
    public var windowBytes: Int

    /// Whether nothing is left.
    public var isEmpty: Bool {
        self.connections == 0 && self.queues == 0 && self.messages == 0 && self.assemblyBytes == 0
            && self.windowBytes == 0
    }
}

extension Shard {
    /// Counts what the shard holds; walks its queues and connections.
    public var census: ShardCensus {
        ShardCensus(
            connections: self.connectionCount,
            queues: self.queues.count { $0 != nil },
            messages: self.store.messageCount,
            assemblyBytes: self.assemblyBytes,
            // Magnitudes: what is given back too often must not hide what is not given back.
            windowBytes: self.connections.reduce(abs(self.outstandingBytes)) {
                $0 + abs($1?.pointee.outstandingBytes ?? 0)
            }
        )
    }
}
