import AMQPProtocol

/// A key that an exchange with `x-message-deduplication` knows; told again, it is the newest again.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   names      UInt32   octets of virtual host and exchange
/// 8   deadline   UInt64   milliseconds since 1970; the highest number is for ever
/// 16  two short strings, then the key up to the end
/// ```
struct WindowRecord {
    private static let fixedSize = 16

    /// The virtual host of the exchange.
    let virtualHost: ShortString
    /// The exchange.
    let exchange: ShortString
    /// The key.
    let key: [UInt8]
    /// Until when it is known.
    let deadline: UInt64

    /// Octets of a payload.
    static func size(_ key: [UInt8], _ host: ShortString, _ exchange: ShortString) -> Int {
        self.fixedSize + host.encodedSize + exchange.encodedSize + key.count
    }

    /// Writes a payload into as many octets as the size function says.
    static func write(
        _ key: [UInt8],
        _ host: ShortString,
        _ exchange: ShortString,
        deadline: UInt64,
        at base: UnsafeMutableRawPointer
    ) {
        let names = [host, exchange].flatMap { [UInt8($0.bytes.count)] + $0.bytes }
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: names.count), at: base, 4)
        RecordLayout.store(deadline, at: base, 8)
        let octets = names + key
        octets.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(start: base + self.fixedSize, count: octets.count).copyMemory(from: $0)
        }
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let start = Self.fixedSize + Int(RecordLayout.load(UInt32.self, from: payload, 4))
        guard start <= payload.count else { throw .damaged }
        var reader = WireReader(UnsafeRawBufferPointer(rebasing: payload[Self.fixedSize..<start]))
        do throws(DecodeError) {
            self.virtualHost = try reader.readShortString()
            self.exchange = try reader.readShortString()
            guard reader.isAtEnd else { throw .trailingBytes }
        } catch {
            throw .damaged
        }
        self.deadline = RecordLayout.load(UInt64.self, from: payload, 8)
        self.key = Array(payload[start...])
    }
}

/// What an exchange knew when the last process ended.
struct RecoveredWindow: Sendable {
    /// The virtual host of the exchange.
    let virtualHost: ShortString
    /// The exchange.
    let exchange: ShortString
    /// Its keys.
    let window: DeduplicationWindow
}
