import Testing

@testable import BrokerStore

/// Copies of a data directory that is in use.
@Suite struct DirectorySnapshotTests {
    private static let target = "/b/copy"

    /// A data directory with a log that is written to.
    private struct Bench {
        let disk = SimulatedFileSystem()
        let directory: DataDirectory
        let log: CommitLog
        private(set) var records: [SeenRecord] = []

        init() throws {
            try self.disk.makeDirectory("/b")
            try self.disk.syncDirectory("")
            self.directory = try DataDirectory.open("/b/data", files: self.disk)
            try self.disk.syncDirectory("/b")
            self.log = CommitLog(
                files: self.disk,
                directory: "/b/data",
                options: CommitLogOptions(identity: self.directory.identity, fileBytes: 8192, spareFiles: 2)
            )
            _ = try self.log.recover { _, _, _ in }
        }

        /// Commits records of the given sizes, one by one.
        mutating func commit(_ sizes: Int..., synced: Bool = true) throws {
            for size in sizes {
                let payload = LogWorkbench.payload(size, UInt64(self.records.count))
                let position = try payload.withUnsafeBytes { try self.log.append(type: 1, payload: $0) }
                try self.log.commit(synced: synced)
                self.records.append(SeenRecord(position: position.octets, type: 1, payload: payload))
            }
        }

        func snapshot(_ target: String = DirectorySnapshotTests.target, reserveBytes: UInt64 = 0) -> DirectorySnapshot {
            DirectorySnapshot(of: "/b/data", at: target, files: self.disk, reserveBytes: reserveBytes)
        }
    }

    /// What a broker finds that starts in a directory; nil if there is none.
    private static func recover(
        _ path: String,
        _ disk: SimulatedFileSystem,
        thenAppending size: Int? = nil
    ) throws -> [SeenRecord]? {
        guard try disk.names(in: "/b").contains(String(path.dropFirst(3))) else { return nil }
        let directory = try DataDirectory.open(path, files: disk)
        let log = CommitLog(
            files: disk,
            directory: path,
            options: CommitLogOptions(identity: directory.identity, fileBytes: 8192, spareFiles: 2)
        )
        var seen: [SeenRecord] = []
        let report = try log.recover { position, type, payload in
            seen.append(SeenRecord(position: position.octets, type: type, payload: Array(payload)))
        }
        #expect(report.damages.isEmpty)
        if let size {
            try LogWorkbench.payload(size, 1).withUnsafeBytes { _ = try log.append(type: 1, payload: $0) }
            try log.close()
        }
        return seen
    }

    @Test(arguments: [true, false]) func aCopyHasWhatStoodBeforeThePin(synced: Bool) throws {
        var bench = try Bench()
        try bench.commit(100, 5000, 3000, 20_000, 700, 50, synced: synced)
        let pin = bench.log.pin()
        let before = bench.records
        // What comes later is written to the same file and to others.
        try bench.commit(40, 6000, 9000)
        try bench.snapshot().write(pin)
        try bench.log.unpin()
        #expect(try Self.recover(Self.target, bench.disk, thenAppending: 9000) == before)
        #expect(try Self.recover(Self.target, bench.disk)?.count == before.count + 1)
        // The original has all.
        #expect(try Self.recover("/b/data", bench.disk.copy()) == bench.records)
        #expect(try bench.disk.names(in: "/b") == ["copy", "data"])
    }

    @Test func anEmptyDirectoryHasACopy() throws {
        let bench = try Bench()
        try bench.snapshot(Self.target + "//").write(bench.log.pin())
        #expect(try Self.recover(Self.target, bench.disk, thenAppending: 10) == [])
    }

