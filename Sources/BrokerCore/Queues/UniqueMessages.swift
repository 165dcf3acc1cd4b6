internal import AMQPProtocol

/// The ids of the messages of a queue with `x-message-deduplication`, until the messages leave it.
///
/// Invariants:
/// 1. A message with an id is here from the moment it comes until it leaves, whether it is ready, waits or is out at a
///    consumer. Nothing else is here: there are never more ids than messages.
/// 2. Of several messages with one id the last one stands for it. There are several only when the log has the last one
///    and not those before it, see ``Shard/isDuplicate(_:_:_:)``.
///
/// An object, because messages that are let go in pieces take their ids along after their queue has gone.
final class UniqueMessages {
    private struct Holder {
        var sequence: UInt64
        /// Whether a start finds the message again.
        var isLogged: Bool
    }

    private var holders: [[UInt8]: Holder] = [:]
    private var keys: [UInt64: [UInt8]] = [:]
    private let memory: MemoryCount?

    /// Octets of an id besides itself: its array, and its places in two tables that may be half empty.
    private static let overheadBytes = 160

    /// Ids for which an empty table keeps its room.
    private static let keptIDs = 1024

    /// Makes a table without ids; their memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        for key in self.keys.values {
            self.memory?.remove(Self.size(key))
        }
    }

    private static func size(_ key: [UInt8]) -> Int { self.overheadBytes + key.count }

    /// The number of messages with an id.
    var count: Int { self.keys.count }

    /// Whether a message with this id is here; one that the log has if `mustBeLogged`.
    func contains(_ key: [UInt8], mustBeLogged: Bool) -> Bool {
        guard let holder = self.holders[key] else { return false }
        return holder.isLogged || !mustBeLogged
    }

    /// A message has come to a place.
    func insert(_ sequence: UInt64, _ key: [UInt8], isLogged: Bool) {
        assert(self.keys[sequence] == nil, "one message a place")
        self.holders[key] = Holder(sequence: sequence, isLogged: isLogged)
        self.keys[sequence] = key
        self.memory?.add(Self.size(key))
    }

    /// The message of a place has left; one without an id need not be here.
    func remove(_ sequence: UInt64) {
        guard let key = self.keys.removeValue(forKey: sequence) else { return }
        self.memory?.remove(Self.size(key))
        if self.holders[key]?.sequence == sequence {
            self.holders[key] = nil
        }
        if self.keys.isEmpty && self.keys.capacity > Self.keptIDs {
            // What a flood took is not kept.
            self.keys = [:]
            self.holders = [:]
        }
    }

    /// A message has got another place.
    func move(_ sequence: UInt64, to other: UInt64) {
        guard let key = self.keys.removeValue(forKey: sequence) else { return }
        self.keys[other] = key
        if self.holders[key]?.sequence == sequence {
            self.holders[key]?.sequence = other
        }
    }
}

extension UniqueMessages {
    private static let header: StaticString = "x-deduplication-header"

    /// The id of a message: the header's value as it came, its type among its octets; nil without one.
    static func key(of message: MessageView) -> [UInt8]? {
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        // Checked when the message came.
        guard let range = (try? PropertyScan.scan(properties))?.headers else { return nil }
        let table = UnsafeRawBufferPointer(rebasing: properties[range])
        let name = UnsafeRawBufferPointer(start: self.header.utf8Start, count: self.header.utf8CodeUnitCount)
        // A value of no octets is nothing, and so no id.
        guard let place = HeaderNames.place(of: name, in: table), place.count > 1 else { return nil }
        return Array(table[place])
    }
}
