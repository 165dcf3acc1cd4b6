internal import AMQPProtocol

/// The windows of the exchanges that have their home on a shard, and who waits for a first message.
struct DeduplicationWindows {
    /// Somebody who is answered when a first message has arrived everywhere.
    struct Waiter {
        let channel: ChannelAddress
        /// 0 wants no answer.
        let sequence: UInt64
        /// Octets that go back to the connection's window.
        let bytes: Int
        /// Whether it wants to know why queues refuse it.
        let wantsReason: Bool
    }

    /// A first message that other shards have not answered.
    struct Pending {
        let station: Station
        let identity: MessageIdentity
        let deadline: UInt64
        /// Whether the log is told of its identity, and whether answers wait for the log.
        let isLogged: Bool
        let isPersistent: Bool
        /// What stood for the key before, and does again if a queue refuses this one; only what was not to last.
        var former: DeduplicationWindow.Entry?
        var waiters: [Waiter] = []

        /// What stood for the key before has arrived, or not.
        mutating func formerArrived(_ ticket: UInt64, isRejected: Bool) {
            guard self.former?.ticket == ticket else { return }
            if isRejected {
                self.former = nil
            } else {
                self.former?.ticket = 0
            }
        }
    }

    /// What has come to a window since the start.
    struct Counts {
        /// Messages with a key or a number.
        var published: UInt64 = 0
        /// Those among them that were known.
        var duplicates: UInt64 = 0
    }

    /// How far the log has been told again what a window knows.
    struct Telling {
        /// The window's station.
        let number: UInt32
        /// Publishers from this stamp on the log is told anyway.
        let publishersEnd: UInt64
        /// Where to go on.
        var place: UInt64 = 0
        /// Whether the keys are told, and the publishers come next.
        var hasToldKeys = false
    }

    /// The windows, by the number of their station.
    private(set) var byStation: [UInt32: DeduplicationWindow] = [:]
    /// What has come to them, by the same number.
    private(set) var counts: [UInt32: Counts] = [:]
    /// Octets that all windows take.
    private(set) var bytes = 0
    /// First messages under way, by ticket.
    var pending: [UInt64: Pending] = [:]
    /// Windows that have still to be told to the log again, the next one last.
    var untold: [Telling] = []
    /// Windows with publishers of whom the log has to be told.
    var untoldPublishers: [UInt32] = []
    private var nextTicket: UInt64 = 1

    /// The ticket of one more message.
    mutating func takeTicket() -> UInt64 {
        defer { self.nextTicket += 1 }
        return self.nextTicket
    }

    /// A message has come to a window.
    mutating func count(_ number: UInt32, isDuplicate: Bool) {
        self.counts[number, default: Counts()].published += 1
        if isDuplicate {
            self.counts[number, default: Counts()].duplicates += 1
        }
    }

    /// Changes a window, one that knows nothing if there was none.
    mutating func change<Result>(
        _ number: UInt32,
        _ arguments: FieldTable,
        _ body: (inout DeduplicationWindow) -> Result
    ) -> Result {
        // Taken out while it changes, so that it is not copied.
        var window = self.byStation.removeValue(forKey: number) ?? DeduplicationWindow(arguments)
        let before = window.bytes
        let result = body(&window)
        self.bytes += window.bytes - before
        self.byStation[number] = window
        return result
    }

    /// The log has to be told of a publisher.
    mutating func noteUntold(_ name: PublisherTable.Name, _ number: UInt32, _ arguments: FieldTable) {
        if self.change(number, arguments, { $0.publishers.noteUntold(name) }) {
            self.untoldPublishers.append(number)
        }
    }

    /// Takes over a window that was built elsewhere.
    mutating func restore(_ window: DeduplicationWindow, _ number: UInt32) {
        self.remove(number)
        self.bytes += window.bytes
        self.byStation[number] = window
    }

    /// Forgets a window.
    mutating func remove(_ number: UInt32) {
        self.bytes -= self.byStation.removeValue(forKey: number)?.bytes ?? 0
        self.counts[number] = nil
    }
}

/// How far a message at a window has come.
enum UniqueOutcome: Equatable {
    /// It is where it belongs.
    case done(isRejected: Bool)
    /// It is where it belongs when the batch under way is durable.
    case logged(isRejected: Bool)
    /// Other shards have still to answer; ``Shard/wait(for:_:)`` takes who is to be told.
    ///
    /// `isRefused` when a queue of this shard has refused it already; ``Shard/refusal`` says which one.
    case later(ticket: UInt64, isRefused: Bool)
}
