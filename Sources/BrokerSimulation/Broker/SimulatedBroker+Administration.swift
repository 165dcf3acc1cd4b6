public import BrokerCore

extension SimulatedBroker {
    /// Asks as an operator does, and runs until everything is at rest.
    ///
    /// Answers of several shards are put together by the front end; here they stand one behind the other.
    public func administer(_ request: AdministrationRequest) -> [AdministrationAnswer] {
        self.answers.removeAll()
        for (index, shard) in self.shards.enumerated() where index == 0 || request.isForAllShards {
            shard.administer(request, ticket: UInt64(index), now: self.now)
        }
        self.settle()
        return self.answers.sorted { $0.key < $1.key }.map(\.value)
    }
}
