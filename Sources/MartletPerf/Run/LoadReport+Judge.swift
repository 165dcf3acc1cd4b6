extension LoadReport {
    /// Adds what the counters say at the end of the run, drain included.
    mutating func addTotals(of state: RunState) {
        self.published.total = state.sum(\.published)
        self.consumed.total = state.sum(\.consumed)
        self.confirmed.total = state.sum(\.confirmed)
        self.refused = state.sum(\.refused)
        self.returned = state.sum(\.returned)
        self.redelivered = state.sum(\.redelivered)
        self.blocked = state.sum(\.blocked)
    }

    /// Decides what the server did wrong.
    ///
    /// When the drain ran out of time while messages still arrived, only gaps count as lost; what had not come yet is
    /// `undrained`. After a failure nothing counts as lost: the run was cut short.
    mutating func judge(_ findings: [LoadLoop.Findings], isDrained: Bool) {
        self.deliveries = LatencySummary(findings.map { $0.deliveries })
        self.confirms = LatencySummary(findings.map { $0.confirms })
        var missing: UInt64 = 0
        var numbered: UInt64 = 0
        var distinct: UInt64 = 0
        for finding in findings {
            self.errors.duplicated += finding.tally.duplicated
            self.errors.reordered += finding.reordered
            self.errors.damaged += finding.damaged
            self.errors.misconfirmed += finding.misconfirmed
            missing += finding.tally.missing
            numbered += finding.numbered
            distinct += finding.distinct
        }
        guard self.plan.consumers > 0, self.failure == nil else { return }
        let notSent = self.refused + self.returned
        let hasNumbers = self.plan.bodyBytes >= BodyStamp.sequenceBytes
        let sent = hasNumbers ? numbered : self.published.total
        let due = (sent - min(sent, notSent)) * self.plan.copies
        let arrived = hasNumbers ? distinct : self.consumed.total
        let lacking = due > arrived ? due - arrived : 0
        if isDrained {
            self.errors.lost = lacking
        } else {
            self.errors.lost = min(missing, lacking)
            self.undrained = lacking - self.errors.lost
        }
    }
}
