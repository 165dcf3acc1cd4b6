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

    @Test(arguments: Lie.allCases.filter { $0 != .doublesRecords })
    func isFoundOutByFeatures(lie: Lie) {
        #expect(Self.finding(lie, 1...20, features: true) != nil)
    }

    /// Shards and pages that are out of order take more seeds.
    @Test(arguments: [Lie.losesRecords, .swapsRecords, .changesRecords, .ignoresSyncs, .losesBatches])
    func isFoundOutByPlainQueues(lie: Lie) {
        #expect(Self.finding(lie, 1...20, features: false) != nil)
    }

    /// Seeds in which a broker ends so.
    private static let hastySeeds: [UInt64] = [15, 20, 25, 90]

    /// A broker that ends right behind the answer to a purge must have it in its log.
    @Test func purgesThatAreAnsweredTooEarlyAreFoundOut() {
        let failures = Self.hastySeeds.compactMap { SimulationRun(seed: $0, lie: .putsOffSettlements).run().failure }
        #expect(failures.contains { $0.hasSuffix("comes back after it was purged") })
    }

    @Test(arguments: [true, false])
    func whatIsToldTwiceIsNoLie(features: Bool) {
        #expect(Self.finding(.doublesRecords, 1...(features ? 4 : 12), features: features) == nil)
    }
}
