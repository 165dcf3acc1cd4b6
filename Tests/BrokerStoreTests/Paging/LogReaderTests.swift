import BrokerStore
import Testing

/// Reading records of a log back by their positions.
@Suite struct LogReaderTests {
    /// Reads records; returns the payloads that were found, and what was wrong.
    private func read(
        _ reader: LogReader,
        _ places: [RecordPlace],
        isSplit: Bool = false
    ) -> ([Int: [UInt8]], [ReadProblem]) {
        var found: [Int: [UInt8]] = [:]
        var buffers: [UnsafeMutableRawBufferPointer] = []
        defer { for buffer in buffers { buffer.deallocate() } }
        let problems = reader.read(
            places,
            isSplit: isSplit,
            allocate: { octets in
                buffers.append(.allocate(byteCount: octets, alignment: 16))
                return buffers[buffers.count - 1]
            },
            found: { found[$0] = Array($1) }
        )
        return (found, problems)
    }

    private func places(_ records: [SeenRecord]) -> [RecordPlace] {
        records.map { RecordPlace(position: $0.position, size: $0.payload.count) }
    }

    @Test func neighboursAreFoundAcrossFilesThatEndBeforeTheyAreFull() throws {
        // Files of 4096 octets: the second and the fourth record do not fit into what is left.
        let bench = try LogWorkbench()
        let records = try bench.commitEach(2500, 2000, 900, 1500, 10)
        #expect(LogReader(of: bench.log).filePositions.count == 3)
        let (found, problems) = self.read(LogReader(of: bench.log), self.places(records))
        #expect(problems == [])
        #expect(records.indices.map { found[$0] } == records.map(\.payload))
    }

    @Test func recordsLongerThanWasKnownAreFound() throws {
        let bench = try LogWorkbench()
        let records = try bench.commitEach(100, 3000, 200)
        let places = records.map { RecordPlace(position: $0.position, size: 0) }
        let (found, problems) = self.read(LogReader(of: bench.log), places)
        #expect(problems == [])
        #expect(records.indices.map { found[$0] } == records.map(\.payload))
    }

    @Test func whatWasReleasedIsNotFound() throws {
        let bench = try LogWorkbench()
        let records = try bench.commitEach(2500, 2000, 900, 1500, 10)
        let reader = LogReader(of: bench.log)
        #expect(self.read(reader, self.places(records)).1 == [])
        try bench.log.release(upTo: LogPosition(records[3].position))
        let (found, problems) = self.read(reader, self.places(records))
        #expect(found.keys.sorted() == [3, 4])
        #expect(problems.map(\.records) == [0..<1, 1..<2, 2..<3])
        #expect(problems.allSatisfy { $0.reason == .damaged })
    }

    @Test func aBadSectorCostsOneRecordWhenReadsAreSplit() throws {
        let bench = try LogWorkbench()
        let records = try bench.commitEach(100, 110, 120, 130, 140, 150, 160)
        let reader = LogReader(of: bench.log)
        let path = LogWorkbench.path(1)
        // Behind the file's header, in the fifth record.
        let bad = 1024 + records[4].position - records[0].position + 60
        bench.disk.setBadOctets((path, bad..<bad + 1))
        let whole = self.read(reader, self.places(records))
        #expect(whole.0.isEmpty)
        #expect(whole.1.map(\.records) == [0..<7])
        let (found, problems) = self.read(reader, self.places(records), isSplit: true)
        #expect(found.keys.sorted() == [0, 1, 2, 3, 5, 6])
        #expect(found[5] == records[5].payload)
        #expect(problems.map(\.records) == [4..<5])
        #expect(problems.first?.reason == .refused)
    }

    @Test func aDiskThatGivesNothingIsNotAskedForEveryRecord() throws {
        let bench = try LogWorkbench(fileBytes: 64 << 10)
        let records = try (0..<300).flatMap { try bench.commit(40 + $0 % 7) }
        let reader = LogReader(of: bench.log)
        bench.disk.setBadOctets((LogWorkbench.path(1), 0..<1 << 20))
        let count = bench.disk.count(.read)
        let (found, problems) = self.read(reader, self.places(records), isSplit: true)
        #expect(found.isEmpty)
        #expect(problems.flatMap(\.records).sorted() == Array(records.indices))
        #expect(bench.disk.count(.read) - count < 80)
    }

    @Test func aPlaceWithoutARecordIsAProblem() throws {
        let bench = try LogWorkbench()
        let records = try bench.commitEach(100, 100)
        let (found, problems) = self.read(
            LogReader(of: bench.log),
            [
                RecordPlace(position: records[0].position + 8, size: 100),
                RecordPlace(position: records[1].position, size: 100),
            ]
        )
        #expect(found[0] == nil)
        #expect(found[1] == records[1].payload)
        #expect(problems.map(\.records) == [0..<1])
        #expect(problems.first?.description.contains("damaged at octet") == true)
    }

    /// Too many open files are no damage: what was not asked for is asked for again.
    @Test(arguments: [SimulatedFileSystem.Kind.open, .read])
    func aShortageIsToldApartFromDamage(_ kind: SimulatedFileSystem.Kind) throws {
        let bench = try LogWorkbench()
        let records = try bench.commitEach(2500, 2000)
        let reader = LogReader(of: bench.log)
        bench.disk.fail(kind, error: 24)
        let (found, problems) = self.read(reader, self.places(records))
        #expect(found[0] == nil)
        #expect(problems.first?.reason == .shortage)
        #expect(problems.first?.records.contains(0) == true)
        let (again, none) = self.read(reader, self.places(records))
        #expect(again[0] == records[0].payload && again[1] == records[1].payload)
        #expect(none == [])
        bench.disk.fail(.read)
        let refused = self.read(reader, self.places(records)).1
        #expect(refused.map(\.reason) == [.refused])
        #expect(refused.first?.description.contains(" (from octet ") == true, "\(refused)")
    }
}

extension LogWorkbench {
    /// Commits records of the given payload sizes one by one.
    fileprivate func commitEach(_ sizes: Int...) throws -> [SeenRecord] {
        var records: [SeenRecord] = []
        for size in sizes {
            let payload = Self.payload(size, UInt64(size))
            let position = try payload.withUnsafeBytes { try self.log.append(type: 1, payload: $0) }
            try self.log.commit()
            records.append(SeenRecord(position: position.octets, type: 1, payload: payload))
        }
        return records
    }
}
