import AMQPProtocol
import BrokerSimulation
import Testing

/// The judge finds broken limits, missing and superfluous answers, and what outlives its owner.
@Suite struct JudgeRuleTests {
    // MARK: Limits

    @Test func findsAPrefetchExceeded() {
        let script = Script()
        script.call(.qos(count: 1, isGlobal: false), .basicQosOk(BasicQosOk()))
        script.consume("a")
        let messages = [script.publish(), script.publish()]
        script.deliver(messages[0], "a")
        script.deliver(messages[1], "a")
        #expect(script.failure == "c0.1: consumer a has 2 open deliveries, its prefetch is 1")
    }

    @Test func findsAGlobalPrefetchExceeded() {
        let script = Script()
        script.call(.qos(count: 1, isGlobal: true), .basicQosOk(BasicQosOk()))
        script.settle(0, 0)
        script.consume("a")
        script.consume("b")
        let messages = [script.publish(), script.publish()]
        script.deliver(messages[0], "a")
        script.deliver(messages[1], "b")
        #expect(script.failure == "c0.1 has 2 open deliveries, the prefetch of all its consumers is 1")
    }

    @Test func findsAMessageThatWaitsForNothing() {
        let script = Script()
        script.consume("a")
        script.publish()
        script.settle(1, 1)
        #expect(script.failure == "q0 keeps 1 messages, but consumer a could take one")
    }

    @Test func findsTwoConsumersOfASingleActiveQueue() {
        let script = Script(queue: ModelQueue(id: 0, isSingleActive: true))
        script.consume("a")
        script.consume("b", on: script.otherChannel)
        let messages = [script.publish(), script.publish()]
        script.deliver(messages[0], "a")
        script.deliver(messages[1], "b", on: script.otherChannel)
        #expect(script.failure == "q0 delivers to b while a is its single active consumer")
    }

    // MARK: Confirms and returns

    @Test func findsAConfirmTooMany() {
        let script = Script()
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish()
        script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        #expect(script.failure == nil)
        script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        #expect(script.failure == "c0.1: confirm 1 of nothing that is open")
    }

    @Test func findsAConfirmThatIsMissing() {
        let script = Script()
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish()
        script.publish()
        script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        script.judge.settles()
        #expect(script.failure == "c0.1: publish 2 is not confirmed")
    }

    @Test func findsAConfirmedMessageThatIsLost() {
        let script = Script()
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish()
        script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        script.judge.loses(script.client)
        script.settle(0, 0)
        #expect(script.failure == "q0 has 0 messages, 1 are missed: m0")
    }

