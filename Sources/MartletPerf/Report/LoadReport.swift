/// What a run found, ready to be shown.
struct LoadReport: Sendable {
    /// One kind of event: how many per second in the measured part, and how many in all.
    struct Flow: Equatable, Sendable {
        var perSecond = 0.0
        var total: UInt64 = 0
    }

    /// What the server did wrong.
    struct Errors: Equatable, Sendable {
        /// Published and taken by the server, never delivered.
        var lost: UInt64 = 0
        /// Delivered again without the mark `redelivered` or with it.
        var duplicated: UInt64 = 0
        /// Overtaken by a later message of the same publisher and queue.
        var reordered: UInt64 = 0
        /// Of another length than was sent, or nobody's.
        var damaged: UInt64 = 0
        /// Confirmed although nothing was outstanding under that number.
        var misconfirmed: UInt64 = 0

        var total: UInt64 { self.lost + self.duplicated + self.reordered + self.damaged + self.misconfirmed }
    }

    var plan: LoadPlan
    var server = ClientConnection.ServerFacts()
    /// The length of the measured part.
    var seconds = 0.0
    var published = Flow()
    var consumed = Flow()
    var confirmed = Flow()
    var refused: UInt64 = 0
    var returned: UInt64 = 0
    var redelivered: UInt64 = 0
    /// Times the server asked for a pause with `connection.blocked`.
    var blocked: UInt64 = 0
    /// Messages still under way when the tool stopped waiting for them.
    var undrained: UInt64 = 0
    var deliveries: LatencySummary?
    var confirms: LatencySummary?
    var errors = Errors()
    var serverUsage: ProcessUsage?
    var ownUsage: ProcessUsage?
    var failure: PerfFailure?
    /// The length of the part in which queues were only filled; nil when there was none.
    var fillingSeconds: Double?

    /// Takes over what a first part showed in which the queues were only filled.
    mutating func addFilling(_ filled: LoadReport) {
        self.published = filled.published
        self.confirmed = filled.confirmed
        self.fillingSeconds = filled.seconds
        self.serverUsage = self.serverUsage.map { $0.following(filled.serverUsage) }
        self.ownUsage = self.ownUsage.map { $0.following(filled.ownUsage) }
    }

    /// Messages that went through in the measured part: what CPU time is divided by.
    var messages: Double {
        let published = self.published.perSecond * (self.fillingSeconds ?? self.seconds)
        return max(published, self.consumed.perSecond * self.seconds)
    }

    /// Microseconds of CPU per message.
    func microsecondsPerMessage(_ usage: ProcessUsage) -> Double {
        self.messages > 0 ? usage.cpuSeconds * 1e6 / self.messages : 0
    }

    /// How the process is to end.
    var exitCode: Int32 {
        if self.failure != nil { return 2 }
        return self.errors.total > 0 ? 3 : 0
    }
}
