import NIOCore
import NIOPosix
import Synchronization

/// Opens many connections with one channel each and holds them, to see what doing nothing costs.
struct IdleRunner: Sendable {
    let server: ServerAddress
    let connections: Int
    let holdNanoseconds: UInt64
    let threads: Int
    let serverPIDs: [Int32]
    /// Shows a line while the run lasts.
    let show: @Sendable (String) -> Void
    /// Whether the person who started the run wants its end.
    let isInterrupted: @Sendable () -> Bool

    /// Opens, holds and closes the connections.
    func run() async throws(PerfFailure) -> IdleReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: self.threads)
        let result: Result<IdleReport, PerfFailure>
        do throws(PerfFailure) {
            result = .success(try await self.run(on: Array(group.makeIterator())))
        } catch {
            result = .failure(error)
        }
        try? await group.shutdownGracefully()
        return try result.get()
    }

    private func run(on eventLoops: [any EventLoop]) async throws(PerfFailure) -> IdleReport {
        // One connection beforehand: what a server allocates once does not count for each.
        let first = try await ConnectionHandle.open(self.server, on: eventLoops[0])
        let sampler = ProcessSampler(processes: self.serverPIDs)
        let residentStart = sampler.residentBytes()
        let lost = Atomic<Int>(0)
        let handles = Mutex<[ConnectionHandle]>([])
        let start = PerfClock.now()
        let server = self.server
        try await concurrently(0..<self.connections) { (index) throws(PerfFailure) in
            let handle = try await ConnectionHandle.open(
                server,
                on: eventLoops[index % eventLoops.count],
                onFailure: { _ in lost.add(1, ordering: .relaxed) }
            )
            handles.withLock { $0.append(handle) }
        }
        let opened = PerfClock.now()
        self.show("\(NumberText.count(self.connections, "connection")) open")
        // Let the server settle before its memory is read.
        await self.wait(nanoseconds: 1_000_000_000)
        let residentOpen = sampler.residentBytes()
        let cpuOpen = sampler.cpuSeconds()
        let held = PerfClock.now()
        await self.wait(nanoseconds: self.holdNanoseconds)
        var report = IdleReport(connections: self.connections, openSeconds: Double(opened - start) / 1e9)
        report.server = first.server
        report.heldSeconds = Double(PerfClock.now() - held) / 1e9
        report.lost = lost.load(ordering: .relaxed)
        if !self.serverPIDs.isEmpty {
            report.usage = ProcessUsage(
                cpuSeconds: sampler.cpuSeconds() - cpuOpen,
                residentStart: residentStart,
                residentEnd: sampler.residentBytes(),
                residentPeak: max(residentOpen, sampler.residentBytes())
            )
        }
        for chunk in Self.chunks(handles.withLock { $0 }, of: PerfLimits.connectsAtOnce) {
            await withTaskGroup(of: Void.self) { group in
                for handle in chunk {
                    group.addTask { await handle.close() }
                }
            }
        }
        await first.close()
        return report
    }

    private func wait(nanoseconds: UInt64) async {
        let end = PerfClock.now() + nanoseconds
        while !self.isInterrupted() {
            let now = PerfClock.now()
            guard now < end else { return }
            try? await Task.sleep(nanoseconds: min(100_000_000, end - now))
        }
    }

    private static func chunks(_ handles: [ConnectionHandle], of size: Int) -> [ArraySlice<ConnectionHandle>] {
        stride(from: 0, to: handles.count, by: size).map { handles[$0..<min($0 + size, handles.count)] }
    }
}

/// What idle connections cost.
struct IdleReport: Equatable, Sendable {
    var connections: Int
    var openSeconds: Double
    var server = ClientConnection.ServerFacts()
    var heldSeconds = 0.0
    /// Connections the server dropped while they were held.
    var lost = 0
    var usage: ProcessUsage?

    init(connections: Int, openSeconds: Double) {
        self.connections = connections
        self.openSeconds = openSeconds
    }

    private var opensPerSecond: Double { self.openSeconds > 0 ? Double(self.connections) / self.openSeconds : 0 }

    /// Resident octets of the server for each connection.
    private func bytesEach(_ usage: ProcessUsage) -> Double {
        (Double(usage.residentEnd) - Double(usage.residentStart)) / Double(max(1, self.connections))
    }

    /// The report for a person.
    var table: String {
        var lines = ["", [self.server.product, self.server.version].filter { !$0.isEmpty }.joined(separator: " ")]
        lines.append(
            "opened       \(NumberText.count(self.connections, "connection")) in "
                + "\(NumberText.fixed(self.openSeconds, 2)) s, \(NumberText.rate(self.opensPerSecond))"
        )
        lines.append(
            "held         \(NumberText.fixed(self.heldSeconds, 1)) s, \(NumberText.count(self.lost, "connection")) lost"
        )
        if let usage = self.usage {
            let each = self.bytesEach(usage)
            lines.append(
                "server       \(NumberText.bytes(usage.residentStart)) to \(NumberText.bytes(usage.residentEnd)), "
                    + "\(each < 0 ? "less than nothing" : NumberText.bytes(UInt64(each))) per connection, "
                    + "\(NumberText.fixed(usage.cpuSeconds, 2)) s of CPU while held"
            )
        }
        return lines.joined(separator: "\n")
    }

    /// The report for a program: one line.
    var json: String {
        var json = JSONText()
        json.add("ok", self.lost == 0)
        json.add("server", "\(self.server.product) \(self.server.version)")
        json.add("connections", self.connections)
        json.add("open_s", self.openSeconds, digits: 3)
        json.add("opens_per_s", self.opensPerSecond, digits: 0)
        json.add("held_s", self.heldSeconds, digits: 3)
        json.add("lost", self.lost)
        if let usage = self.usage {
            json.add("rss_start", usage.residentStart)
            json.add("rss_held", usage.residentEnd)
            json.add("bytes_per_connection", self.bytesEach(usage), digits: 0)
            json.add("server_cpu_s", usage.cpuSeconds, digits: 2)
        }
        return json.text
    }
}
