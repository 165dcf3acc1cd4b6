internal import AMQPProtocol
internal import BrokerCore

/// A client of a feature run, with one channel: what it sends goes to the broker and to the judge, what it receives to
/// the judge.
final class FeatureClient {
    let channel: FeatureChannel
    let client: SimulatedClient
    /// Octets it takes from its socket at a time.
    let readLimit: Int
    private let judge: FeatureJudge
    private var nextTag = 1
    /// What `basic.get` has brought since somebody has asked for it.
    private(set) var got: [FeatureCopy] = []
    /// The last `basic.get` found nothing.
    private(set) var isEmpty = false
    /// Messages in the queue that was asked for last.
    private(set) var messageCount: Int?

    init(_ judge: FeatureJudge, _ broker: SimulatedBroker, name: String, shard: Int, isConfirming: Bool, readLimit: Int)
    {
        self.judge = judge
        self.channel = FeatureChannel(name: name, isConfirming: isConfirming)
        self.channel.emptyAt = judge.now
        self.client = SimulatedClient(broker, shard: shard)
        self.readLimit = readLimit
        self.client.sendBytes(SimulatedClient.greeting())
        if isConfirming { self.client.send(ConfirmSelect()) }
        judge.channels.append(self.channel)
        judge.note("\(name) connects to shard \(shard)")
    }

    // MARK: Sending

    func publish(_ message: FeatureMessage) {
        self.client.publish(
            exchange: message.exchange,
            routingKey: message.key,
            properties: message.properties,
            body: message.body
        )
        self.judge.sends(message)
    }

    func consume(_ queue: FeatureQueue, noAck: Bool, prefetch: Int) {
        let tag = "t\(self.nextTag)"
        self.nextTag += 1
        self.judge.note("\(self.channel.name) > consume \(tag) \(queue.name)\(noAck ? " no-ack" : "") qos \(prefetch)")
        self.channel.consumers[tag] = (queue.id, noAck)
        if noAck { self.channel.automaticQueues.insert(queue.id) }
        self.client.send(BasicQos(prefetchCount: UInt16(prefetch)))
        self.client.send(
            BasicConsume(
                queue: ShortString(truncating: queue.name),
                consumerTag: ShortString(truncating: tag),
                noAck: noAck
            )
        )
    }

    func cancel(_ tag: String) {
        self.judge.note("\(self.channel.name) > cancel \(tag)")
        self.client.send(BasicCancel(consumerTag: ShortString(truncating: tag)))
    }

    func get(_ queue: FeatureQueue, noAck: Bool) {
        self.isEmpty = false
        self.judge.note("\(self.channel.name) > get \(queue.name)\(noAck ? " no-ack" : "")")
        self.channel.gets.append((queue.id, noAck))
        if noAck { self.channel.automaticQueues.insert(queue.id) }
        self.client.send(BasicGet(queue: ShortString(truncating: queue.name), noAck: noAck))
    }

    func inspect(_ queue: FeatureQueue) {
        self.messageCount = nil
        self.client.send(QueueDeclare(queue: ShortString(truncating: queue.name), passive: true))
    }

    func settle(_ delivery: FeatureChannel.Delivery, isMultiple: Bool, _ outcome: FeatureCopy.Outcome) {
        self.judge.note("\(self.channel.name) > \(outcome) #\(delivery.tag)\(isMultiple ? " multiple" : "")")
        switch outcome {
        case .acknowledge: self.client.send(BasicAck(deliveryTag: delivery.tag, multiple: isMultiple))
        case .reject: self.client.send(BasicNack(deliveryTag: delivery.tag, multiple: isMultiple, requeue: false))
        case .requeue: self.client.send(BasicNack(deliveryTag: delivery.tag, multiple: isMultiple, requeue: true))
        }
        let settled = self.channel.unacknowledged.filter {
            isMultiple ? $0.tag <= delivery.tag : $0.tag == delivery.tag
        }
        self.judge.settles(settled, outcome, on: self.channel)
    }

    /// Breaks the connection.
    func cut() {
        self.client.disconnect()
        self.judge.ends(self.channel)
    }

    func takeGot() -> [FeatureCopy] {
        let got = self.got
        self.got = []
        return got
    }

    // MARK: Receiving

