import BrokerStore
import Testing

/// Torn tails and damage.
@Suite struct RecoveryTests {
    /// Found by plain seed 1944: the system takes zeros that it could not sync for written.
    @Test func aCutThatCouldNotBeSyncedIsMadeAgain() throws {
        var bench = try LogWorkbench()
        let expected = try bench.commit(30)
        try bench.commit(45)
        let start = 1024 + LogWorkbench.size(30)
        var torn = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        torn[start + 40] ^= 1
        bench.disk.setContent(of: LogWorkbench.path(1), torn)
        bench.disk.fail(.sync)
        #expect(throws: StoreError.self) { try bench.reopen() }
        try bench.reopen()
        #expect(bench.report.tornTail != nil && bench.recovered == expected)
        bench.disk.losePower(seed: 1)
        try bench.reopen()
        #expect(bench.report.tornTail == nil && bench.report.damages == [] && bench.recovered == expected)
        let content = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        #expect(content[start...].allSatisfy { $0 == 0 })
    }

    /// Cuts the content of the last record at every octet, as a process that was killed in the middle of a write leaves it.
    @Test func everyCutOfTheLastRecordIsATornTail() throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(30)
        let last = try bench.commit(45)
        let start = 1024 + LogWorkbench.size(30)
        let whole = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        for kept in 0..<(12 + 45) {
            var bytes = whole
            for index in (start + kept)..<(start + LogWorkbench.size(45)) { bytes[index] = 0 }
            bench.disk.setContent(of: LogWorkbench.path(1), bytes)
            try bench.reopen()
            // The octets that are cut may have been zeros.
            if bytes == whole {
                #expect(bench.recovered == expected + last)
                continue
            }
            #expect(bench.recovered == expected, "cut at \(kept)")
            #expect(bench.report.damages == [])
            #expect(bench.log.endPosition.octets == last[0].position)
        }
        expected += try bench.commit(1)
        try bench.reopen()
        #expect(bench.recovered == expected)
    }

    /// Flips each bit of a log of three commits: no record is ever changed, and at most the record that was hit is lost.
    @Test func everyFlippedBitCostsAtMostTheRecordItHits() throws {
        var bench = try LogWorkbench()
        let expected = try bench.commit(20, type: 4) + bench.commit(3, 9) + bench.commit(14)
        try bench.log.close()
        let path = LogWorkbench.path(1)
        let whole = try #require(bench.disk.content(of: path))
        let end = 1024 + Int(bench.log.endPosition.octets)
        for bit in 0..<(end * 8) {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            bench.disk.setContent(of: path, bytes)
            try bench.reopen()
            let hit = expected.firstIndex { record in
                let start = 1024 + Int(record.position)
                return (start..<(start + 12 + record.payload.count)).contains(bit / 8)
            }
            var remaining = expected
            if let hit { remaining.remove(at: hit) }
            #expect(bench.recovered == remaining, "bit \(bit)")
            if let hit {
                #expect(
                    bench.report.damages == [
                        RecoveryReport.Damage(
                            file: path,
                            offset: 1024 + expected[hit].position,
                            lostBytes: UInt64(LogWorkbench.size(expected[hit].payload.count)),
                            keptAs: "log/damaged-log-0000000000000001"
                        )
                    ],
                    "bit \(bit)"
                )
            }
            if (0..<64).contains(bit / 8) || (512..<576).contains(bit / 8) {
                #expect(bench.report.damages.map(\.lostBytes) == [0], "bit \(bit)")
                #expect(bench.disk.content(of: path) == whole, "the header is mended")
            }
        }
    }

    @Test func theCopyOfADamagedFileIsTheDamagedFile() throws {
        var bench = try LogWorkbench()
        try bench.commit(20)
        try bench.commit(20)
        var bytes = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        bytes[1024 + 20] ^= 1
        bench.disk.setContent(of: LogWorkbench.path(1), bytes)
        try bench.reopen()
        #expect(bench.disk.content(of: "log/damaged-log-0000000000000001") == bytes)
        #expect(bench.report.records == 1)
        let later = try bench.commit(30)
        try bench.reopen()
        #expect(bench.recovered.last == later[0])
        #expect(bench.report.damages.count == 1, "until the file is released")
        #expect(bench.disk.content(of: "log/damaged-log-0000000000000001") == bytes, "the first copy has seen most")
    }

    /// Within the last commit nothing tells damage from a write that power cut in two, so it ends there.
    @Test func aHoleInTheLastCommitEndsTheLogForGood() throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(8)
        let commit = try bench.commit(8, 9, 10)
        var bytes = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        bytes[1024 + Int(commit[0].position) + 13] ^= 1
        bench.disk.setContent(of: LogWorkbench.path(1), bytes)
        try bench.reopen()
        #expect(bench.recovered == expected)
        #expect(bench.report.damages == [])
        let tail = RecoveryReport.TornTail(
            file: LogWorkbench.path(1),
            offset: 1024 + commit[0].position,
            bytes: UInt64(3 * LogWorkbench.size(8))
        )
        #expect(bench.report.tornTail == tail)
        // A record of the size of the one that was hit: those behind it were where they are now.
        expected += try bench.commit(8)
        try bench.reopen()
        #expect(bench.recovered == expected, "what was cut does not come back")
    }

    @Test func damageInAnOlderFileLeavesTheLaterOnes() throws {
        var bench = try LogWorkbench()
        var all: [SeenRecord] = []
        for _ in 0..<3 { all += try bench.commit(1000, 1001, 1002) }
        let path = LogWorkbench.path(2)
        let bytes = try #require(bench.disk.content(of: path))
        // The header stays, the records go.
        bench.disk.setContent(of: path, Array(bytes[..<1024]) + [UInt8](repeating: 0xAA, count: 3072))
        try bench.reopen()
        let lost = all.filter { (3..<6).contains(all.firstIndex(of: $0) ?? 0) }
        #expect(lost.count == 3)
        #expect(bench.recovered == all.filter { !lost.contains($0) })
        #expect(bench.report.damages.map(\.file) == [path])
        #expect(
            bench.report.damages.map(\.lostBytes) == [
                lost.reduce(0) { $0 + UInt64(LogWorkbench.size($1.payload.count)) }
            ]
        )
    }

    @Test func aMissingFileIsReported() throws {
        var bench = try LogWorkbench()
        var all: [SeenRecord] = []
        for _ in 0..<3 { all += try bench.commit(3000) }
        try bench.disk.remove(LogWorkbench.path(2))
        try bench.reopen()
        #expect(bench.recovered == [all[0], all[2]])
        #expect(bench.report.damages.map(\.lostBytes) == [UInt64(LogWorkbench.size(3000))])
    }

    /// Both copies of the header gone: the records are found by where the file before ends.
    @Test(arguments: [1, 2, 3])
    func aFileWithoutHeaderIsReadByItsPlace(_ sequence: Int) throws {
        var bench = try LogWorkbench()
        var all: [SeenRecord] = []
        for _ in 0..<3 { all += try bench.commit(3000) }
        let path = LogWorkbench.path(sequence)
        var bytes = try #require(bench.disk.content(of: path))
        bytes.replaceSubrange(0..<1024, with: repeatElement(0x55, count: 1024))
        bench.disk.setContent(of: path, bytes)
        try bench.reopen()
        #expect(bench.recovered == all)
        #expect(bench.report.damages.map(\.file) == [path])
        all += try bench.commit(5)
        try bench.reopen()
        #expect(bench.recovered == all)
        #expect(bench.report.damages == [], "the header was written anew")
    }

    @Test(arguments: [0, 100, 1023, 1024, 1030, 1100, 4095])
    func aTruncatedNewestFileStarts(_ size: Int) throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(3050)
        let last = try bench.commit(40)
        let path = LogWorkbench.path(2)
        let bytes = try #require(bench.disk.content(of: path))
        bench.disk.setContent(of: path, Array(bytes[..<size]))
        try bench.reopen()
        if size >= 1024 + LogWorkbench.size(40) { expected += last }
        #expect(bench.recovered == expected)
        // Of the last record 6 octets, or nothing that is known of.
        let damage = RecoveryReport.Damage(
            file: path,
            offset: UInt64(size),
            lostBytes: size == 1030 ? 6 : 0,
            isCutOff: size > 0,
            keptAs: "log/damaged-log-0000000000000002"
        )
        #expect(bench.report.damages == [damage])
        #expect(bench.disk.content(of: "log/damaged-log-0000000000000002") == Array(bytes[..<size]), "as it was")
        expected += try bench.commit(50)
        try bench.reopen()
        #expect(bench.recovered == expected)
        #expect(bench.report.damages == [])
    }

    @Test func garbageBehindTheNewestFileIsIgnored() throws {
        var bench = try LogWorkbench()
        var expected = try bench.commit(30)
        let path = LogWorkbench.path(1)
        let bytes = try #require(bench.disk.content(of: path))
        bench.disk.setContent(of: path, bytes + LogWorkbench.payload(777, 1))
        try bench.reopen()
        #expect(bench.recovered == expected && bench.report.damages == [])
        expected += try bench.commit(2000, 2000)
        try bench.reopen()
        #expect(bench.recovered == expected)
    }

    /// A recycled file is full of records that were valid once.
    @Test func recordsOfARecycledFileStayGone() throws {
        var bench = try LogWorkbench()
        for _ in 0..<3 { try bench.commit(500, 500, 500, 500, 500, 500) }
        try bench.log.release(upTo: bench.log.endPosition)
        let expected = try bench.commit(500, 500, 500, 500, 500, 500) + bench.commit(500)
        try bench.reopen()
        #expect(bench.recovered.suffix(7) == expected[...])
        #expect(bench.report.damages == [] && bench.report.tornTail == nil)
    }

    /// What is there, but not where a record can be, is no end like any other.
    @Test(arguments: [1, 8, 13]) func recordsThatWereShiftedAreTold(_ count: Int) throws {
        var bench = try LogWorkbench()
        let expected = try bench.commit(8)
        let lost = try bench.commit(8) + bench.commit(300)
        let path = LogWorkbench.path(1)
        let bytes = try #require(bench.disk.content(of: path))
        let place = 1024 + Int(lost[0].position)
        var shifted = bytes
        shifted.insert(contentsOf: [UInt8](repeating: 0xA5, count: count), at: place)
        bench.disk.setContent(of: path, Array(shifted.prefix(bytes.count)))
        try bench.reopen()
        #expect(bench.recovered == expected)
        let octets = lost.reduce(0) { $0 + LogWorkbench.size($1.payload.count) }
        let tail = try #require(bench.report.tornTail)
        #expect(tail.file == path && tail.offset == UInt64(place))
        // Records are filled up with zeros.
        #expect((octets - 7 + count...octets + count).contains(Int(tail.bytes)))
        try bench.reopen()
        #expect(bench.report.tornTail == nil, "it is told once")
    }

    /// Somebody who publishes whole log records as message bodies gains nothing when damage makes the search look inside.
    @Test func recordsInsideAPayloadOfAnotherLogAreNotTaken() throws {
        let other = try LogWorkbench()
        try other.commit(8, 8, 8)
        var forged = Array(try #require(other.disk.content(of: LogWorkbench.path(1)))[1024..<1096])
        forged.insert(contentsOf: [0, 0, 0, 0], at: 0)
        var bench = try LogWorkbench()
        bench.options.identity = 99
        try bench.reopen()
        try bench.append(1, forged)
        try bench.log.commit()
        try bench.commit(3)
        var bytes = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        bytes[1024 + 4] ^= 1
        bench.disk.setContent(of: LogWorkbench.path(1), bytes)
        try bench.reopen()
        #expect(bench.recovered.map(\.payload.count) == [3])
    }

    @Test func refusesFilesOfAnotherDirectory() throws {
        var bench = try LogWorkbench()
        try bench.commit(3)
        bench.options.identity = 5
        let error = #expect(throws: StoreError.self) { try bench.reopen() }
        #expect(error?.reason == .notOurs)
        #expect(error?.file == LogWorkbench.path(1))
    }

    @Test func refusesANewerFormat() throws {
        var bench = try LogWorkbench()
        try bench.commit(3)
        var bytes = try #require(bench.disk.content(of: LogWorkbench.path(1)))
        bytes[8] = 2
        Self.sum(&bytes)
        bench.disk.setContent(of: LogWorkbench.path(1), bytes)
        let error = #expect(throws: StoreError.self) { try bench.reopen() }
        #expect(error?.reason == .newerFormat(2))
        #expect(bench.disk.content(of: LogWorkbench.path(1)) == bytes)
    }

    /// Sums the first copy of a header anew.
    private static func sum(_ bytes: inout [UInt8]) {
        var crc = UInt32.max
        for octet in bytes[..<60] {
            crc ^= UInt32(octet)
            for _ in 0..<8 { crc = (crc >> 1) ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
        }
        crc = ~crc
        for place in 0..<4 { bytes[60 + place] = UInt8(truncatingIfNeeded: crc >> (8 * UInt32(place))) }
    }
}
