import AMQPProtocol

/// What becomes of a message at an exchange that is a ``Station``.
extension Exchange {
    private static let noStoreKey: ShortString = "x-recent-history-no-store"

    /// Adds the places where a message stops, besides those where its bindings lead.
    func stop(_ headers: inout MessageHeaders, into targets: inout RouteTargets) {
        guard let station = self.station else { return }
        if self.definition.type == .recentHistory {
            let refusal = MessageHeaders.find(Self.noStoreKey, in: headers.entries())
            if refusal?.booleanValue != true {
                // One history for all shards, which shard 0 keeps: bindings are decided there.
                targets.add(station, .remember, on: 0)
            }
        }
    }
}
