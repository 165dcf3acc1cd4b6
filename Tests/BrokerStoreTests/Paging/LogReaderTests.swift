import BrokerStore
import Testing

/// Reading records of a log back by their positions.
@Suite struct LogReaderTests {
    /// Reads records; returns the payloads that were found, and what was wrong.
    private func read(_ reader: LogReader, _ places: [RecordPlace]) -> ([Int: [UInt8]], [ReadProblem]) {
        var found: [Int: [UInt8]] = [:]
        var buffers: [UnsafeMutableRawBufferPointer] = []
        defer { for buffer in buffers { buffer.deallocate() } }
        let problems = reader.read(
            places,
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
