/// The broker as an operator sees it: what front ends (command line, HTTP) are written against.
///
/// The server implements it by asking its shards; tests may answer from a fixture.
public protocol BrokerAdministration: Sendable {
    /// Carries out a request; answers of several shards come back as one.
    func administer(_ request: AdministrationRequest) async -> AdministrationAnswer
}

extension AdministrationAnswer {
    /// One answer out of those of all shards.
    ///
    /// The first failure counts. Lists are put in order, whichever shard had what.
    public static func gather(_ answers: [AdministrationAnswer]) -> AdministrationAnswer {
        for case .failed(let failure) in answers { return .failed(failure) }
        guard let first = answers.first, answers.count > 1 else { return answers.first ?? .done }
        switch first {
        case .done, .failed, .policies, .exchanges, .bindings, .names:
            return first
        case .queues:
            let queues = answers.flatMap { answer -> [QueueSnapshot] in
                if case .queues(let queues) = answer { queues } else { [] }
            }
            return .queues(queues.sorted { ($0.virtualHost, $0.name) < ($1.virtualHost, $1.name) })
        }
    }
}
