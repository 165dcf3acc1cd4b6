import AMQPProtocol
import Testing

@testable import BrokerSimulation

/// The judge of features finds what it is there to find: each story is right but for its last part.
@Suite struct FeatureJudgeTests {
    static func settings(_ change: (inout FeatureQueue.Settings) -> Void) -> FeatureQueue.Settings {
        var settings = FeatureQueue.Settings()
        change(&settings)
        return settings
    }

    static let deadLettering = settings { $0.deadLettersTo = 1 }

    @Test func findsALostMessage() {
        let script = FeatureScript()
        let kept = script.publish()
        script.publish()
        script.get(kept)
        script.look()
        #expect(script.failure == "m1 is lost: it came to f0, and nothing says why it is not there")
    }

    @Test func aTransientMessageMayBeLostInACrash() {
        for isPersistent in [true, false] {
            let script = FeatureScript()
            script.publish { $0.isPersistent = isPersistent }
            script.crash()
            script.look()
            #expect((script.failure == nil) == !isPersistent)
        }
    }

    @Test func whatWasSettledStaysSo() {
        let script = FeatureScript()
        let message = script.publish()
        script.settle(script.get(message), .acknowledge)
        script.get(message, isRedelivered: true)
        #expect(script.failure == "r: m0 of f0 comes back after r has settled it")
    }

    @Test func whatWasSettledBeforeACrashStaysSoIfItWasSeenAtRest() {
        for isAtRest in [true, false] {
            let script = FeatureScript()
            let message = script.publish()
            script.settle(script.get(message), .acknowledge)
            if isAtRest { script.judge.settled() }
            script.crash()
            script.get(message, isRedelivered: true)
            #expect((script.failure == nil) == !isAtRest)
        }
    }

    // MARK: Limits

    @Test func aHeadIsDroppedForNewerMessagesOnly() {
        for count in [3, 4] {
            let script = FeatureScript(Self.settings { $0.maxLength = 3 })
            let messages = (0..<count).map { _ in script.publish() }
            for message in messages.dropFirst() { script.get(message) }
            script.look()
            #expect((script.failure == nil) == (count == 4))
        }
    }

    @Test func whatIsOlderDoesNotPushANewerMessageOut() {
        let script = FeatureScript(Self.settings { $0.maxLength = 1 })
        let first = script.publish()
        script.publish()
        script.get(first)
        script.look()
        #expect(script.failure == "m1 is lost: it came to f0, and nothing says why it is not there")
    }

    @Test func aRefusalNeedsAFullQueue() {
        let script = FeatureScript(
            Self.settings {
                $0.maxLength = 1
                $0.overflow = .rejectPublish
            }
        )
        script.publish()
        script.publish(verdict: false)
        #expect(script.failure == nil)
        let refused = script.judge.messages[1]
        script.get(refused)
        #expect(script.failure == "r: m1 of f0 comes back, but was refused")
    }

    @Test func nothingIsRefusedWithoutALimit() {
        let script = FeatureScript()
        script.publish(verdict: false)
        #expect(script.failure == "m0 is refused, but none of its queues can have been full")
    }

    @Test func aQueueKeepsItsLimit() {
        let script = FeatureScript(Self.settings { $0.maxLength = 1 })
        let copies = (0..<2).compactMap { _ in script.publish().copies[[0]] }
        script.judge.holds(script.judge.queues[0], copies)
        #expect(script.failure == "f0 has 2 messages, its limit is 1")
    }

    // MARK: Time

    @Test func nothingExpiresBeforeItsTime() {
        for milliseconds in [99, 100] as [UInt64] {
            let script = FeatureScript(Self.settings { $0.timeToLive = 100 })
            script.publish()
            script.judge.now += milliseconds
            script.look()
            #expect((script.failure == nil) == (milliseconds == 100))
        }
    }

    @Test func nothingIsDeliveredAfterItsTime() {
        let script = FeatureScript(Self.settings { $0.timeToLive = 100 })
        let message = script.publish()
        script.judge.now += 103
        script.get(message)
        #expect(script.failure == "r: m0 of f0 comes 3 ms after its time")
    }

