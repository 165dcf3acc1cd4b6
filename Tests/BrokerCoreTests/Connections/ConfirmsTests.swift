import BrokerSimulation
import Testing

@testable import BrokerCore

@Suite struct ConfirmsTests {
    private func flush(_ confirms: inout Confirms) -> [String] {
        var told: [Confirms.Told] = []
        confirms.flush(into: &told)
        return told.map { "\($0.isAck ? "ack" : "nack") \($0.sequence)\($0.isMultiple ? " multiple" : "")" }
    }

    @Test func settledInARowAreToldOnce() {
        var confirms = Confirms()
        confirms.addSettled()
        #expect(self.flush(&confirms) == ["ack 1"])
        for _ in 0..<5 { confirms.addSettled() }
        #expect(self.flush(&confirms) == ["ack 6 multiple"])
        #expect(self.flush(&confirms) == [])
    }

    @Test func anOpenOneHoldsMultipleBack() {
        var confirms = Confirms()
        confirms.addSettled()
        let open = confirms.addOpen(count: 2)
        confirms.addSettled()
        #expect(self.flush(&confirms) == ["ack 1"])
        confirms.answer(open, isRejected: false)
        #expect(self.flush(&confirms) == [])
        confirms.answer(open, isRejected: false)
        #expect(self.flush(&confirms) == ["ack 3 multiple"])
    }

    @Test func outOfOrderAnswersAreToldOneByOne() {
        var confirms = Confirms()
        let first = confirms.addOpen(count: 1)
        let second = confirms.addOpen(count: 1)
        let third = confirms.addOpen(count: 1)
        confirms.answer(second, isRejected: false)
        #expect(self.flush(&confirms) == ["ack 2"])
        confirms.answer(first, isRejected: false)
        #expect(self.flush(&confirms) == ["ack 1"])
        confirms.answer(third, isRejected: false)
        #expect(self.flush(&confirms) == ["ack 3"])
    }

    @Test func aRefusalIsToldAndNotCoveredByMultiple() {
        var confirms = Confirms()
        confirms.addSettled()
        confirms.addRejected()
        confirms.addSettled()
        #expect(self.flush(&confirms) == ["nack 2", "ack 3 multiple"])
        let open = confirms.addOpen(count: 2)
        confirms.answer(open, isRejected: true)
        confirms.answer(open, isRejected: false)
        #expect(self.flush(&confirms) == ["nack 4 multiple"])
    }

    /// A refusal that follows on what has been told says so: nothing before it is open or settled otherwise.
    @Test func refusalsInARowFollowEachOther() {
        var confirms = Confirms()
        for _ in 0..<3 { confirms.addRejected() }
        #expect(self.flush(&confirms) == ["nack 1 multiple", "nack 2 multiple", "nack 3 multiple"])
        let open = confirms.addOpen(count: 1)
        for _ in 0..<2 { confirms.addRejected() }
        #expect(self.flush(&confirms) == ["nack 5", "nack 6"])
        confirms.answer(open, isRejected: true)
        confirms.addRejected()
        confirms.addSettled()
        confirms.addRejected()
        #expect(self.flush(&confirms) == ["nack 4 multiple", "nack 7 multiple", "nack 9", "ack 8 multiple"])
    }

    /// Answers for many in a row are answers for each of them.
    @Test(arguments: 1...50 as ClosedRange<UInt64>)
    func answersInARowAreAnswersForEach(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var one = Confirms()
        var other = Confirms()
        var open: [UInt64] = []
        for _ in 0..<200 {
            switch random.below(5) {
            case 0:
                one.addSettled()
                other.addSettled()
            case 1, 2:
                let count = UInt32(random.below(4) == 0 ? 2 : 1)
                open.append(one.addOpen(count: count))
                let sequence = other.addOpen(count: count)
                #expect(sequence == open.last)
            case 3:
                guard let first = open.randomElement(random) else { continue }
                let count = UInt64(1 + random.below(4))
                one.acknowledge(first: first, count: count)
                for sequence in first..<first + count { other.answer(sequence, isRejected: false) }
            default:
                if let sequence = open.randomElement(random), random.oneIn(3) {
                    one.answer(sequence, isRejected: true)
                    other.answer(sequence, isRejected: true)
                }
                let (first, second) = (self.flush(&one), self.flush(&other))
                #expect(first == second)
            }
        }
        let (first, second) = (self.flush(&one), self.flush(&other))
        #expect(first == second)
        let isSame = one.hasOpen == other.hasOpen
        #expect(isSame)
    }
}

extension [UInt64] {
    fileprivate func randomElement(_ random: SeededRandom) -> UInt64? {
        self.isEmpty ? nil : self[random.below(self.count)]
    }
}
