import AMQPProtocol

/// Compares what is declared again with what is there, and says in RabbitMQ's words how they differ.
struct Equivalence {
    /// What is declared, such as `queue 'q' in vhost '/'`.
    let subject: String
    /// The declaring method.
    let method: MethodID

    /// Refuses a property that differs.
    func check<Property: Equatable>(_ name: String, received: Property, current: Property) throws(Violation) {
        guard received != current else { return }
        throw self.refusal(name, received: "'\(received)'", current: "'\(current)'")
    }

    /// Refuses an argument that differs.
    ///
    /// Integers are compared by value whatever their width, strings by octets whether tagged as text or as bytes.
    func check(_ name: ShortString, received: FieldTable, current: FieldTable) throws(Violation) {
        switch (received[name], current[name]) {
        case (nil, nil):
            return
        case (let received?, nil):
            throw self.refusal(name.description, received: Self.typed(received), current: "none")
        case (nil, let current?):
            throw self.refusal(name.description, received: "none", current: Self.typed(current))
        case (let received?, let current?):
            guard !received.meansTheSame(as: current) else { return }
            throw self.refusal(
                name.description,
                received: "'\(Self.bare(received))'",
                current: "'\(Self.bare(current))'"
            )
        }
    }

    private func refusal(_ name: String, received: String, current: String) -> Violation {
        .channel(
            .preconditionFailed,
            text: "inequivalent arg '\(name)' for \(self.subject): received \(received) but current is \(current)",
            method: self.method
        )
    }

    private static func typed(_ value: FieldValue) -> String {
        "the value '\(self.bare(value))' of type '\(value.rabbitTypeName)'"
    }

    /// A value as RabbitMQ prints it: strings as they are, all else as Erlang terms.
    private static func bare(_ value: FieldValue) -> String {
        switch value {
        case .longString(let octets), .byteArray(let octets): String(decoding: octets, as: UTF8.self)
        default: ErlangTerm.text(value)
        }
    }
}
