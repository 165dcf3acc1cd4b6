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

    @Test(arguments: Lie.allCases.filter { $0 != .doublesRecords }, [true, false])
    func isFoundOut(lie: Lie, features: Bool) {
        #expect(Self.finding(lie, 1...40, features: features) != nil)
    }

    @Test(arguments: [true, false])
    func whatIsToldTwiceIsNoLie(features: Bool) {
        #expect(Self.finding(.doublesRecords, 1...15, features: features) == nil)
    }
}
