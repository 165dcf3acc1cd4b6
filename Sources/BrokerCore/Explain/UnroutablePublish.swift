internal import AMQPProtocol

/// A message that no queue got.
public struct UnroutablePublish: Sendable, Equatable {
    /// What has become of it.
    public enum Fate: String, Sendable, Equatable {
        /// It was published, not mandatory, and is gone.
        case dropped
        /// It was published, mandatory, and the publisher has it back.
        case returned
        /// It had waited for its time, and is gone.
        case delayed = "dropped after its delay"
        /// It was a dead letter.
        case deadLetter = "dead letter"
    }

    /// When it was, in milliseconds since 1970.
    public var epochMilliseconds: UInt64
    /// The shard that has seen it.
    public var shard: Int
    /// Which one of that shard's it is, from 1 on.
    public var number: UInt64
    /// What has become of it.
    public var fate: Fate
    /// The publisher's connection as RabbitMQ writes it; empty when the message came from the broker.
    public var connection: String
    /// Everything that matters for its way, to be asked about again: ``AdministrationRequest/explain(_:)``.
    public var question: RouteQuestion
    /// False when the properties were too large to be kept.
    public var hasProperties: Bool
}

/// The last messages of a shard that no queue got.
///
/// Bounded in count and octets. Memory is taken with the first such message, and used again and again: a flood of them costs a
/// copy of a name and a few headers each.
struct UnroutableRing {
    private struct Entry {
        var number: UInt64
        var epochMilliseconds: UInt64
        var fate: UnroutablePublish.Fate
        var virtualHost: ShortString
        var user: ShortString
        var peer: PeerInfo?
        /// Names as in a message, then properties.
        var octets: [UInt8]
        var exchangeSize: Int
        var namesSize: Int
        var hasProperties: Bool
        var bodyBytes: Int
    }

    private var entries: ContiguousArray<Entry> = []
    /// Where the next one goes.
    private var next = 0
    /// How many there were, those that are forgotten included.
    private(set) var total: UInt64 = 0

    /// Octets that are kept.
    var bytes: Int { self.entries.reduce(0) { $0 + $1.octets.capacity } }

    /// Adds a message in the place of the oldest.
    mutating func add(
        _ message: MessageView,
        _ fate: UnroutablePublish.Fate,
        in virtualHost: ShortString,
        of publisher: (user: ShortString, peer: PeerInfo)?,
        at epochMilliseconds: UInt64
    ) {
        self.total &+= 1
        let fits = message.namesSize + message.propertiesSize <= ShardLimits.unroutableBytes
        let isNew = self.next == self.entries.count
        var octets: [UInt8] = []
        if !isNew {
            // Taken out, so that the memory is used again.
            swap(&octets, &self.entries[self.next].octets)
            octets.removeAll(keepingCapacity: true)
        }
        octets.append(contentsOf: UnsafeRawBufferPointer(start: message.names, count: message.namesSize))
        if fits {
            octets.append(contentsOf: UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize))
        }
        let entry = Entry(
            number: self.total,
            epochMilliseconds: epochMilliseconds,
            fate: fate,
            virtualHost: virtualHost,
            user: publisher?.user ?? .empty,
            peer: publisher?.peer,
            octets: octets,
            exchangeSize: Int(message.names.load(as: UInt8.self)),
            namesSize: message.namesSize,
            hasProperties: fits,
            bodyBytes: message.bodySize
        )
        if isNew { self.entries.append(entry) } else { self.entries[self.next] = entry }
        self.next = (self.next + 1) % ShardLimits.unroutablePublishes
    }

    /// The messages, the newest first.
    func publishes(shard: Int, limit: Int) -> [UnroutablePublish] {
        let count = self.entries.count
        return (0..<min(count, max(limit, 0))).map { age in
            Self.publish(self.entries[(self.next - 1 - age + 2 * count) % count], shard)
        }
    }

    private static func publish(_ entry: Entry, _ shard: Int) -> UnroutablePublish {
        var properties = BasicProperties()
        if entry.hasProperties {
            properties =
                entry.octets[entry.namesSize...].withUnsafeBytes { octets in
                    var reader = WireReader(octets)
                    return try? BasicProperties(from: &reader)
                } ?? properties
        }
        let key = entry.exchangeSize + 2
        return UnroutablePublish(
            epochMilliseconds: entry.epochMilliseconds,
            shard: shard,
            number: entry.number,
            fate: entry.fate,
            connection: entry.peer?.connectionName ?? "",
            question: RouteQuestion(
                virtualHost: "\(entry.virtualHost)",
                exchange: String(decoding: entry.octets[1..<(1 + entry.exchangeSize)], as: UTF8.self),
                routingKey: String(decoding: entry.octets[key..<entry.namesSize], as: UTF8.self),
                properties: properties,
                bodyBytes: entry.bodyBytes,
                user: entry.peer == nil ? nil : "\(entry.user)",
                isMandatory: entry.fate == .returned
            ),
            hasProperties: entry.hasProperties
        )
    }
}

/// Noting messages that no queue gets; nothing of this is called for the others.
extension Shard {
    /// A client's message has no route.
    @inline(never)
    func noteUnroutable(_ message: MessageView, isReturned: Bool, from channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        guard let host = connection.pointee.virtualHost else { return }
        self.unroutable.add(
            message,
            isReturned ? .returned : .dropped,
            in: host.name,
            of: (connection.pointee.user, connection.pointee.peer),
            at: self.epochMilliseconds(at: self.now)
        )
    }

    /// A message that the broker sends on has no route.
    @inline(never)
    func noteUnroutable(_ message: MessageView, _ fate: UnroutablePublish.Fate, in host: VirtualHost) {
        self.unroutable.add(message, fate, in: host.name, of: nil, at: self.epochMilliseconds(at: self.now))
    }
}
