/// A message as it lies in a scratch file: octets of the names and of the properties (4 each), names, properties, body.
///
/// Read by the process that wrote it, so that there are no versions.
enum PagedRecord {
    private static let fixedSize = 8

    /// Octets of a payload.
    static func size(_ message: MessageView) -> Int {
        self.fixedSize + message.namesSize + message.propertiesSize + message.bodySize
    }

    /// Writes a payload.
    static func write(_ message: MessageView, at base: UnsafeMutableRawPointer) {
        RecordLayout.store(UInt32(truncatingIfNeeded: message.namesSize), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.propertiesSize), at: base, 4)
        var next = base + self.fixedSize
        next.copyMemory(from: message.names, byteCount: message.namesSize)
        next += message.namesSize
        next.copyMemory(from: message.properties, byteCount: message.propertiesSize)
        next += message.propertiesSize
        next.copyMemory(from: message.body, byteCount: message.bodySize)
    }

    /// The message in a payload, whose checksum was right; nil if it is none of ours.
    static func view(of payload: UnsafeRawBufferPointer) -> MessageView? {
        guard payload.count >= self.fixedSize, let base = payload.baseAddress else { return nil }
        let namesSize = Int(RecordLayout.load(UInt32.self, from: payload, 0))
        let propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        let bodySize = payload.count - self.fixedSize - namesSize - propertiesSize
        guard bodySize >= 0, namesSize >= 2, namesSize <= MessageRecord.maxNamesSize else { return nil }
        let names = base + self.fixedSize
        return MessageView(
            names: names,
            namesSize: namesSize,
            properties: names + namesSize,
            propertiesSize: propertiesSize,
            body: names + namesSize + propertiesSize,
            bodySize: bodySize
        )
    }
}
