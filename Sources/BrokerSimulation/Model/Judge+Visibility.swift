/// What somebody who asks a queue must find there, while other things go on.
extension Judge {
    /// A client was told how many messages are ready; those that are certainly there must be among them.
    ///
    /// A message is certainly there for everybody who asks after its publisher was told (by a confirm or `commit-ok`),
    /// and for its own channel at once. Only queues are judged from which nobody else can have taken anything.
    func checkVisible(_ count: Int, in number: Int, to pending: PendingOperation, on channel: ModelChannel) {
        guard self.isUndisturbed(number) else { return }
        let visible = self.queues[number].messages.filter { message in
            guard message.certainty == .certain, message.must.contains(number), message.copies[number] == nil else {
                return false
            }
            return message.publisher === channel && message.sentAt < pending.sentAt
                || (message.confirmedAt ?? .max) < pending.sentAt
        }
        if count < visible.count {
            let names = visible.map { "m\($0.id)" }.joined(separator: " ")
            self.fail(
                "\(channel.name): \(self.describe(pending.operation)) found \(count) messages, but \(names) must be there"
            )
        }
    }

    private func isUndisturbed(_ number: Int) -> Bool {
        guard !self.weakened.contains(number), !self.returning.contains(number),
            self.queues[number].existence == .certain
        else { return false }
        return !self.channels.contains { channel in
            channel.consumers.contains { $0.queue == number && $0.state != .ended }
                || channel.pending.contains { pending in
                    switch pending.operation {
                    case .get(number, _), .purgeQueue(number), .deleteQueue(number, _, _): true
                    default: false
                    }
                }
        }
    }
}
