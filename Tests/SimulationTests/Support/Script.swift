import AMQPProtocol
import BrokerSimulation

/// Tells a judge a story, without any broker: what clients send and what they receive.
///
/// It begins with two open connections of one channel each, and queue 0 declared on the first.
final class Script {
    let judge = Judge()
    let client: ModelClient
    let other: ModelClient
    let channel: ModelChannel
    let otherChannel: ModelChannel
    private var tags: [ObjectIdentifier: UInt64] = [:]

    init(queue: ModelQueue = ModelQueue(id: 0)) {
        self.client = self.judge.connects()
        self.other = self.judge.connects()
        self.channel = ModelChannel(client: self.client, number: 1)
        self.otherChannel = ModelChannel(client: self.other, number: 1)
        for channel in [self.channel, self.otherChannel] {
            channel.client.channels[1] = channel
            self.judge.receives(.method(channel: 0, .connectionOpenOk(ConnectionOpenOk())), client: channel.client)
            self.judge.sends(.openChannel, on: channel)
            self.receive(.channelOpenOk(ChannelOpenOk()), on: channel)
        }
        self.judge.queues.append(queue)
        self.declare(0)
    }

    var failure: String? { self.judge.failure }

    func send(_ operation: Operation, on channel: ModelChannel? = nil, mustFail: Bool = false) {
        self.judge.sends(operation, on: channel ?? self.channel, mustFail: mustFail)
    }

    func receive(_ method: Method, on channel: ModelChannel? = nil) {
        let channel = channel ?? self.channel
        self.judge.receives(.method(channel: channel.number, method), client: channel.client)
    }

    /// An operation and its answer.
    func call(_ operation: Operation, _ answer: Method, on channel: ModelChannel? = nil) {
        self.send(operation, on: channel)
        self.receive(answer, on: channel)
    }

    func declare(_ queue: Int) {
        let name = ShortString(truncating: ModelQueue.name(queue))
        self.call(.declareQueue(queue, noWait: false), .queueDeclareOk(QueueDeclareOk(queue: name)))
    }

    func consume(_ tag: String, noAck: Bool = false, on channel: ModelChannel? = nil) {
        self.call(
            .consume(tag: tag, queue: 0, noAck: noAck, priority: 0, noWait: false),
            .basicConsumeOk(BasicConsumeOk(consumerTag: ShortString(truncating: tag))),
            on: channel
        )
    }

    /// Publishes to a queue by its name; returns the message.
    @discardableResult
    func publish(_ key: String = "q0", isMandatory: Bool = false, on channel: ModelChannel? = nil) -> ModelMessage {
        let message = ModelMessage(
            id: self.judge.messages.count,
            publisher: channel ?? self.channel,
            exchange: nil,
            key: key
        )
        message.isMandatory = isMandatory
        self.judge.messages.append(message)
        self.send(.publish(message.id), on: channel)
        return message
    }

    /// The client gets the message with the channel's next delivery tag.
    func deliver(
        _ message: ModelMessage,
        _ tag: String,
        isRedelivered: Bool = false,
        skippingTags: UInt64 = 0,
        body: [UInt8]? = nil,
        properties: BasicProperties? = nil,
        on channel: ModelChannel? = nil
    ) {
        let channel = channel ?? self.channel
        let number = self.tags[ObjectIdentifier(channel), default: 0] + 1 + skippingTags
        self.tags[ObjectIdentifier(channel)] = number
        let deliver = BasicDeliver(
            consumerTag: ShortString(truncating: tag),
            deliveryTag: number,
            redelivered: isRedelivered,
            exchange: "",
            routingKey: ShortString(truncating: message.key)
        )
        self.judge.receives(
            .content(
                channel: channel.number,
                .basicDeliver(deliver),
                properties ?? message.properties(isSent: false),
                body: body ?? message.body
            ),
            client: channel.client
        )
    }

    /// A mandatory message comes back.
    func giveBack(_ message: ModelMessage) {
        let back = BasicReturn(
            replyCode: 312,
            replyText: "NO_ROUTE",
            exchange: "",
            routingKey: ShortString(truncating: message.key)
        )
        self.judge.receives(
            .content(channel: 1, .basicReturn(back), message.properties(isSent: false), body: message.body),
            client: message.publisher.client
        )
    }

    func acknowledge(_ tag: UInt64, isMultiple: Bool = false, _ outcome: Operation.Outcome = .acknowledge) {
        self.send(.settle(tag: tag, isMultiple: isMultiple, outcome))
    }

    /// Nothing moves, and somebody counts.
    func settle(_ messages: Int, _ consumers: Int) {
        self.judge.settles()
        self.judge.observes(0, .present(messages: messages, consumers: consumers))
    }
}
