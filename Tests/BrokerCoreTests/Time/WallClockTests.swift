import Testing

@testable import BrokerCore

@Suite struct WallClockTests {
    @Test(
        arguments: [
            (5_000_000, 1_000_000), (5_999_999, 1_000_000), (6_000_000, 1_000_001), (4_999_999, 999_999),
            (4_000_000, 999_999), (0, 999_995),
        ] as [(UInt64, UInt64)]
    )
    func tellsTheTimeOfDay(instant: UInt64, epoch: UInt64) {
        var clock = WallClock()
        clock.set(epochMilliseconds: 1_000_000, at: BrokerInstant(nanoseconds: 5_000_000))
        #expect(clock.epochMilliseconds(at: BrokerInstant(nanoseconds: instant)) == epoch)
    }

    @Test(
        arguments: [
            (1_000_000, 5_000_000), (1_000_003, 8_000_000), (999_998, 3_000_000), (999_995, 0), (3, 0),
            (.max, .max),
        ] as [(UInt64, UInt64)]
    )
    func findsTheInstantOfATimeOfDay(epoch: UInt64, instant: UInt64) {
        var clock = WallClock()
        clock.set(epochMilliseconds: 1_000_000, at: BrokerInstant(nanoseconds: 5_000_000))
        #expect(clock.instant(epochMilliseconds: epoch) == BrokerInstant(nanoseconds: instant))
    }

    @Test func saturatesAtBothEnds() {
        var clock = WallClock()
        clock.set(epochMilliseconds: .max - 1, at: BrokerInstant(nanoseconds: 0))
        #expect(clock.epochMilliseconds(at: BrokerInstant(nanoseconds: 10_000_000)) == .max)
        clock.set(epochMilliseconds: 1, at: BrokerInstant(nanoseconds: 10_000_000))
        #expect(clock.epochMilliseconds(at: BrokerInstant(nanoseconds: 0)) == 0)
    }
}
