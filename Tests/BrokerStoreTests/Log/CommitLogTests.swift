import BrokerStore
import Testing

/// Appending, committing, changing files, failing.
@Suite struct CommitLogTests {
    @Test func emptyLogRecoversToNothing() throws {
        let bench = try LogWorkbench()
        #expect(bench.recovered == [])
        #expect(bench.report == RecoveryReport())
        #expect(bench.log.heldBytes == 0)
    }

    @Test(arguments: [[0], [1], [3, 4, 5], [16, 16, 16], [2000, 1], [0, 4096, 0], [100_000, 7]])
    func givesBackWhatWasCommitted(_ sizes: [Int]) throws {
        var bench = try LogWorkbench()
        var expected: [SeenRecord] = []
        for (index, size) in sizes.enumerated() {
            expected.append(try bench.append(UInt8(index), LogWorkbench.payload(size, UInt64(index))))
        }
        try bench.log.commit()
        #expect(bench.log.durablePosition == bench.log.endPosition)
        let end = bench.log.endPosition
        try bench.reopen()
        #expect(bench.recovered == expected)
        #expect(bench.report.end == end)
        #expect(bench.report.damages == [] && bench.report.tornTail == nil)
    }

    @Test func stagedOnlyIsNotWritten() throws {
        var bench = try LogWorkbench()
        try bench.commit(5)
        try bench.append(1, [1, 2, 3])
        #expect(bench.log.stagedBytes == 16)
        #expect(bench.log.durablePosition.octets == 24)
        try bench.reopen()
        #expect(bench.recovered.map(\.payload.count) == [5])
    }

    @Test func takesBatches() throws {
        var bench = try LogWorkbench()
        try bench.commit(100)
        let batch = LogBatch(capacity: 16)
        batch.append(type: 7, size: 3).copyMemory(from: [9, 8, 7] as [UInt8], byteCount: 3)
        [UInt8](repeating: 5, count: 3000).withUnsafeBytes { batch.append(type: 8, payload: $0) }
        _ = batch.append(type: 9, size: 0)
        #expect(batch.recordCount == 3 && batch.octetCount == 16 + 3016 + 16)
        try bench.log.append(batch: batch)
        #expect(batch.firstPosition.octets == 112)
        try bench.log.commit()
        batch.reset()
        #expect(batch.isEmpty && batch.recordCount == 0)
        try bench.log.append(batch: batch)
        try bench.log.commit()
        try bench.reopen()
        #expect(bench.recovered.dropFirst().map(\.type) == [7, 8, 9])
        #expect(bench.recovered.map(\.position) == [0, 112, 128, 3144])
        #expect(bench.recovered[1].payload == [9, 8, 7])
    }

    @Test func writesAndSyncsOncePerCommit() throws {
        let bench = try LogWorkbench()
        try bench.commit(10)
        let writes = bench.disk.count(.write)
        let syncs = bench.disk.count(.sync)
        try bench.commit(10, 20, 30, 40)
        #expect(bench.disk.count(.write) == writes + 1)
        #expect(bench.disk.count(.sync) == syncs + 1)
        try bench.log.commit()
        #expect(bench.disk.count(.sync) == syncs + 1, "nothing was staged")
    }

    @Test func fillsFilesWithWholeRecordsAndKeepsPositionsContiguous() throws {
        var bench = try LogWorkbench()
        var expected: [SeenRecord] = []
        for index in 0..<40 {
            expected.append(try bench.append(3, LogWorkbench.payload(500, UInt64(index))))
        }
        try bench.log.commit()
        // 3072 octets of records a file: five of 512 would be 2560, six fit exactly.
        #expect(bench.disk.content(of: LogWorkbench.path(7)) != nil)
        #expect(bench.disk.content(of: LogWorkbench.path(8)) == nil)
        #expect(bench.log.heldBytes == 7 * 4096)
        try bench.reopen()
        #expect(bench.recovered == expected)
        #expect(bench.recovered.map(\.position) == (0..<40).map { UInt64($0) * 512 })
        #expect(bench.report.filesRead == 7)
    }

    @Test func givesALargeRecordAFileOfItsOwn() throws {
        var bench = try LogWorkbench()
        let before = try bench.commit(10)
        let large = try bench.commit(20_000)
        let after = try bench.commit(11)
        #expect(bench.disk.content(of: LogWorkbench.path(2))?.count == 24_576)
        #expect(bench.disk.content(of: LogWorkbench.path(3))?.count == nil, "the rest of the page takes it")
        try bench.reopen()
        #expect(bench.recovered == before + large + after)
    }

