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
        #expect(self.flush(&confirms) == ["nack 4"])
    }
}
