/// What one shard has for another: messages, outcomes and commands, in order.
///
/// Messages and outcomes are plain records in one block of memory (a copy of the bytes is cheaper than sharing them
/// between threads); commands are values beside it, marked in the block so that the order is one.
///
/// `@unchecked Sendable`: filled by the sending shard alone, then handed over whole and never touched by it again; the
/// mailbox that carries it synchronises the two.
public final class ShardBatch: @unchecked Sendable {
    /// Kinds of records; each starts with its kind and its size in octets.
    enum Kind: UInt32 {
        /// A message for queues of the receiver.
        case publish = 1
        /// A message for a consumer of the receiver.
        case deliver
        /// A message for `basic.get` of a channel of the receiver.
        case getOk
        /// Outcomes of deliveries of a consumer.
        case settle
        /// The receiver's publish has been taken or refused by the sender's queues.
        case accepted
        /// Publish octets of a connection of the receiver have been taken.
        case credit
        /// Delivery octets have been written to the consumer's socket.
        case window
        /// A direct reply for a channel of the receiver.
        case reply
        /// The next command.
        case command
        /// The receiver's publish has been refused by the sender's queues: the message, and why.
        case refused
    }

    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int
    var commands: [ShardCommand] = []

    /// Whether a change of the topology is in it: replicas must not miss one.
    public var changesTopology: Bool {
        self.commands.contains { if case .applyTopology = $0 { true } else { false } }
    }

    /// Makes an empty batch with room for so many octets.
    init(capacity: Int) {
        self.capacity = capacity
        self.base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    deinit {
        self.base.deallocate()
    }

    /// Reserves a record of `size` octets, kind and size included, and writes those two.
    @inline(__always)
    func append(_ kind: Kind, size: Int) -> UnsafeMutableRawPointer {
        let size = (size &+ 7) & ~7
        if self.count &+ size > self.capacity {
            self.grow(size)
        }
        let record = self.base + self.count
        record.storeBytes(of: kind.rawValue, as: UInt32.self)
        record.storeBytes(of: UInt32(truncatingIfNeeded: size), toByteOffset: 4, as: UInt32.self)
        self.count &+= size
        return record
    }

    /// Appends a command.
    func append(_ command: ShardCommand) {
        _ = self.append(.command, size: 8)
        self.commands.append(command)
    }

    @inline(never)
    private func grow(_ size: Int) {
        let capacity = max(self.capacity * 2, self.count + size)
        let larger = UnsafeMutableRawPointer.allocate(byteCount: capacity, alignment: 16)
        larger.copyMemory(from: self.base, byteCount: self.count)
        self.base.deallocate()
        self.base = larger
        self.capacity = capacity
    }
}

/// A message inside a ``ShardBatch``: sizes, then names, properties and body as in a ``MessageRecord``.
struct BatchedMessage {
    /// Octets before the bytes: three sizes and the entry's flags.
    static let headerSize = 16

    let base: UnsafeMutableRawPointer

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
    }

    var namesSize: Int { Int(self.base.loadUnaligned(as: UInt32.self)) }
    var propertiesSize: Int { Int(self.base.loadUnaligned(fromByteOffset: 4, as: UInt32.self)) }
    var bodySize: Int { Int(self.base.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) }
    var flags: QueueEntry.Flags {
        QueueEntry.Flags(rawValue: self.base.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
    }

    /// Names, properties and body in a row.
    var bytes: UnsafeMutableRawPointer { self.base + Self.headerSize }
    var byteCount: Int { self.namesSize + self.propertiesSize + self.bodySize }

    /// The message's parts.
    var view: MessageView {
        let names = self.bytes
        let (namesSize, propertiesSize) = (self.namesSize, self.propertiesSize)
        return MessageView(
            names: names,
            namesSize: namesSize,
            properties: names + namesSize,
            propertiesSize: propertiesSize,
            body: names + namesSize + propertiesSize,
            bodySize: self.bodySize
        )
    }

    /// Octets a message takes in a batch.
    @inline(__always)
    static func size(of message: MessageView) -> Int {
        Self.headerSize &+ message.namesSize &+ message.propertiesSize &+ message.bodySize
    }

    /// Copies a message into a batch.
    @inline(__always)
    static func write(_ message: MessageView, flags: QueueEntry.Flags, at base: UnsafeMutableRawPointer) {
        base.storeBytes(of: UInt32(truncatingIfNeeded: message.namesSize), as: UInt32.self)
        base.storeBytes(of: UInt32(truncatingIfNeeded: message.propertiesSize), toByteOffset: 4, as: UInt32.self)
        base.storeBytes(of: UInt32(truncatingIfNeeded: message.bodySize), toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: flags.rawValue, toByteOffset: 12, as: UInt32.self)
        let bytes = base + Self.headerSize
        Bytes.copy(bytes, message.names, message.namesSize)
        Bytes.copy(bytes + message.namesSize, message.properties, message.propertiesSize)
        Bytes.copy(bytes + (message.namesSize &+ message.propertiesSize), message.body, message.bodySize)
    }
}

extension ChannelAddress {
    /// Octets of an address in a ``ShardBatch``.
    static let batchedSize = 16

    /// Writes the address without its shard, which the receiver or sender knows.
    func write(at base: UnsafeMutableRawPointer) {
        base.storeBytes(of: self.connection, as: UInt64.self)
        base.storeBytes(of: self.epoch, toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: self.number, toByteOffset: 12, as: UInt16.self)
        base.storeBytes(of: self.shard, toByteOffset: 14, as: UInt16.self)
    }

    init(readAt base: UnsafeMutableRawPointer) {
        self.init(
            shard: base.loadUnaligned(fromByteOffset: 14, as: UInt16.self),
            number: base.loadUnaligned(fromByteOffset: 12, as: UInt16.self),
            epoch: base.loadUnaligned(fromByteOffset: 8, as: UInt32.self),
            connection: base.loadUnaligned(as: UInt64.self)
        )
    }
}
