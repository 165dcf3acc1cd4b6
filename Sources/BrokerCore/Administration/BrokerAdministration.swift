/// The broker as an operator sees it: what front ends (command line, HTTP) are written against.
///
/// The server implements it by asking its shards; tests may answer from a fixture.
public protocol BrokerAdministration: Sendable {
    /// Carries out a request; answers of several shards come back as one.
    func administer(_ request: AdministrationRequest) async -> AdministrationAnswer

    /// Begins to copy everything durable, as it is at one moment from now on, to a new directory.
    ///
    /// Whoever ceases to listen calls it off.
    func snapshot(in directory: String) async -> AsyncStream<SnapshotProgress>
}

/// How far a copy of everything durable has come.
public enum SnapshotProgress: Equatable, Sendable {
    /// So many octets, of so many, are copied and on the disk.
    case copied(octets: UInt64, of: UInt64)
    /// It is there. Nothing follows.
    case done
    /// It is not there, and why. Nothing follows.
    case failed(String)
}

extension AdministrationRequest {
    /// One answer out of those of all shards that were asked.
    public func gather(_ answers: [AdministrationAnswer]) -> AdministrationAnswer {
        switch self {
        case .cancelDelayedMessage, .rescheduleDelayedMessage:
            // A message waits on one shard; the others know nothing of it.
            if answers.contains(.done) { return .done }
        case .listDelayedMessages(_, let limit):
            if let all = Self.merge(answers, limit) { return all }
        case .listExchanges:
            if let all = Self.merge(answers) { return all }
        case .explain:
            let parts = answers.compactMap { if case .explanation(let part) = $0 { part } else { nil } }
            if parts.count == answers.count, let whole = RouteExplanation.merge(parts) { return .explanation(whole) }
        case .listUnroutable(_, let limit):
            let parts = answers.compactMap { if case .unroutable(let part) = $0 { part } else { nil } }
            if parts.count == answers.count {
                let sorted = parts.flatMap(\.self).sorted { left, right in
                    (right.epochMilliseconds, left.shard, right.number)
                        < (left.epochMilliseconds, right.shard, left.number)
                }
                return .unroutable(Array(sorted.prefix(max(limit, 0))))
            }
        default: break
        }
        for case .failed(let failure) in answers { return .failed(failure) }
        return answers.first ?? .done
    }

    /// Exchanges with what has come to them on all shards; nil when a shard has refused.
    private static func merge(_ answers: [AdministrationAnswer]) -> AdministrationAnswer? {
        var counts: [String: [String: DeduplicationCounts]] = [:]
        var exchanges: [ExchangeSnapshot] = []
        for (index, answer) in answers.enumerated() {
            guard case .exchanges(let some) = answer else { return nil }
            if index == 0 { exchanges = some }
            for exchange in some {
                guard let more = exchange.deduplication else { continue }
                let sum = counts[exchange.virtualHost]?[exchange.name]
                counts[exchange.virtualHost, default: [:]][exchange.name] = DeduplicationCounts(
                    published: more.published + (sum?.published ?? 0),
                    duplicates: more.duplicates + (sum?.duplicates ?? 0)
                )
            }
        }
        for index in exchanges.indices where exchanges[index].deduplication != nil {
            exchanges[index].deduplication = counts[exchanges[index].virtualHost]?[exchanges[index].name]
        }
        return .exchanges(exchanges)
    }

    /// Messages of all shards in the order of their time; nil when a shard has refused.
    private static func merge(_ answers: [AdministrationAnswer], _ limit: Int) -> AdministrationAnswer? {
        var messages: [DelayedMessageInfo] = []
        for answer in answers {
            guard case .delayedMessages(let some) = answer else { return nil }
            messages += some
        }
        messages.sort { $0.isBefore($1) }
        return .delayedMessages(Array(messages.prefix(max(limit, 0))))
    }
}
