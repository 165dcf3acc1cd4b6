/// What somebody who asks a queue must find there, while other things go on.
extension Judge {
    /// A client was told how many messages are ready; those that are certainly there must be among them.
    ///
    /// A message is certainly there for everybody who asks after its publisher was told (by a confirm or `commit-ok`),
    /// and for its own channel at once. Only queues are judged from which nobody else can have taken anything.
    func checkVisible(_ count: Int, in number: Int, to pending: PendingOperation, on channel: ModelChannel) {
        guard !self.weakened.contains(number), self.isUntaken(number) else { return }
        let visible = self.visible(in: number, to: pending, on: channel)
        if count < visible.count {
            let names = visible.map { "m\($0.id)" }.joined(separator: " ")
            self.fail(
                "\(channel.name): \(self.describe(pending.operation)) found \(count) messages, but \(names) must be there"
            )
        }
    }

    /// A client was told that a queue is purged: what was certainly there for it will not be seen again, nor after a crash.
    func purges(_ number: Int, _ pending: PendingOperation, on channel: ModelChannel) {
        if self.isUntaken(number) {
            for message in self.visible(in: number, to: pending, on: channel) {
                message.copies[number, default: .init()].place = .purged
            }
        }
        self.weakened.insert(number)
    }

    /// The messages that are certainly on a queue for a channel that asks, if nobody else has taken anything.
    private func visible(in number: Int, to pending: PendingOperation, on channel: ModelChannel) -> [ModelMessage] {
        self.queues[number].messages.filter { message in
            guard message.certainty == .certain, message.must.contains(number),
                message.copies[number, default: .init()].isUntouched
            else { return false }
            return message.publisher === channel && message.sentAt < pending.sentAt
                || (message.confirmedAt ?? .max) < pending.sentAt
        }
    }

    /// Whether nobody has, or may get, messages of a queue without their being seen.
    private func isUntaken(_ number: Int) -> Bool {
        guard !self.returning.contains(number), self.queues[number].existence == .certain else { return false }
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
