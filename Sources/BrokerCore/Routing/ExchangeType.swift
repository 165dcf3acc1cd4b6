import AMQPProtocol

/// The exchange types there are; a closed set, so that routing is a `switch`.
///
/// The numbers are in the commit log and never change.
enum ExchangeType: UInt8, Sendable, CaseIterable {
    /// The binding key is the routing key.
    case direct = 0
    /// Every binding.
    case fanout = 1
    /// The binding key is a pattern of words.
    case topic = 2
    /// The binding's arguments are compared with the message's headers.
    case headers = 3
    /// One destination, the same for the same key; the binding key is its weight.
    case consistentHash = 4
    /// One binding, the same for the same routing key as long as the bindings stay.
    case modulusHash = 5
    /// One binding by chance.
    case random = 6
    /// One binding by chance, those to queues of the publisher's shard first.
    case localRandom = 7
    /// Every binding; a new one gets the last messages.
    case recentHistory = 8
    /// Messages wait as long as they say, then go the way of another type.
    case delayedMessage = 9
    /// Every binding, each key once: the exchange of the plugin for message deduplication.
    case messageDeduplication = 10

    /// The name in `exchange.declare`.
    var name: ShortString {
        switch self {
        case .direct: "direct"
        case .fanout: "fanout"
        case .topic: "topic"
        case .headers: "headers"
        case .consistentHash: "x-consistent-hash"
        case .modulusHash: "x-modulus-hash"
        case .random: "x-random"
        case .localRandom: "x-local-random"
        case .recentHistory: "x-recent-history"
        case .delayedMessage: "x-delayed-message"
        case .messageDeduplication: "x-message-deduplication"
        }
    }

    /// Finds a type by its name in `exchange.declare`; nil for others.
    init?(name: ShortString) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}
