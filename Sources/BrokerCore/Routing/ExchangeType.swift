import AMQPProtocol

/// The exchange types there are; a closed set, so that routing is a `switch`.
enum ExchangeType: UInt8, Sendable, CaseIterable {
    /// The binding key is the routing key.
    case direct
    /// Every binding.
    case fanout
    /// The binding key is a pattern of words.
    case topic
    /// The binding's arguments are compared with the message's headers.
    case headers

    /// The name in `exchange.declare`.
    var name: ShortString {
        switch self {
        case .direct: "direct"
        case .fanout: "fanout"
        case .topic: "topic"
        case .headers: "headers"
        }
    }

    /// Finds a type by its name in `exchange.declare`; nil for others.
    init?(name: ShortString) {
        guard let type = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = type
    }
}
