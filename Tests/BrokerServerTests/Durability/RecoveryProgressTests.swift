import Logging
import Synchronization
import Testing

@testable import BrokerServer

/// What an operator sees of a long start.
@Suite struct RecoveryProgressTests {
    /// A clock that a test sets.
    private final class Clock: Sendable {
        let now = Mutex(ContinuousClock.now)

        func advance(_ duration: Duration) {
            self.now.withLock { $0 += duration }
        }
    }

    @Test func aLongStartTellsHowFarItIsOnceASecond() {
        let recorder = LogRecorder()
        let clock = Clock()
        var progress = RecoveryProgress(recorder.logger) { clock.now.withLock { $0 } }
        let total: UInt64 = 400 << 20
        for step in 1...10 {
            // Two looks a second.
            clock.advance(.milliseconds(500))
            progress.note(UInt64(step) * (40 << 20), of: total)
        }
        #expect(
            recorder.lines == [20, 40, 60, 80, 100].map { "[info] recovering: \($0) % of 400 MiB read" }
        )
        #expect(progress.elapsed == "5.00 s")
    }

    @Test func aShortStartSaysNothing() {
        let recorder = LogRecorder()
        let clock = Clock()
        var progress = RecoveryProgress(recorder.logger) { clock.now.withLock { $0 } }
        clock.advance(.milliseconds(990))
        progress.note(1 << 30, of: 1 << 30)
        progress.note(0, of: 0)
        #expect(recorder.lines.isEmpty)
        clock.advance(.milliseconds(60))
        #expect(progress.elapsed == "1.05 s")
    }

    /// A log of less than a hundred octets, and one that grows while it is read.
    @Test func strangeSizesAreNoTrap() {
        let recorder = LogRecorder()
        let clock = Clock()
        var progress = RecoveryProgress(recorder.logger) { clock.now.withLock { $0 } }
        clock.advance(.seconds(2))
        progress.note(0, of: 0)
        clock.advance(.seconds(2))
        progress.note(.max, of: 7)
        #expect(recorder.lines == (0..<2).map { _ in "[info] recovering: 100 % of 0 MiB read" })
    }
}
