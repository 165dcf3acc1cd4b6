import AMQPProtocol

/// An `exchange.declare` that is not passive, with the checks in RabbitMQ's order.
struct ExchangeDeclaration {
    /// The name without line breaks.
    let name: ShortString
    /// The type as the client named it.
    let type: ShortString
    /// Whether it shall survive a restart.
    let isDurable: Bool
    /// Whether it shall go with its last binding.
    let isAutoDelete: Bool
    /// Whether clients may not publish to it.
    let isInternal: Bool
    /// The arguments as they came.
    let arguments: FieldTable

    private static let alternateKey: ShortString = "alternate-exchange"
    private static let method = ExchangeDeclare.id

    /// Refuses, finds the exchange or makes it.
    func decide(in host: VirtualHost) throws(Violation) -> TopologyDecision {
        let type = try Self.knownType(self.type)
        try TopologyOwner.checkNotDefault(self.name, Self.method)
        let subject = "exchange '\(self.name)' in vhost '\(host.name)'"
        if let exchange = host.exchange(named: self.name) {
            try self.checkEquivalence(of: type, to: exchange.definition, subject)
            return .done
        }
        guard !self.name.hasPrefix("amq.") else {
            let text: ReplyText = "exchange name '\(self.name)' contains reserved prefix 'amq.*'"
            throw .channel(.accessRefused, text: text, method: Self.method)
        }
        if let alternate = self.arguments[Self.alternateKey], alternate.stringValue == nil {
            let text: ReplyText =
                "invalid type '\(alternate.rabbitTypeName)' for arg '\(Self.alternateKey)' in \(subject)"
            throw .channel(.preconditionFailed, text: text, method: Self.method)
        }
        if let refusal = ExchangeArguments.refusal(of: self.arguments, for: type) {
            throw .channel(.preconditionFailed, text: ReplyText(refusal), method: Self.method)
        }
        if type == .delayedMessage, let name = ExchangeArguments.delayedType(self.arguments) {
            _ = try Self.knownType(name)
        }
        let definition = ExchangeDefinition(
            name: self.name,
            type: type,
            isDurable: self.isDurable,
            isAutoDelete: self.isAutoDelete,
            isInternal: self.isInternal,
            arguments: self.arguments
        )
        return .apply([.addExchange(virtualHost: host.name, definition)])
    }

    private static func knownType(_ name: ShortString) throws(Violation) -> ExchangeType {
        if let type = ExchangeType(name: name) { return type }
        let adjective = name.isEmpty ? "invalid" : "unknown"
        throw .connection(.commandInvalid, text: "\(adjective) exchange type '\(name)'", method: Self.method)
    }

    private func checkEquivalence(
        of type: ExchangeType,
        to current: ExchangeDefinition,
        _ subject: String
    ) throws(Violation) {
        let equivalence = Equivalence(subject: subject, method: Self.method)
        try equivalence.check("type", received: type.name, current: current.type.name)
        try equivalence.check("durable", received: self.isDurable, current: current.isDurable)
        try equivalence.check("auto_delete", received: self.isAutoDelete, current: current.isAutoDelete)
        try equivalence.check("internal", received: self.isInternal, current: current.isInternal)
        try equivalence.check(Self.alternateKey, received: self.arguments, current: current.arguments)
    }
}
