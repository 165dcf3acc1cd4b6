import AMQPProtocol

/// What the values of a queue argument must be, and RabbitMQ's words for those that are not.
///
/// The words are Erlang terms, quotes and braces included, because RabbitMQ prints the reason as it finds it.
enum QueueArgumentCheck: Sendable {
    /// An integer of any width within bounds; `above` is the word for one that is too large.
    case integer(ClosedRange<Int64>, above: String)
    /// An integer of any width that numbers a version.
    case version(ClosedRange<Int64>)
    /// A truth value.
    case boolean
    /// A string that names an exchange or is a routing key.
    case name
    /// A ``name`` that means something only beside another argument; `text` is the reason when that is missing.
    case dependentName(on: ShortString, text: String)
    /// One of a few strings; `unknown` is the reason for others, with `%` for the value.
    case choice([ShortString], unknown: String)
    /// Whatever comes.
    case anything

    /// Why a value cannot be, among all `arguments`; nil when it can.
    func refusal(of value: FieldValue, among arguments: FieldTable) -> String? {
        switch self {
        case .integer(let bounds, let above):
            return Self.refusal(of: value, within: bounds, above: above)
        case .version(let bounds):
            if let refusal = Self.refusal(of: value, within: 0...Int64.max, above: "") { return refusal }
            guard let version = value.integerValue, !bounds.contains(version) else { return nil }
            return "\"unsupported queue version '\(version)'\""
        case .boolean:
            return value.booleanValue == nil ? Self.unacceptable(value) : nil
        case .name:
            return Self.refusal(ofName: value)
        case .dependentName(let other, let text):
            return Self.refusal(ofName: value) ?? (arguments[other] == nil ? text : nil)
        case .choice(let choices, let unknown):
            guard let octets = value.stringValue else { return Self.unacceptable(value) }
            guard !choices.contains(where: { $0.bytes == octets }) else { return nil }
            let parts = unknown.split(separator: "%", omittingEmptySubsequences: false)
            return parts.joined(separator: String(decoding: octets, as: UTF8.self))
        case .anything:
            return nil
        }
    }

    private static func refusal(of value: FieldValue, within bounds: ClosedRange<Int64>, above: String) -> String? {
        guard let integer = value.integerValue else {
            return "\"expected integer, got \(value.rabbitTypeName)\""
        }
        if integer < 0 { return "{value_negative,\(integer)}" }
        if integer < bounds.lowerBound { return "{value_zero,\(integer)}" }
        if integer > bounds.upperBound { return "{\(above),\(integer)}" }
        return nil
    }

    /// A string beyond 255 octets names nothing that could ever be there.
    ///
    /// RabbitMQ stores it; we say so at once.
    private static func refusal(ofName value: FieldValue) -> String? {
        guard let octets = value.stringValue else { return self.unacceptable(value) }
        let limit = FrameLimits.maxShortStringBytes
        return octets.count > limit ? "{value_too_long,\(octets.count)}" : nil
    }

    private static func unacceptable(_ value: FieldValue) -> String {
        "{unacceptable_type,\(value.rabbitTypeName)}"
    }
}
