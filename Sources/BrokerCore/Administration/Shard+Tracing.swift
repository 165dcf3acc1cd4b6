internal import AMQPProtocol

// While a virtual host is traced, `amq.rabbitmq.trace` gets a copy of every message that is published there, by the key
// `publish.EXCHANGE`, and of every message that is handed to a consumer, by `deliver.QUEUE`.
//
// 1. While nothing is traced a publish pays nothing and a delivery one test: routes are not kept in a traced virtual host,
//    so that every publish is routed, and routing is where it is traced.
// 2. Copies are published at the end of the turn; see ``Notices``.
// 3. Messages of the trace exchange itself are not traced: there would be no end.
extension Shard {
    /// The exchange that traces go to, in every virtual host.
    static let traceExchange: ShortString = "amq.rabbitmq.trace"

    /// Begins or ends tracing a virtual host; to be told to every shard.
    ///
    /// Says whether there is such a virtual host. It is not remembered over a restart.
    @discardableResult
    public func setTracing(virtualHost name: String, isOn: Bool) -> Bool {
        guard let host = ShortString(Array(name.utf8)).flatMap({ self.topology.virtualHost(named: $0) }) else {
            return false
        }
        guard host.isTraced != isOn else { return true }
        host.isTraced = isOn
        self.isTracing = self.topology.virtualHostNames.contains {
            self.topology.virtualHost(named: $0)?.isTraced ?? false
        }
        // Publishes that took the short way must be routed again.
        self.routeEpoch += 1
        return true
    }

    /// The virtual hosts that are traced, in order.
    public var tracedVirtualHosts: [String] {
        self.topology.virtualHostNames
            .filter { self.topology.virtualHost(named: $0)?.isTraced ?? false }
            .map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    /// Traces a publish that has been routed to the queues in ``routeTargets``.
    ///
    /// `rewritten` are the message's properties if they are no longer those it came with.
    @inline(never)
    func tracePublish(
        _ message: MessageView,
        rewritten: [UInt8]?,
        extraKeys: [[UInt8]],
        on channel: UnsafeMutablePointer<ChannelState>
    ) {
        guard let host = channel.pointee.connection.pointee.virtualHost, self.isTraceRead(in: host, message) else {
            return
        }
        let keys = [Array(message.routingKey)] + extraKeys
        let queues =
            message.exchange.isEmpty
            ? Self.sortedOnce(keys).map { FieldValue.longString($0) }
            : self.routeTargets.infos.map { .longString($0.name.bytes) }
        var headers = self.traceHeaders(message, rewritten: rewritten, keys: keys)
        headers += self.traceOrigin(channel)
        headers.append(("routed_queues", .array(FieldArray(queues))))
        self.addTrace("publish.", Array(message.exchange), headers, message, in: host)
    }

    /// Traces a message that is handed to a consumer or a `basic.get`.
    @inline(never)
    func traceDelivery(
        _ message: MessageView,
        from queue: ShortString,
        to channel: UnsafeMutablePointer<ChannelState>,
        isRedelivered: Bool
    ) {
        guard let host = channel.pointee.connection.pointee.virtualHost, host.isTraced,
            self.isTraceRead(in: host, message)
        else { return }
        // Keys of `BCC` are gone with it.
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        var keys = [Array(message.routingKey)]
        if case .array(let copies)? = Self.decode(properties)?.headers?["CC"] {
            keys += copies.compactMap(\.stringValue)
        }
        var headers = self.traceHeaders(message, rewritten: nil, keys: keys)
        headers.append(("redelivered", .int32(isRedelivered ? 1 : 0)))
        headers += self.traceOrigin(channel)
        self.addTrace("deliver.", queue.bytes, headers, message, in: host)
    }

    /// Whether anybody gets a trace of the message.
    private func isTraceRead(in host: VirtualHost, _ message: MessageView) -> Bool {
        guard let exchange = host.exchange(named: Self.traceExchange), !exchange.outgoing.isEmpty,
            !Self.traceExchange.bytes.elementsEqual(message.exchange)
        else { return false }
        return self.hasRoomForNotice()
    }

    private func addTrace(
        _ kind: String,
        _ name: [UInt8],
        _ headers: [(ShortString, FieldValue)],
        _ message: MessageView,
        in host: VirtualHost
    ) {
        // A name of 255 octets leaves no room for what stands before it.
        guard let key = ShortString(Array((Array(kind.utf8) + name).prefix(255))) else { return }
        self.addNotice(
            in: host,
            exchange: Self.traceExchange,
            routingKey: key,
            BasicProperties(headers: FieldTable(headers)),
            body: UnsafeRawBufferPointer(start: message.body, count: message.bodySize)
        )
    }

    /// What every trace tells of its message.
    private func traceHeaders(
        _ message: MessageView,
        rewritten: [UInt8]?,
        keys: [[UInt8]]
    ) -> [(ShortString, FieldValue)] {
        let octets = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        let properties = rewritten.map { $0.withUnsafeBytes { Self.decode($0) } } ?? Self.decode(octets)
        return [
            ("exchange_name", .longString(Array(message.exchange))),
            ("routing_keys", .array(FieldArray(keys.map { .longString($0) }))),
            ("properties", .table(properties?.traced ?? .empty)),
            ("node", .string(self.settings.clusterName)),
        ]
    }

    /// Whose publish or delivery it is.
    private func traceOrigin(_ channel: UnsafeMutablePointer<ChannelState>) -> [(ShortString, FieldValue)] {
        let connection = channel.pointee.connection
        return [
            ("vhost", .longString(connection.pointee.virtualHost?.name.bytes ?? [])),
            ("connection", .string(connection.pointee.peer.connectionName)),
            ("channel", .int32(Int32(channel.pointee.number))),
            ("user", .longString(connection.pointee.user.bytes)),
        ]
    }

    private static func decode(_ properties: UnsafeRawBufferPointer) -> BasicProperties? {
        var reader = WireReader(properties)
        return try? BasicProperties(from: &reader)
    }

    /// Keys in order, each once: how the default exchange finds queues in RabbitMQ, whether they are there or not.
    private static func sortedOnce(_ keys: [[UInt8]]) -> [[UInt8]] {
        var sorted: [[UInt8]] = []
        for key in keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) where key != sorted.last {
            sorted.append(key)
        }
        return sorted
    }
}

extension BasicProperties {
    /// The properties that are there as a trace shows them: last one first, numbers as 32 bits.
    fileprivate var traced: FieldTable {
        var entries: [(ShortString, FieldValue)] = []
        func add(_ name: ShortString, _ text: ShortString?) {
            if let text { entries.append((name, .longString(text.bytes))) }
        }
        func add(_ name: ShortString, number: UInt64?) {
            if let number { entries.append((name, .int32(Int32(truncatingIfNeeded: number)))) }
        }
        add("cluster_id", self.clusterID)
        add("app_id", self.appID)
        add("user_id", self.userID)
        add("type", self.type)
        add("timestamp", number: self.timestamp)
        add("message_id", self.messageID)
        add("expiration", self.expiration)
        add("reply_to", self.replyTo)
        add("correlation_id", self.correlationID)
        add("priority", number: self.priority.map { UInt64($0) })
        add("delivery_mode", number: self.deliveryMode.map { UInt64($0) })
        if let headers = self.headers { entries.append(("headers", .table(headers))) }
        add("content_encoding", self.contentEncoding)
        add("content_type", self.contentType)
        return FieldTable(entries)
    }
}
