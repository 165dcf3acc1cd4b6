import BrokerSimulation
import Testing

/// Who tells lies about what lies around the broker is found out by the judges, from first to last.
@Suite struct LieTests {
    /// The first seed, of some, whose story contradicts the model.
    private static func finding(_ lie: Lie, _ seeds: ClosedRange<UInt64>, features: Bool) -> UInt64? {
        seeds.first { seed in
            let report =
                features ? FeatureRun(seed: seed, lie: lie).run() : SimulationRun(seed: seed, lie: lie).run()
            return report.failure != nil
        }
    }

    @Test(arguments: Lie.allCases.filter { $0 != .doublesRecords && $0 != .putsOffPurges })
    func isFoundOutByFeatures(lie: Lie) {
        #expect(Self.finding(lie, 1...20, features: true) != nil)
    }

    /// Shards and pages that are out of order take more seeds.
    @Test(arguments: [Lie.losesRecords, .swapsRecords, .changesRecords, .ignoresSyncs, .losesBatches])
    func isFoundOutByPlainQueues(lie: Lie) {
        #expect(Self.finding(lie, 1...20, features: false) != nil)
    }

    /// A broker that ends right behind the answer to a purge must have it in its log.
    @Test func purgesThatAreAnsweredTooEarlyAreFoundOut() {
        #expect(Self.finding(.putsOffPurges, 1...60, features: false) != nil)
    }

    @Test(arguments: [true, false])
    func whatIsToldTwiceIsNoLie(features: Bool) {
        #expect(Self.finding(.doublesRecords, 1...(features ? 4 : 12), features: features) == nil)
    }
}
