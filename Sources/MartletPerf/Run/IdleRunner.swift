import NIOCore
import NIOPosix
import Synchronization

/// Opens many connections, or declares many queues, and holds them, to see what doing nothing costs.
struct IdleRunner: Sendable {
    /// What is held.
    enum Held: Sendable {
        /// Connections with one channel each.
        case connections(Int)
        /// The plan's queues with their bindings, declared over one channel, many at once.
        case queues
    }

    let plan: LoadPlan
    let held: Held
    let holdNanoseconds: UInt64
    /// Shows a line while the run lasts.
    let show: @Sendable (String) -> Void
    /// Whether the person who started the run wants its end.
    let isInterrupted: @Sendable () -> Bool

    /// Opens, holds and closes.
    func run() async throws(PerfFailure) -> IdleReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: self.plan.threads)
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
        let first = try await ConnectionHandle.open(self.plan.server, on: eventLoops[0])
        let topology = Topology(plan: self.plan, connection: first)
        if case .queues = self.held {
            // What an earlier run left is no work of this one.
            try await topology.remove()
        }
        let sampler = ProcessSampler(processes: self.plan.serverPIDs)
        let residentStart = sampler.residentBytes()
        let lost = Atomic<Int>(0)
        let start = PerfClock.now()
        var handles: [ConnectionHandle] = []
        switch self.held {
        case .connections(let count):
            handles = try await self.open(count, on: eventLoops) { lost.add(1, ordering: .relaxed) }
        case .queues:
            try await topology.make()
        }
        var report = IdleReport(self.held, plan: self.plan, openSeconds: Double(PerfClock.now() - start) / 1e9)
        self.show(report.opened)
        // Let the server settle before its memory is read.
        await self.wait(nanoseconds: 1_000_000_000)
        let residentOpen = sampler.residentBytes()
        let cpuOpen = sampler.cpuSeconds()
        let held = PerfClock.now()
        await self.wait(nanoseconds: self.holdNanoseconds)
        report.server = first.server
        report.heldSeconds = Double(PerfClock.now() - held) / 1e9
        report.lost = lost.load(ordering: .relaxed)
        if !self.plan.serverPIDs.isEmpty {
            report.usage = ProcessUsage(
                cpuSeconds: sampler.cpuSeconds() - cpuOpen,
                residentStart: residentStart,
                residentEnd: sampler.residentBytes(),
                residentPeak: max(residentOpen, sampler.residentBytes())
            )
        }
        if case .queues = self.held {
            try await topology.remove()
        }
        await self.close(handles)
        await first.close()
        return report
    }

    private func open(
        _ count: Int,
        on eventLoops: [any EventLoop],
        onLoss: @escaping @Sendable () -> Void
    ) async throws(PerfFailure) -> [ConnectionHandle] {
        let handles = Mutex<[ConnectionHandle]>([])
        let server = self.plan.server
        try await concurrently(0..<count) { (index) throws(PerfFailure) in
            let eventLoop = eventLoops[index % eventLoops.count]
            let handle = try await ConnectionHandle.open(server, on: eventLoop, onFailure: { _ in onLoss() })
            handles.withLock { $0.append(handle) }
        }
        return handles.withLock { $0 }
    }

    private func close(_ handles: [ConnectionHandle]) async {
        for chunk in Self.chunks(handles, of: PerfLimits.connectsAtOnce) {
            await withTaskGroup(of: Void.self) { group in
                for handle in chunk {
                    group.addTask { await handle.close() }
                }
            }
        }
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
