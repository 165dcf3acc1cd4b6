internal import AMQPProtocol

/// A message that arrives in pieces: `basic.publish`, its content header, its body frames.
///
/// Memory grows with what has arrived, not with what was announced. The bytes are laid out as a ``MessageRecord`` from
/// the start, so that a large message is taken over by the ``MessageStore`` without another copy.
struct ContentAssembly: ~Copyable {
    /// What the channel expects next.
    enum Phase {
        /// A method.
        case idle
        /// The content header of a `basic.publish`.
        case header
        /// Body frames, ``ContentAssembly/remaining`` octets of them.
        case body
    }

    var phase = Phase.idle
    var isMandatory = false
    /// Exchange and routing key of the `basic.publish`, with their length octets.
    var names: [UInt8] = []
    var propertiesSize = 0
    var bodySize = 0
    /// Octets of the body still to come.
    var remaining = 0
    /// The record being filled; header, names and properties are in place once ``phase`` is ``Phase/body``.
    private(set) var buffer: UnsafeMutableRawPointer?
    private var capacity = 0
    private var filled = 0
    /// Which properties are there.
    var propertyFlags: UInt16 = 0
    var deliveryMode: UInt8 = 0

    /// The channel's connection goes on during the memory alarm until this is complete.
    var isCounted = false

    init() {}

    deinit {
        self.buffer?.deallocate()
    }

    /// Octets of memory held.
    var heldBytes: Int { self.capacity }

    /// Size of the whole record, with room for a place in the log.
    var recordSize: Int {
        MessageRecord.headerSize + self.names.count + self.propertiesSize + self.bodySize + MessageRecord.locationSize
    }

    /// Starts the record with its names and properties.
    mutating func begin(properties: UnsafeRawBufferPointer, bodySize: Int) {
        self.propertiesSize = properties.count
        self.bodySize = bodySize
        self.remaining = bodySize
        let prefix = MessageRecord.headerSize + self.names.count + properties.count
        let first = prefix + ShardLimits.firstBodyAllocation + MessageRecord.locationSize
        self.capacity = min(MessageRecord.allocatedSize(self.recordSize), first)
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: self.capacity, alignment: 16)
        self.names.withUnsafeBytes { names in
            if let base = names.baseAddress {
                (buffer + MessageRecord.headerSize).copyMemory(from: base, byteCount: names.count)
            }
        }
        if let base = properties.baseAddress {
            (buffer + MessageRecord.headerSize + self.names.count).copyMemory(
                from: base,
                byteCount: properties.count
            )
        }
        self.buffer = buffer
        self.filled = prefix
        self.phase = .body
    }

    /// Appends a piece of the body, at most ``remaining`` octets.
    mutating func append(_ bytes: UnsafeRawPointer, count: Int) {
        assert(count <= self.remaining, "more body than announced")
        let needed = self.filled + count + MessageRecord.locationSize
        if needed > self.capacity {
            self.grow(toHold: needed)
        }
        guard let buffer = self.buffer else { return }
        (buffer + self.filled).copyMemory(from: bytes, byteCount: count)
        self.filled += count
        self.remaining -= count
    }

    private mutating func grow(toHold size: Int) {
        let capacity = min(MessageRecord.allocatedSize(self.recordSize), max(size, self.capacity * 2))
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        if let buffer = self.buffer {
            larger.copyMemory(from: buffer, byteCount: self.filled)
            buffer.deallocate()
        }
        self.buffer = larger
        self.capacity = capacity
    }

    /// Gives away the finished record's memory and starts over.
    mutating func takeBuffer() -> UnsafeMutableRawPointer? {
        let buffer = self.buffer
        self.buffer = nil
        self.reset()
        return buffer
    }

    /// More body came than was announced; nothing can complete the message any more.
    private(set) var isOverflown = false

    /// Notes that more body came than was announced: the next method is refused.
    mutating func overflow() {
        self.isOverflown = true
        self.remaining = 0
    }

    /// Throws away what has arrived.
    mutating func reset() {
        self.isOverflown = false
        self.buffer?.deallocate()
        self.buffer = nil
        self.capacity = 0
        self.filled = 0
        self.phase = .idle
    }
}
