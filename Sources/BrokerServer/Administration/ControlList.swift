internal import BrokerCore
internal import PlainJSON

/// A list that is asked for, with its columns, from some page on.
enum ControlList {
    case policies(virtualHost: String, isOperator: Bool, [ControlColumn<PolicySnapshot>])
    case queues(virtualHost: String, from: ListPosition = .start, [ControlColumn<QueueSnapshot>])
    case exchanges(virtualHost: String, [ControlColumn<ExchangeSnapshot>])
    case bindings(virtualHost: String, from: ListPosition = .start, [ControlColumn<BindingSnapshot>])
    case virtualHosts([ControlColumn<String>])
    case delayedMessages(virtualHost: String, limit: Int, [ControlColumn<DelayedMessageInfo>])
    case explanation(RouteQuestion, [ControlColumn<ExplainedLine>])
    case unroutable(virtualHost: String, limit: Int, [ControlColumn<UnroutablePublish>])

    /// What to ask for the page.
    var request: AdministrationRequest {
        switch self {
        case .policies(let host, let isOperator, _): .listPolicies(virtualHost: host, isOperator: isOperator)
        case .queues(let host, let position, _): .listQueues(virtualHost: host, from: position)
        case .exchanges(let host, _): .listExchanges(virtualHost: host)
        case .bindings(let host, let position, _): .listBindings(virtualHost: host, from: position)
        case .virtualHosts: .listVirtualHosts
        case .delayedMessages(let host, let limit, _): .listDelayedMessages(virtualHost: host, limit: limit)
        case .explanation(let question, _): .explain(question)
        case .unroutable(let host, let limit, _): .listUnroutable(virtualHost: host, limit: limit)
        }
    }

    /// The rows of a page.
    func rows(of answer: AdministrationAnswer) -> [[JSONValue]] {
        switch (self, answer) {
        case (.policies(_, _, let columns), .policies(let rows)): Self.rows(rows, columns)
        case (.queues(_, _, let columns), .queues(let rows, _)): Self.rows(rows, columns)
        case (.exchanges(_, let columns), .exchanges(let rows)): Self.rows(rows, columns)
        case (.bindings(_, _, let columns), .bindings(let rows, _)): Self.rows(rows, columns)
        case (.virtualHosts(let columns), .names(let rows)): Self.rows(rows, columns)
        case (.delayedMessages(_, _, let columns), .delayedMessages(let rows)): Self.rows(rows, columns)
        case (.explanation(_, let columns), .explanation(let whole)): Self.rows(ExplainedLine.lines(of: whole), columns)
        case (.unroutable(_, _, let columns), .unroutable(let rows)): Self.rows(rows, columns)
        default: []
        }
    }

    private static func rows<Row>(_ rows: [Row], _ columns: [ControlColumn<Row>]) -> [[JSONValue]] {
        rows.map { row in columns.map { $0.value(row) } }
    }

    /// The list from the next page on; nil when that was the last.
    func next(after answer: AdministrationAnswer) -> ControlList? {
        switch (self, answer) {
        case (.queues(let host, _, let columns), .queues(_, let next?)):
            .queues(virtualHost: host, from: next, columns)
        case (.bindings(let host, _, let columns), .bindings(_, let next?)):
            .bindings(virtualHost: host, from: next, columns)
        default: nil
        }
    }
}
