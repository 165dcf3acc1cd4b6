internal import AMQPProtocol

/// Messages of the broker about itself, traces and events, that go out at the end of the turn they were made in.
///
/// Not at once: what they tell of is in the middle of being routed or delivered. They have a limit, so that somebody who
/// looks on cannot make the broker keep any amount of copies; what is beyond it is left out and told in the log.
struct Notices {
    /// One message, ready to be routed.
    struct Item {
        let virtualHost: VirtualHost
        /// Names, properties and body.
        let octets: [UInt8]
        let namesSize: Int
        let propertiesSize: Int
        let flags: QueueEntry.Flags
    }

    private var items: [Item] = []
    /// Octets of the messages that wait.
    private(set) var bytes = 0
    /// How many were left out since the last time that was told.
    private var omitted = 0

    /// Nothing is to be published or told.
    var isEmpty: Bool { self.items.isEmpty && self.omitted == 0 }

    /// Adds a message.
    mutating func add(_ item: Item) {
        self.items.append(item)
        self.bytes += item.octets.count
    }

    /// Counts a message for which there was no room.
    mutating func omit() {
        self.omitted += 1
    }

    /// Takes out everything.
    mutating func take() -> (items: [Item], omitted: Int) {
        defer { self = Notices() }
        return (self.items, self.omitted)
    }
}

extension Shard {
    /// Whether another notice may be made; one that may not is counted.
    func hasRoomForNotice() -> Bool {
        guard self.notices.bytes + self.internalPublishes.bytes < ShardLimits.noticeBytes else {
            self.notices.omit()
            return false
        }
        return true
    }

    /// Puts a message into line for the end of the turn.
    func addNotice(
        in virtualHost: VirtualHost,
        exchange: ShortString,
        routingKey: ShortString,
        _ properties: BasicProperties,
        body: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) {
        let encoded = properties.encoded
        guard encoded.count <= MessageRecord.maxPropertiesSize else {
            self.notices.omit()
            return
        }
        let namesSize = 2 + exchange.bytes.count + routingKey.bytes.count
        var octets: [UInt8] = []
        octets.reserveCapacity(namesSize + encoded.count + body.count)
        octets.append(UInt8(exchange.bytes.count))
        octets.append(contentsOf: exchange.bytes)
        octets.append(UInt8(routingKey.bytes.count))
        octets.append(contentsOf: routingKey.bytes)
        octets.append(contentsOf: encoded)
        octets.append(contentsOf: body)
        self.notices.add(
            Notices.Item(
                virtualHost: virtualHost,
                octets: octets,
                namesSize: namesSize,
                propertiesSize: encoded.count,
                flags: properties.deliveryMode == 2 ? .persistent : []
            )
        )
    }

    /// Publishes what the turn has brought.
    ///
    /// Deliveries that come of it are traced in the next turn, which ``hasPendingWork`` asks for.
    @inline(never)
    func publishNotices() {
        let (items, omitted) = self.notices.take()
        if omitted > 0 {
            self.log(
                .warning,
                "notices",
                "\(omitted) trace or event messages left out: more than \(ShardLimits.noticeBytes) octets at once"
            )
        }
        for item in items {
            item.octets.withUnsafeBytes { octets in
                // There are always names.
                guard let base = octets.baseAddress else { return }
                let view = MessageView(
                    names: base,
                    namesSize: item.namesSize,
                    properties: base + item.namesSize,
                    propertiesSize: item.propertiesSize,
                    body: base + (item.namesSize + item.propertiesSize),
                    bodySize: octets.count - item.namesSize - item.propertiesSize
                )
                _ = self.publishInternally(view, item.flags, in: item.virtualHost, then: .nothing)
            }
        }
        self.runLocalCommands()
        self.dispatchTouchedQueues()
    }
}
