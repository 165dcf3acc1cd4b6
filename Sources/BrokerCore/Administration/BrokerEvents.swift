internal import AMQPProtocol

/// What the broker tells about itself, by the routing keys of RabbitMQ's event exchange.
enum BrokerEvent {
    case queueCreated
    case queueDeleted
    case exchangeCreated
    case exchangeDeleted
    case bindingCreated
    case bindingDeleted
    case connectionCreated
    case connectionClosed
    case channelCreated
    case channelClosed
    case consumerCreated
    case consumerDeleted
    case authenticationSuccess
    case authenticationFailure
    case alarmSet
    case alarmCleared
    case virtualHostCreated
    case policySet
    case policyCleared
    case operatorPolicyCleared
    case parameterSet
    case parameterCleared

    /// The routing key.
    var rawValue: ShortString {
        switch self {
        case .queueCreated: "queue.created"
        case .queueDeleted: "queue.deleted"
        case .exchangeCreated: "exchange.created"
        case .exchangeDeleted: "exchange.deleted"
        case .bindingCreated: "binding.created"
        case .bindingDeleted: "binding.deleted"
        case .connectionCreated: "connection.created"
        case .connectionClosed: "connection.closed"
        case .channelCreated: "channel.created"
        case .channelClosed: "channel.closed"
        case .consumerCreated: "consumer.created"
        case .consumerDeleted: "consumer.deleted"
        case .authenticationSuccess: "user.authentication.success"
        case .authenticationFailure: "user.authentication.failure"
        case .alarmSet: "alarm.set"
        case .alarmCleared: "alarm.cleared"
        case .virtualHostCreated: "vhost.created"
        case .policySet: "policy.set"
        case .policyCleared: "policy.cleared"
        case .operatorPolicyCleared: "operator.policy.cleared"
        case .parameterSet: "parameter.set"
        case .parameterCleared: "parameter.cleared"
        }
    }
}

/// Telling what happens through `amq.rabbitmq.event` of the virtual host `/`: a message without a body, the facts in
/// its headers.
///
/// Nothing is made when nothing is bound to the exchange. Events are published at the end of the turn they happen in.
extension Shard {
    /// The exchange that events go to, in the virtual host `/`.
    static let eventExchange: ShortString = "amq.rabbitmq.event"

    /// Whether anybody gets events.
    var hasEventReaders: Bool {
        let exchange = self.topology.virtualHost(named: "/")?.exchange(named: Self.eventExchange)
        return exchange.map { !$0.outgoing.isEmpty } ?? false
    }

    /// Tells an event if anybody listens.
    func tell(_ event: BrokerEvent, _ facts: @autoclosure () -> [(ShortString, FieldValue)]) {
        guard self.hasEventReaders, let host = self.topology.virtualHost(named: "/"), self.hasRoomForNotice() else {
            return
        }
        let time = self.epochMilliseconds(at: self.now)
        let headers = FieldTable(facts() + [("timestamp_in_ms", .int64(Int64(clamping: time)))])
        self.addNotice(
            in: host,
            exchange: Self.eventExchange,
            routingKey: event.rawValue,
            BasicProperties(headers: headers, deliveryMode: 2, timestamp: time / 1000)
        )
    }

    // MARK: Topology

    /// Tells what a change takes away; before it is applied, on the owner's shard.
    func tellEnd(of change: TopologyChange) {
        guard self.hasEventReaders else { return }
        switch change {
        case .removeQueue(let host, let name):
            let queue = self.topology.virtualHost(named: host)?.queue(named: name)
            for binding in queue?.incoming ?? BindingList() {
                self.tell(.bindingDeleted, Self.facts(binding.definition, in: host))
            }
            self.tell(.queueDeleted, [("name", .text(name)), ("vhost", .text(host))])
        case .removeExchange(let host, let name):
            let exchange = self.topology.virtualHost(named: host)?.exchange(named: name)
            for binding in Array(exchange?.outgoing ?? BindingList())
                + (exchange?.incoming.filter { $0.source !== exchange } ?? [])
            {
                self.tell(.bindingDeleted, Self.facts(binding.definition, in: host))
            }
            self.tell(.exchangeDeleted, [("name", .text(name)), ("vhost", .text(host))])
        case .removeBinding(let host, let binding):
            self.tell(.bindingDeleted, Self.facts(binding, in: host))
        case .removePolicy(let host, let name, let isOperator):
            if isOperator { self.tell(.parameterCleared, Self.parameter(name, in: host)) }
            self.tell(
                isOperator ? .operatorPolicyCleared : .policyCleared,
                [("vhost", .text(host)), ("name", .text(name))]
            )
        default:
            break
        }
    }

