import AMQPProtocol

/// Compares what is declared again with what is there, and says in RabbitMQ's words how they differ.
struct Equivalence {
    /// A property or argument that differs.
    private struct Difference {
        let name: String
        let received: String
        let current: String

        var text: String { "'\(self.name)': received \(self.received) but current is \(self.current)" }
    }

    /// What is declared, such as `queue 'q' in vhost '/'`.
    let subject: String
    /// The declaring method.
    let method: MethodID

    private var differences: [Difference] = []

    init(subject: String, method: MethodID) {
        self.subject = subject
        self.method = method
    }

    // MARK: Comparing

    /// Compares a property.
    mutating func check<Property: Equatable>(_ name: String, received: Property, current: Property) {
        guard received != current else { return }
        self.differences.append(Difference(name: name, received: "'\(received)'", current: "'\(current)'"))
    }

    /// Compares an argument.
    ///
    /// Numbers are compared by value whatever their width, but an integer is no fraction; strings by octets whether tagged
    /// as text or as bytes.
    mutating func check(_ name: ShortString, received: FieldTable, current: FieldTable) {
        let difference: (String, String)
        switch (received[name], current[name]) {
        case (nil, nil):
            return
        case (let received?, nil):
            difference = (Self.typed(received), "none")
        case (nil, let current?):
            difference = ("none", Self.typed(current))
        case (let received?, let current?):
            guard !received.isTheSameArgument(as: current) else { return }
            difference = (Self.quoted(received), Self.quoted(current))
        }
        self.differences.append(
            Difference(name: name.description, received: difference.0, current: difference.1)
        )
    }

    /// A value in quotes; RabbitMQ takes a void one for none.
    private static func quoted(_ value: FieldValue) -> String {
        if case .void = value { return "none" }
        return "'\(self.bare(value))'"
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

    // MARK: The outcome

    /// How RabbitMQ refuses it, naming the first difference; nil when there is none.
    var refusal: Violation? {
        guard let first = self.differences.first else { return nil }
        return .channel(
            .preconditionFailed,
            text: "inequivalent arg '\(first.name)' for \(self.subject): received \(first.received) "
                + "but current is \(first.current)",
            method: self.method
        )
    }

    /// Whether there is more to say than the refusal does.
    var hasSeveral: Bool { self.differences.count > 1 }

    /// All differences, with both values of each.
    var summary: String {
        "\(self.subject) is there with other properties: \(self.differences.map(\.text).joined(separator: ", "))"
    }
}

/// Something was declared again, and not as it is.
struct Redeclaration: Equatable, Sendable {
    /// What differs, and what has come of it; for the log.
    let text: String
    /// Whether the channel that declared it is closed for it.
    let isRefused: Bool
}
