internal import AMQPProtocol

/// The arguments of `basic.consume` that RabbitMQ 3.10 checks.
enum ConsumerArguments {
    /// Who gets messages first; 0 where nothing is said.
    static func priority(_ arguments: FieldTable) -> Int64 {
        arguments[self.priorityKey]?.integerValue ?? 0
    }

    /// Why nobody can consume with these arguments, in RabbitMQ's words; nil when it is fine.
    ///
    /// What the type of queue does not know is refused before values are looked at.
    static func refusal(_ arguments: FieldTable, _ queue: QueueInfo) -> ReplyText? {
        let place = "queue '\(queue.name)' in vhost '\(queue.virtualHostName)'"
        let isClassic = queue.parsed.queueType == .classic
        for (key, _) in arguments where key == self.streamOffsetKey || (key == self.failoverKey && !isClassic) {
            return "invalid arg '\(key)' for \(place) of queue type \(queue.parsed.queueType.rabbitName)"
        }
        for (key, value) in arguments {
            switch key {
            case self.priorityKey:
                guard value.integerValue == nil else { continue }
                return "invalid arg '\(key)' for \(place): \"expected integer, got \(value.rabbitTypeName)\""
            case self.failoverKey:
                if case .bool = value { continue }
                return "invalid arg '\(key)' for \(place): {unacceptable_type,\(value.rabbitTypeName)}"
            default:
                continue
            }
        }
        return nil
    }

    private static let priorityKey: ShortString = "x-priority"
    /// Of mirrored queues, which there are none of: taken without effect.
    private static let failoverKey: ShortString = "x-cancel-on-ha-failover"
    private static let streamOffsetKey: ShortString = "x-stream-offset"
}