    /// Tells what a change has brought; after it is applied, on the owner's shard.
    func tellBeginning(of change: TopologyChange) {
        guard self.hasEventReaders else { return }
        switch change {
        case .addQueue(let queue):
            self.tell(
                .queueCreated,
                [
                    ("exclusive", .boolean(queue.exclusiveOwner != nil)),
                    ("owner_pid", .string(queue.exclusiveOwner.map { "<\($0.shard).\($0.id).0>" } ?? "")),
                    ("arguments", Self.terms(queue.arguments)), ("auto_delete", .boolean(queue.isAutoDelete)),
                    ("durable", .boolean(queue.isDurable)), ("name", .text(queue.name)),
                    ("vhost", .text(queue.virtualHost)),
                ]
            )
        case .addExchange(let host, let exchange):
            self.tell(
                .exchangeCreated,
                [
                    ("policy", .string("")), ("arguments", Self.terms(exchange.arguments)),
                    ("internal", .boolean(exchange.isInternal)), ("auto_delete", .boolean(exchange.isAutoDelete)),
                    ("durable", .boolean(exchange.isDurable)), ("type", .text(exchange.type.name)),
                    ("name", .text(exchange.name)), ("vhost", .text(host)),
                ]
            )
        case .addBinding(let host, let binding):
            self.tell(.bindingCreated, Self.facts(binding, in: host))
        case .addVirtualHost(let name):
            self.tell(.virtualHostCreated, [("name", .text(name))])
        case .setPolicy(let host, let policy, let isOperator):
            let facts = Self.facts(policy)
            if isOperator {
                self.tell(.parameterSet, [("value", .table(FieldTable(facts)))] + Self.parameter(policy.name, in: host))
            }
            self.tell(.policySet, facts + [("vhost", .text(host)), ("name", .text(policy.name))])
        default:
            break
        }
    }

    private static func facts(_ binding: BindingDefinition, in host: ShortString) -> [(ShortString, FieldValue)] {
        [
            ("vhost", .text(host)), ("arguments", self.terms(binding.arguments)),
            ("routing_key", .text(binding.routingKey)),
            ("destination_kind", .string(binding.kind == .queue ? "queue" : "exchange")),
            ("destination_name", .text(binding.destination)), ("source_kind", .string("exchange")),
            ("source_name", .text(binding.source)),
        ]
    }

    private static func facts(_ policy: Policy) -> [(ShortString, FieldValue)] {
        [
            ("apply-to", .string(policy.target.name)), ("priority", .int64(policy.priority)),
            ("definition", .table(policy.definition)), ("pattern", .longString(policy.pattern.source)),
        ]
    }

    /// Operator policies are parameters, too, and told as such; policies are not.
    private static func parameter(_ name: ShortString, in host: ShortString) -> [(ShortString, FieldValue)] {
        [("name", .text(name)), ("component", .string("operator_policy")), ("vhost", .text(host))]
    }

    /// Arguments as RabbitMQ puts them into events: a list of Erlang terms.
    private static func terms(_ table: FieldTable) -> FieldValue {
        .array(FieldArray(table.map { .string(ErlangTerm.field($0, $1)) }))
    }

    // MARK: Connections, channels, consumers

    private func identity(_ connection: UnsafeMutablePointer<ConnectionState>, channel: UInt16 = 0) -> FieldValue {
        .string("<\(self.index).\(connection.pointee.id.rawValue).\(channel)>")
    }

    /// A connection has passed `connection.open`.
    func tellOpened(_ connection: UnsafeMutablePointer<ConnectionState>) {
        let peer = connection.pointee.peer
        self.tell(
            .connectionCreated,
            [
                ("user_who_performed_action", .text(connection.pointee.user)),
                ("node", .string(self.settings.clusterName)),
                ("connected_at", .int64(Int64(clamping: self.epochMilliseconds(at: connection.pointee.acceptedAt)))),
                ("channel_max", .int64(Int64(connection.pointee.channelMax))),
                ("frame_max", .int64(Int64(connection.pointee.frameMaxBytes))),
                ("timeout", .int64(Int64(clamping: connection.pointee.heartbeatSeconds))),
                ("vhost", connection.pointee.virtualHost.map { .text($0.name) } ?? .string("")),
                ("user", .text(connection.pointee.user)), ("protocol", .string("{0,9,1}")),
                ("auth_mechanism", .text(connection.pointee.mechanism)), ("peer_host", .string(peer.peerHost)),
                ("host", .string(peer.localHost)), ("peer_port", .int64(Int64(peer.peerPort))),
                ("port", .int64(Int64(peer.localPort))), ("name", .string(peer.connectionName)),
                ("pid", self.identity(connection)), ("type", .string("network")),
            ]
        )
    }

