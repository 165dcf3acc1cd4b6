import AMQPProtocol

/// Routes by comparing the arguments of bindings with the headers of the message.
///
/// `x-match` says how: `all` (also when it is absent) and `any` leave arguments whose names begin with `x-` out,
/// `all-with-x` and `any-with-x` compare them too. `all` of nothing is everything, `any` of nothing is nothing. A void
/// argument asks only for the header to be there.
///
/// Every binding is looked at for every message; a headers exchange is not made for thousands of bindings.
final class HeadersExchange {
    /// What `x-match` asks for.
    fileprivate enum Match {
        case all
        case any
        case allWithX
        case anyWithX

        init?(_ octets: [UInt8]) {
            switch String(decoding: octets, as: UTF8.self) {
            case "all": self = .all
            case "any": self = .any
            case "all-with-x": self = .allWithX
            case "any-with-x": self = .anyWithX
            default: return nil
            }
        }
    }

    /// A binding with its arguments taken apart.
    struct Rule {
        /// Whether every header must be there, and not any one.
        let needsAll: Bool
        /// The headers that are asked for.
        let wanted: [(key: ShortString, value: FieldValue)]

        /// Reads the arguments of a binding.
        init(_ arguments: FieldTable) {
            let match = arguments[HeadersExchange.matchKey]?.stringValue.flatMap { Match($0) } ?? .all
            self.needsAll = match == .all || match == .allWithX
            let comparesX = match == .allWithX || match == .anyWithX
            self.wanted = arguments.filter { key, _ in
                key != HeadersExchange.matchKey && (comparesX || !key.hasPrefix("x-"))
            }
        }

        fileprivate func matches(_ headers: [(key: ShortString, value: FieldValue)]) -> Bool {
            for (key, value) in self.wanted {
                let isMet = MessageHeaders.find(key, in: headers).map { value.accepts($0) } ?? false
                if isMet != self.needsAll { return isMet }
            }
            return self.needsAll
        }
    }

    fileprivate static let matchKey: ShortString = "x-match"

    private var bindings = BindingList()
    private var rules: [ObjectIdentifier: Rule] = [:]

    /// Makes an exchange without bindings.
    init() {}

    /// Adds a binding.
    func bind(_ binding: Binding) {
        self.bindings.insert(binding, as: .route)
        self.rules[ObjectIdentifier(binding)] = Rule(binding.arguments)
    }

    /// Takes a binding away that was added.
    func unbind(_ binding: Binding) {
        self.bindings.remove(binding, as: .route)
        self.rules[ObjectIdentifier(binding)] = nil
    }

    /// Adds the destinations of all bindings that match; says whether there was any.
    func route(_ headers: inout MessageHeaders, into targets: inout RouteTargets) -> Bool {
        guard !self.bindings.isEmpty else { return false }
        let entries = headers.entries()
        var isFound = false
        for binding in self.bindings {
            guard let rule = self.rules[ObjectIdentifier(binding)], rule.matches(entries) else { continue }
            targets.add(binding)
            isFound = true
        }
        return isFound
    }

    /// Why a binding cannot be, in RabbitMQ's words; nil when it can.
    static func validate(_ binding: BindingDefinition) -> String? {
        guard let value = binding.arguments[Self.matchKey] else { return nil }
        guard let octets = value.stringValue else {
            let term = ErlangTerm.text(value)
            return "Invalid x-match field type \(value.rabbitTypeName) (value \(term)); expected longstr"
        }
        guard Match(octets) == nil else { return nil }
        return "Invalid x-match field value \(ErlangTerm.text(value)); expected all, any, all-with-x, or any-with-x"
    }
}

extension FieldValue {
    /// Whether a header satisfies a binding's argument; a void argument asks only for the header to be there.
    func accepts(_ header: FieldValue) -> Bool {
        if case .void = self { return true }
        return self.meansTheSame(as: header)
    }
}
