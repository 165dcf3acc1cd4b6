internal import AMQPProtocol

extension HeadersExchange {
    /// Why a binding with these arguments matches headers, ordered by name, or does not.
    static func explain(
        _ arguments: FieldTable,
        _ headers: [(key: ShortString, value: FieldValue)]
    ) -> (isMatched: Bool, reason: BindingReason) {
        let rule = Rule(arguments)
        for (key, wanted) in rule.wanted {
            let found = MessageHeaders.find(key, in: headers)
            let isMet = found.map { wanted.accepts($0) } ?? false
            guard isMet != rule.needsAll else { continue }
            if isMet { return (true, .oneHeader("\(key)")) }
            let want = Self.text(wanted)
            guard let found else { return (false, .missingHeader("\(key)", wanted: want)) }
            return (false, .otherHeader("\(key)", wanted: want, found: Self.text(found)))
        }
        guard rule.needsAll else { return (false, .noHeader(rule.wanted.map { "\($0.key)" })) }
        return (true, .allHeaders(count: rule.wanted.count))
    }

    /// A value for people, not longer than fits into a line.
    private static func text(_ value: FieldValue) -> String {
        if case .void = value { return "any value" }
        if let octets = value.stringValue { return "'\(String(decoding: octets.prefix(80), as: UTF8.self))'" }
        return String(ErlangTerm.text(value).prefix(80))
    }
}