    @Test func aDelayIsWaitedFor() {
        let early = FeatureScript()
        let message = early.publish { $0.delay = 50 }
        early.judge.now += 49
        early.get(message)
        #expect(early.failure == "r: m0 of f0 comes 1 ms too early")
        for milliseconds in [59, 60] as [UInt64] {
            let late = FeatureScript()
            late.publish { $0.delay = 50 }
            late.judge.now += milliseconds
            late.look()
            #expect((late.failure == nil) == (milliseconds == 59))
        }
    }

    // MARK: Dead letters

    @Test func aDeadLetterMustArrive() {
        for arrives in [true, false] {
            let script = FeatureScript(Self.deadLettering)
            let message = script.publish()
            script.settle(script.get(message), .reject)
            script.judge.settled()
            if arrives { script.get(message, "rejected") }
            script.look()
            #expect((script.failure == nil) == arrives)
        }
    }

    @Test func aCrashTakesNeitherTheMessageNorItsDeadLetter() {
        for place in ["source", "target", "none"] {
            let script = FeatureScript(Self.deadLettering)
            let message = script.publish()
            script.settle(script.get(message), .reject)
            script.crash()
            if place == "source" { script.get(message, isRedelivered: true) }
            if place == "target" { script.get(message, "rejected") }
            script.look()
            #expect((script.failure == nil) == (place != "none"))
        }
    }

    /// Its dead letter has arrived, but it has come back from a crash, died again, and waits with another dead letter.
    @Test(arguments: [(true, true), (true, false), (false, true)])
    func whatHasDiedTwiceMayWaitForRoomAgain(isCrashed: Bool, isFull: Bool) {
        let script = FeatureScript(
            Self.settings {
                $0.maxLength = 4
                $0.overflow = .rejectPublish
                $0.deadLettersTo = 1
                $0.isAtLeastOnce = true
                $0.deliveryLimit = 0
            },
            isQuorum: true,
            second: Self.settings {
                $0.maxLength = 1
                $0.overflow = .rejectPublish
            }
        )
        let message = script.publish()
        script.settle(script.get(message), .requeue)
        if isCrashed { script.crash() }
        script.settle(script.get(message, "delivery_limit"), .acknowledge)
        if isFull { script.get(script.publish(to: 1)) }
        script.judge.settled()
        script.judge.resolves()
        #expect(script.failure == nil)
        script.crash()
        script.get(message, isRedelivered: true)
        #expect(script.failure == (isCrashed && isFull ? nil : "r: m0 of f0 comes back, but was dead"))
    }

    @Test func aDeathNeedsACause() {
        for (reason, problem) in [
            ("rejected", "nobody has"), ("expired", "nothing limits its time"),
            ("maxlen", "the queue cannot have been full"), ("delivery_limit", "there is no limit"),
        ] {
            let script = FeatureScript(Self.deadLettering)
            script.get(script.publish(), reason)
            #expect(script.failure == "r: m0 of f1 is said to have been \(reason) in f0: \(problem)")
        }
    }

    @Test func amongTheLivingTheDeadAreNot() {
        let script = FeatureScript(Self.deadLettering)
        let message = script.publish()
        script.settle(script.get(message), .reject)
        script.get(message, "rejected")
        script.get(message, isRedelivered: true)
        #expect(script.failure == "r: m0 of f0 is still there, but its dead letter has been seen")
    }

    // MARK: Order, counts, duplicates

    @Test func higherPrioritiesComeFirst() {
        let script = FeatureScript(Self.settings { $0.maxPriority = 5 })
        let low = script.publish { $0.priority = 1 }
        let high = script.publish { $0.priority = 9 }
        script.judge.holds(script.judge.queues[0], [low, high].compactMap { $0.copies[[0]] })
        #expect(script.failure == "f0 gave priorities in the order [1, 5]")
    }

    @Test func orderInsideAPriorityIsKept() {
        let script = FeatureScript(Self.settings { $0.maxPriority = 5 })
        let messages = (0..<2).map { _ in script.publish { $0.priority = 3 } }
        script.judge.holds(script.judge.queues[0], messages.reversed().compactMap { $0.copies[[0]] })
        #expect(script.failure == "f0 had m0 behind m1, which was published later")
    }

