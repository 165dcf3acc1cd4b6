internal import BrokerCore

/// A line of an explanation, for people.
struct ExplainedLine: Sendable, Equatable {
    /// `check`, `exchange`, `station`, `binding`, `alternate`, `queue` or `outcome`.
    let what: String
    /// What the line is about.
    let name: String
    /// What comes of it.
    let verdict: String
    /// Why.
    let reason: String

    private init(_ what: String, _ name: String, _ verdict: String, _ reason: String) {
        self.what = what
        self.name = name
        self.verdict = verdict
        self.reason = reason
    }

    /// The lines of an explanation, in the order of the way.
    static func lines(of explanation: RouteExplanation) -> [ExplainedLine] {
        var lines = explanation.access.map {
            ExplainedLine("check", $0.check.rawValue, $0.isAllowed ? "allowed" : "refused", $0.reason)
        }
        for visit in explanation.exchanges { lines += self.lines(of: visit) }
        for queue in explanation.queues { lines.append(self.line(of: queue)) }
        if !explanation.isComplete {
            lines.append(ExplainedLine("outcome", "", "incomplete", "there are more bindings than are looked at"))
        }
        lines.append(ExplainedLine("outcome", "", self.word(for: explanation.outcome), explanation.outcome.text))
        return lines
    }

    private static func lines(of visit: ExchangeVisit) -> [ExplainedLine] {
        let origin =
            switch visit.origin {
            case .publish: "published here"
            case .binding(let source): "bound to '\(source)'"
            case .alternate(let source): "alternate of '\(source)'"
            }
        var lines = [
            ExplainedLine("exchange", "\(visit.name) (\(visit.type))", visit.isCertain ? "visited" : "maybe", origin)
        ]
        lines += visit.stations.map { self.line(of: $0, at: visit.name) }
        lines += visit.bindings.map { binding in
            let kind = binding.isQueue ? "queue" : "exchange"
            let name = "\(visit.name) -> \(kind) \(binding.destination) [\(binding.routingKey)]"
            let circle = binding.leadsBack ? "; it was visited before" : ""
            return ExplainedLine("binding", name, binding.match.rawValue, binding.reason.text + circle)
        }
        if visit.untoldBindings > 0 {
            lines.append(ExplainedLine("binding", visit.name, "untold", "\(visit.untoldBindings) further bindings"))
        }
        if let alternate = visit.alternate { lines.append(self.line(of: alternate)) }
        return lines
    }

    private static func line(of station: StationVerdict, at name: String) -> ExplainedLine {
        switch station {
        case .delays(let milliseconds):
            .init("station", name, "waits", "for \(milliseconds) ms; bindings are those of now")
        case .remembers: .init("station", name, "remembered", "a copy is kept for queues that are bound later")
        case .deduplicates(true): .init("station", name, "duplicate", "its key is known")
        case .deduplicates: .init("station", name, "passes", "its key is not known")
        }
    }

    private static func line(of alternate: AlternateVerdict) -> ExplainedLine {
        switch alternate {
        case .unused(let name): .init("alternate", name, "unused", "a binding has matched")
        case .taken(let name): .init("alternate", name, "taken", "no binding has matched")
        case .visitedBefore(let name): .init("alternate", name, "visited before", "no binding has matched")
        case .missing(let name):
            .init("alternate", name, "missing", "no binding has matched, and there is no such exchange")
        }
    }

    private static func line(of queue: QueueVerdict) -> ExplainedLine {
        let verdict = queue.accepts == false ? "refuses" : queue.isCertain ? "takes" : "maybe"
        guard let state = queue.state else { return .init("queue", queue.name, verdict, "its state is not known") }
        var parts = ["\(state.ready) ready, \(state.unacknowledged) unacknowledged, \(state.consumers) consumers"]
        if state.deliversAtOnce { parts.append("a consumer gets it at once") }
        return .init("queue", queue.name, verdict, (parts + state.notes.map(\.text)).joined(separator: "; "))
    }

    private static func word(for outcome: PublishVerdict) -> String {
        switch outcome {
        case .refused: "refused"
        case .routed: "routed"
        case .dependsOnChance: "maybe"
        case .unroutable: "unroutable"
        case .duplicate: "duplicate"
        case .waits: "waits"
        case .directReply: "direct reply"
        }
    }
}
