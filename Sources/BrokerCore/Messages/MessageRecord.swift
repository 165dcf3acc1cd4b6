/// The layout of a message in the broker's memory.
///
/// ```
/// 0   slot       UInt32   its place in the slot table (so that compaction finds who points here); highest bit: it is
///                         kept in memory whatever happens
/// 4   references UInt32   queue entries and deliveries that still need it
/// 8   body size  UInt32   octets of the body (the protocol's 64 bits are refused above 512 MiB); highest bit: 8 octets
///                         behind the body are for its place in the commit log; next bit: it is there
/// 12  sizes      UInt32   octets of the names (10 bits) and of the properties (22 bits)
/// 16  exchange, routing key: short strings with their length octets, as they came
///     properties: flags and values as they came
///     body
///     place in the commit log, if there is room for one: see ``LogLocation``
/// ```
///
/// The bytes after the header are wire form: one copy brings a part in, one takes it out.
struct MessageRecord {
    /// Octets before the names.
    static let headerSize = 16
    /// Largest encoded exchange plus routing key: two short strings.
    static let maxNamesSize = 512
    /// Largest encoded properties: what 22 bits hold.
    static let maxPropertiesSize = (1 << 22) - 1
    /// Largest body this layout holds; RabbitMQ's own hard limit.
    static let maxBodySize = 512 << 20

    /// Octets of a place in the commit log.
    static let locationSize = 8

    private static let keptBit: UInt32 = 1 << 31
    private static let locationBit: UInt32 = 1 << 31
    private static let loggedBit: UInt32 = 1 << 30
    private static let sizeMask: UInt32 = (1 << 30) - 1

    /// First octet of the record.
    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    var slot: UInt32 { self.base.loadUnaligned(as: UInt32.self) & ~Self.keptBit }

    /// Somebody besides queues holds the message over turns and expects its octets in memory.
    var isKept: Bool {
        get { self.base.loadUnaligned(as: UInt32.self) & Self.keptBit != 0 }
        nonmutating set { self.base.storeBytes(of: self.slot | (newValue ? Self.keptBit : 0), as: UInt32.self) }
    }

    var references: UInt32 {
        get { self.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 4, as: UInt32.self) }
    }

    private var bodyWord: UInt32 {
        get { self.base.loadUnaligned(fromByteOffset: 8, as: UInt32.self) }
        nonmutating set { self.base.storeBytes(of: newValue, toByteOffset: 8, as: UInt32.self) }
    }

    var bodySize: Int { Int(self.bodyWord & Self.sizeMask) }

    /// Whether there is room for a place in the commit log.
    var hasLocation: Bool { self.bodyWord & Self.locationBit != 0 }

    /// Whether the commit log has the message for a durable queue of this shard.
    var isLogged: Bool { self.bodyWord & Self.loggedBit != 0 }

    /// Where the log has it; only when ``isLogged``.
    var location: LogLocation {
        LogLocation(
            rawValue: self.base.loadUnaligned(
                fromByteOffset: Self.headerSize &+ self.partsSize,
                as: UInt64.self
            )
        )
    }

    /// Notes where the log has it; only when ``hasLocation``.
    func setLocation(_ location: LogLocation) {
        assert(self.hasLocation, "no room for a place")
        self.bodyWord |= Self.loggedBit
        self.base.storeBytes(of: location.rawValue, toByteOffset: Self.headerSize &+ self.partsSize, as: UInt64.self)
    }

    /// The log does not have it, or not for much longer.
    func clearLocation() {
        self.bodyWord &= ~Self.loggedBit
    }

    /// Octets of names, properties and body.
    var partsSize: Int { self.namesSize &+ self.propertiesSize &+ self.bodySize }

    private var sizes: UInt32 {
        self.base.loadUnaligned(fromByteOffset: 12, as: UInt32.self)
    }

    var namesSize: Int { Int(self.sizes & 0x3FF) }

    var propertiesSize: Int { Int(self.sizes >> 10) }

    var totalSize: Int {
        let bodyWord = self.bodyWord
        let sizes = self.sizes
        return Self.headerSize &+ Int(sizes & 0x3FF) &+ Int(sizes >> 10) &+ Int(bodyWord & Self.sizeMask)
            &+ Int(bodyWord >> 31) &* Self.locationSize
    }

    /// Octets a record of `size` octets takes: even, so that the lowest bit of an address can mark free slots.
    static func allocatedSize(_ size: Int) -> Int { (size &+ 1) & ~1 }

    var allocatedSize: Int { Self.allocatedSize(self.totalSize) }

    var names: UnsafeMutableRawPointer { self.base + Self.headerSize }

    var properties: UnsafeMutableRawPointer { self.base + Self.headerSize + self.namesSize }

    var body: UnsafeMutableRawPointer { self.base + Self.headerSize + self.namesSize + self.propertiesSize }

    /// The message's parts.
    var view: MessageView {
        MessageView(
            names: self.names,
            namesSize: self.namesSize,
            properties: self.properties,
            propertiesSize: self.propertiesSize,
            body: self.body,
            bodySize: self.bodySize
        )
    }

    /// The exchange's name, without its length octet.
    var exchange: UnsafeRawBufferPointer {
        let length = Int(self.names.load(as: UInt8.self))
        return UnsafeRawBufferPointer(start: self.names + 1, count: length)
    }

    /// The routing key, without its length octet.
    var routingKey: UnsafeRawBufferPointer {
        let start = self.names + 1 + Int(self.names.load(as: UInt8.self))
        return UnsafeRawBufferPointer(start: start + 1, count: Int(start.load(as: UInt8.self)))
    }

    /// Overwrites names, properties and body of a record that nobody needs any more; always true, for `assert`.
    func spoil() -> Bool {
        self.names.initializeMemory(as: UInt8.self, repeating: 0xDD, count: self.partsSize)
        return true
    }

    /// Writes the header of a new record; names, properties and body follow.
    static func writeHeader(
        at base: UnsafeMutableRawPointer,
        slot: UInt32,
        references: UInt32,
        bodySize: Int,
        namesSize: Int,
        propertiesSize: Int,
        hasLocation: Bool
    ) {
        base.storeBytes(of: slot, as: UInt32.self)
        base.storeBytes(of: references, toByteOffset: 4, as: UInt32.self)
        let bodyWord = UInt32(truncatingIfNeeded: bodySize) | (hasLocation ? Self.locationBit : 0)
        base.storeBytes(of: bodyWord, toByteOffset: 8, as: UInt32.self)
        let sizes = UInt32(truncatingIfNeeded: namesSize) | UInt32(truncatingIfNeeded: propertiesSize) << 10
        base.storeBytes(of: sizes, toByteOffset: 12, as: UInt32.self)
    }
}

/// The parts of a message in wire form, wherever they lie.
struct MessageView {
    /// Exchange and routing key with their length octets.
    var names: UnsafeRawPointer
    var namesSize: Int
    /// Flags and values.
    var properties: UnsafeRawPointer
    var propertiesSize: Int
    var body: UnsafeRawPointer
    var bodySize: Int

    /// The exchange's name, without its length octet.
    var exchange: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: self.names + 1, count: Int(self.names.load(as: UInt8.self)))
    }

    /// The routing key, without its length octet.
    var routingKey: UnsafeRawBufferPointer {
        let start = self.names + 1 + Int(self.names.load(as: UInt8.self))
        return UnsafeRawBufferPointer(start: start + 1, count: Int(start.load(as: UInt8.self)))
    }
}