    /// A connection that was opened ends.
    func tellClosed(_ connection: UnsafeMutablePointer<ConnectionState>) {
        self.tell(
            .connectionClosed,
            [
                ("node", .string(self.settings.clusterName)), ("pid", self.identity(connection)),
                ("name", .string(connection.pointee.peer.connectionName)),
            ]
        )
    }

    /// A channel was opened.
    func tellOpened(_ channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        let number = channel.pointee.number
        self.tell(
            .channelCreated,
            [
                ("user_who_performed_action", .text(connection.pointee.user)),
                ("vhost", connection.pointee.virtualHost.map { .text($0.name) } ?? .string("")),
                ("user", .text(connection.pointee.user)), ("number", .int64(Int64(number))),
                ("connection", self.identity(connection)),
                ("name", .string("\(connection.pointee.peer.connectionName) (\(number))")),
                ("pid", self.identity(connection, channel: number)),
            ]
        )
    }

    /// A channel has ended.
    func tellClosed(_ channel: UnsafeMutablePointer<ChannelState>) {
        let connection = channel.pointee.connection
        self.tell(
            .channelClosed,
            [
                ("user_who_performed_action", .text(connection.pointee.user)),
                ("pid", self.identity(connection, channel: channel.pointee.number)),
            ]
        )
    }

    /// A login was taken or refused.
    func tellLogin(_ connection: UnsafeMutablePointer<ConnectionState>, user: String, refusal: String?) {
        guard self.hasEventReaders else { return }
        let peer = connection.pointee.peer
        var facts: [(ShortString, FieldValue)] = [
            ("auth_mechanism", .text(connection.pointee.mechanism)), ("protocol", .string("{0,9,1}")),
            ("peer_port", .int64(Int64(peer.peerPort))), ("peer_host", .string(peer.peerHost)),
            ("connection_name", .string(peer.connectionName)), ("host", .string(peer.localHost)),
            ("name", .string(user)), ("connection_type", .string("network")),
        ]
        if let refusal {
            facts.insert(("error", .string("user '\(user)' - \(refusal)")), at: 0)
        }
        self.tell(refusal == nil ? .authenticationSuccess : .authenticationFailure, facts)
    }

    /// A consumer was accepted by its queue.
    func tellCreated(
        _ consumer: UnsafeMutablePointer<ChannelConsumer>,
        of channel: UnsafeMutablePointer<ChannelState>
    ) {
        let connection = channel.pointee.connection
        self.tell(
            .consumerCreated,
            [
                ("user_who_performed_action", .text(connection.pointee.user)),
                ("arguments", Self.terms(consumer.pointee.arguments)),
                ("prefetch_count", .int64(Int64(channel.pointee.prefetchCount))),
                ("queue", .text(consumer.pointee.queueName)),
                ("vhost", connection.pointee.virtualHost.map { .text($0.name) } ?? .string("")),
                ("channel", self.identity(connection, channel: channel.pointee.number)),
                ("ack_required", .boolean(!consumer.pointee.noAck)),
                ("exclusive", .boolean(consumer.pointee.isExclusive)),
                ("consumer_tag", .text(consumer.pointee.tag)),
            ]
        )
    }

    /// A consumer gets nothing more; getters are none.
    func tellDeleted(
        _ consumer: UnsafeMutablePointer<ChannelConsumer>,
        of channel: UnsafeMutablePointer<ChannelState>
    ) {
        guard !consumer.pointee.isGetter, !consumer.pointee.isRetired else { return }
        let connection = channel.pointee.connection
        self.tell(
            .consumerDeleted,
            [
                ("user_who_performed_action", .text(connection.pointee.user)),
                ("queue", .text(consumer.pointee.queueName)),
                ("vhost", connection.pointee.virtualHost.map { .text($0.name) } ?? .string("")),
                ("channel", self.identity(connection, channel: channel.pointee.number)),
                ("consumer_tag", .text(consumer.pointee.tag)),
            ]
        )
    }

    /// An alarm of the whole broker; told by one shard.
    func tell(_ alarm: ResourceAlarms, isSet: Bool) {
        guard self.index == 0 else { return }
        self.tell(
            isSet ? .alarmSet : .alarmCleared,
            [("source", .string(alarm == .disk ? "disk" : "memory")), ("node", .string(self.settings.clusterName))]
        )
    }
}

extension FieldValue {
    /// A name as a long string.
    fileprivate static func text(_ name: ShortString) -> FieldValue { .longString(name.bytes) }
}