    @Test func countsNeverGoBack() {
        let script = FeatureScript(Self.settings { $0.deliveryLimit = 5 })
        let message = script.publish()
        script.settle(script.get(message), .requeue)
        script.settle(script.get(message, isRedelivered: true, returns: 1), .requeue)
        script.judge.settled()
        script.crash()
        script.get(message, isRedelivered: true, returns: 1)
        #expect(script.failure == "r: m0 of f0 has come back 2 times, but its count is 1")
    }

    @Test func beyondTheLimitNothingIsDelivered() {
        let script = FeatureScript(Self.settings { $0.deliveryLimit = 0 })
        let message = script.publish()
        script.settle(script.get(message), .requeue)
        script.get(message, isRedelivered: true, returns: 1)
        #expect(script.failure == "r: m0 of f0 has come back 1 times, the limit is 0")
    }

    @Test func aKeyGoesThroughOnce() {
        let script = FeatureScript()
        let first = script.publish { $0.uniqueKey = 1 }
        script.get(first)
        let second = script.publish { $0.uniqueKey = 1 }
        script.look()
        #expect(script.failure == nil)
        script.get(second)
        #expect(script.failure == "r: m1 of f0 comes back, but was a duplicate")
    }

    @Test func aPublishersNumberGoesThroughOnce() {
        let script = FeatureScript()
        let first = script.publish { $0.publisherNumber = (0, 7) }
        script.get(first)
        let second = script.publish { $0.publisherNumber = (0, 7) }
        script.publish { $0.publisherNumber = (1, 7) }
        script.get(second)
        #expect(script.failure == "r: m1 of f0 has come through, but has the same key as m0")
    }

    @Test(arguments: [true, false])
    func whatNeverCameHasNoDuplicates(isThere: Bool) {
        let script = FeatureScript()
        let first = script.publish(verdict: nil) { $0.publisherNumber = (0, 7) }
        script.crash()
        script.publish { $0.publisherNumber = (0, 7) }
        if isThere { script.get(first, isRedelivered: true) }
        script.look()
        #expect((script.failure == nil) == isThere)
    }

    @Test func whatIsToLastIsNoDuplicateOfWhatIsNot() {
        for isSeen in [true, false] {
            let script = FeatureScript()
            let first = script.publish {
                $0.uniqueKey = 1
                $0.isPersistent = false
            }
            script.get(first)
            let second = script.publish { $0.uniqueKey = 1 }
            if isSeen { script.get(second) }
            script.look()
            #expect((script.failure == nil) == isSeen)
        }
    }

    @Test func aRetryWaits() {
        let script = FeatureScript(Self.settings { $0.retry = FeatureQueue.Retry(min: 50, max: 100) })
        let message = script.publish()
        script.settle(script.get(message), .requeue)
        script.judge.now += 49
        script.get(message, isRedelivered: true, returns: 1)
        #expect(script.failure == "r: m0 of f0 comes 1 ms too early")
    }

    // MARK: Groups

    static let groups = settings {
        $0.hasGroups = true
        $0.retry = FeatureQueue.Retry(min: 50, max: 100)
    }

    /// Two messages of a group, the first of which waits for another try.
    private static func waiting(_ group: Int) -> (FeatureScript, second: FeatureMessage) {
        let script = FeatureScript(Self.groups)
        let first = script.publish { $0.group = 1 }
        let second = script.publish { $0.group = group }
        script.settle(script.get(first), .requeue)
        script.judge.settled()
        return (script, second)
    }

    @Test(arguments: [true, false])
    func nothingOfAGroupComesWhileSomethingOfItWaits(isRestarted: Bool) {
        for group in [1, 2] {
            let (script, second) = Self.waiting(group)
            if isRestarted { script.crash() }
            script.judge.now += 49
            script.get(second)
            let isSame = group == 1
            #expect(
                script.failure == (isSame ? "r: m1 of f0 comes, but m0 of the same group waits until 1050" : nil)
            )
        }
    }

    @Test(arguments: [true, false])
    func whatIsOlderOfAGroupComesFirst(isRestarted: Bool) {
        for group in [1, 2] {
            let (script, second) = Self.waiting(group)
            if isRestarted { script.crash() }
            script.judge.now += 60
            script.get(second)
            #expect(script.failure == (group == 1 ? "r: m1 of f0 comes, but m0 of the same group is older" : nil))
        }
    }
}
