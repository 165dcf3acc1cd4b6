import AMQPProtocol

extension RecoveredState {
    /// One line for everything durable, messages by their places; at a time of day two states are alike if these are.
    ///
    /// What messages are is in them as a sum of their octets. A wait or a time that is over by then counts as none at all,
    /// or as over: when it was is told once only.
    public func lines(at epochMilliseconds: UInt64) -> [String] {
        let hosts = self.virtualHosts.map { "virtual host \($0.name) \($0.maxQueues.map { "\($0)" } ?? "")" }
        let policies = self.policies.map { "policy \($0.virtualHost) \($0.policy)\($0.isOperator ? " operator" : "")" }
        let exchanges = self.exchanges.map { "exchange \($0.virtualHost) \($0.definition)" }
        let queues = self.queues.map { queue in
            // Who is dead and kept until somebody takes it has come back once more than the log was told.
            let isCounted = queue.definition.arguments["x-dead-letter-strategy"] == nil
            let messages = queue.messages.map { Self.word(for: $0, isCounted: isCounted, at: epochMilliseconds) }
            return "queue \(queue.definition): \(messages.joined(separator: " "))"
        }
        let bindings = self.bindings.map { "binding \($0.virtualHost) \($0.definition)" }
        let delays = self.delays.ordered.map {
            "delay \($0.id) until \($0.deadline) from \($0.origin): \(Self.word(for: $0.message))"
        }
        return hosts + policies + exchanges + queues + bindings + delays + self.windowLines(at: epochMilliseconds)
    }

    private static func word(
        for message: RecoveredQueue.Message,
        isCounted: Bool,
        at epochMilliseconds: UInt64
    ) -> String {
        var word = "\(message.sequence)\(message.isRedelivered ? "r" : ""):\(self.word(for: message.message))"
        if isCounted && message.deliveryCount > 0 { word += " count \(message.deliveryCount)" }
        if message.retryAtMilliseconds > epochMilliseconds { word += " waits until \(message.retryAtMilliseconds)" }
        switch message.deadline {
        case 0: return word
        case ...epochMilliseconds: return word + " overdue"
        default: return word + " expires at \(message.deadline)"
        }
    }

    /// A message's size, flags and sum of octets (FNV-1a).
    private static func word(for message: RecoveredMessage) -> String {
        let sum = message.bytes.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
        return "\(message.bodySize)/\(message.flags.rawValue)/\(String(sum, radix: 16))"
    }

    private func windowLines(at epochMilliseconds: UInt64) -> [String] {
        self.windows.flatMap { window in
            var lines: [String] = []
            var budget = Int.max
            _ = window.window.forEachLogged(from: 0, &budget) { key, deadline in
                guard deadline > epochMilliseconds else { return }
                lines.append("key \(window.virtualHost) \(window.exchange) \(key) until \(deadline)")
            }
            // The log has them in the order in which their messages arrived, a window in that of their publishes.
            return lines.sorted()
        }
    }
}
