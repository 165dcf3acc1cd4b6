import BrokerStore
import Dispatch
import Synchronization
import Testing

/// The writer's thread: group commit, policies, full disks, failures.
@Suite struct LogWriterTests {
    @Test func givesBatchesBackInOrder() throws {
        let bench = try WriterWorkbench()
        for mark in 1...50 as ClosedRange<UInt64> { bench.submit(mark, from: Int(mark % 3)) }
        bench.wait(50)
        #expect(bench.events == (1...50).map { .committed(shard: $0 % 3, mark: UInt64($0)) })
        #expect(bench.writer.pendingBytes == 0)
        try bench.writer.stop()
        #expect(try bench.recoveredCount(afterLosingPower: 3) == 50)
    }

    /// The disk is held in the first batch's sync until all others are submitted: they share the next one.
    @Test func batchesSubmittedDuringASyncShareTheNext() throws {
        let bench = try WriterWorkbench()
        let hasBegun = DispatchSemaphore(value: 0)
        let mayEnd = DispatchSemaphore(value: 0)
        bench.disk.onSync { _ in
            hasBegun.signal()
            mayEnd.wait()
        }
        let syncs = bench.disk.count(.sync)
        bench.submit(1)
        hasBegun.wait()
        #expect(bench.events == [])
        #expect(bench.writer.pendingBytes == 24)
        for mark in 2...20 as ClosedRange<UInt64> { bench.submit(mark) }
        #expect(bench.writer.pendingBytes == 20 * 24)
        let writes = bench.disk.count(.write)
        mayEnd.signal()
        bench.wait(1)
        hasBegun.wait()
        #expect(bench.events == [.committed(shard: 0, mark: 1)])
        mayEnd.signal()
        bench.wait(19)
        #expect(bench.disk.count(.sync) == syncs + 2)
        #expect(bench.disk.count(.write) >= writes + 1)
        bench.disk.onSync(nil)
        mayEnd.signal()
        try bench.writer.stop()
    }

    @Test func committedMeansSynced() throws {
        for seed in 0..<20 as Range<UInt64> {
            let bench = try WriterWorkbench()
            bench.submit(1, size: 3000)
            bench.wait(1)
            bench.disk.powerOff(afterChanges: 0)
            #expect(throws: StoreError.self) { try bench.writer.stop() }
            #expect(try bench.recoveredCount(afterLosingPower: seed) == 1)
        }
    }

    @Test(arguments: [SyncPolicy.never, .interval(milliseconds: 3_600_000)])
    func otherPoliciesSyncAtTheEnd(_ policy: SyncPolicy) throws {
        let bench = try WriterWorkbench(LogWriterOptions(policy: policy))
        let syncs = bench.disk.count(.sync)
        for mark in 1...5 as ClosedRange<UInt64> {
            bench.submit(mark)
            bench.wait(1)
        }
        #expect(bench.disk.count(.sync) == syncs)
        #expect(bench.writer.durablePosition.octets == 24)
        try bench.writer.stop()
        #expect(bench.writer.durablePosition.octets >= 6 * 24)
        #expect(try bench.recoveredCount(afterLosingPower: 1) == 5)
    }

    @Test func anIntervalEndsByItself() throws {
        let bench = try WriterWorkbench(LogWriterOptions(policy: .interval(milliseconds: 1)))
        let synced = DispatchSemaphore(value: 0)
        bench.disk.onSync { _ in synced.signal() }
        bench.submit(1)
        bench.wait(1)
        synced.wait()
        try bench.writer.stop()
    }

