/// Checks the structure of encoded tables and arrays without making values or allocating.
///
/// A peer's table passes through here once, when it arrives; every later read relies on it.
@usableFromInline
enum FieldStructure {
    /// Checks that octets are whole entries of a table (with names) or an array (without), at every level.
    ///
    /// Recurses once a level, at most ``FrameLimits/maxTableDepth`` deep. `depth` is 1 for the outermost.
    @usableFromInline
    static func check(_ contents: RawSpan, isTable: Bool, depth: Int) throws(DecodeError) {
        guard depth <= FrameLimits.maxTableDepth else { throw .nestingTooDeep }
        var reader = WireReader(contents)
        while !reader.isAtEnd {
            do throws(DecodeError) {
                if isTable {
                    _ = try reader.skip(Int(try reader.readUInt8()))
                }
                let octet = try reader.readUInt8()
                guard let tag = FieldTag(rawValue: octet) else { throw .unknownFieldType(octet) }
                if let count = tag.fixedSize {
                    _ = try reader.skip(count)
                    continue
                }
                let inner = try reader.skip(Int(try reader.readUInt32()))
                switch tag {
                case .table: try self.check(contents.extracting(inner), isTable: true, depth: depth + 1)
                case .array: try self.check(contents.extracting(inner), isTable: false, depth: depth + 1)
                default: break
                }
            } catch .truncated {
                // The table's length promised more than its entries hold, or the reverse: not a short frame.
                throw .malformedTable
            }
        }
    }
}

extension FieldTag {
    /// The octets of a value after its tag; nil when a 32-bit length says it.
    fileprivate var fixedSize: Int? {
        switch self {
        case .void: 0
        case .bool, .int8, .uint8: 1
        case .int16, .uint16: 2
        case .int32, .uint32, .float: 4
        case .decimal: 5
        case .int64, .int64L, .double, .timestamp: 8
        case .longString, .byteArray, .table, .array: nil
        }
    }
}
