/// The types of method arguments and properties.
enum WireType: String, Decodable {
    case bit, octet, short, long, longlong, timestamp, shortstr, longstr, table

    /// The Swift type of a member.
    var swiftType: String {
        switch self {
        case .bit: "Bool"
        case .octet: "UInt8"
        case .short: "UInt16"
        case .long: "UInt32"
        case .longlong, .timestamp: "UInt64"
        case .shortstr: "ShortString"
        case .longstr: "[UInt8]"
        case .table: "FieldTable"
        }
    }

    /// The value that stands for "not given".
    var defaultValue: String {
        switch self {
        case .bit: "false"
        case .octet, .short, .long, .longlong, .timestamp: "0"
        case .shortstr, .table: ".empty"
        case .longstr: "[]"
        }
    }

    /// The octets of the empty or zero value, which are all there are when the type has a fixed size.
    ///
    /// A bit has no size of its own.
    var minimumSize: Int {
        switch self {
        case .bit: 0
        case .octet, .shortstr: 1
        case .short: 2
        case .long, .longstr, .table: 4
        case .longlong, .timestamp: 8
        }
    }

    /// The expression for the octets on top of the minimum; nil for a fixed size.
    func extraSize(_ member: String) -> String? {
        switch self {
        case .bit, .octet, .short, .long, .longlong, .timestamp: nil
        case .shortstr: "\(member).bytes.count"
        case .longstr: "\(member).count"
        case .table: "\(member).encodedBytes.count"
        }
    }

    /// The expression that reads a value; bits are read by their octet instead.
    func read(isName: Bool) -> String {
        switch self {
        case .bit, .octet: "try reader.readUInt8()"
        case .short: "try reader.readUInt16()"
        case .long: "try reader.readUInt32()"
        case .longlong, .timestamp: "try reader.readUInt64()"
        case .shortstr: isName ? "try reader.readName()" : "try reader.readShortString()"
        case .longstr: "try reader.readLongString()"
        case .table: "try reader.readTable()"
        }
    }

    /// The statement that writes a value.
    func write(_ value: String) -> String {
        switch self {
        case .bit, .octet, .short, .long, .longlong, .timestamp: "writer.write(\(value))"
        case .shortstr: "writer.writeShortString(\(value))"
        case .longstr: "writer.writeLongString(\(value))"
        case .table: "writer.writeTable(\(value))"
        }
    }

    /// The statement that passes over a reserved value, as the peer may have put anything there.
    var skip: String {
        switch self {
        case .shortstr: "_ = try reader.skip(Int(try reader.readUInt8()))"
        case .longstr, .table: "_ = try reader.skip(Int(try reader.readUInt32()))"
        case .bit, .octet, .short, .long, .longlong, .timestamp: "_ = \(self.read(isName: false))"
        }
    }

    /// The statement that writes a reserved value.
    var writeReserved: String {
        switch self {
        case .bit, .octet, .shortstr: "writer.write(0 as UInt8)"
        case .short: "writer.write(0 as UInt16)"
        case .long, .longstr, .table: "writer.write(0 as UInt32)"
        case .longlong, .timestamp: "writer.write(0 as UInt64)"
        }
    }
}
