extension FieldValue {
    /// Reads a tag and its value.
    ///
    /// Tables and arrays inside are copied as octets without another look: call this only on octets that
    /// ``FieldStructure`` has accepted.
    init(fromValidated reader: inout WireReader) throws(DecodeError) {
        let octet = try reader.readUInt8()
        guard let tag = FieldTag(rawValue: octet) else { throw .unknownFieldType(octet) }
        switch tag {
        case .bool: self = .bool(try reader.readUInt8())
        case .int8: self = .int8(Int8(bitPattern: try reader.readUInt8()))
        case .uint8: self = .uint8(try reader.readUInt8())
        case .int16: self = .int16(Int16(bitPattern: try reader.readUInt16()))
        case .uint16: self = .uint16(try reader.readUInt16())
        case .int32: self = .int32(Int32(bitPattern: try reader.readUInt32()))
        case .uint32: self = .uint32(try reader.readUInt32())
        case .int64: self = .int64(Int64(bitPattern: try reader.readUInt64()))
        case .int64L: self = .int64L(Int64(bitPattern: try reader.readUInt64()))
        case .float: self = .float(Float(bitPattern: try reader.readUInt32()))
        case .double: self = .double(Double(bitPattern: try reader.readUInt64()))
        case .decimal: self = .decimal(scale: try reader.readUInt8(), value: try reader.readUInt32())
        case .longString: self = .longString(try reader.readLongString())
        case .byteArray: self = .byteArray(try reader.readLongString())
        case .timestamp: self = .timestamp(try reader.readUInt64())
        case .table: self = .table(FieldTable(unchecked: try reader.readLongString()))
        case .array: self = .array(FieldArray(unchecked: try reader.readLongString()))
        case .void: self = .void
        }
    }

    /// Appends the tag and the value.
    func append(to bytes: inout [UInt8]) {
        bytes.append(self.tag.rawValue)
        switch self {
        case .bool(let value), .uint8(let value): bytes.append(value)
        case .int8(let value): bytes.append(UInt8(bitPattern: value))
        case .int16(let value): bytes.append(bigEndian: value)
        case .uint16(let value): bytes.append(bigEndian: value)
        case .int32(let value): bytes.append(bigEndian: value)
        case .uint32(let value): bytes.append(bigEndian: value)
        case .int64(let value), .int64L(let value): bytes.append(bigEndian: value)
        case .float(let value): bytes.append(bigEndian: value.bitPattern)
        case .double(let value): bytes.append(bigEndian: value.bitPattern)
        case .decimal(let scale, let value):
            bytes.append(scale)
            bytes.append(bigEndian: value)
        case .longString(let value), .byteArray(let value): bytes.append(lengthPrefixed: value)
        case .timestamp(let value): bytes.append(bigEndian: value)
        case .table(let value): bytes.append(lengthPrefixed: value.encodedBytes)
        case .array(let value): bytes.append(lengthPrefixed: value.encodedBytes)
        case .void: break
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(bigEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.bigEndian) { unsafe self.append(contentsOf: $0) }
    }

    fileprivate mutating func append(lengthPrefixed value: [UInt8]) {
        self.append(bigEndian: UInt32(value.count))
        self.append(contentsOf: value)
    }
}
