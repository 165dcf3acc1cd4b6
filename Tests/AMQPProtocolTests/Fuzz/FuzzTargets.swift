import AMQPProtocol

// Entry points for any octets. `Tests/fuzz` links them with libFuzzer; `FuzzTests` runs them over the committed corpus and
// over seeded noise. They trap when an invariant breaks, which both report.

/// Treats the input as frames back to back and checks every payload as a broker would.
public func fuzzFrames(_ input: UnsafeRawBufferPointer) {
    var rest = input
    while rest.count >= FrameLimits.frameOverheadBytes, let start = rest.baseAddress {
        let header = FrameHeader.read(from: start)
        let size = min(Int(header.size), rest.count - FrameLimits.frameOverheadBytes)
        let payload = UnsafeRawBufferPointer(start: start + FrameLimits.frameHeaderBytes, count: size)
        switch header.type {
        case FrameType.method: fuzzMethod(payload)
        case FrameType.header: fuzzContentHeader(payload)
        default: break
        }
        rest = UnsafeRawBufferPointer(rebasing: rest[(size + FrameLimits.frameOverheadBytes)...])
    }
}

/// Treats the input as a table and as an array.
public func fuzzTables(_ input: UnsafeRawBufferPointer) {
    if let table = try? FieldTable(validating: input) {
        let pairs = table.map { ($0.key, $0.value) }
        precondition(FieldTable(pairs) == table, "a table changed by taking it apart")
        for (key, value) in pairs {
            precondition(value.isEquivalent(to: value) || value != value, "a value differs from itself")
            precondition(table[key] != nil || value != value, "a name is not found")
        }
    }
    if let array = try? FieldArray(validating: input) {
        precondition(FieldArray(Array(array)) == array, "an array changed by taking it apart")
    }
}

/// A method that decodes must encode to a fixed point: decoding what was written gives the same octets again.
private func fuzzMethod(_ payload: UnsafeRawBufferPointer) {
    guard let method = try? decodeMethod(payload) else { return }
    let first = encode(method.encodable)
    guard let again = try? first.withUnsafeBytes({ try decodeMethod($0) }) else {
        preconditionFailure("\(method.id) cannot be read back")
    }
    precondition(encode(again.encodable) == first, "\(method.id) changed by reading it back")
}

private func decodeMethod(_ payload: UnsafeRawBufferPointer) throws(DecodeError) -> Method {
    var reader = WireReader(payload)
    let id = MethodID(rawValue: try reader.readUInt32())
    return try Method.decode(id, &reader)
}

private func encode(_ method: any EncodableMethod) -> [UInt8] {
    let size = method.encodedSize
    return [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
        var writer = WireWriter(UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: size))
        method.encode(into: &writer)
        precondition(writer.offset == size, "\(type(of: method).id) announced a wrong size")
        count = size
    }
}

/// The scan of the message path and the full decoder must accept and refuse the same octets.
private func fuzzContentHeader(_ payload: UnsafeRawBufferPointer) {
    guard (try? ContentHeader(from: payload)) != nil else { return }
    let octets = UnsafeRawBufferPointer(rebasing: payload[ContentHeader.propertiesOffset...])
    var reader = WireReader(octets)
    let scan = try? PropertyScan.scan(octets)
    let properties = try? BasicProperties(from: &reader)
    precondition((scan == nil) == (properties == nil), "the scan and the decoder disagree")
    guard let scan, let properties else { return }
    precondition(scan.flags & PropertyFlags.all == properties.flags)
    precondition(scan.deliveryMode == properties.deliveryMode ?? 0)
    precondition(scan.headers.map { Array(octets[$0]) } == properties.headers?.encodedBytes)
    precondition(scan.userID.map { Array(octets[$0]) } == properties.userID?.bytes)
    precondition(properties.encodedSize == octets.count, "properties announced a wrong size")
}
