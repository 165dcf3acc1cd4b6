import AMQPProtocol

/// A message that waits for its time.
///
/// ```
/// 0   version     UInt8
/// 1   flags (0)   UInt8
/// 2   names       UInt16   octets of exchange and routing key
/// 4   origin      UInt32   octets of virtual host and exchange
/// 8   properties  UInt32   octets
/// 12  body        UInt32   octets
/// 16  id          UInt64
/// 24  deadline    UInt64   milliseconds since 1970
/// 32  origin: two short strings; names, properties, body as in ``MessageRecord``
/// ```
struct DelayedRecord {
    private static let fixedSize = 32

    /// What the record tells.
    let delay: RecoveredDelay

    /// Octets of a payload.
    static func size(_ message: MessageView, _ origin: DelayOrigin) -> Int {
        self.fixedSize + origin.virtualHost.encodedSize + origin.exchange.encodedSize + message.namesSize
            + message.propertiesSize + message.bodySize
    }

    /// Writes a payload into as many octets as the size function says.
    static func write(
        _ message: MessageView,
        _ origin: DelayOrigin,
        id: UInt64,
        deadline: UInt64,
        at base: UnsafeMutableRawPointer
    ) {
        let names = [origin.virtualHost, origin.exchange].flatMap { [UInt8($0.bytes.count)] + $0.bytes }
        RecordLayout.store(UInt16(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt16(truncatingIfNeeded: message.namesSize), at: base, 2)
        RecordLayout.store(UInt32(truncatingIfNeeded: names.count), at: base, 4)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.propertiesSize), at: base, 8)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.bodySize), at: base, 12)
        RecordLayout.store(id, at: base, 16)
        RecordLayout.store(deadline, at: base, 24)
        var next = base + self.fixedSize
        names.withUnsafeBytes { UnsafeMutableRawBufferPointer(start: next, count: names.count).copyMemory(from: $0) }
        next += names.count
        next.copyMemory(from: message.names, byteCount: message.namesSize)
        next += message.namesSize
        next.copyMemory(from: message.properties, byteCount: message.propertiesSize)
        next += message.propertiesSize
        next.copyMemory(from: message.body, byteCount: message.bodySize)
    }

    /// The message in a payload, whose checksum was right; nil if it is none of ours.
    static func view(of payload: UnsafeRawBufferPointer) -> MessageView? {
        guard payload.count >= self.fixedSize, let base = payload.baseAddress else { return nil }
        let namesSize = Int(RecordLayout.load(UInt16.self, from: payload, 2))
        let start = self.fixedSize + Int(RecordLayout.load(UInt32.self, from: payload, 4))
        let propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 8))
        let bodySize = Int(RecordLayout.load(UInt32.self, from: payload, 12))
        guard namesSize >= 2, namesSize <= MessageRecord.maxNamesSize,
            payload.count == start + namesSize + propertiesSize + bodySize
        else { return nil }
        return MessageView(
            names: base + start,
            namesSize: namesSize,
            properties: base + (start + namesSize),
            propertiesSize: propertiesSize,
            body: base + (start + namesSize + propertiesSize),
            bodySize: bodySize
        )
    }

    /// Reads a payload, copying the message unless the position of its record is given, where it stays.
    init(_ payload: UnsafeRawBufferPointer, at position: UInt64? = nil) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let namesSize = Int(RecordLayout.load(UInt16.self, from: payload, 2))
        let originSize = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        let propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 8))
        let bodySize = Int(RecordLayout.load(UInt32.self, from: payload, 12))
        guard namesSize <= MessageRecord.maxNamesSize, propertiesSize <= MessageRecord.maxPropertiesSize,
            bodySize <= MessageRecord.maxBodySize,
            payload.count == Self.fixedSize + originSize + namesSize + propertiesSize + bodySize
        else { throw .damaged }
        let start = Self.fixedSize + originSize
        let origin = try Self.twoNames(UnsafeRawBufferPointer(rebasing: payload[Self.fixedSize..<start]))
        _ = try Self.twoNames(UnsafeRawBufferPointer(rebasing: payload[start..<start + namesSize]))
        self.delay = RecoveredDelay(
            id: RecordLayout.load(UInt64.self, from: payload, 16),
            deadline: RecordLayout.load(UInt64.self, from: payload, 24),
            origin: DelayOrigin(virtualHost: origin.0, exchange: origin.1),
            message: position.map {
                RecoveredMessage(position: $0, isShared: false, bodySize: bodySize, flags: .persistent)
            }
                ?? RecoveredMessage(
                    bytes: Array(payload[start...]),
                    namesSize: namesSize,
                    propertiesSize: propertiesSize,
                    flags: .persistent
                )
        )
    }

    private static func twoNames(_ octets: UnsafeRawBufferPointer) throws(RecordError) -> (ShortString, ShortString) {
        var reader = WireReader(octets)
        do throws(DecodeError) {
            let names = (try reader.readShortString(), try reader.readShortString())
            guard reader.isAtEnd else { throw .trailingBytes }
            return names
        } catch {
            throw .damaged
        }
    }
}

