internal import AMQPProtocol

/// The keys of policies: what their values must be, in RabbitMQ's words, and how two policies are merged.
enum PolicyDefinition {
    private enum Check {
        /// An integer that is not below a bound.
        case integer(Int64)
        /// A string that may name something.
        case name
        /// One of a few strings.
        case choice([String])
        /// One of a few integers.
        case number(ClosedRange<Int64>)
        /// A number with a unit of time.
        case age
        /// Whatever comes.
        case anything
    }

    private struct Key {
        let name: ShortString
        let check: Check
        /// RabbitMQ's words behind the value that cannot be.
        let complaint: String
        /// Whether an operator policy may have it.
        var isOperators = false
    }

    private static let keys: [Key] = [
        Key(name: "alternate-exchange", check: .name, complaint: "is not a valid alternate exchange name"),
        Key(name: "consumer-disconnected-timeout", check: .integer(0), complaint: "is not a valid timeout"),
        Key(name: "consumer-timeout", check: .integer(0), complaint: "is not a valid consumer timeout"),
        Key(name: "dead-letter-exchange", check: .name, complaint: "is not a valid dead letter exchange name"),
        Key(name: "dead-letter-routing-key", check: .name, complaint: "is not a valid dead letter routing key"),
        Key(
            name: "dead-letter-strategy",
            check: .choice(["at-most-once", "at-least-once"]),
            complaint: "is not a valid dead letter strategy"
        ),
        Key(name: "delay-header", check: .name, complaint: "is not a valid delay header name"),
        Key(name: "delayed-message", check: .anything, complaint: ""),
        Key(
            name: "delayed-retry-max",
            check: .integer(0),
            complaint: "is not a valid delayed retry maximum",
            isOperators: true
        ),
        Key(
            name: "delayed-retry-min",
            check: .integer(0),
            complaint: "is not a valid delayed retry minimum",
            isOperators: true
        ),
        Key(
            name: "delayed-retry-type",
            check: .choice(["disabled", "all", "failed", "returned"]),
            complaint: "is not a valid delayed retry type",
            isOperators: true
        ),
        Key(name: "delivery-limit", check: .integer(0), complaint: "is not a valid delivery limit", isOperators: true),
        Key(
            name: "dispatch",
            check: .choice(["round-robin", "least-loaded"]),
            complaint: "is not a valid dispatch value"
        ),
        Key(name: "expires", check: .integer(1), complaint: "is not a valid queue expiry", isOperators: true),
        Key(name: "federation-upstream", check: .anything, complaint: ""),
        Key(name: "federation-upstream-set", check: .anything, complaint: ""),
        Key(name: "group-header", check: .name, complaint: "is not a valid group header name"),
        Key(name: "ha-mode", check: .choice(["all", "exactly", "nodes"]), complaint: "is not a valid ha-mode value"),
        Key(name: "ha-params", check: .anything, complaint: ""),
        Key(name: "ha-promote-on-failure", check: .anything, complaint: ""),
        Key(name: "ha-promote-on-shutdown", check: .anything, complaint: ""),
        Key(name: "ha-sync-batch-size", check: .anything, complaint: ""),
        Key(name: "ha-sync-mode", check: .anything, complaint: ""),
        Key(name: "initial-cluster-size", check: .integer(1), complaint: "is not a valid cluster size"),
        Key(name: "max-age", check: .age, complaint: "is not a valid max age"),
        Key(
            name: "max-in-memory-bytes",
            check: .integer(0),
            complaint: "is not a valid maximum memory in bytes",
            isOperators: true
        ),
        Key(
            name: "max-in-memory-length",
            check: .integer(0),
            complaint: "is not a valid maximum memory in bytes",
            isOperators: true
        ),
        Key(name: "max-length", check: .integer(0), complaint: "is not a valid maximum length", isOperators: true),
        Key(
            name: "max-length-bytes",
            check: .integer(0),
            complaint: "is not a valid maximum length in bytes",
            isOperators: true
        ),
        Key(
            name: "max-priority",
            check: .number(0...255),
            complaint: "is not a valid maximum priority"
        ),
        Key(name: "message-ttl", check: .integer(0), complaint: "is not a valid message TTL", isOperators: true),
        Key(
            name: "overflow",
            check: .choice(["drop-head", "reject-publish", "reject-publish-dlx"]),
            complaint: "is not a valid overflow value",
            isOperators: true
        ),
        Key(
            name: "queue-leader-locator",
            check: .choice(["client-local", "balanced", "random", "least-leaders"]),
            complaint: "is not a valid queue leader locator value"
        ),
        Key(
            name: "queue-master-locator",
            check: .choice(["min-masters", "client-local", "random"]),
            complaint: "invalid queue-master-locator value"
        ),
        Key(name: "queue-mode", check: .choice(["default", "lazy"]), complaint: "is not a valid queue-mode value"),
        Key(
            name: "queue-version",
            check: .number(1...2),
            complaint: "is not a valid queue-version value",
            isOperators: true
        ),
        Key(name: "stream-filter-size-bytes", check: .number(16...255), complaint: "is not a valid filter size"),
        Key(name: "stream-max-segment-size-bytes", check: .integer(0), complaint: "is not a valid segment size"),
        Key(name: "target-group-size", check: .integer(1), complaint: "is not a valid group size", isOperators: true),
    ]

