/// A message, once, with its place in every durable queue it was routed to.
///
/// ```
/// 0   version     UInt8
/// 1   flags       UInt8    bit 0: persistent
/// 2   names       UInt16   octets of exchange and routing key
/// 4   queues      UInt32
/// 8   properties  UInt32   octets
/// 12  body        UInt32   octets
/// 16  places: queue, sequence   UInt64 each
///     names, properties, body as in ``MessageRecord``
/// ```
struct PublishRecord {
    private static let fixedSize = 16
    private static let persistentBit: UInt8 = 1

    private let payload: UnsafeRawBufferPointer
    /// What queues remember of the message; the priority is the one it was published with.
    private(set) var flags: QueueEntry.Flags
    /// The number of ``place(_:)``s.
    let placeCount: Int
    private let namesSize: Int
    private let propertiesSize: Int
    private let bodySize: Int

    /// Octets of a payload.
    @inline(__always)
    static func size(queues: Int, namesSize: Int, propertiesSize: Int, bodySize: Int) -> Int {
        self.fixedSize &+ queues &* RecordLayout.pairSize &+ namesSize &+ propertiesSize &+ bodySize
    }

    /// Writes a payload into as many octets as the size function says, without an allocation.
    ///
    /// Of the flags only `persistent` is kept: whether a message was delivered before is told by ``DeliveredRecord``.
    static func write(
        _ message: MessageView,
        flags: QueueEntry.Flags,
        places: UnsafeBufferPointer<DurablePlace>,
        at base: UnsafeMutableRawPointer
    ) {
        assert(message.namesSize <= MessageRecord.maxNamesSize && message.bodySize <= MessageRecord.maxBodySize)
        let flagBits = flags.contains(.persistent) ? self.persistentBit : 0
        RecordLayout.store(RecordLayout.version, at: base, 0)
        RecordLayout.store(flagBits, at: base, 1)
        RecordLayout.store(UInt16(truncatingIfNeeded: message.namesSize), at: base, 2)
        RecordLayout.store(UInt32(truncatingIfNeeded: places.count), at: base, 4)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.propertiesSize), at: base, 8)
        RecordLayout.store(UInt32(truncatingIfNeeded: message.bodySize), at: base, 12)
        var next = base + self.fixedSize
        for place in places {
            RecordLayout.store(place.queue, at: next, 0)
            RecordLayout.store(place.sequence, at: next, 8)
            next += RecordLayout.pairSize
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
        try RecordLayout.check(payload, fixedSize: Self.fixedSize)
        let flagBits = payload[1]
        guard flagBits & ~Self.persistentBit == 0 else { throw .damaged }
        self.payload = payload
        self.flags = flagBits & Self.persistentBit != 0 ? .persistent : []
        self.namesSize = Int(RecordLayout.load(UInt16.self, from: payload, 2))
        self.placeCount = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        self.propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 8))
        self.bodySize = Int(RecordLayout.load(UInt32.self, from: payload, 12))
        guard self.namesSize <= MessageRecord.maxNamesSize, self.propertiesSize <= MessageRecord.maxPropertiesSize,
            self.bodySize <= MessageRecord.maxBodySize
        else { throw .damaged }
        let size = Self.size(
            queues: self.placeCount,
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

    /// The message of a payload that may have any number of places; nil if it is damaged.
    ///
    /// For messages that come back from disk: what queues know of them they know.
    static func view(of payload: UnsafeRawBufferPointer) -> MessageView? {
        guard payload.count >= self.fixedSize, payload[0] == RecordLayout.version, let base = payload.baseAddress else {
            return nil
        }
        let namesSize = Int(RecordLayout.load(UInt16.self, from: payload, 2))
        let placeCount = Int(RecordLayout.load(UInt32.self, from: payload, 4))
        let propertiesSize = Int(RecordLayout.load(UInt32.self, from: payload, 8))
        let bodySize = Int(RecordLayout.load(UInt32.self, from: payload, 12))
        let size = self.size(
            queues: placeCount,
            namesSize: namesSize,
            propertiesSize: propertiesSize,
            bodySize: bodySize
        )
        guard payload.count == size, namesSize <= MessageRecord.maxNamesSize,
            propertiesSize <= MessageRecord.maxPropertiesSize, bodySize <= MessageRecord.maxBodySize
        else { return nil }
        let names = base + (self.fixedSize + placeCount * RecordLayout.pairSize)
        guard self.areNames(UnsafeRawBufferPointer(start: names, count: namesSize)[...]) else { return nil }
        return MessageView(
            names: names,
            namesSize: namesSize,
            properties: names + namesSize,
            propertiesSize: propertiesSize,
            body: names + namesSize + propertiesSize,
            bodySize: bodySize
        )
    }

    /// Whether octets are two short strings, which ``MessageRecord`` takes for granted.
    private static func areNames(_ octets: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard let exchange = octets.first else { return false }
        let rest = octets.dropFirst(1 + Int(exchange))
        guard let routingKey = rest.first else { return false }
        return rest.count == 1 + Int(routingKey)
    }

    private var priority: UInt8 {
        guard let names = self.parts.baseAddress else { return 0 }
        let properties = names + self.namesSize
        let view = MessageView(
            names: names,
            namesSize: self.namesSize,
            properties: properties,
            propertiesSize: self.propertiesSize,
            body: properties + self.propertiesSize,
            bodySize: self.bodySize
        )
        return view.priority
    }

    /// One of the message's places.
    func place(_ index: Int) -> DurablePlace {
        precondition(index >= 0 && index < self.placeCount, "a place that is there")
        let offset = Self.fixedSize + index * RecordLayout.pairSize
        return DurablePlace(
            queue: RecordLayout.load(UInt64.self, from: self.payload, offset),
            sequence: RecordLayout.load(UInt64.self, from: self.payload, offset + 8)
        )
    }

    /// Names, properties and body, one after the other.
    var parts: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: self.payload[(Self.fixedSize + self.placeCount * RecordLayout.pairSize)...])
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
            size: self.namesSize + self.propertiesSize + self.bodySize,
            flags: self.flags
        )
    }
}
