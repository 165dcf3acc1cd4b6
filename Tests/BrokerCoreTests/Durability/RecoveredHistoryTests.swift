import BrokerSimulation
import Testing

@testable import BrokerCore

/// Whatever has happened, what is read back is what a plain model holds.
@Suite struct RecoveredHistoryTests {
    @Test(arguments: UInt64(1)...12)
    func isWhatTheModelHolds(seed: UInt64) throws {
        var history = LoggedHistory(seed: seed)
        var state = RecoveredState()
        var read = 0
        for step in 0..<300 {
            history.step()
            for record in history.records[read...] { try state.apply(record) }
            read = history.records.count
            try #require(state.listing == history.listing, "seed \(seed) step \(step)")
            #expect(state.nextDurableID == history.nextDurableID, "seed \(seed) step \(step)")
        }
        #expect(state.queues.allSatisfy { $0.entryCount <= 2 * $0.count + 64 })
    }

    @Test(arguments: UInt64(1)...12)
    func theEndOfTheLogMayBeReadAgain(seed: UInt64) throws {
        var history = LoggedHistory(seed: seed &+ 1000)
        for _ in 0..<300 { history.step() }
        var state = RecoveredState()
        for record in history.records { try state.apply(record) }
        let random = SeededRandom(seed: seed)
        for _ in 0..<5 {
            let start = random.below(history.records.count)
            for record in history.records[start...] { try state.apply(record) }
            try #require(state.listing == history.listing, "seed \(seed) from \(start)")
            #expect(state.nextDurableID == history.nextDurableID)
        }
    }

    @Test(arguments: UInt64(1)...12)
    func aSnapshotStandsForAllBeforeIt(seed: UInt64) throws {
        var history = LoggedHistory(seed: seed &+ 2000)
        for _ in 0..<600 { history.step() }
        try #require(!history.snapshots.isEmpty)
        for start in history.snapshots {
            var state = RecoveredState()
            for record in history.records[start...] { try state.apply(record) }
            #expect(state.listing == history.listing, "seed \(seed) from \(start)")
        }
    }
}
