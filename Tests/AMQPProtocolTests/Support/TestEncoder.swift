import AMQPProtocol

/// A second encoder, written from the specification alone and for tests only: appends octets, shares no code with
/// `WireWriter`.
struct TestEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func integer(_ value: UInt64, octets: Int) {
        for shift in (0..<octets).reversed() {
            self.bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * shift)))
        }
    }

    mutating func octet(_ value: UInt8) { self.bytes.append(value) }

    mutating func raw(_ value: [UInt8]) { self.bytes += value }

    mutating func shortString(_ value: [UInt8]) {
        self.integer(UInt64(value.count), octets: 1)
        self.bytes += value
    }

    mutating func longString(_ value: [UInt8]) {
        self.integer(UInt64(value.count), octets: 4)
        self.bytes += value
    }

    /// A table entry: name, tag, octets of the value.
    mutating func entry(_ name: String, _ tag: Character, _ value: [UInt8]) {
        self.shortString(Array(name.utf8))
        self.bytes += Array(String(tag).utf8)
        self.bytes += value
    }

    /// The octets that a closure appends.
    static func encode(_ body: (inout TestEncoder) -> Void) -> [UInt8] {
        var encoder = TestEncoder()
        body(&encoder)
        return encoder.bytes
    }
}

/// Writes with the encoder under test into a buffer of exactly the announced size.
func written(_ size: Int, _ body: (inout WireWriter) -> Void) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        var writer = WireWriter(UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: size))
        body(&writer)
        count = writer.offset
    }
}

/// Reads with a closure and gives back its result or the error that it threw.
func reading<Value>(
    _ bytes: [UInt8],
    _ body: (inout WireReader) throws(DecodeError) -> Value
) -> Result<Value, DecodeError> {
    var reader = WireReader(bytes.span.bytes)
    do throws(DecodeError) {
        return .success(try body(&reader))
    } catch {
        return .failure(error)
    }
}

/// Scans properties and gives back the result or the error.
func scanning(_ bytes: [UInt8]) -> Result<PropertyScan, DecodeError> {
    bytes.withUnsafeBytes { buffer in
        do throws(DecodeError) {
            return .success(try PropertyScan.scan(buffer))
        } catch {
            return .failure(error)
        }
    }
}

/// Decodes a payload, ids first, as a server does.
func decodingMethod(_ payload: [UInt8]) -> Result<AMQPProtocol.Method, DecodeError> {
    reading(payload) { reader throws(DecodeError) in
        let id = MethodID(rawValue: try reader.readUInt32())
        return try Method.decode(id, &reader)
    }
}
