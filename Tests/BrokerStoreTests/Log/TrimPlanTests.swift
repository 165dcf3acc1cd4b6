import BrokerStore
import Testing

/// Which files of a log go.
@Suite struct TrimPlanTests {
    private func plan(_ live: [Int], firstUnread: Int? = nil, slack: UInt64 = 1000) -> TrimPlan? {
        let files = live.indices.map { UInt64($0) * 100 }
        return TrimPlan(
            files: files,
            live: live,
            firstUnread: firstUnread,
            end: UInt64(live.count) * 100,
            slack: slack
        )
    }

    @Test func filesWithoutLiveMessagesGoOldestFirst() {
        let plan = self.plan([0, 0, 7, 0, 0])
        #expect(plan?.position == 200)
        #expect(plan?.toldOctets == 0)
    }

    @Test func theFileThatIsWrittenToStays() {
        #expect(self.plan([0, 0, 0])?.position == 200)
        #expect(self.plan([0]) == nil)
        #expect(self.plan([]) == nil)
    }

    @Test func aBacklogIsNotToldAgainWhileTheLogIsLittleLongerThanIt() {
        #expect(self.plan([60, 100, 100, 100]) == nil)
        #expect(self.plan([5, 0, 0, 0]) == nil)
    }

    @Test func remnantsOfTheOldestFilesAreToldAgainWhenMostOfTheLogIsDead() {
        // 1000 octets, 40 of them alive: 180 and some may stay.
        let plan = self.plan([10, 0, 20, 0, 0, 0, 0, 0, 0, 10], slack: 100)
        #expect(plan?.position == 900)
        #expect(plan?.toldOctets == 30)
    }

    @Test func noMoreIsToldThanThatTheLogIsShortEnough() {
        let plan = self.plan([10, 10, 10, 10, 10], slack: 300)
        #expect(plan?.position == 100)
        #expect(plan?.toldOctets == 10)
    }

    @Test func whatCannotBeReadIsNotTold() {
        let live = [0, 10, 20, 0, 0, 0, 0, 0, 0, 10]
        #expect(self.plan(live, firstUnread: 2, slack: 100)?.position == 200)
        #expect(self.plan(live, firstUnread: 1, slack: 100)?.toldOctets == 0)
        #expect(self.plan(live, firstUnread: 0, slack: 100) == nil)
        let plan = self.plan(live, slack: 100)
        #expect(plan?.position == 900)
        #expect(plan?.kept(from: 250).position == 250)
        #expect(plan?.kept(from: 950) == plan)
    }

    @Test func countsOfOtherFilesAreNoPlan() {
        #expect(TrimPlan(files: [0, 100], live: [0], end: 200, slack: 0) == nil)
    }
}
