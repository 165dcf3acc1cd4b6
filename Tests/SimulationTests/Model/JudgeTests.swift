import AMQPProtocol
import BrokerSimulation
import Testing

/// The judge finds what it is there to find: each story is right but for its last part.
@Suite struct JudgeTests {
    @Test func agreesWithARightStory() {
        let script = Script()
        script.call(.qos(count: 2, isGlobal: false), .basicQosOk(BasicQosOk()))
        script.consume("a")
        let messages = (0..<3).map { _ in script.publish() }
        script.deliver(messages[0], "a")
        script.deliver(messages[1], "a")
        script.settle(1, 1)
        script.acknowledge(1)
        script.deliver(messages[2], "a")
        script.acknowledge(2, .requeue)
        script.deliver(messages[1], "a", isRedelivered: true)
        script.settle(0, 1)
        script.judge.loses(script.client)
        script.settle(2, 0)
        script.judge.drains(0, [])
        #expect(script.failure == "q0 has lost m1 m2")
    }

    // MARK: Loss and duplication

    @Test func findsALostMessage() {
        let script = Script()
        script.publish()
        script.publish()
        script.settle(1, 0)
        #expect(script.failure == "q0 has 1 messages, 2 are missed: m0 m1")
    }

    @Test func findsAMessageThatWasLostWithItsConnection() {
        let script = Script()
        script.consume("a", on: script.otherChannel)
        let message = script.publish()
        script.deliver(message, "a", on: script.otherChannel)
        script.judge.loses(script.other)
        script.settle(0, 0)
        #expect(script.failure == "q0 has 0 messages, 1 are missed: m0")
    }

    @Test func allowsLossOnTheWayToAnAutomaticConsumerThatBreaks() {
        let script = Script()
        script.consume("a", noAck: true, on: script.otherChannel)
        script.publish()
        script.judge.loses(script.other)
        script.settle(0, 0)
        #expect(script.failure == nil)
    }

    @Test func findsADuplicate() {
        let script = Script()
        script.consume("a")
        script.consume("b", on: script.otherChannel)
        let message = script.publish()
        script.deliver(message, "a")
        script.deliver(message, "b", isRedelivered: true, on: script.otherChannel)
        #expect(script.failure == "c1.1: m0 of q0 is delivered while c0.1 has it as #1")
    }

    @Test func findsADuplicateOfAnAutomaticDelivery() {
        let script = Script()
        script.consume("a", noAck: true)
        let message = script.publish()
        script.deliver(message, "a")
        script.deliver(message, "a", isRedelivered: true)
        #expect(script.failure == "c0.1: m0 of q0 is delivered again after somebody took it without acknowledgement")
    }

    @Test func findsACountThatIsTooHigh() {
        let script = Script()
        script.publish()
        script.settle(2, 0)
        #expect(script.failure == "q0 has 2 messages, at most 1 can be there")
    }

    @Test func findsAMessageThatNobodyRoutedThere() {
        let script = Script()
        script.consume("a")
        let message = script.publish("elsewhere")
        script.deliver(message, "a")
        #expect(script.failure == "c0.1: m0 of q0 should not be there: not routed to it")
    }

    @Test func findsAnotherBody() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        script.deliver(message, "a", body: message.body + [1])
        #expect(
            script.failure == "c0.1 got m0 with another body than it was published with: 3 octets, not 2"
        )
    }

    @Test func findsABCC() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        message.secretlyCopiedTo = ["q1"]
        script.deliver(message, "a", properties: message.properties(isSent: true))
        #expect(script.failure == "c0.1: m0 came with its BCC")
    }

    @Test func findsOtherProperties() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        message.copiedTo = ["q1"]
        var properties = message.properties(isSent: false)
        properties.headers = nil
        script.deliver(message, "a", properties: properties)
        #expect(script.failure?.hasPrefix("c0.1: m0 came with other properties") == true)
    }

    // MARK: Order and marks

    @Test func findsAWrongOrder() {
        let script = Script()
        script.consume("a")
        let first = script.publish()
        let second = script.publish()
        script.deliver(second, "a")
        script.deliver(first, "a")
        #expect(script.failure == "c0.1: m0 of q0 comes after m1, which the same channel published later")
    }

    @Test func findsAWrongOrderOnTheQueue() {
        let script = Script()
        for _ in 0..<3 { script.publish() }
        script.judge.settles()
        for message in script.judge.messages {
            message.copies[0, default: .init()].place = .consumed
        }
        script.judge.drains(0, [0, 2, 1])
        #expect(script.failure == "q0 had m1 behind m2, which the same channel published later")
    }

    @Test func findsARedeliveryWithoutItsMark() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        script.deliver(message, "a")
        script.acknowledge(1, .requeue)
        script.deliver(message, "a")
        #expect(script.failure == "c0.1: m0 of q0 comes again without being marked as redelivered")
    }

    @Test func findsAMarkWithoutARedelivery() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        script.deliver(message, "a", isRedelivered: true)
        #expect(script.failure == "c0.1: m0 of q0 is marked as redelivered, but nobody can have had it")
    }

    @Test func findsAMissingDeliveryTag() {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        script.deliver(message, "a", skippingTags: 1)
        #expect(script.failure == "c0.1: delivery tag 2 after 0")
    }

    // MARK: Settlement

    @Test(arguments: [Operation.Outcome.acknowledge, .drop])
    func findsASettledMessageThatComesBack(outcome: Operation.Outcome) {
        let script = Script()
        script.consume("a")
        let message = script.publish()
        script.deliver(message, "a")
        script.acknowledge(1, outcome)
        script.deliver(message, "a", isRedelivered: true)
        #expect(script.failure == "c0.1: m0 of q0 comes back after c0.1 has settled it")
    }

    @Test func findsAPurgedMessageThatComesBack() {
        let script = Script()
        let message = script.publish()
        script.settle(1, 0)
        script.judge.purgesQuietly(0, count: 1, expected: 1)
        script.consume("a")
        script.deliver(message, "a")
        #expect(script.failure == "c0.1: m0 of q0 comes back after it was purged")
    }

    @Test func findsARolledBackMessage() {
        let script = Script()
        script.consume("a")
        script.call(.selectTransactions, .txSelectOk(TxSelectOk()))
        let message = script.publish()
        script.call(.rollBack, .txRollbackOk(TxRollbackOk()))
        script.deliver(message, "a")
        #expect(script.failure == "c0.1: m0 of q0 was never published")
    }

    @Test func findsACommittedMessageThatIsLost() {
        let script = Script()
        script.call(.selectTransactions, .txSelectOk(TxSelectOk()))
        script.publish()
        script.call(.commit, .txCommitOk(TxCommitOk()))
        script.settle(0, 0)
        #expect(script.failure == "q0 has 0 messages, 1 are missed: m0")
    }
}