    @Test func releasesAndUsesFilesAgain() throws {
        var bench = try LogWorkbench()
        var all: [SeenRecord] = []
        for _ in 0..<4 { all += try bench.commit(3000) }
        #expect(bench.log.heldBytes == 4 * 4096)
        try bench.log.release(upTo: LogPosition(all[3].position - 1))
        #expect(bench.log.firstPosition.octets == all[2].position)
        #expect(try bench.disk.names(in: "log").filter { $0.hasPrefix("spare-") }.count == 2)
        let opened = bench.disk.count(.write)
        all += try bench.commit(3000)
        #expect(bench.disk.count(.write) == opened + 2, "header and record; no zeros")
        #expect(bench.log.heldBytes == 4 * 4096)
        try bench.log.release(upTo: bench.log.endPosition)
        #expect(bench.log.firstPosition.octets == all[4].position, "the file that is written to stays")
        #expect(bench.log.heldBytes == 3 * 4096, "two to use again, one in use")
        try bench.reopen()
        #expect(bench.recovered == [all[4]])
        #expect(bench.report.first.octets == all[4].position)
        #expect(bench.log.heldBytes == 3 * 4096)
    }

    @Test func leavesOutWhatACheckpointCovers() throws {
        var bench = try LogWorkbench()
        var all: [SeenRecord] = []
        for _ in 0..<4 { all += try bench.commit(2000, 500) }
        try bench.reopen(from: LogPosition(all[5].position))
        #expect(bench.recovered == Array(all[5...]))
        #expect(bench.report.filesRead == 2)
        let end = bench.log.endPosition
        try bench.reopen(from: LogPosition(end.octets + 800))
        #expect(bench.log.endPosition.octets == end.octets + 800, "positions are never used twice")
        let later = try bench.commit(5)
        try bench.reopen(from: LogPosition(end.octets + 800))
        #expect(bench.recovered == later && bench.report.damages == [])
    }

    @Test(arguments: [SimulatedFileSystem.Kind.write, .sync])
    func failurePoisonsForGood(_ kind: SimulatedFileSystem.Kind) throws {
        let bench = try LogWorkbench()
        try bench.commit(10)
        try bench.append(1, [1])
        let syncs = bench.disk.count(.sync)
        bench.disk.fail(kind)
        let path = LogWorkbench.path(1)
        #expect(throws: StoreError(.system(5), kind == .sync ? .sync : .write, path, "Input/output error")) {
            try bench.log.commit()
        }
        for _ in 0..<2 {
            let error = #expect(throws: StoreError.self) { try bench.log.commit() }
            #expect(error?.reason == .poisoned)
        }
        #expect(throws: StoreError.self) { try bench.append(1, [2]) }
        #expect(bench.disk.count(.sync) == syncs + (kind == .sync ? 1 : 0), "a failed sync is not tried again")
    }

    @Test func fullDiskLeavesStagedRecordsForLater() throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(2000)
        bench.disk.setCapacity(5000)
        expected.append(try bench.append(1, LogWorkbench.payload(900, 1)))
        expected.append(try bench.append(1, LogWorkbench.payload(2000, 2)))
        for _ in 0..<3 {
            let error = #expect(throws: StoreError.self) { try bench.log.commit() }
            #expect(error?.reason == .noSpace)
        }
        expected.append(try bench.append(1, LogWorkbench.payload(20, 3)))
        #expect(try bench.disk.names(in: "log") == ["log-0000000000000001"], "half a file is no use")
        bench.disk.setCapacity(9000)
        try bench.log.commit()
        #expect(bench.log.durablePosition == bench.log.endPosition)
        try bench.reopen()
        #expect(bench.recovered == expected)
    }

    @Test func marksProveButAreNotServed() throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(10)
        let syncs = bench.disk.count(.sync)
        try bench.log.mark()
        try bench.log.mark()
        #expect(bench.log.endPosition.octets == 24 + 16, "one is enough")
        #expect(bench.disk.count(.sync) == syncs)
        expected += try bench.commit(10)
        try bench.log.close()
        try bench.reopen()
        #expect(bench.recovered == expected)
    }

    @Test func sparesAreMadeAhead() throws {
        let bench = try LogWorkbench()
        try bench.commit(10)
        #expect(try !bench.log.prepareSpare())
        #expect(try !bench.log.prepareSpare())
        #expect(bench.log.heldBytes == 2 * 4096)
        let writes = bench.disk.count(.write)
        try bench.commit(3050)
        #expect(bench.disk.count(.write) == writes + 2, "header and record; no zeros")
    }

    @Test func sparesAreMadeInPieces() throws {
        let bench = try LogWorkbench(fileBytes: 5 << 19)
        try bench.commit(10)
        #expect(try bench.log.prepareSpare())
        #expect(try bench.log.prepareSpare())
        #expect(try bench.disk.names(in: LogWorkbench.directory).filter { $0.hasPrefix("spare") }.isEmpty)
        #expect(try !bench.log.prepareSpare())
        #expect(try bench.disk.names(in: LogWorkbench.directory).filter { $0.hasPrefix("spare") }.count == 1)
    }

    @Test func whoeverNeedsAFileTakesAnUnfinishedSpare() throws {
        var bench = try LogWorkbench(fileBytes: 5 << 19)
        var expected = try bench.commit((5 << 19) - 8192)
        #expect(try bench.log.prepareSpare())
        let writes = bench.disk.count(.write)
        expected += try bench.commit(10_000)
        #expect(bench.disk.count(.write) == writes + 2, "header and record; it has its size already")
        expected += try bench.commit(10)
        try bench.log.close()
        try bench.reopen()
        #expect(bench.recovered == expected)
    }
}
