internal import AMQPProtocol

extension QueueSettings {
    /// What arguments and policies together say about a queue.
    ///
    /// Of a limit the smaller one counts, whoever set it. Of anything else the argument counts, except for the overflow of
    /// quorum queues, where RabbitMQ lets the policy win.
    init(_ info: QueueInfo, _ policies: MatchedPolicies) {
        self.init(info.parsed)
        guard !policies.isEmpty else { return }
        for (key, value) in policies.effectiveDefinition {
            self.merge(key, value, info)
        }
    }

    private mutating func merge(_ key: ShortString, _ value: FieldValue, _ info: QueueInfo) {
        let number = value.integerValue.flatMap { UInt64(exactly: $0) }
        let name = value.stringValue.flatMap { ShortString($0) }
        switch key {
        case "message-ttl": Self.lower(&self.messageTTLMilliseconds, number)
        case "expires": Self.lower(&self.expiresMilliseconds, number)
        case "max-length": Self.lower(&self.maxLength, number)
        case "max-length-bytes": Self.lower(&self.maxLengthBytes, number)
        case "delivery-limit":
            guard let limit = value.integerValue else { return }
            // Below 0 is no limit, which loses against one.
            let current = self.deliveryLimit.flatMap { $0 < 0 ? nil : $0 }
            self.deliveryLimit = min(current ?? limit, limit)
        case "dead-letter-exchange":
            self.deadLetterExchange = self.deadLetterExchange ?? name
        case "dead-letter-routing-key":
            self.deadLetterRoutingKey = self.deadLetterRoutingKey ?? name
        case "dead-letter-strategy":
            guard info.parsed.deadLetterStrategy == nil, info.parsed.queueType == .quorum else { return }
            self.deadLetterStrategy = value.stringValue.flatMap { DeadLetterStrategy($0) } ?? self.deadLetterStrategy
        case "overflow":
            self.mergeOverflow(value.stringValue.flatMap { QueueOverflow($0) }, info)
        default: self.mergeOurOwn(key, value, info)
        }
    }

    /// What RabbitMQ 3.10 does not know.
    private mutating func mergeOurOwn(_ key: ShortString, _ value: FieldValue, _ info: QueueInfo) {
        let number = value.integerValue.flatMap { UInt64(exactly: $0) }
        switch key {
        case "consumer-timeout": Self.lower(&self.consumerTimeoutMilliseconds, number)
        case "delayed-retry-min": Self.lower(&self.delayedRetryMinMilliseconds, number)
        case "delayed-retry-max": Self.lower(&self.delayedRetryMaxMilliseconds, number)
        case "delayed-retry-type":
            guard info.arguments[QueueArgument.delayedRetryType.name] == nil else { return }
            self.delayedRetryType = value.stringValue.flatMap { DelayedRetryType($0) } ?? self.delayedRetryType
        case "group-header":
            self.groupHeader = self.groupHeader ?? value.stringValue.flatMap { ShortString($0) }
        case "delay-header":
            self.delayHeader = self.delayHeader ?? value.stringValue.flatMap { ShortString($0) }
        case "max-priority":
            guard info.parsed.queueType == .classic else { return }
            self.maxPriority = self.maxPriority ?? number.flatMap { UInt8(exactly: $0) }
        case "dispatch":
            guard info.arguments[QueueArgument.dispatch.name] == nil else { return }
            self.dispatch = value.stringValue.flatMap { QueueDispatch($0) } ?? self.dispatch
        default: break
        }
    }

    private mutating func mergeOverflow(_ overflow: QueueOverflow?, _ info: QueueInfo) {
        guard let overflow else { return }
        if info.parsed.queueType == .quorum {
            // Quorum queues do not know this one; RabbitMQ warns and drops from the head.
            self.overflow = overflow == .rejectPublishDlx ? .dropHead : overflow
        } else if info.arguments[QueueArgument.overflow.name] == nil {
            self.overflow = overflow
        }
    }

    private static func lower(_ setting: inout UInt64?, _ limit: UInt64?) {
        guard let limit else { return }
        setting = min(setting ?? limit, limit)
    }
}
