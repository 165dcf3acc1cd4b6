/// A message, once, with its place in every durable queue it was routed to.
///
/// ```
/// 0   version     UInt8
/// 1   flags       UInt8    bit 0: persistent; bits 4–7: see ``QueueEntry/Flags/ownDeaths``
/// 2   names       UInt16   octets of exchange and routing key
/// 4   queues      UInt32
/// 8   properties  UInt32   octets
/// 12  body        UInt32   octets
/// 16  places: queue, sequence, in version 2 deadline   UInt64 each
///     names, properties, body as in ``MessageRecord``
/// ```
///
/// Version 1 is written for messages without deadlines, and without bits 4–7.
struct PublishRecord {
    private static let fixedSize = 16
    private static let persistentBit: UInt8 = 1
    private static let ownDeathsBits: UInt8 = 0xF0
    /// The version with deadlines.
    private static let timedVersion: UInt8 = 2
    private static let timedPlaceSize = 24

    private let payload: UnsafeRawBufferPointer
    private let placeSize: Int
    /// What queues remember of the message; the priority is the one it was published with.
    private(set) var flags: QueueEntry.Flags
    /// The number of ``place(_:)``s.
    let placeCount: Int
    private let namesSize: Int
    private let propertiesSize: Int
    private let bodySize: Int

    /// Octets of a payload, whose places have deadlines if it `isTimed`.
    @inline(__always)
    static func size(queues: Int, isTimed: Bool, namesSize: Int, propertiesSize: Int, bodySize: Int) -> Int {
        let placeSize = isTimed ? self.timedPlaceSize : RecordLayout.pairSize
        return self.fixedSize &+ queues &* placeSize &+ namesSize &+ propertiesSize &+ bodySize
    }

    /// Writes a payload into as many octets as the size function says, without an allocation.
    ///
    /// Of the flags only `persistent` and, if it `isTimed`, `ownDeaths` are kept: whether a message was delivered before
    /// is told by ``DeliveredRecord``.
    static func write(
        _ message: MessageView,
        flags: QueueEntry.Flags,
        places: UnsafeBufferPointer<DurablePlace>,
        isTimed: Bool,
        at base: UnsafeMutableRawPointer
    ) {
        assert(message.namesSize <= MessageRecord.maxNamesSize && message.bodySize <= MessageRecord.maxBodySize)
        var flagBits = flags.contains(.persistent) ? self.persistentBit : 0
        if isTimed {
            flagBits |= UInt8(truncatingIfNeeded: flags.rawValue) & self.ownDeathsBits
        }
        RecordLayout.store(isTimed ? self.timedVersion : RecordLayout.version, at: base, 0)
        RecordLayout.store(flagBits, at: base, 1)
        RecordLayout.store(UInt16(truncatingIfNeeded: message.namesSize), at: base, 2)
        RecordLayout.store(UInt32(truncatingIfNeeded: places.count), at: base, 4)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.propertiesSize), at: base, 8)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.bodySize), at: base, 12)
        var next = base + self.fixedSize
        for place in places {
            RecordLayout.store(place.queue, at: next, 0)
            RecordLayout.store(place.sequence, at: next, 8)
            if isTimed {
                RecordLayout.store(place.deadline, at: next, 16)
            }
            next += isTimed ? self.timedPlaceSize : RecordLayout.pairSize
        }
        next.copyMemory(from: message.names, byteCount: message.namesSize)
        next += message.namesSize
        next.copyMemory(from: message.properties, byteCount: message.propertiesSize)
        next += message.propertiesSize
        next.copyMemory(from: message.body, byteCount: message.bodySize)
    }

    /// Looks into a payload, which must outlive the record.
    ///
    /// Checks every length, so that reading a place or a part afterwards stays inside. What the properties say is not
    /// looked at, here as elsewhere: they are octets that were checked when the message came.
    init(_ payload: UnsafeRawBufferPointer) throws(RecordError) {
        let version = try RecordLayout.check(payload, fixedSize: Self.fixedSize, newest: Self.timedVersion)
        let isTimed = version == Self.timedVersion
        let flagBits = payload[1]
        let known = isTimed ? Self.persistentBit | Self.ownDeathsBits : Self.persistentBit
        guard flagBits & ~known == 0 else { throw .damaged }
        self.payload = payload
        self.placeSize = isTimed ? Self.timedPlaceSize : RecordLayout.pairSize
        self.flags = QueueEntry.Flags(rawValue: UInt32(flagBits & Self.ownDeathsBits))
            .union(flagBits & Self.persistentBit != 0 ? .persistent : [])
        self.namesSize = Int(RecordLayout.load(UInt16.self, from: payload, 2))
        self.placeCount = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        self.propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 8))
        self.bodySize = Int(RecordLayout.load(UInt32.self, from: payload, 12))
        guard self.namesSize <= MessageRecord.maxNamesSize, self.propertiesSize <= MessageRecord.maxPropertiesSize,
            self.bodySize <= MessageRecord.maxBodySize
        else { throw .damaged }
        let size = Self.size(
            queues: self.placeCount,
            isTimed: isTimed,
            namesSize: self.namesSize,
            propertiesSize: self.propertiesSize,
            bodySize: self.bodySize
        )
        guard payload.count == size, Self.areNames(self.parts.prefix(self.namesSize)) else { throw .damaged }
        for index in 0..<self.placeCount where self.place(index).sequence == .max {
            // There is no next place after it.
            throw .damaged
        }
        self.flags.priority = self.priority
    }

    /// Whether octets are two short strings, which ``MessageRecord`` takes for granted.
    private static func areNames(_ octets: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard let exchange = octets.first else { return false }
        let rest = octets.dropFirst(1 + Int(exchange))
        guard let routingKey = rest.first else { return false }
        return rest.count == 1 + Int(routingKey)
    }

    private var priority: UInt8 { self.view?.priority ?? 0 }

    /// The message; it lies in the payload.
    var view: MessageView? {
        guard let names = self.parts.baseAddress else { return nil }
        let properties = names + self.namesSize
        return MessageView(
            names: names,
            namesSize: self.namesSize,
            properties: properties,
            propertiesSize: self.propertiesSize,
            body: properties + self.propertiesSize,
            bodySize: self.bodySize
        )
    }

    /// One of the message's places.
    func place(_ index: Int) -> DurablePlace {
        precondition(index >= 0 && index < self.placeCount, "a place that is there")
        let offset = Self.fixedSize + index * self.placeSize
        return DurablePlace(
            queue: RecordLayout.load(UInt64.self, from: self.payload, offset),
            sequence: RecordLayout.load(UInt64.self, from: self.payload, offset + 8),
            deadline: self.placeSize == Self.timedPlaceSize
                ? RecordLayout.load(UInt64.self, from: self.payload, offset + 16) : 0
        )
    }

    /// Names, properties and body, one after the other.
    var parts: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.payload[(Self.fixedSize + self.placeCount * self.placeSize)...])
    }

    /// A copy of the message, or where the log has it.
    func message(at position: UInt64?) -> RecoveredMessage {
        guard let position else {
            return RecoveredMessage(
                bytes: Array(self.parts),
                namesSize: self.namesSize,
                propertiesSize: self.propertiesSize,
                flags: self.flags
            )
        }
        return RecoveredMessage(
            position: position,
            isShared: self.placeCount > 1,
            bodySize: self.bodySize,
            flags: self.flags
        )
    }
}
