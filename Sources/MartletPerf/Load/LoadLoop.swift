import Histogram
import NIOCore
import Synchronization

/// The part of a run that lives on one event loop: its publishers, its consumers, their checks and figures.
///
/// Publishers run in turns. A turn lets each send a few batches; it is repeated at once while any could go on, at the
/// next due time when all wait for their schedule, and otherwise when something changes: a socket takes bytes again,
/// the server confirms, a consumer makes room.
final class LoadLoop {
    let plan: LoadPlan
    let state: RunState
    let counters: LoopCounters
    let eventLoop: any EventLoop
    let tracks: TrackTable
    private let rows: [Int: Int]
    private(set) var publishers: [Publisher] = []
    private(set) var consumers: [Consumer] = []
    var deliveryLatencies = LatencyRecorder()
    var confirmLatencies = LatencyRecorder()
    /// Deliveries out of order among consumers that share a queue.
    var reordered: UInt64 = 0
    /// Deliveries with a body of another length than was sent, or for a consumer that does not exist.
    var damaged: UInt64 = 0
    /// Confirmations of messages that were not outstanding.
    var misconfirmed: UInt64 = 0
    private var isTurnScheduled = false
    private var firstInTurn = 0
    private var timer: Scheduled<Void>?
    private var timerDue = UInt64.max
    /// Wakes the loops whose publishers wait for consumers; set once all loops exist.
    var wakeOthers: () -> Void = {}

    init(plan: LoadPlan, state: RunState, index: Int, eventLoop: any EventLoop) {
        self.plan = plan
        self.state = state
        self.counters = state.counters[index]
        self.eventLoop = eventLoop
        var rows: [Int: Int] = [:]
        var rowCount = 0
        for consumer in 0..<plan.consumers where plan.loop(ofConsumer: consumer) == index {
            for queue in plan.queues(ofConsumer: consumer) {
                // With a stream every consumer gets every message and needs a row of its own.
                let key = plan.isStream ? consumer * plan.queues + queue : queue
                if rows[key] == nil {
                    rows[key] = rowCount
                    rowCount += 1
                }
            }
        }
        self.rows = rows
        self.tracks = TrackTable(rows: rowCount, publishers: max(1, plan.publishers))
    }

    /// The row of ``tracks`` for a consumer's queue.
    func row(consumer: Int, queue: Int) -> Int {
        guard let row = self.rows[self.plan.isStream ? consumer * self.plan.queues + queue : queue] else {
            preconditionFailure("every queue of a consumer got a row")
        }
        return row
    }

    func add(_ publisher: Publisher) { self.publishers.append(publisher) }

    func add(_ consumer: Consumer) { self.consumers.append(consumer) }

    // MARK: Turns

    /// Asks for a turn in this tick of the event loop.
    func wake() {
        guard !self.isTurnScheduled else { return }
        self.isTurnScheduled = true
        self.eventLoop.assumeIsolated().execute { self.turn() }
    }

    private func turn() {
        self.isTurnScheduled = false
        var isBusy = false
        var due = UInt64.max
        let count = self.publishers.count
        guard count > 0 else { return }
        // Whoever comes first may use up what `--max-inflight` leaves, so the first place goes round.
        self.firstInTurn = (self.firstInTurn + 1) % count
        for offset in 0..<count {
            let publisher = self.publishers[(self.firstInTurn + offset) % count]
            isBusy = publisher.pump(nextDue: &due) || isBusy
        }
        if isBusy {
            self.wake()
        } else if due < .max {
            self.setTimer(due)
        }
    }

    /// Lets one publisher go on after something changed for it alone.
    func resume(_ publisher: Publisher) {
        var due = UInt64.max
        if publisher.pump(nextDue: &due) {
            self.wake()
        } else if due < .max {
            self.setTimer(due)
        }
    }

    /// Sees to it that there is a turn at `due`, unless there is one before.
    private func setTimer(_ due: UInt64) {
        guard due < self.timerDue else { return }
        self.timer?.cancel()
        self.timerDue = due
        self.timer = self.eventLoop.assumeIsolated().scheduleTask(deadline: .uptimeNanoseconds(due)) {
            self.timerDue = .max
            self.wake()
        }
    }

    /// Tells publishers everywhere that consumers made room.
    func announceRoom() {
        guard self.plan.maxInflight != nil else { return }
        self.wakeOthers()
    }

    // MARK: Results

    /// What one loop found, to be taken when all its connections are closed.
    struct Findings: Sendable {
        var tally = TrackTable.Tally()
        /// Numbers given to messages, over all publishers and targets.
        var numbered: UInt64 = 0
        /// Numbers that arrived, over all queues and publishers.
        var distinct: UInt64 = 0
        var reordered: UInt64 = 0
        var damaged: UInt64 = 0
        var misconfirmed: UInt64 = 0
        var deliveries: Histogram<UInt64>
        var confirms: Histogram<UInt64>
    }

    /// Sums up.
    func findings() -> Findings {
        let tally = self.tracks.tally()
        return Findings(
            tally: tally,
            numbered: self.publishers.reduce(0) { $0 + $1.numbered },
            distinct: self.tracks.distinct,
            reordered: self.plan.isReordered ? 0 : self.plan.sharesQueues ? self.reordered : tally.late,
            damaged: self.damaged + tally.foreign,
            misconfirmed: self.misconfirmed,
            deliveries: self.deliveryLatencies.finish(),
            confirms: self.confirmLatencies.finish()
        )
    }
}
