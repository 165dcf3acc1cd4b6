public import BrokerCore

extension SimulatedBroker {
    /// Asks as an operator does, and runs until everything is at rest.
    ///
    /// Answers of several shards, and pages of a list, are put together by the front end; here they stand one behind the
    /// other.
    public func administer(_ request: AdministrationRequest) -> [AdministrationAnswer] {
        self.answers.removeAll()
        for (index, shard) in self.shards.enumerated() {
            guard request.place == .everyShard || request.place == .shard(index) else { continue }
            shard.administer(request, ticket: UInt64(index), now: self.now)
        }
        self.settle()
        var answers = self.answers.sorted { $0.key < $1.key }.map(\.value)
        switch (request, answers.last) {
        case (.listQueues(let host, _), .queues(_, let next?)):
            answers += self.administer(.listQueues(virtualHost: host, from: next))
        case (.listBindings(let host, _), .bindings(_, let next?)):
            answers += self.administer(.listBindings(virtualHost: host, from: next))
        default: break
        }
        return answers
    }
}