    /// The other connection gets from the queue after the publisher was told, or before.
    @Test(arguments: [true, false])
    func findsAConfirmThatComesTooEarly(isConfirmed: Bool) {
        let script = Script()
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish()
        if isConfirmed {
            script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        }
        script.call(
            .get(queue: 0, noAck: true),
            .basicGetEmpty(BasicGetEmpty()),
            on: script.otherChannel
        )
        #expect(
            script.failure == (isConfirmed ? "c1.1: get q0 no-ack found 0 messages, but m0 must be there" : nil)
        )
    }

    /// Two messages that are confirmed to be on a durable queue, the second one in the log.
    private static func withDurableMessages() -> Script {
        let script = Script()
        script.judge.queues.append(ModelQueue(id: 1))
        script.declare(1)
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish("q1")
        script.publish("q1")
        script.receive(.basicAck(BasicAck(deliveryTag: 2, multiple: true)))
        return script
    }

    @Test func findsAConfirmThatComesTooEarlyFromTheLog() {
        let script = Self.withDurableMessages()
        script.call(
            .get(queue: 1, noAck: true),
            .basicGetEmpty(BasicGetEmpty()),
            on: script.otherChannel
        )
        #expect(script.failure == "c1.1: get q1 no-ack found 0 messages, but m0 m1 must be there")
    }

    @Test(arguments: [true, false])
    func aQueueThatWasDeletedQuietlyDoesNotOutliveACrash(isThere: Bool) {
        let script = Self.withDurableMessages()
        script.judge.settles()
        script.judge.deletesQuietly(1, count: 2, expected: 2)
        script.judge.brokerEnds(inOrder: false)
        script.judge.observes(1, isThere ? .present(messages: 2, consumers: 0) : .absent)
        #expect(script.failure == (isThere ? "q1 is still there" : nil))
    }

    @Test(arguments: [true, false])
    func whatWasPurgedDoesNotOutliveACrash(isAnswered: Bool) {
        let script = Self.withDurableMessages()
        script.send(.purgeQueue(1), on: script.otherChannel)
        if isAnswered { script.receive(.queuePurgeOk(QueuePurgeOk(messageCount: 2)), on: script.otherChannel) }
        script.judge.brokerEnds(inOrder: false)
        script.judge.observes(1, .present(messages: 1, consumers: 0))
        #expect(script.failure == (isAnswered ? "q1 has 1 messages, at most 0 can be there" : nil))
    }

    @Test func findsAMessageThatItsOwnChannelDoesNotFind() {
        let script = Script()
        script.publish()
        script.call(.inspectQueue(0), .queueDeclareOk(QueueDeclareOk(queue: "q0", messageCount: 0)))
        #expect(script.failure == "c0.1: declare q0 passive found 0 messages, but m0 must be there")
    }

    @Test func allowsAConsumerToHaveTakenIt() {
        let script = Script()
        script.consume("a", on: script.otherChannel)
        script.publish()
        script.call(.inspectQueue(0), .queueDeclareOk(QueueDeclareOk(queue: "q0", messageCount: 0)))
        #expect(script.failure == nil)
    }

    @Test func allowsAnUnconfirmedMessageToBeLostWithItsConnection() {
        let script = Script()
        script.publish()
        script.judge.loses(script.client)
        script.settle(0, 0)
        #expect(script.failure == nil)
    }

    @Test func findsAConfirmBeforeTheReturn() {
        let script = Script()
        script.call(.selectConfirms, .confirmSelectOk(ConfirmSelectOk()))
        script.publish("nowhere", isMandatory: true)
        script.receive(.basicAck(BasicAck(deliveryTag: 1)))
        #expect(script.failure == "c0.1: m0 had no route and was not returned")
    }

    @Test func findsAReturnOfAMessageWithARoute() {
        let script = Script()
        let message = script.publish(isMandatory: true)
        script.giveBack(message)
        #expect(script.failure == "c0.1: m0 is returned, but [\"q0\"] should have it")
    }

    @Test func findsAReturnThatNobodyAskedFor() {
        let script = Script()
        let message = script.publish("nowhere")
        script.giveBack(message)
        #expect(script.failure == "c0.1: m0 is returned to somebody who has not asked for it")
    }

    // MARK: Answers

    @Test func findsAMissingAnswer() {
        let script = Script()
        script.send(.recover)
        script.judge.settles()
        #expect(script.failure == "c0.1: no answer to recover")
    }

    @Test func findsAnAnswerToNothing() {
        let script = Script()
        script.receive(.basicRecoverOk(BasicRecoverOk()))
        #expect(script.failure == "c0.1 got basic.recover-ok, but nothing waits for an answer")
    }

    @Test func findsAnotherAnswer() {
        let script = Script()
        script.call(.recover, .basicQosOk(BasicQosOk()))
        #expect(script.failure == "c0.1 got basic.qos-ok for recover")
    }

    @Test func findsAMistakeThatIsNotRefused() {
        let script = Script()
        script.send(.settle(tag: 7, isMultiple: false, .acknowledge), mustFail: true)
        script.judge.settles()
        #expect(script.failure == "c0.1: acknowledge #7 was not refused")
    }

    @Test func findsARefusalWithoutAReason() {
        let script = Script()
        script.publish()
        script.receive(.channelClose(ChannelClose(replyCode: 404, replyText: "NOT_FOUND")))
        #expect(script.failure == "c0.1 is closed without a reason: NOT_FOUND")
    }

    @Test func findsADeliveryAfterCancelOk() {
        let script = Script()
        script.consume("a")
        script.call(.cancel(tag: "a"), .basicCancelOk(BasicCancelOk(consumerTag: "a")))
        script.deliver(script.publish(), "a")
        #expect(script.failure == "c0.1: delivery for consumer a, which is not there")
    }

    @Test func findsADeliveryBeforeConsumeOk() {
        let script = Script()
        script.send(.consume(tag: "a", queue: 0, noAck: false, priority: 0, noWait: false))
        script.deliver(script.publish(), "a")
        #expect(script.failure == "c0.1: delivery to consumer a before its consume-ok")
    }

    @Test func findsACancelThatNobodyAskedFor() {
        let script = Script()
        script.consume("a")
        script.receive(.basicCancel(BasicCancel(consumerTag: "a", noWait: true)))
        #expect(script.failure == "c0.1: consumer a is cancelled, but its queue has not been deleted")
    }

    // MARK: What outlives its owner

    @Test func findsAnExclusiveQueueThatOutlivesItsConnection() {
        let script = Script(queue: ModelQueue(id: 0, owner: 0))
        script.judge.loses(script.client)
        script.judge.settles()
        script.judge.observes(0, .locked)
        #expect(script.failure == "q0 outlives its connection")
    }

    @Test func findsAnAutoDeleteQueueThatOutlivesItsLastConsumer() {
        let script = Script(queue: ModelQueue(id: 0, isAutoDelete: true))
        script.consume("a")
        script.call(.cancel(tag: "a"), .basicCancelOk(BasicCancelOk(consumerTag: "a")))
        script.settle(0, 0)
        #expect(script.failure == "q0 outlives its last consumer")
    }

    @Test func findsAQueueThatIsGone() {
        let script = Script()
        script.judge.settles()
        script.judge.observes(0, .absent)
        #expect(script.failure == "q0 is gone")
    }

    @Test func findsADeletedQueueThatIsStillThere() {
        let script = Script()
        script.call(.deleteQueue(0, ifUnused: false, ifEmpty: false), .queueDeleteOk(QueueDeleteOk()))
        script.settle(0, 0)
        #expect(script.failure == "q0 is still there")
    }

    @Test func findsAConsumerTooMany() {
        let script = Script()
        script.settle(0, 1)
        #expect(script.failure == "q0 has 1 consumers, should have 0")
    }

    /// A script with an exchange that is declared, and bound to queue 0 and unbound again.
    private static func unboundExchange(isAutoDelete: Bool) -> (Script, exchange: Int) {
        let script = Script()
        let exchange = script.judge.topology.exchanges.count
        script.judge.topology.exchanges.append(
            ModelExchange(name: "e", kind: .fanout, isAutoDelete: isAutoDelete, existence: .starting)
        )
        script.judge.topology.bindings.append(
            ModelBinding(source: exchange, target: .queue(0), key: "", existence: .gone)
        )
        script.call(.declareExchange(exchange), .exchangeDeclareOk(ExchangeDeclareOk()))
        script.call(.bind(0, noWait: false), .queueBindOk(QueueBindOk()))
        script.call(.unbind(0), .queueUnbindOk(QueueUnbindOk()))
        script.judge.settles()
        return (script, exchange)
    }

    @Test func findsAnExchangeThatOutlivesItsLastBinding() {
        let (script, exchange) = Self.unboundExchange(isAutoDelete: true)
        script.judge.observes(exchange: exchange, isThere: true)
        #expect(script.failure == "exchange e outlives its last binding")
    }

    @Test func allowsAnExchangeToGoWithItsLastBinding() {
        let (script, exchange) = Self.unboundExchange(isAutoDelete: true)
        script.judge.observes(exchange: exchange, isThere: false)
        #expect(script.failure == nil)
    }

    @Test func findsAnExchangeThatIsGone() {
        let (script, exchange) = Self.unboundExchange(isAutoDelete: false)
        script.judge.observes(exchange: exchange, isThere: false)
        #expect(script.failure == "exchange e is gone")
    }
}
