import Testing

@testable import MartletPerf

@Suite struct ConfirmWindowTests {
    private struct Rig {
        var window: ConfirmWindow
        var latencies = LatencyRecorder()

        mutating func settle(_ tag: UInt64, multiple: Bool, at now: UInt64 = 100) -> ConfirmWindow.Settlement {
            self.window.settle(tag: tag, multiple: multiple, at: now, latencies: &self.latencies, recording: true)
        }
    }

    @Test func limitsWhatIsUnconfirmed() {
        var rig = Rig(window: ConfirmWindow(size: 4))
        #expect(rig.window.room == 4)
        rig.window.send(count: 4, at: 1)
        #expect(rig.window.room == 0)
        #expect(rig.settle(3, multiple: true) == .init(count: 3, isValid: true))
        #expect(rig.window.room == 3)
        #expect(rig.window.outstanding == 1)
    }

    @Test func settlesInAnyOrder() {
        var rig = Rig(window: ConfirmWindow(size: 8))
        rig.window.send(count: 5, at: 1)
        #expect(rig.settle(4, multiple: false) == .init(count: 1, isValid: true))
        #expect(rig.settle(2, multiple: false) == .init(count: 1, isValid: true))
        #expect(rig.settle(4, multiple: true) == .init(count: 2, isValid: true))
        #expect(rig.settle(0, multiple: true) == .init(count: 1, isValid: true))
        #expect(rig.window.outstanding == 0)
    }

    @Test func keepsRoomForTagsThatSettleLate() {
        // The first tag stays open while later ones settle: the ring must not run into it.
        var rig = Rig(window: ConfirmWindow(size: 2))
        rig.window.send(count: 1, at: 1)
        var tag: UInt64 = 2
        while rig.window.room > 0 {
            rig.window.send(count: 1, at: 1)
            #expect(rig.settle(tag, multiple: false).isValid)
            tag += 1
        }
        #expect(tag > 4)
        #expect(rig.settle(1, multiple: false).isValid)
        #expect(rig.window.room == 2)
    }

    @Test(arguments: [(0, false), (3, false), (3, true), (99, true), (1, false)] as [(UInt64, Bool)])
    func refusesWhatIsNotOutstanding(tag: UInt64, multiple: Bool) {
        var rig = Rig(window: ConfirmWindow(size: 4))
        rig.window.send(count: 2, at: 1)
        #expect(rig.settle(1, multiple: false).isValid)
        #expect(!rig.settle(tag, multiple: multiple).isValid)
        #expect(rig.window.outstanding == 1)
    }

    @Test func recordsHowLongEachTook() throws {
        var rig = Rig(window: ConfirmWindow(size: 10))
        rig.window.send(count: 3, at: 40)
        rig.window.send(count: 1, at: 90)
        #expect(rig.settle(4, multiple: true, at: 100).count == 4)
        let summary = try #require(LatencySummary([rig.latencies.finish()]))
        #expect(summary.count == 4)
        #expect(summary.p50 == 60)
        #expect(summary.max == 60)
    }

    @Test func recordsEveryLatencyOfARun() throws {
        var recorder = LatencyRecorder()
        for value in 1...1000 as ClosedRange<UInt64> {
            for _ in 0..<3 {
                recorder.record(value * 1000)
            }
        }
        var other = LatencyRecorder()
        other.record(5_000_000)
        other.record(.max)
        let summary = try #require(LatencySummary([recorder.finish(), other.finish()]))
        #expect(summary.count == 3002)
        #expect(abs(Int(summary.p50) - 500_000) < 2000)
        #expect(abs(Int(summary.p99) - 990_000) < 4000)
        // A latency beyond the range counts as the longest there is.
        #expect(summary.max >= 3_500_000_000_000)
        #expect(LatencySummary([]) == nil)
        var empty = LatencyRecorder()
        #expect(LatencySummary([empty.finish()]) == nil)
    }
}
