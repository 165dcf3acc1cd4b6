/// A JSON value whose members keep their order.
///
/// Used where the command line and the broker talk to each other: neither needs Foundation for it, and what a person
/// reads comes in the order in which it was written.
public enum JSONValue: Sendable, Equatable {
    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// A number without a fraction that fits.
    case integer(Int64)
    /// Any other number.
    case number(Double)
    /// A text.
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Members in their order; of a name that is there twice, ``subscript(_:)`` finds the last one.
    case object([Member])

    /// A name with its value.
    public struct Member: Sendable, Equatable {
        /// The name.
        public var name: String
        /// The value.
        public var value: JSONValue

        /// Makes a member.
        public init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    /// The member of an object; nil when there is none, or this is no object.
    public subscript(name: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.name == name }?.value
    }

    /// The text; nil for anything else.
    public var text: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    /// The whole number; nil for anything else.
    public var integer: Int64? {
        guard case .integer(let value) = self else { return nil }
        return value
    }

    /// The truth value; nil for anything else.
    public var bool: Bool? {
        guard case .bool(let value) = self else { return nil }
        return value
    }

    /// The items; nil for anything else.
    public var items: [JSONValue]? {
        guard case .array(let items) = self else { return nil }
        return items
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A text.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A number.
    public init(integerLiteral value: Int64) { self = .integer(value) }
    /// A truth value.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A list.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// Members in their order.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
}

// MARK: Writing

extension JSONValue {
    /// The value in one line.
    public var line: String {
        var octets: [UInt8] = []
        self.write(to: &octets)
        return String(decoding: octets, as: UTF8.self)
    }

    /// Appends the value's text without a line break.
    public func write(to octets: inout [UInt8]) {
        switch self {
        case .null: octets.append(contentsOf: "null".utf8)
        case .bool(let value): octets.append(contentsOf: (value ? "true" : "false").utf8)
        case .integer(let value): octets.append(contentsOf: "\(value)".utf8)
        case .number(let value):
            // JSON knows neither infinity nor what is no number.
            octets.append(contentsOf: (value.isFinite ? "\(value)" : "null").utf8)
        case .string(let text): Self.write(text, to: &octets)
        case .array(let items):
            octets.append(UInt8(ascii: "["))
            for (index, item) in items.enumerated() {
                if index > 0 { octets.append(UInt8(ascii: ",")) }
                item.write(to: &octets)
            }
            octets.append(UInt8(ascii: "]"))
        case .object(let members):
            octets.append(UInt8(ascii: "{"))
            for (index, member) in members.enumerated() {
                if index > 0 { octets.append(UInt8(ascii: ",")) }
                Self.write(member.name, to: &octets)
                octets.append(UInt8(ascii: ":"))
                member.value.write(to: &octets)
            }
            octets.append(UInt8(ascii: "}"))
        }
    }

    private static func write(_ text: String, to octets: inout [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        octets.append(UInt8(ascii: "\""))
        for octet in text.utf8 {
            switch octet {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): octets.append(contentsOf: [UInt8(ascii: "\\"), octet])
            case 8: octets.append(contentsOf: "\\b".utf8)
            case 9: octets.append(contentsOf: "\\t".utf8)
            case 10: octets.append(contentsOf: "\\n".utf8)
            case 12: octets.append(contentsOf: "\\f".utf8)
            case 13: octets.append(contentsOf: "\\r".utf8)
            case 0..<32, 127:
                octets.append(contentsOf: "\\u00".utf8)
                octets.append(contentsOf: [digits[Int(octet >> 4)], digits[Int(octet & 15)]])
            default: octets.append(octet)
            }
        }
        octets.append(UInt8(ascii: "\""))
    }
}
