import AMQPProtocol

/// What of a message an exchange spreads by.
enum HashSource: Equatable {
    /// The routing key.
    case routingKey
    /// A header, whose absence is a value of its own.
    case header(ShortString)
    /// `message-id`.
    case messageID
    /// `correlation-id`.
    case correlationID
    /// `timestamp`.
    case timestamp

    private static let headerKey: ShortString = "hash-header"
    private static let propertyKey: ShortString = "hash-property"
    /// LavinMQ's name for ``headerKey``.
    private static let hashOnKey: ShortString = "x-hash-on"
    /// LavinMQ's choice of a way to spread; ours is as even as either.
    private static let algorithmKey: ShortString = "x-algorithm"

    /// Reads the arguments of an exchange that was declared.
    init(_ arguments: FieldTable) {
        if let header = Self.header(arguments) {
            self = .header(header)
            return
        }
        switch arguments[Self.propertyKey]?.stringValue.map({ String(decoding: $0, as: UTF8.self) }) {
        case "message_id": self = .messageID
        case "correlation_id": self = .correlationID
        case "timestamp": self = .timestamp
        default: self = .routingKey
        }
    }

    private static func header(_ arguments: FieldTable) -> ShortString? {
        for key in [self.headerKey, self.hashOnKey] {
            if let name = arguments[key]?.stringValue.flatMap({ ShortString($0) }) { return name }
        }
        return nil
    }

    /// Why an exchange cannot be declared with arguments, in RabbitMQ's words where it has any; nil when it can.
    static func refusal(_ arguments: FieldTable) -> String? {
        let header = arguments[self.headerKey] ?? arguments[self.hashOnKey]
        if header != nil && arguments[self.propertyKey] != nil {
            return "hash-header and hash-property are mutually exclusive"
        }
        // RabbitMQ's channel process dies of these values; we say what is wrong.
        if let header, header.stringValue.flatMap({ ShortString($0) }) == nil {
            return "Invalid argument, 'hash-header' must be the name of a header"
        }
        if let property = arguments[self.propertyKey] {
            let name = property.stringValue.map { String(decoding: $0, as: UTF8.self) } ?? ErlangTerm.text(property)
            guard property.stringValue != nil, ["message_id", "correlation_id", "timestamp"].contains(name) else {
                return "Unsupported property: \(name)"
            }
        }
        if let algorithm = arguments[self.algorithmKey] {
            let name = algorithm.stringValue.map { String(decoding: $0, as: UTF8.self) }
            guard name == "ring" || name == "jump" else {
                return "Invalid argument, 'x-algorithm' must be 'ring' or 'jump'"
            }
        }
        return nil
    }

    /// The hash of what a message is spread by.
    func hash(_ routingKey: UnsafeRawBufferPointer, _ message: inout MessageHeaders) -> UInt64 {
        switch self {
        case .routingKey:
            return StableHash.hash(routingKey)
        case .header(let name):
            return StableHash.hash(MessageHeaders.find(name, in: message.entries()).map(Self.octets) ?? [])
        case .messageID, .correlationID, .timestamp:
            guard let (properties, scan) = message.properties() else { return StableHash.hash([]) }
            if self == .timestamp {
                return StableHash.hash(scan.timestamp.map { Array("\($0)".utf8) } ?? [])
            }
            guard let range = self == .messageID ? scan.messageID : scan.correlationID else {
                return StableHash.hash([])
            }
            return StableHash.hash(UnsafeRawBufferPointer(rebasing: properties[range]))
        }
    }

    /// The octets of a value, the same for integers of any width.
    private static func octets(_ value: FieldValue) -> [UInt8] {
        if let octets = value.stringValue { return octets }
        if let integer = value.integerValue { return Array("\(integer)".utf8) }
        return FieldTable([("", value)]).encodedBytes
    }
}
