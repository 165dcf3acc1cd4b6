import BrokerSimulation
import Testing

@testable import BrokerCore

@Suite struct ExpiryIndexTests {
    @Test func messagesInARowWithOneDeadlineAreOneRun() {
        var index = ExpiryIndex()
        for sequence in 0..<1000 as Range<UInt64> { index.add(sequence, deadline: 5 + sequence / 100) }
        #expect(index.runCount == 10)
        #expect(index.nextDeadline == 5)
        #expect(index.takeDue(at: 4) == nil)
        #expect(index.takeDue(at: 5) == ExpiryIndex.Run(deadline: 5, first: 0, count: 100))
        #expect(index.deadline(of: 100) == 6)
        #expect(index.deadline(of: 5) == nil)
    }

    @Test(arguments: 0..<5 as Range<UInt64>)
    func runsLeaveByDeadlineThenByPlace(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var index = ExpiryIndex()
        var model: [(deadline: UInt64, sequence: UInt64)] = []
        for sequence in 0..<2000 as Range<UInt64> {
            let deadline = UInt64(random.below(300))
            index.add(sequence, deadline: deadline)
            model.append((deadline, sequence))
        }
        model.sort { $0 < $1 }
        var left: [(deadline: UInt64, sequence: UInt64)] = []
        for now in 0..<300 as Range<UInt64> {
            while let run = index.takeDue(at: now) {
                #expect(run.deadline == now)
                left += (run.first..<run.end).map { (now, $0) }
            }
        }
        #expect(left.map(\.sequence) == model.map(\.sequence))
        #expect(index.nextDeadline == nil)
    }

    @Test func overduePlacesAreRemembered() {
        var index = ExpiryIndex()
        for first in [40, 10, 20, 0] as [UInt64] { index.noteOverdue(SequenceRange(first: first, count: 5)) }
        index.noteOverdue(SequenceRange(first: 5, count: 1))
        let found = (0..<50 as Range<UInt64>).filter { index.isOverdue($0) }
        #expect(found == [0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 20, 21, 22, 23, 24, 40, 41, 42, 43, 44])
        index.compactOverdue(away: [3, 11, 30, 44])
        #expect((0..<50 as Range<UInt64>).filter { index.isOverdue($0) } == [3, 11, 44])
    }
}
