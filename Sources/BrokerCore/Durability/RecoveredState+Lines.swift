extension RecoveredState {
    /// One line for each exchange, queue and binding, messages by their places; two states are alike if these are.
    public var lines: [String] {
        let exchanges = self.exchanges.map { "exchange \($0.virtualHost) \($0.definition)" }
        let queues = self.queues.map { queue in
            let messages = queue.messages.map { message in
                "\(message.sequence)\(message.isRedelivered ? "r" : ""):\(message.message.bodySize)"
            }
            return "queue \(queue.definition): \(messages.joined(separator: " "))"
        }
        let bindings = self.bindings.map { "binding \($0.virtualHost) \($0.definition)" }
        return exchanges + queues + bindings
    }
}
