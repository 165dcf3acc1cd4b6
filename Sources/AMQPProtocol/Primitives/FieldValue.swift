/// A value in a field table or array, one case for each tag that RabbitMQ knows.
///
/// These are the tags in use, not those of the specification's grammar: `s` is a 16-bit integer and there is no short
/// string. Every case keeps enough to write the same octets again.
public enum FieldValue: Hashable, Sendable {
    /// Tag `t`: the octet as it came, because clients have sent more than 0 and 1. See ``boolean(_:)``.
    case bool(UInt8)
    /// Tag `b`.
    case int8(Int8)
    /// Tag `B`.
    case uint8(UInt8)
    /// Tag `s`.
    case int16(Int16)
    /// Tag `u`.
    case uint16(UInt16)
    /// Tag `I`.
    case int32(Int32)
    /// Tag `i`.
    case uint32(UInt32)
    /// Tag `l`, which RabbitMQ writes for 64-bit integers.
    case int64(Int64)
    /// Tag `L`, the same value as ``int64(_:)`` under the tag that some clients write.
    case int64L(Int64)
    /// Tag `f`.
    case float(Float)
    /// Tag `d`.
    case double(Double)
    /// Tag `D`: the unscaled value divided by ten to the power of the scale.
    case decimal(scale: UInt8, value: UInt32)
    /// Tag `S`: text or any octets.
    case longString([UInt8])
    /// Tag `x`.
    case byteArray([UInt8])
    /// Tag `T`: seconds since 1970.
    case timestamp(UInt64)
    /// Tag `F`.
    case table(FieldTable)
    /// Tag `A`.
    case array(FieldArray)
    /// Tag `V`.
    case void

    /// The usual form of a truth value.
    public static func boolean(_ value: Bool) -> FieldValue { .bool(value ? 1 : 0) }

    /// A long string with the UTF-8 octets of a text.
    public static func string(_ text: String) -> FieldValue { .longString(Array(text.utf8)) }
}

extension FieldValue {
    /// The tag octet in front of the value.
    public var tag: FieldTag {
        switch self {
        case .bool: .bool
        case .int8: .int8
        case .uint8: .uint8
        case .int16: .int16
        case .uint16: .uint16
        case .int32: .int32
        case .uint32: .uint32
        case .int64: .int64
        case .int64L: .int64L
        case .float: .float
        case .double: .double
        case .decimal: .decimal
        case .longString: .longString
        case .byteArray: .byteArray
        case .timestamp: .timestamp
        case .table: .table
        case .array: .array
        case .void: .void
        }
    }

    /// The type's name in RabbitMQ's error texts, such as `signedint`.
    public var rabbitTypeName: String { self.tag.rabbitTypeName }

    /// The value of any integer tag; nil for every other type.
    public var integerValue: Int64? {
        switch self {
        case .int8(let value): Int64(value)
        case .uint8(let value): Int64(value)
        case .int16(let value): Int64(value)
        case .uint16(let value): Int64(value)
        case .int32(let value): Int64(value)
        case .uint32(let value): Int64(value)
        case .int64(let value), .int64L(let value): value
        case .bool, .float, .double, .decimal, .longString, .byteArray, .timestamp, .table, .array, .void: nil
        }
    }

    /// The octets of a long string; nil for every other type, byte arrays included.
    public var stringValue: [UInt8]? {
        guard case .longString(let bytes) = self else { return nil }
        return bytes
    }

    /// The truth value; nil for every other type.
    public var booleanValue: Bool? {
        guard case .bool(let octet) = self else { return nil }
        return octet != 0
    }

    /// Whether RabbitMQ takes two values for the same argument.
    ///
    /// Integers and timestamps are compared by value whatever their width, and so are the two floating-point types; truth
    /// values by their meaning; everything else must agree in type and octets.
    public func isEquivalent(to other: FieldValue) -> Bool {
        if let left = self.wholeNumber, let right = other.wholeNumber { return left == right }
        if let left = self.booleanValue, let right = other.booleanValue { return left == right }
        if let left = self.floatingValue, let right = other.floatingValue { return left == right }
        return self == other
    }

    /// Any integer or timestamp; wide enough that signed and unsigned 64 bits compare by value.
    private var wholeNumber: Int128? {
        if case .timestamp(let seconds) = self { return Int128(seconds) }
        return self.integerValue.map { Int128($0) }
    }

    private var floatingValue: Double? {
        switch self {
        case .float(let value): Double(value)
        case .double(let value): value
        case .bool, .int8, .uint8, .int16, .uint16, .int32, .uint32, .int64, .int64L, .decimal, .longString, .byteArray,
            .timestamp, .table, .array, .void:
            nil
        }
    }
}