    /// Numbers of which the smaller one counts.
    private static let limits: Set<ShortString> = [
        "consumer-timeout", "delayed-retry-max", "delayed-retry-min", "delivery-limit", "expires",
        "max-in-memory-bytes",
        "max-in-memory-length", "max-length", "max-length-bytes", "message-ttl",
    ]

    /// Why a definition cannot be; nil when it can.
    ///
    /// Of several mistakes the first by key is named, and one in a value before keys that nobody knows.
    static func refusal(of definition: FieldTable, isOperator: Bool) -> String? {
        guard !definition.isEmpty else { return "no policy provided" }
        var unknown: [String] = []
        for (name, value) in self.ordered(definition) {
            guard let key = self.keys.first(where: { $0.name == name && ($0.isOperators || !isOperator) }) else {
                let term = name.bytes.withUnsafeBytes { ErlangTerm.binary($0) }
                unknown.append("{\(term),\(ErlangTerm.text(value))}")
                continue
            }
            if !self.accepts(value, key.check) { return "\(ErlangTerm.text(value)) \(key.complaint)" }
        }
        return unknown.isEmpty ? nil : "[\(unknown.joined(separator: ","))] are not recognised policy settings"
    }

    private static func accepts(_ value: FieldValue, _ check: Check) -> Bool {
        switch check {
        case .integer(let least):
            return value.integerValue.map { $0 >= least } ?? false
        case .number(let range):
            return value.integerValue.map { range.contains($0) } ?? false
        case .name:
            // A longer name can be nobody's.
            return value.stringValue.map { $0.count <= FrameLimits.maxShortStringBytes } ?? false
        case .choice(let choices):
            return value.stringValue.map { choices.contains(String(decoding: $0, as: UTF8.self)) } ?? false
        case .age:
            guard let octets = value.stringValue, let unit = octets.last, octets.count > 1 else { return false }
            return octets.dropLast().allSatisfy { ByteSet.digits.contains($0) }
                && "YMDhms".utf8.contains(unit)
        case .anything:
            return true
        }
    }

    /// The same entries by key; of a key that is there twice the last one.
    static func ordered(_ definition: FieldTable) -> FieldTable {
        var entries: [ShortString: FieldValue] = [:]
        for (key, value) in definition { entries[key] = value }
        return FieldTable(entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }

    /// What a policy and an operator policy say together.
    static func merge(_ policy: FieldTable, operator operatorPolicy: FieldTable) -> FieldTable {
        var entries: [ShortString: FieldValue] = [:]
        for (key, value) in policy { entries[key] = value }
        for (key, value) in operatorPolicy {
            guard let old = entries[key]?.integerValue, let new = value.integerValue, self.limits.contains(key) else {
                entries[key] = value
                continue
            }
            entries[key] = .int64(min(old, new))
        }
        return FieldTable(entries.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
    }
}
