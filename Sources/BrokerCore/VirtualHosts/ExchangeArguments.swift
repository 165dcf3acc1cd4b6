import AMQPProtocol

/// The arguments that exchange types know.
enum ExchangeArguments {
    /// How many messages an `x-recent-history` exchange keeps.
    static let historyLength: ShortString = "x-recent-history-length"

    /// Why an exchange of a type cannot be declared with arguments, in RabbitMQ's words; nil when it can.
    static func refusal(of arguments: FieldTable, for type: ExchangeType) -> String? {
        switch type {
        case .direct, .fanout, .topic, .headers, .modulusHash, .random, .localRandom, .delayedMessage: nil
        case .consistentHash: HashSource.refusal(arguments)
        case .recentHistory: self.refusal(ofHistory: arguments)
        }
    }

    private static func refusal(ofHistory arguments: FieldTable) -> String? {
        guard let length = arguments[self.historyLength], (length.integerValue ?? 0) < 1 else { return nil }
        return "Invalid argument \(ErlangTerm.text(length)), '\(self.historyLength)' must be a positive integer"
    }
}
