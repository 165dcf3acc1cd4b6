internal import AMQPProtocol

/// A publisher that numbers its messages, and outlives its channels.
///
/// It gives its numbers in growing order, and sends whatever was not acknowledged again before it goes on: with every new
/// channel, all of it in order; a message that was refused at any time.
final class FeaturePublisher {
    let id: Int
    /// The channel it publishes on.
    var channel: FeatureChannel?
    /// The last number it has given.
    var number = 0
    /// The latest message with each number that may have to be sent again, in the order of the numbers.
    var sent: [FeatureMessage] = []

    init(id: Int) {
        self.id = id
    }
}

extension FeatureRun {
    /// A client publishes in the name of a publisher, or sends again what somebody has not acknowledged.
    func publishNumbered(_ client: FeatureClient, to queue: FeatureQueue) {
        guard
            let publisher = self.pick(self.publishers.filter { $0.channel.map { $0.isEnded } ?? true })
                ?? self.pick(self.publishers.filter { $0.channel == client.channel })
        else { return }
        if publisher.channel != client.channel {
            publisher.channel = client.channel
            // Who has forgotten what was acknowledged sends that again, too.
            let forgotten = self.random.oneIn(3) ? self.random.below(4) : 0
            let acknowledged = publisher.sent.count { $0.verdict == .accepted }
            var skipped = 0
            for message in publisher.sent {
                if message.verdict == .accepted {
                    skipped += 1
                    if skipped <= acknowledged - forgotten { continue }
                }
                self.sendAgain(message, of: publisher, client)
            }
            return
        }
        if self.random.oneIn(3), let refused = self.pick(publisher.sent.filter { $0.verdict == .refused }) {
            return self.sendAgain(refused, of: publisher, client)
        }
        publisher.number += self.random.oneIn(5) ? 1 + self.random.below(3) : 1
        let message = self.numbered(publisher.number, of: publisher, client, to: queue.id)
        self.dress(message)
        publisher.sent.append(message)
        self.forgetOld(publisher)
        client.publish(message)
    }

    private func numbered(
        _ number: Int,
        of publisher: FeaturePublisher,
        _ client: FeatureClient,
        to queue: Int
    ) -> FeatureMessage {
        let message = FeatureMessage(
            id: self.judge.messages.count,
            publisher: client.channel,
            exchange: "once",
            key: ShortString(truncating: FeatureQueue.name(queue)),
            route: [queue]
        )
        message.publisherNumber = (publisher.id, number)
        return message
    }

    private func sendAgain(_ message: FeatureMessage, of publisher: FeaturePublisher, _ client: FeatureClient) {
        guard let number = message.publisherNumber?.number else { return }
        let copy = self.numbered(number, of: publisher, client, to: message.route[0])
        copy.isPersistent = message.isPersistent
        copy.priority = message.priority
        copy.expiration = message.expiration
        copy.group = message.group
        copy.bodySize = message.bodySize
        for index in publisher.sent.indices where publisher.sent[index] === message { publisher.sent[index] = copy }
        client.publish(copy)
    }

    /// A few that were acknowledged are kept, to be sent again in vain.
    private func forgetOld(_ publisher: FeaturePublisher) {
        while publisher.sent.count > 12, let old = publisher.sent.firstIndex(where: { $0.verdict == .accepted }) {
            publisher.sent.remove(at: old)
        }
    }
}
