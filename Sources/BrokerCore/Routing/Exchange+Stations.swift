import AMQPProtocol

/// What becomes of a message at an exchange that is a ``Station``.
extension Exchange {
    private static let noStoreKey: ShortString = "x-recent-history-no-store"

    /// Adds the places where a message stops; returns whether it goes no further now.
    func stop(_ headers: inout MessageHeaders, into targets: inout RouteTargets) -> Bool {
        guard let station = self.station else { return false }
        if self.isDeduplicating, targets.stopsAtWindows,
            MessageIdentity(headers.entries(), self.definition.arguments, isPersistent: false) != nil
        {
            targets.addWindow(station)
            return true
        }
        if self.definition.type == .delayedMessage, DelayHeaders.delay(headers.entries()) != nil {
            targets.add(station, .delay)
            return true
        }
        if self.definition.type == .recentHistory {
            let refusal = MessageHeaders.find(Self.noStoreKey, in: headers.entries())
            if refusal?.booleanValue != true {
                // One history for all shards, which shard 0 keeps: bindings are decided there.
                targets.add(station, .remember, on: 0)
            }
        }
        return false
    }
}