/// Messages that do not wait any longer, or for another time.
///
/// ```
/// 0   version, flags (0), 2 octets unused
/// 4   count   UInt32
/// 8   pairs: id, deadline   UInt64 each; a deadline of 0: it has gone to its queues, or was cancelled
/// ```
struct DelaysChangedRecord {
    private static let fixedSize = 8

    /// What the record tells.
    let changes: [(id: UInt64, deadline: UInt64)]

    /// Octets of a payload.
    static func size(_ count: Int) -> Int { self.fixedSize + count * RecordLayout.pairSize }

    /// Writes a payload into as many octets as ``size(_:)`` says.
    static func write(_ changes: [(id: UInt64, deadline: UInt64)], at base: UnsafeMutableRawPointer) {
        RecordLayout.store(UInt32(RecordLayout.version), at: base, 0)
        RecordLayout.store(UInt32(truncatingIfNeeded: changes.count), at: base, 4)
        for (index, change) in changes.enumerated() {
            RecordLayout.store(change.id, at: base, self.fixedSize + index * RecordLayout.pairSize)
            RecordLayout.store(change.deadline, at: base, self.fixedSize + 8 + index * RecordLayout.pairSize)
        }
    }

    /// Reads a payload.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let count = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        guard payload.count == Self.size(count) else { throw .damaged }
        self.changes = (0..<count).map { index in
            let offset = Self.fixedSize + index * RecordLayout.pairSize
            return (
                RecordLayout.load(UInt64.self, from: payload, offset),
                RecordLayout.load(UInt64.self, from: payload, offset + 8)
            )
        }
    }
}

/// A message that waited when the last process ended.
struct RecoveredDelay: Sendable {
    /// Its id.
    let id: UInt64
    /// Milliseconds since 1970.
    var deadline: UInt64
    /// Where it is published then.
    var origin: DelayOrigin
    /// Its octets, or where the log has them.
    let message: RecoveredMessage
}

/// What waits, while records are read back.
struct RecoveredDelays: Sendable {
    private var byID: [UInt64: RecoveredDelay] = [:]
    /// The highest id that any record names.
    private(set) var highestID: UInt64 = 0
    private var lastOrigin: DelayOrigin?

    /// Makes a collection without messages.
    init() {}

    /// A message waits; told again it is as it was told last.
    mutating func add(_ delay: RecoveredDelay) {
        self.note(delay.id)
        var delay = delay
        if let last = self.lastOrigin, last == delay.origin {
            // Millions share the memory of a few names.
            delay.origin = last
        } else {
            self.lastOrigin = delay.origin
        }
        self.byID[delay.id] = delay
    }

    /// Messages have gone or wait for another time; those that are not there need not be.
    mutating func change(_ changes: [(id: UInt64, deadline: UInt64)]) {
        for change in changes {
            self.note(change.id)
            if change.deadline == 0 {
                self.byID[change.id] = nil
            } else {
                self.byID[change.id]?.deadline = change.deadline
            }
        }
    }

    private mutating func note(_ id: UInt64) {
        // No message has the last number: none could follow.
        if id != .max { self.highestID = max(self.highestID, id) }
    }

    /// All that waits, by id.
    var ordered: [RecoveredDelay] { self.byID.values.sorted { $0.id < $1.id } }
}
