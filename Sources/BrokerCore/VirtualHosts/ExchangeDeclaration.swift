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

    /// The type of that name; also refuses to declare the default exchange.
    func checkedType() throws(Violation) -> ExchangeType {
        let type = try Self.knownType(self.type)
        try TopologyOwner.checkNotDefault(self.name, Self.method)
        return type
    }

    /// Makes the exchange, of which there is none by that name.
    func make(_ type: ExchangeType, in host: VirtualHost) throws(Violation) -> TopologyDecision {
        let subject = self.subject(in: host.name)
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

    /// Compares with the exchange of that name.
    ///
    /// Throws when the types differ: messages would go other ways than whoever declares it thinks, whatever the mode.
    func compare(
        _ type: ExchangeType,
        with current: ExchangeDefinition,
        in host: ShortString
    ) throws(Violation) -> Equivalence {
        var equivalence = Equivalence(subject: self.subject(in: host), method: Self.method)
        equivalence.check("type", received: type.name, current: current.type.name)
        if let refusal = equivalence.refusal { throw refusal }
        equivalence.check("durable", received: self.isDurable, current: current.isDurable)
        equivalence.check("auto_delete", received: self.isAutoDelete, current: current.isAutoDelete)
        equivalence.check("internal", received: self.isInternal, current: current.isInternal)
        equivalence.check(Self.alternateKey, received: self.arguments, current: current.arguments)
        return equivalence
    }

    private func subject(in host: ShortString) -> String { "exchange '\(self.name)' in vhost '\(host)'" }
}
