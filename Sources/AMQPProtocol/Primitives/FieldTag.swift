/// The octet in front of a field value that says its type.
public enum FieldTag: UInt8, Hashable, Sendable, CaseIterable {
    /// `t`, a truth value in one octet.
    case bool = 0x74
    /// `b`, signed 8 bits.
    case int8 = 0x62
    /// `B`, unsigned 8 bits.
    case uint8 = 0x42
    /// `s`, signed 16 bits.
    case int16 = 0x73
    /// `u`, unsigned 16 bits.
    case uint16 = 0x75
    /// `I`, signed 32 bits.
    case int32 = 0x49
    /// `i`, unsigned 32 bits.
    case uint32 = 0x69
    /// `l`, signed 64 bits.
    case int64 = 0x6C
    /// `L`, signed 64 bits.
    case int64L = 0x4C
    /// `f`, IEEE 754 with 32 bits.
    case float = 0x66
    /// `d`, IEEE 754 with 64 bits.
    case double = 0x64
    /// `D`, a scale octet and an unsigned 32-bit value.
    case decimal = 0x44
    /// `S`, octets with a 32-bit length.
    case longString = 0x53
    /// `x`, octets with a 32-bit length.
    case byteArray = 0x78
    /// `T`, seconds in 64 bits.
    case timestamp = 0x54
    /// `F`, a nested table.
    case table = 0x46
    /// `A`, an array.
    case array = 0x41
    /// `V`, nothing.
    case void = 0x56

    /// The type's name in RabbitMQ's error texts.
    public var rabbitTypeName: String {
        switch self {
        case .bool: "bool"
        case .int8: "byte"
        case .uint8: "unsignedbyte"
        case .int16: "short"
        case .uint16: "unsignedshort"
        case .int32: "signedint"
        case .uint32: "unsignedint"
        case .int64, .int64L: "long"
        case .float: "float"
        case .double: "double"
        case .decimal: "decimal"
        case .longString: "longstr"
        case .byteArray: "binary"
        case .timestamp: "timestamp"
        case .table: "table"
        case .array: "array"
        case .void: "void"
        }
    }
}
