/// Something a client asks for on a channel.
///
/// Queues, exchanges, bindings and messages are numbers in the model's lists.
package enum Operation {
    /// What becomes of a delivery.
    package enum Outcome {
        /// `basic.ack`.
        case acknowledge
        /// `basic.nack` or `basic.reject` without requeue.
        case drop
        /// `basic.nack` or `basic.reject` with requeue.
        case requeue
    }

    case openChannel
    case closeChannel
    case declareQueue(Int, noWait: Bool)
    case inspectQueue(Int)
    case deleteQueue(Int, ifUnused: Bool, ifEmpty: Bool)
    case purgeQueue(Int)
    case declareExchange(Int)
    case deleteExchange(Int)
    case bind(Int, noWait: Bool)
    case unbind(Int)
    case publish(Int)
    case consume(tag: String, queue: Int, noAck: Bool, priority: Int, noWait: Bool)
    case cancel(tag: String)
    case get(queue: Int, noAck: Bool)
    case settle(tag: UInt64, isMultiple: Bool, Outcome)
    case recover
    case qos(count: Int, isGlobal: Bool)
    case selectConfirms
    case selectTransactions
    case commit
    case rollBack

    /// Whether the broker closes the channel when something that it names is not there.
    package var isRefusable: Bool {
        switch self {
        case .inspectQueue, .purgeQueue, .consume, .get, .publish, .bind, .deleteQueue: true
        default: false
        }
    }

    /// Whether the broker answers.
    package var isAnswered: Bool {
        switch self {
        case .publish, .settle: false
        case .declareQueue(_, let noWait), .bind(_, let noWait), .consume(_, _, _, _, let noWait): !noWait
        case .openChannel, .closeChannel, .inspectQueue, .deleteQueue, .purgeQueue, .declareExchange, .deleteExchange,
            .unbind, .cancel, .get, .recover, .qos, .selectConfirms, .selectTransactions, .commit, .rollBack:
            true
        }
    }
}

/// An operation that is not known to have been carried out.
package struct PendingOperation {
    /// Its number on the channel.
    package let number: Int
    /// What was asked for.
    package let operation: Operation
    /// When, by the judge's clock.
    package let sentAt: Int
    /// It is wrong: the broker must close the channel.
    package let mustFail: Bool
}
