import Testing

@testable import MartletPerf

@Suite struct RateScheduleTests {
    @Test func releasesMessagesAsTimePasses() {
        let schedule = RateSchedule(startNanoseconds: 5_000_000_000, rate: 1000)
        #expect(schedule.dueCount(at: 0) == 0)
        #expect(schedule.dueCount(at: 4_999_999_999) == 0)
        #expect(schedule.dueCount(at: 5_000_000_000) == 1)
        #expect(schedule.dueCount(at: 5_000_999_999) == 1)
        #expect(schedule.dueCount(at: 5_001_000_000) == 2)
        // A stall of a second leaves a thousand to catch up with.
        #expect(schedule.dueCount(at: 6_001_000_000) == 1002)
    }

    @Test func keepsDueTimesThroughAStall() {
        let schedule = RateSchedule(startNanoseconds: 100, rate: 2)
        #expect((0..<4).map { schedule.time(of: $0) } == [100, 500_000_100, 1_000_000_100, 1_500_000_100])
    }

    @Test(arguments: [0.001, 0.3, 1, 3, 7, 999, 1000, 33_333.3, 1e6, 3e6, 1e9])
    func findsSomethingDueAtEachDueTime(rate: Double) {
        // A timer set to the due time must not fire for nothing, nor the time before find the message.
        let schedule = RateSchedule(startNanoseconds: 1_234_567, rate: rate)
        for index in [0, 1, 2, 3, 10, 1000, 12_345, 1_000_000] as [UInt64] {
            let time = schedule.time(of: index)
            #expect(schedule.dueCount(at: time) >= index + 1)
            #expect(schedule.dueCount(at: time - 1) <= index)
        }
    }
}
