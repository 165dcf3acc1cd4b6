import BrokerSimulation
import Testing

@testable import BrokerCore

/// The numbers of one publisher: which are known, and which a start may count as known.
@Suite struct PublisherSequenceTests {
    private func known(_ sequence: PublisherSequence, _ numbers: ClosedRange<UInt64>) -> [UInt64] {
        numbers.filter { sequence.knowledge(of: $0) == .known }
    }

    /// What a start finds when the log has all that it was told.
    private func restarted(_ sequence: PublisherSequence) -> PublisherSequence {
        sequence.told
    }

    @Test func whatIsNotAboveTheHighestIsKnown() {
        var sequence = PublisherSequence()
        #expect(sequence.knowledge(of: 0) == .new)
        for number in [0, 3, 7] as [UInt64] { sequence.arrive(number, isRejected: false) }
        #expect(self.known(sequence, 0...9) == Array(0...7), "gaps are the publisher's")
        #expect(self.known(self.restarted(sequence), 0...9) == Array(0...7))
    }

    @Test func whatWasRefusedIsNewUntilItArrives() {
        var sequence = PublisherSequence()
        for number in 1...9 as ClosedRange<UInt64> {
            sequence.arrive(number, isRejected: [2, 4, 5, 6].contains(number))
        }
        #expect(self.known(sequence, 1...9) == [1, 3, 7, 8, 9])
        #expect(sequence.holes == [.init(first: 2, last: 2), .init(first: 4, last: 6)])
        sequence.arrive(5, isRejected: false)
        sequence.arrive(4, isRejected: true)
        #expect(sequence.holes == [2, 4, 6].map { .init(first: $0, last: $0) })
        for number in [2, 4, 6] as [UInt64] { sequence.arrive(number, isRejected: false) }
        #expect(sequence.holes.isEmpty && self.known(sequence, 1...10) == Array(1...9))
    }

    @Test func whatIsUnderWayIsNeverSafe() {
        var sequence = PublisherSequence()
        sequence.begin(1, ticket: 1)
        sequence.begin(2, ticket: 2)
        sequence.arrive(3, isRejected: false)
        sequence.begin(4, ticket: 4)
        #expect(sequence.knowledge(of: 2) == .underWay(ticket: 2) && sequence.knowledge(of: 3) == .known)
        let answer1 = sequence.settle(2, ticket: 2, isRejected: false)
        #expect(answer1)
        #expect(self.known(self.restarted(sequence), 1...9) == [2, 3], "the others may still be lost")
        let answer2 = sequence.settle(1, ticket: 9, isRejected: false)
        #expect(!answer2, "that is another message's answer")
        let answer3 = sequence.settle(1, ticket: 1, isRejected: true)
        #expect(answer3)
        #expect(self.known(self.restarted(sequence), 1...9) == [2, 3])
        // The refused one comes again; while it is under way it is no less refused for a start.
        sequence.begin(1, ticket: 11)
        #expect(sequence.knowledge(of: 1) == .underWay(ticket: 11))
        #expect(self.known(self.restarted(sequence), 1...9) == [2, 3])
        _ = sequence.settle(1, ticket: 11, isRejected: false)
        _ = sequence.settle(4, ticket: 4, isRejected: false)
        #expect(
            sequence.told.next == 5 && sequence.openCount == 0
                && self.known(self.restarted(sequence), 1...9) == [1, 2, 3, 4]
        )
    }

    @Test func ofTooMuchUnderWayTheRestCountsAsNotSeen() {
        var sequence = PublisherSequence()
        for number in 0..<2000 as Range<UInt64> {
            if number % 2 == 0 {
                sequence.begin(number, ticket: number + 1)
            } else {
                sequence.arrive(number, isRejected: false)
            }
        }
        let told = sequence.told
        let end = UInt64(2 * ShardLimits.publisherHoles)
        #expect(told.holes.count == ShardLimits.publisherHoles && told.next == end && told.floor == 0)
        #expect(self.known(told, 0...1999) == (0..<end).filter { $0 % 2 == 1 })
        #expect(self.known(sequence, 0...1999).count == 1000)
    }

    @Test func tooManyHolesAreForgottenAndGoThrough() {
        var sequence = PublisherSequence()
        let most = UInt64(ShardLimits.publisherHoles)
        for number in 0..<2 * (most + 2) { sequence.arrive(number, isRejected: number % 2 == 0) }
        #expect(sequence.holes.count == ShardLimits.publisherHoles && sequence.floor == 3)
        #expect(self.known(sequence, 0...9) == [3, 5, 7, 9], "1 is forgotten along with 0 and 2")
        sequence.arrive(0, isRejected: true)
        #expect(sequence.floor == 3 && sequence.holes.first?.first == 4)
        // One row has room for any number of them.
        var other = PublisherSequence()
        for number in 0..<100_000 as Range<UInt64> { other.arrive(number, isRejected: true) }
        #expect(other.holes == [.init(first: 0, last: 99_999)])
    }

    /// Random messages: nothing is known that has not arrived, nothing that has arrived is new unless it is forgotten, and
    /// a start never knows more than what had arrived.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func agreesWithASet(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var sequence = PublisherSequence()
        var given: UInt64 = 0
        var arrived: Set<UInt64> = []
        var open: [(number: UInt64, ticket: UInt64)] = []
        for ticket in 1...3000 as ClosedRange<UInt64> {
            if random.next() % 3 == 0, !open.isEmpty {
                let (number, ticket) = open.remove(at: Int(random.next() % UInt64(open.count)))
                let isRejected = random.next() % 3 == 0
                let answer4 = sequence.settle(number, ticket: ticket, isRejected: isRejected)
                #expect(answer4)
                if !isRejected { arrived.insert(number) }
            }
            let isNew = random.next() % 3 != 0 || given == 0
            let number = isNew ? given : random.next() % given
            if isNew { given += 1 }
            switch sequence.knowledge(of: number) {
            case .underWay(let ticket):
                #expect(open.contains { $0.number == number && $0.ticket == ticket })
            case .known:
                #expect(arrived.contains(number), "seed \(seed): \(number) is lost")
            case .new:
                #expect(!arrived.contains(number) || number < sequence.floor, "seed \(seed): \(number) comes twice")
                #expect(!open.contains { $0.number == number })
                if random.next() % 2 == 0, open.count < 40 {
                    sequence.begin(number, ticket: ticket)
                    open.append((number, ticket))
                } else {
                    let isRejected = random.next() % 4 == 0
                    sequence.arrive(number, isRejected: isRejected)
                    if !isRejected { arrived.insert(number) }
                }
            }
            #expect(sequence.isPlausible && sequence.openCount == open.count)
            if ticket % 50 == 0 {
                let start = self.restarted(sequence)
                #expect(start.isPlausible)
                let wrong = (0..<given).filter { (start.knowledge(of: $0) == .known) != arrived.contains($0) }
                #expect(!wrong.contains { start.knowledge(of: $0) == .known }, "seed \(seed): lost")
                #expect(wrong.allSatisfy { $0 < start.floor || $0 >= start.next }, "seed \(seed): again")
            }
        }
    }
}
