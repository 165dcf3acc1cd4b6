import AMQPProtocol

@testable import BrokerSimulation

/// Tells a judge of features a story, without any broker.
///
/// Queue 0 has what a test wants, queue 1 nothing unless it wants that, too.
final class FeatureScript {
    let judge: FeatureJudge
    let publisher = FeatureChannel(name: "p", isConfirming: true)
    let reader = FeatureChannel(name: "r", isConfirming: true)
    private var nextTag: UInt64 = 1

    init(
        _ settings: FeatureQueue.Settings = FeatureQueue.Settings(),
        isQuorum: Bool = false,
        second: FeatureQueue.Settings = FeatureQueue.Settings()
    ) {
        self.judge = FeatureJudge([
            FeatureQueue(id: 0, isQuorum: isQuorum, isSingleActive: false, declared: settings),
            FeatureQueue(id: 1, isQuorum: false, isSingleActive: false, declared: second),
        ])
        self.judge.channels = [self.publisher, self.reader]
        self.judge.now = 1000
    }

    var failure: String? { self.judge.failure }

    /// A message to queue 0 unless `to` says otherwise, confirmed unless `verdict` does.
    @discardableResult
    func publish(
        to queue: Int = 0,
        verdict: Bool? = true,
        _ change: (FeatureMessage) -> Void = { _ in }
    ) -> FeatureMessage {
        let message = FeatureMessage(
            id: self.judge.messages.count,
            publisher: self.publisher,
            exchange: "",
            key: ShortString(truncating: FeatureQueue.name(queue)),
            route: [queue]
        )
        change(message)
        self.judge.sends(message)
        if let verdict {
            self.judge.confirms(
                self.publisher.nextPublish - 1,
                isMultiple: false,
                isRefused: !verdict,
                on: self.publisher
            )
        }
        return message
    }

    /// The reader gets a message, from the queue it was published to unless it has died there.
    @discardableResult
    func get(
        _ message: FeatureMessage,
        _ reasons: String...,
        isRedelivered: Bool = false,
        returns: Int? = nil
    ) -> FeatureChannel.Delivery? {
        let first = message.route[0]
        let path = Array(first...(first + reasons.count))
        self.judge.receives(
            FeatureJudge.Arrival(
                message: message,
                path: path,
                reasons: reasons,
                isRedelivered: isRedelivered,
                returns: returns
            ),
            from: self.judge.queues[first + reasons.count],
            tag: self.nextTag,
            noAck: false,
            emittedAfter: self.judge.now,
            on: self.reader
        )
        self.nextTag += 1
        return self.reader.unacknowledged.last
    }

    func settle(_ delivery: FeatureChannel.Delivery?, _ outcome: FeatureCopy.Outcome) {
        if let delivery { self.judge.settles([delivery], outcome, on: self.reader) }
    }

    /// Nothing moves, and what is not with the reader is missing.
    func look() {
        self.judge.settled()
        self.judge.resolves()
    }

    func crash() {
        self.judge.brokerEnds()
        self.judge.channels = [self.publisher, self.reader]
        self.publisher.isEnded = false
        self.reader.isEnded = false
    }
}
