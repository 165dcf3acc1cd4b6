import AMQPProtocol

/// The arguments that exchange types know.
enum ExchangeArguments {
    /// How many messages an `x-recent-history` exchange keeps.
    static let historyLength: ShortString = "x-recent-history-length"
    /// The type by which an `x-delayed-message` exchange routes.
    private static let delayedTypeKey: ShortString = "x-delayed-type"

    /// Why an exchange of a type cannot be declared with arguments, in RabbitMQ's words; nil when it can.
    static func refusal(of arguments: FieldTable, for type: ExchangeType) -> String? {
        if let refusal = DeduplicationArguments.refusal(arguments) { return refusal }
        return switch type {
        case .direct, .fanout, .topic, .headers, .modulusHash, .random, .localRandom: nil
        case .consistentHash: HashSource.refusal(arguments)
        case .recentHistory: self.refusal(ofHistory: arguments)
        case .delayedMessage: self.refusal(ofDelayed: arguments)
        case .messageDeduplication: DeduplicationArguments.refusalOfType(arguments)
        }
    }

    /// The name of the type by which an `x-delayed-message` exchange routes; nil when it is no name.
    static func delayedType(_ arguments: FieldTable) -> ShortString? {
        arguments[self.delayedTypeKey]?.stringValue.flatMap { ShortString($0) }
    }

    /// Whether the type is known is looked at elsewhere: it ends the connection.
    private static func refusal(ofDelayed arguments: FieldTable) -> String? {
        guard let name = self.delayedType(arguments) else {
            return "Invalid argument, 'x-delayed-type' must be an existing exchange type"
        }
        guard name != ExchangeType.delayedMessage.name else {
            return "Invalid argument, 'x-delayed-message' can't be used for 'x-delayed-type'"
        }
        return ExchangeType(name: name).flatMap { self.refusal(of: arguments, for: $0) }
    }

    private static func refusal(ofHistory arguments: FieldTable) -> String? {
        guard let length = arguments[self.historyLength] else { return nil }
        switch length {
        case .uint8, .uint16, .uint32: break  // RabbitMQ's plugin takes signed integers alone.
        default: if (length.integerValue ?? 0) > 0 { return nil }
        }
        return "Invalid argument \(ErlangTerm.text(length)), '\(self.historyLength)' must be a positive integer"
    }
}
