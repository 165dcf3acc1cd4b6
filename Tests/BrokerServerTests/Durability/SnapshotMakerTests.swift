import BrokerCore
import BrokerStore
import Dispatch
import Testing

@testable import BrokerServer

/// Snapshots of a running broker's directory, one at a time.
@Suite struct SnapshotMakerTests {
    /// A log on a simulated disk whose snapshots wait for us before they sync something.
    private final class Bench: Sendable {
        let disk = SimulatedFileSystem()
        let writer: LogWriter
        let maker: SnapshotMaker
        private let gate = DispatchSemaphore(value: 0)
        private let arrivals = DispatchSemaphore(value: 0)

        init() throws {
            try self.disk.makeDirectory("/b")
            try self.disk.syncDirectory("")
            let directory = try DataDirectory.open("/b/data", files: self.disk)
            let log = CommitLog(
                files: self.disk,
                directory: "/b/data",
                options: CommitLogOptions(identity: directory.identity, fileBytes: 8192)
            )
            _ = try log.recover { _, _, _ in }
            try [UInt8](repeating: 1, count: 5000).withUnsafeBytes { _ = try log.append(type: 1, payload: $0) }
            try log.commit()
            self.writer = LogWriter(log: log, onCommitted: { _, _ in }, onFull: { _ in }, onFailure: { _ in })
            self.maker = SnapshotMaker(of: "/b/data", self.writer, files: self.disk, reserveBytes: 0)
            let (gate, arrivals) = (self.gate, self.arrivals)
            self.disk.onSync { path in
                guard path.hasSuffix(".unfinished/format") else { return }
                arrivals.signal()
                gate.wait()
            }
        }

        /// Waits until a snapshot has begun to write.
        func waitForWriting() { self.arrivals.wait() }

        /// Lets one go on.
        func goOn() { self.gate.signal() }

        var names: [String] { get throws { try self.disk.names(in: "/b") } }
    }

    private func last(_ stream: AsyncStream<SnapshotProgress>) async -> SnapshotProgress? {
        var last: SnapshotProgress?
        for await step in stream { last = step }
        return last
    }

    @Test func twoAtOnceAreOneTooMany() async throws {
        let bench = try Bench()
        let first = bench.maker.begin(in: "/b/one")
        bench.waitForWriting()
        #expect(
            await self.last(bench.maker.begin(in: "/b/two"))
                == .failed("another snapshot is being made; try again when it is done")
        )
        bench.goOn()
        #expect(await self.last(first) == .done)
        bench.goOn()
        #expect(await self.last(bench.maker.begin(in: "/b/two")) == .done)
        #expect(
            await self.last(bench.maker.begin(in: "/b/two"))
                == .failed("cannot make the snapshot /b/two: it exists already")
        )
        #expect(try bench.names == ["data", "one", "two"])
        bench.maker.stop()
        try bench.writer.stop()
    }

    @Test func whoCeasesToListenCallsItOff() async throws {
        let bench = try Bench()
        let stream = bench.maker.begin(in: "/b/one")
        bench.waitForWriting()
        let listener = Task { await self.last(stream) }
        listener.cancel()
        _ = await listener.value
        bench.goOn()
        // The next one waits for its end on the same thread.
        bench.maker.stop()
        #expect(try bench.names == ["data"])
        try bench.writer.stop()
    }

    @Test func theEndOfTheBrokerIsTheEndOfASnapshot() async throws {
        let bench = try Bench()
        let stream = bench.maker.begin(in: "/b/one")
        bench.waitForWriting()
        // When it goes on it may have been called off already, or not yet.
        DispatchQueue.global().async { bench.goOn() }
        bench.maker.stop()
        let end = await self.last(stream)
        #expect(end == .failed("cannot make the snapshot /b/one: it was called off") || end == .done)
        #expect(try bench.names == (end == .done ? ["data", "one"] : ["data"]))
        #expect(await self.last(bench.maker.begin(in: "/b/two")) == .failed("the broker is stopping"))
        try bench.writer.stop()
    }

    @Test func withoutALogThereIsNone() async throws {
        let bench = try Bench()
        try bench.writer.stop()
        #expect(
            await self.last(bench.maker.begin(in: "/b/one")) == .failed("the commit log is not written any more")
        )
        #expect(try bench.names == ["data"])
        bench.maker.stop()
    }
}
