internal import AMQPProtocol

/// What a transactional channel has been asked to do and has not done yet.
///
/// Routing happens at publish time (refusals belong to the publish); returns are sent, and queues see the messages, and the
/// outcome of deliveries, at commit.
struct Transaction {
    /// A message on its way.
    struct Publish {
        /// The message in the store, with one reference for the transaction.
        var slot: UInt32
        var flags: QueueEntry.Flags
        var targets: [QueueAddress]
        /// Mandatory, and without a route when it was published.
        var isReturned: Bool
        /// Of a mandatory message, the queues among ``targets``: when all are gone at the commit, it is returned.
        var queues: ContiguousArray<QueueInfo>
    }

    /// An outcome on its way.
    struct Settlement {
        var tag: UInt64
        var entry: LedgerEntry
        var outcome: SettleOutcome
    }

    var publishes: [Publish] = []
    var settlements: [Settlement] = []
    /// Octets of the messages in ``publishes``.
    var bytes = 0
    /// Answers from other shards that `commit-ok` waits for.
    var pendingAnswers = 0
    var isRejected = false
    var isCommitting = false
}

/// What a consumer decided about a delivery.
enum SettleOutcome: UInt8 {
    /// Done: the queue forgets the message.
    case acknowledge = 0
    /// Back to its place in the queue.
    case requeue = 1
    /// Dropped, or dead-lettered.
    case reject = 2
    /// Back to its place, not marked as redelivered: it never reached the client.
    case undelivered = 3
    /// Back to its place, without the consumer having said anything about it.
    case returned = 4
    /// Asked back by the consumer with `basic.recover`.
    case recovered = 5
}
