internal import AMQPProtocol

/// Why a message left its queue without being acknowledged.
enum DeathReason: UInt8, Sendable {
    /// A consumer rejected it and did not want it back in the queue.
    case rejected
    /// It was there too long.
    case expired
    /// The queue was full.
    case maxLength
    /// It was handed out too often.
    case deliveryLimit

    /// The word in `x-death`.
    var name: ShortString {
        switch self {
        case .rejected: "rejected"
        case .expired: "expired"
        case .maxLength: "maxlen"
        case .deliveryLimit: "delivery_limit"
        }
    }
}
