/// Takes the figures of a run while it lasts: rates, CPU time, memory.
///
/// Used by one task; it only reads what the event loops count.
final class RunMeter {
    private struct Snapshot {
        var totals: ProgressLine.Totals
        var serverCPU: Double
        var ownCPU: Double
        var serverResident: UInt64
        var ownResident: UInt64
    }

    private let plan: LoadPlan
    private let state: RunState
    private let server: ProcessSampler
    private let own = ProcessSampler.own
    private var begun: UInt64 = 0
    private var lastLine: ProgressLine.Totals
    private var lastSample: UInt64 = 0
    private var window: Snapshot?
    private var serverPeak: UInt64 = 0
    private var ownPeak: UInt64 = 0

    init(plan: LoadPlan, state: RunState) {
        self.plan = plan
        self.state = state
        self.server = ProcessSampler(processes: plan.serverPIDs)
        self.lastLine = ProgressLine.Totals(nanoseconds: 0)
    }

    /// The run starts.
    func begin() {
        self.begun = PerfClock.now()
        self.lastLine = self.totals(at: self.begun)
    }

    /// Samples memory, and shows a line when a second has passed.
    func tick(now: UInt64, note: String?, show: (String) -> Void) {
        if now >= self.lastSample + 100_000_000 {
            self.lastSample = now
            self.serverPeak = max(self.serverPeak, self.server.residentBytes())
            self.ownPeak = max(self.ownPeak, self.own.residentBytes())
        }
        guard now >= self.lastLine.nanoseconds + 1_000_000_000 else { return }
        let totals = self.totals(at: now)
        let line = ProgressLine(
            start: self.begun,
            from: self.lastLine,
            to: totals,
            inflight: self.plan.consumers > 0 ? self.state.inflight(copies: self.plan.copies) : 0,
            showsConfirms: self.plan.confirmWindow != nil,
            note: note
        )
        self.lastLine = totals
        show(line.text)
    }

    /// The measured part starts.
    func beginWindow() {
        let snapshot = self.snapshot()
        self.window = snapshot
        self.serverPeak = snapshot.serverResident
        self.ownPeak = snapshot.ownResident
    }

    /// The measured part ends, now or at an earlier moment that the last event gives.
    func endWindow(at moment: UInt64?) -> LoadReport {
        let end = self.snapshot()
        let start = self.window ?? end
        let stopped = moment ?? end.totals.nanoseconds
        let seconds = Double(max(1, stopped - min(stopped, start.totals.nanoseconds))) / 1e9
        func flow(_ count: KeyPath<ProgressLine.Totals, UInt64>) -> LoadReport.Flow {
            LoadReport.Flow(
                perSecond: Double(end.totals[keyPath: count] &- start.totals[keyPath: count]) / seconds,
                total: end.totals[keyPath: count]
            )
        }
        var report = LoadReport(plan: self.plan)
        report.seconds = seconds
        report.published = flow(\.published)
        report.consumed = flow(\.consumed)
        report.confirmed = flow(\.confirmed)
        if !self.plan.serverPIDs.isEmpty {
            report.serverUsage = ProcessUsage(
                cpuSeconds: end.serverCPU - start.serverCPU,
                residentStart: start.serverResident,
                residentEnd: end.serverResident,
                residentPeak: max(self.serverPeak, end.serverResident)
            )
        }
        report.ownUsage = ProcessUsage(
            cpuSeconds: end.ownCPU - start.ownCPU,
            residentStart: start.ownResident,
            residentEnd: end.ownResident,
            residentPeak: max(self.ownPeak, end.ownResident)
        )
        return report
    }

    private func totals(at now: UInt64) -> ProgressLine.Totals {
        ProgressLine.Totals(
            nanoseconds: now,
            published: self.state.sum(\.published),
            consumed: self.state.sum(\.consumed),
            confirmed: self.state.sum(\.confirmed)
        )
    }

    private func snapshot() -> Snapshot {
        Snapshot(
            totals: self.totals(at: PerfClock.now()),
            serverCPU: self.server.cpuSeconds(),
            ownCPU: self.own.cpuSeconds(),
            serverResident: self.server.residentBytes(),
            ownResident: self.own.residentBytes()
        )
    }
}