    @Test func whatIsReleasedStaysUntilTheLastPinEnds() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000, 5000, 5000)
        let first = bench.log.firstPosition
        let pin = bench.log.pin()
        _ = bench.log.pin()
        try bench.log.release(upTo: bench.log.endPosition)
        try bench.log.unpin()
        try bench.commit(5000, 5000)
        #expect(bench.log.firstPosition == first)
        try bench.snapshot().write(pin)
        #expect(try Self.recover(Self.target, bench.disk) == Array(bench.records.prefix(4)))
        try bench.log.unpin()
        #expect(bench.log.firstPosition > first)
        try bench.log.release(upTo: bench.log.endPosition)
        #expect(try bench.disk.names(in: "/b/data").count { $0.hasPrefix("log-") } == 1)
    }

    /// The first, the second, … operation of a kind fails: nothing is left, and the next try succeeds.
    @Test(arguments: [SimulatedFileSystem.Kind.open, .write, .sync, .rename, .syncDirectory, .read])
    func aFailureLeavesNothing(kind: SimulatedFileSystem.Kind) throws {
        var bench = try Bench()
        try bench.commit(5000, 5000, 100)
        let pin = bench.log.pin()
        var number = 1
        while true {
            bench.disk.fail(kind, number)
            do {
                try bench.snapshot().write(pin)
                break
            } catch {
                #expect("\(error)".hasPrefix("cannot "))
            }
            bench.disk.forgetFailures()
            #expect(try bench.disk.names(in: "/b") == ["data"], "after failure \(number) of \(kind)")
            number += 1
        }
        bench.disk.forgetFailures()
        #expect(number > 1)
        #expect(try Self.recover(Self.target, bench.disk) == bench.records)
    }

    /// Power goes after every change: under its name there is a whole copy or none.
    @Test func powerMayGoAtAnyTime() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000, 100)
        let pin = bench.log.pin()
        let begin = bench.disk.changeCount
        try DirectorySnapshot(of: "/b/data", at: Self.target, files: bench.disk.copy()).write(pin)
        try bench.snapshot("/b/other").write(pin)
        let changes = bench.disk.changeCount - begin
        #expect(changes > 10)
        var whole = 0
        for count in 0...changes {
            for seed in 0..<3 {
                let disk = bench.disk.copy()
                disk.powerOff(afterChanges: count)
                try? DirectorySnapshot(of: "/b/data", at: Self.target, files: disk).write(pin)
                disk.losePower(seed: UInt64(count * 3 + seed))
                guard let found = try Self.recover(Self.target, disk) else { continue }
                #expect(found == bench.records, "after \(count) changes")
                whole += 1
            }
        }
        #expect(whole >= 3)
    }

    @Test func whatCannotBeMadeIsRefused() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000)
        let pin = bench.log.pin()
        func refusal(_ target: String, reserveBytes: UInt64 = 0) -> String {
            do throws(StoreError) {
                try bench.snapshot(target, reserveBytes: reserveBytes).write(pin)
                return ""
            } catch {
                return error.description
            }
        }
        try bench.disk.makeDirectory("/b/there")
        bench.disk.setContent(of: "/b/file", [1])
        let before = try bench.disk.names(in: "/b")
        #expect(refusal("copy") == "cannot make the snapshot copy: the path is not absolute")
        #expect(refusal("/") == "cannot make the snapshot /: the path is not absolute")
        #expect(refusal("/b/there") == "cannot make the snapshot /b/there: it exists already")
        #expect(refusal("/b/data") == "cannot make the snapshot /b/data: it exists already")
        #expect(refusal("/c/copy").hasSuffix("/c/copy: there is no directory /c: No such file or directory"))
        bench.disk.setCapacity(bench.disk.usedBytes + 16_000)
        #expect(refusal(Self.target).contains("no room: 1 MiB must be free there, and 0 MiB are"))
        bench.disk.setCapacity(bench.disk.usedBytes + 40_000)
        #expect(refusal(Self.target, reserveBytes: 30_000).contains("no room"))
        #expect(try bench.disk.names(in: "/b") == before)
        bench.disk.setCapacity(.max)
        try bench.disk.makeDirectory("/b/copy.unfinished")
        bench.disk.setContent(of: "/b/copy.unfinished/mine", [1])
        #expect(refusal(Self.target).contains("/b/copy.unfinished is there and is not what a snapshot leaves"))
        #expect(bench.disk.content(of: "/b/copy.unfinished/mine") == [1])
        // An empty one may be taken.
        try bench.disk.remove("/b/copy.unfinished/mine")
        #expect(refusal(Self.target) == "")
    }

    /// It is killed after every change; the next one takes its place.
    @Test func theNextOneTakesThePlaceOfOneThatWasKilled() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000, 100)
        let pin = bench.log.pin()
        let begin = bench.disk.changeCount
        try bench.snapshot("/b/other").write(pin)
        let changes = bench.disk.changeCount - begin
        var left = 0
        for count in 0..<changes {
            let disk = bench.disk.copy()
            disk.powerOff(afterChanges: count)
            try? DirectorySnapshot(of: "/b/data", at: Self.target, files: disk).write(pin)
            disk.kill()
            let names = try disk.names(in: "/b")
            guard !names.contains("copy") else {
                #expect(try Self.recover(Self.target, disk) == bench.records)
                continue
            }
            left += names.contains("copy.unfinished") ? 1 : 0
            try DirectorySnapshot(of: "/b/data", at: Self.target, files: disk).write(pin)
            #expect(try Self.recover(Self.target, disk) == bench.records, "after \(count) changes")
            #expect(try disk.names(in: "/b") == ["copy", "data", "other"])
            #expect(try disk.names(in: Self.target).filter { $0.hasPrefix("snapshot") } == [])
        }
        #expect(left > 5)
    }

    @Test func whatIsNotOneOfOursStays() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000)
        let pin = bench.log.pin()
        func refusal() -> String {
            do throws(StoreError) {
                try bench.snapshot().write(pin)
                return ""
            } catch {
                return error.description
            }
        }
        // One that was killed in the middle, and a file of somebody else's in it.
        let changes = bench.disk.changeCount
        bench.disk.powerOff(afterChanges: 12)
        #expect(refusal() != "")
        #expect(bench.disk.changeCount > changes)
        bench.disk.powerOn()
        let path = "/b/copy.unfinished"
        let names = try bench.disk.names(in: path)
        #expect(names.contains("format") && names.contains("snapshot-under-way"))
        // Still locked: the process that makes it is there, for all we know.
        let marker = try bench.disk.open("\(path)/snapshot-under-way", .readWrite)
        #expect(try marker.lock())
        #expect(refusal().contains("/b/copy.unfinished is there: another broker is making it"))
        #expect(try bench.disk.names(in: path) == names)
        bench.disk.kill()
        for (name, content) in [("mine", [1]), ("log-1", [2]), ("lock", [])] as [(String, [UInt8])] {
            bench.disk.setContent(of: "\(path)/\(name)", content)
            #expect(refusal().contains("is there and is not what a snapshot leaves"))
            #expect(try bench.disk.names(in: path) == (names + [name]).sorted())
            try bench.disk.remove("\(path)/\(name)")
        }
        let text = try #require(bench.disk.content(of: "\(path)/snapshot-under-way"))
        for other in [[], [1], text + [1]] {
            bench.disk.setContent(of: "\(path)/snapshot-under-way", other)
            #expect(refusal().contains("is not what a snapshot leaves"))
        }
        try bench.disk.remove("\(path)/snapshot-under-way")
        #expect(refusal().contains("is not what a snapshot leaves"))
        bench.disk.setContent(of: "\(path)/snapshot-under-way", text)
        #expect(refusal() == "")
        #expect(try Self.recover(Self.target, bench.disk) == bench.records)
    }

    @Test func whoeverListensMayCallItOff() throws {
        var bench = try Bench()
        try bench.commit(5000, 5000, 5000)
        let pin = bench.log.pin()
        var told: [UInt64] = []
        #expect(throws: StoreError.self) {
            try bench.snapshot().write(pin) { octets in
                told.append(octets)
                return told.count < 2
            }
        }
        #expect(told.count == 2)
        #expect(try bench.disk.names(in: "/b") == ["data"])
        told = []
        try bench.snapshot().write(pin) { octets in
            told.append(octets)
            return true
        }
        #expect(told.last == pin.octets)
        #expect(told == told.sorted())
    }

    // MARK: The writer

    private final class Pins: @unchecked Sendable {
        // `@unchecked Sendable`: a stepped writer has one thread.
        var all: [LogPin?] = []
    }

    private func append(_ writer: SteppedLogWriter, _ mark: UInt64, size: Int = 5000) {
        let batch = LogBatch()
        batch.mark = mark
        LogWorkbench.payload(size, mark).withUnsafeBytes { batch.append(type: 1, payload: $0) }
        writer.submit(batch, from: 0)
    }

    @Test func theWriterPinsBetweenCommits() throws {
        let disk = LogWorkbench.makeDisk()
        let log = CommitLog(
            files: disk,
            directory: LogWorkbench.directory,
            options: CommitLogOptions(identity: LogWorkbench.identity, fileBytes: 8192)
        )
        _ = try log.recover { _, _, _ in }
        let writer = SteppedLogWriter(log: log)
        let pins = Pins()
        self.append(writer, 1)
        self.append(writer, 2)
        _ = writer.step()
        let end = writer.durablePosition
        writer.pin { pins.all.append($0) }
        #expect(writer.hasWork)
        self.append(writer, 3)
        while writer.hasWork { _ = writer.step() }
        #expect(pins.all.count == 1)
        #expect(pins.all.first??.end ?? end >= end)
        writer.release(upTo: writer.durablePosition)
        while writer.hasWork { _ = writer.step() }
        let names = try disk.names(in: LogWorkbench.directory).filter { $0.hasPrefix("log-") }
        #expect(names.count == 3)
        writer.unpin()
        while writer.hasWork { _ = writer.step() }
        #expect(try disk.names(in: LogWorkbench.directory).filter { $0.hasPrefix("log-") }.count == 1)
        // Who asks at the end is told.
        writer.pin { pins.all.append($0) }
        try writer.stop()
        #expect(pins.all.count == 2)
    }

    @Test func afterTheEndThereIsNoPin() async throws {
        let bench = try WriterWorkbench()
        bench.submit(1)
        bench.wait(1)
        let pin = await withCheckedContinuation { answer in bench.writer.pin { answer.resume(returning: $0) } }
        #expect(pin?.files.count == 1)
        bench.writer.unpin()
        try bench.writer.stop()
        let none = await withCheckedContinuation { answer in bench.writer.pin { answer.resume(returning: $0) } }
        #expect(none == nil)
    }
}