    /// The socket is empty now, if it is.
    func noteEmpty() {
        if self.client.socket.outbound.isEmpty { self.channel.emptyAt = self.judge.now }
    }

    /// Reads from its socket; returns whether anything came.
    func read(_ count: Int = .max) -> Bool {
        let before = self.client.socket.outbound.count
        self.client.collect(count)
        for item in self.client.takeInbox() {
            guard !self.channel.isEnded else { break }
            self.receive(item)
        }
        self.noteEmpty()
        if self.client.socket.isClosed && !self.channel.isEnded && self.client.socket.outbound.isEmpty {
            // Who has not logged in need not be told why.
            guard self.judge.isStopping else {
                self.judge.fail("the broker has closed the socket of \(self.channel.name)")
                return true
            }
            self.judge.ends(self.channel)
        }
        return before > 0
    }

    private func receive(_ item: SimulatedClient.Received) {
        switch item {
        case .method(0, .connectionClose(let close)) where close.replyCode == ReplyCode.connectionForced.rawValue:
            self.client.sendBytes(SimulatedClient.frame(ConnectionCloseOk(), channel: 0))
            self.judge.ends(self.channel)
        case .method(0, .connectionStart), .method(0, .connectionTune), .method(0, .connectionOpenOk), .heartbeat:
            break
        case .method(1, let method): self.receive(method)
        case .content(1, let method, let properties, let body): self.receive(method, properties, body)
        case .method, .content, .protocolHeader:
            self.judge.fail("\(self.channel.name) got \(item)")
        }
    }

    private func receive(_ method: Method) {
        switch method {
        case .channelOpenOk, .confirmSelectOk, .basicQosOk, .basicConsumeOk, .queuePurgeOk: break
        case .basicCancelOk(let ok): self.channel.consumers["\(ok.consumerTag)"] = nil
        case .queueDeclareOk(let ok): self.messageCount = Int(ok.messageCount)
        case .basicGetEmpty:
            self.isEmpty = true
            guard !self.channel.gets.isEmpty else { return self.judge.fail("\(self.channel.name) got get-empty") }
            self.channel.gets.removeFirst()
        case .basicAck(let ack):
            self.judge.confirms(ack.deliveryTag, isMultiple: ack.multiple, isRefused: false, on: self.channel)
        case .basicNack(let nack):
            self.judge.confirms(nack.deliveryTag, isMultiple: nack.multiple, isRefused: true, on: self.channel)
        default:
            self.judge.fail("\(self.channel.name) got \(method)")
        }
    }

    private func receive(_ method: Method, _ properties: BasicProperties, _ body: [UInt8]) {
        switch method {
        case .basicDeliver(let deliver):
            guard let consumer = self.channel.consumers["\(deliver.consumerTag)"] else {
                return self.judge.fail("\(self.channel.name) got a delivery for \(deliver.consumerTag)")
            }
            let names = (deliver.exchange, deliver.routingKey)
            self.take(consumer, deliver.deliveryTag, deliver.redelivered, names, properties, body)
        case .basicGetOk(let ok):
            guard !self.channel.gets.isEmpty else { return self.judge.fail("\(self.channel.name) got get-ok") }
            let asked = self.channel.gets.removeFirst()
            if let copy = self.take(
                asked,
                ok.deliveryTag,
                ok.redelivered,
                (ok.exchange, ok.routingKey),
                properties,
                body
            ) {
                self.got.append(copy)
            }
        default:
            self.judge.fail("\(self.channel.name) got \(method)")
        }
    }

    @discardableResult
    private func take(
        _ source: (queue: Int, noAck: Bool),
        _ tag: UInt64,
        _ isRedelivered: Bool,
        _ names: (exchange: ShortString, key: ShortString),
        _ properties: BasicProperties,
        _ body: [UInt8]
    ) -> FeatureCopy? {
        guard
            let arrival = self.judge.read(
                at: source.queue,
                names,
                properties,
                body,
                isRedelivered: isRedelivered,
                by: self.channel
            )
        else { return nil }
        self.judge.receives(
            arrival,
            from: self.judge.queues[source.queue],
            tag: tag,
            noAck: source.noAck,
            emittedAfter: self.channel.emptyAt,
            on: self.channel
        )
        return arrival.message.copies[arrival.path]
    }
}