    @Test func waitsForRoomAndThenGoesOn() throws {
        let bench = try WriterWorkbench(LogWriterOptions(fullRetryMilliseconds: 3_600_000), fileBytes: 4096)
        bench.disk.setCapacity(4096)
        bench.submit(1, size: 2000)
        bench.wait(1)
        bench.submit(2, size: 2000)
        bench.wait(1)
        #expect(bench.events == [.committed(shard: 0, mark: 1), .full(true)])
        bench.submit(3, size: 2000)
        #expect(bench.writer.pendingBytes == 2 * 2016)
        bench.disk.setCapacity(1 << 20)
        bench.writer.retry()
        bench.wait(3)
        #expect(
            bench.events == [
                .committed(shard: 0, mark: 1), .full(true), .full(false), .committed(shard: 0, mark: 2),
                .committed(shard: 0, mark: 3),
            ]
        )
        #expect(bench.writer.pendingBytes == 0)
        try bench.writer.stop()
    }

    /// Before the thread sleeps: a wake-up must not be taken for one that came during sleep and lost.
    @Test func roomMadeAtOnceIsNoticed() throws {
        let bench = try WriterWorkbench(LogWriterOptions(fullRetryMilliseconds: 3_600_000), fileBytes: 4096)
        bench.disk.setCapacity(4096)
        let disk = bench.disk
        let writer = bench.writer
        bench.atFull {
            disk.setCapacity(1 << 20)
            writer.retry()
        }
        bench.submit(1, size: 4000)
        bench.wait(3)
        #expect(bench.events == [.full(true), .full(false), .committed(shard: 0, mark: 1)])
        try bench.writer.stop()
    }

    @Test func aFullDiskIsTriedAgainByItself() throws {
        let bench = try WriterWorkbench(LogWriterOptions(fullRetryMilliseconds: 1), fileBytes: 4096)
        bench.disk.setCapacity(4096)
        bench.submit(1, size: 4000)
        bench.wait(1)
        bench.disk.setCapacity(1 << 20)
        bench.wait(2)
        #expect(bench.events == [.full(true), .full(false), .committed(shard: 0, mark: 1)])
        try bench.writer.stop()
    }

    @Test func stoppingWithAFullDiskSaysSo() throws {
        let bench = try WriterWorkbench(LogWriterOptions(fullRetryMilliseconds: 3_600_000), fileBytes: 4096)
        bench.disk.setCapacity(4096)
        bench.submit(1, size: 4000)
        bench.wait(1)
        let error = #expect(throws: StoreError.self) { try bench.writer.stop() }
        #expect(error?.reason == .noSpace)
        #expect(bench.events == [.full(true)])
    }

    @Test(arguments: [SimulatedFileSystem.Kind.write, .sync])
    func aFailureIsToldOnceAndEndsEverything(_ kind: SimulatedFileSystem.Kind) throws {
        let bench = try WriterWorkbench(LogWriterOptions(policy: .always))
        bench.submit(1)
        bench.wait(1)
        // The mark of a quiet moment may come before or after this; either way the next write or sync fails for good.
        bench.disk.fail(kind)
        bench.submit(2)
        bench.wait(1)
        bench.submit(3)
        let error = #expect(throws: StoreError.self) { try bench.writer.stop() }
        #expect(throws: StoreError.self) { try bench.writer.stop() }
        #expect(error?.reason == .system(5))
        #expect(bench.events.count == 2)
        #expect(bench.events.last == error.map { .failed($0) })
    }

    @Test func stopCommitsWhatWasSubmittedAndRefusesTheRest() throws {
        let bench = try WriterWorkbench()
        for mark in 1...100 as ClosedRange<UInt64> { bench.submit(mark) }
        try bench.writer.stop()
        bench.submit(101)
        try bench.writer.stop()
        #expect(bench.events.count == 100)
        #expect(bench.writer.pendingBytes == 0)
        #expect(try bench.recoveredCount(afterLosingPower: 2) == 100)
    }

    @Test func releasesFiles() throws {
        let bench = try WriterWorkbench(fileBytes: 4096)
        for mark in 1...8 as ClosedRange<UInt64> { bench.submit(mark, size: 3000) }
        bench.wait(8)
        let end = bench.writer.durablePosition
        bench.writer.release(upTo: end)
        try bench.writer.stop()
        #expect(bench.writer.heldBytes == 3 * 4096, "two spare ones and the one that is written to")
    }

    /// Many threads at once: each one's batches come back in its own order, and all of them do.
    @Test func takesBatchesFromManyThreads() throws {
        let bench = try WriterWorkbench()
        DispatchQueue.concurrentPerform(iterations: 4) { shard in
            for mark in 1...200 as ClosedRange<UInt64> { bench.submit(mark, from: shard) }
        }
        try bench.writer.stop()
        for shard in 0..<4 {
            let marks = bench.events.compactMap { event -> UInt64? in
                if case .committed(shard, let mark) = event { mark } else { nil }
            }
            #expect(marks == Array(1...200))
        }
        #expect(try bench.recoveredCount(afterLosingPower: 9) == 800)
    }
}
