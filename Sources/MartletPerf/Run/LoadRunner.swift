import AMQPProtocol
import NIOCore
import NIOPosix
import Synchronization

/// Runs a load plan from the first connection to the report.
///
/// ```
/// declare ─► connect ─► warm up ─► measure ─► drain ─► close ─► remove the queues ─► judge
/// ```
/// A failure of any connection ends the phase it happens in; queues are removed all the same. A run that went well leaves
/// them if the plan says so.
struct LoadRunner: Sendable {
    let plan: LoadPlan
    /// Shows a line while the run lasts.
    let show: @Sendable (String) -> Void
    /// Whether the person who started the run wants its end.
    let isInterrupted: @Sendable () -> Bool

    /// Runs the plan.
    ///
    /// Throws what kept the run from starting; a failure during the run is part of the report.
    func run() async throws(PerfFailure) -> LoadReport {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: self.plan.threads)
        let result: Result<LoadReport, PerfFailure>
        do throws(PerfFailure) {
            result = .success(try await self.run(on: Array(group.makeIterator())))
        } catch {
            result = .failure(error)
        }
        try? await group.shutdownGracefully()
        return try result.get()
    }

    private func run(on eventLoops: [any EventLoop]) async throws(PerfFailure) -> LoadReport {
        let control = try await ConnectionHandle.open(self.plan.server, on: eventLoops[0])
        let topology = Topology(plan: self.plan, connection: control)
        let state = RunState(loops: eventLoops.count)
        do throws(PerfFailure) {
            try await topology.declare()
            let loops = try await self.makeLoops(eventLoops, state: state)
            var report = try await self.drive(loops, state: state)
            report.server = control.server
            if self.plan.keepsQueues {
                await control.close()
            } else if (try? await topology.remove()) != nil {
                await control.close()
            } else {
                await self.cleanUp(after: control, on: eventLoops[0])
            }
            return report
        } catch {
            await self.cleanUp(after: control, on: eventLoops[0])
            throw error
        }
    }

    /// Removes the queues after a failure, over a new connection: the old one may be what failed.
    private func cleanUp(after control: ConnectionHandle, on eventLoop: any EventLoop) async {
        await control.close()
        if let fresh = try? await ConnectionHandle.open(self.plan.server, on: eventLoop) {
            try? await Topology(plan: self.plan, connection: fresh).remove()
            await fresh.close()
        }
    }

    private func makeLoops(
        _ eventLoops: [any EventLoop],
        state: RunState
    ) async throws(PerfFailure) -> [NIOLoopBound<LoadLoop>] {
        var loops: [NIOLoopBound<LoadLoop>] = []
        do {
            for (index, eventLoop) in eventLoops.enumerated() {
                let loop = eventLoop.submit {
                    NIOLoopBound(
                        LoadLoop(plan: self.plan, state: state, index: index, eventLoop: eventLoop),
                        eventLoop: eventLoop
                    )
                }
                loops.append(try await loop.get())
            }
            for loop in loops {
                try await loop.eventLoop.submit { [loops] in
                    loop.value.wakeOthers = { Self.wakeWaiting(loops, state: state) }
                }.get()
            }
        } catch {
            throw .cannotRun("\(error)")
        }
        return loops
    }

    /// Wakes the loops whose publishers wait for consumers; called by a loop that has just consumed.
    private static func wakeWaiting(_ loops: [NIOLoopBound<LoadLoop>], state: RunState) {
        // The counter first, then the flag; the publisher goes the other way, so one of the two sees the other.
        atomicMemoryFence(ordering: .sequentiallyConsistent)
        for (counters, loop) in zip(state.counters, loops) where counters.awaitsConsumers.load(ordering: .relaxed) {
            counters.awaitsConsumers.store(false, ordering: .relaxed)
            if loop.eventLoop.inEventLoop {
                loop.value.wake()
            } else {
                loop.eventLoop.execute { loop.value.wake() }
            }
        }
    }

    // MARK: The phases

    private func drive(_ loops: [NIOLoopBound<LoadLoop>], state: RunState) async throws(PerfFailure) -> LoadReport {
        let meter = RunMeter(plan: self.plan, state: state)
        let handles = Mutex<[ConnectionHandle]>([])
        let consumers = try await self.connectAll(loops, state: state) { handle in
            handles.withLock { $0.append(handle) }
        }
        if !self.plan.fillsFirst { try await self.consume(consumers) }

        let start = PerfClock.now() + 1_000_000
        await self.onAll(loops) { loop in
            for publisher in loop.publishers {
                publisher.start(at: start)
            }
        }
        meter.begin()
        state.phase.store(.running, ordering: .relaxed)
        await self.onAll(loops) { $0.wake() }

        var report: LoadReport
        if self.plan.fillsFirst {
            report = try await self.measureBacklog(meter, state: state, consumers)
        } else {
            report = await self.measure(meter, state: state, start: start)
        }
        state.isRecording.store(false, ordering: .relaxed)
        state.phase.store(.draining, ordering: .relaxed)
        await self.onAll(loops) { $0.wake() }
        let isDrained = await self.drain(state)
        await self.onAll(loops) { loop in
            for consumer in loop.consumers {
                consumer.acknowledgeRest()
            }
        }
        state.phase.store(.closing, ordering: .relaxed)
        await withTaskGroup(of: Void.self) { group in
            for handle in handles.withLock({ $0 }) {
                group.addTask { await handle.close() }
            }
        }
        var findings: [LoadLoop.Findings] = []
        for loop in loops {
            if let finding = try? await loop.eventLoop.submit({ loop.value.findings() }).get() {
                findings.append(finding)
            }
        }
        report.failure = state.failure
        report.addTotals(of: state)
        report.judge(findings, isDrained: isDrained)
        return report
    }

    private func onAll(_ loops: [NIOLoopBound<LoadLoop>], _ body: @escaping @Sendable (LoadLoop) -> Void) async {
        for loop in loops {
            // Fails only when the loop has been shut down, which is done last of all.
            try? await loop.eventLoop.submit { body(loop.value) }.get()
        }
    }

    private func connectAll(
        _ loops: [NIOLoopBound<LoadLoop>],
        state: RunState,
        _ note: @escaping @Sendable (ConnectionHandle) -> Void
    ) async throws(PerfFailure) -> [(id: Int, handle: ConnectionHandle)] {
        let plan = self.plan
        let consumers = Mutex<[(id: Int, handle: ConnectionHandle)]>([])
        let crowd = (plan.publishers + plan.consumers) / plan.threads
        try await concurrently(0..<plan.consumers) { (id) throws(PerfFailure) in
            let loop = loops[plan.loop(ofConsumer: id)]
            let handle = try await ConnectionHandle.open(
                plan.server,
                on: loop.eventLoop,
                traffic: .messages(connections: crowd),
                onFailure: { state.fail($0) }
            )
            note(handle)
            try await handle.run { connection in
                let consumer = Consumer(id: id, connection: connection, loop: loop.value)
                loop.value.add(consumer)
                connection.role = .consumer(consumer)
            }
            consumers.withLock { $0.append((id, handle)) }
        }
        try await concurrently(0..<plan.publishers) { (id) throws(PerfFailure) in
            let loop = loops[plan.loop(ofPublisher: id)]
            let handle = try await ConnectionHandle.open(
                plan.server,
                on: loop.eventLoop,
                traffic: .publishing,
                onFailure: { state.fail($0) }
            )
            note(handle)
            if plan.confirmWindow != nil {
                try await handle.call(ConfirmSelect())
            }
            try await handle.run { connection in
                let publisher = Publisher(id: id, connection: connection, loop: loop.value)
                loop.value.add(publisher)
                connection.role = .publisher(publisher)
            }
        }
        return consumers.withLock { $0 }
    }

    /// Starts all consumers.
    private func consume(_ consumers: [(id: Int, handle: ConnectionHandle)]) async throws(PerfFailure) {
        let plan = self.plan
        try await concurrently(0..<consumers.count) { (index) throws(PerfFailure) in
            let (id, handle) = consumers[index]
            if plan.prefetch > 0 {
                try await handle.call(BasicQos(prefetchCount: UInt16(plan.prefetch)))
            }
            let arguments = LoadPlan.Argument.table(plan.consumerArguments)
            try await handle.callAll(
                plan.queues(ofConsumer: id).enumerated().map { number, queue in
                    BasicConsume(
                        queue: plan.queueName(queue),
                        consumerTag: ShortString(truncating: "\(number)"),
                        noAck: plan.ackEvery == 0,
                        arguments: arguments
                    )
                }
            )
        }
    }

    /// Waits until everything is published, then until it is consumed: two measured parts, whose CPU is added up.
    private func measureBacklog(
        _ meter: RunMeter,
        state: RunState,
        _ consumers: [(id: Int, handle: ConnectionHandle)]
    ) async throws(PerfFailure) -> LoadReport {
        guard case .count(let count) = self.plan.length else { preconditionFailure("a backlog is counted") }
        meter.beginWindow()
        var progress = Stall(state: state)
        while state.failure == nil, !self.isInterrupted(),
            state.sum(\.settledPublishers) < UInt64(self.plan.publishers)
        {
            let now = PerfClock.now()
            meter.tick(now: now, note: "filling", show: self.show)
            // A server that blocks publishers until there is room would wait for our consumers for ever.
            if progress.seconds(now: now) >= PerfLimits.stallSeconds { break }
            try? await Task.sleep(nanoseconds: 5_000_000)
        }
        let last = state.counters.map { $0.lastActivity.load(ordering: .relaxed) }.max()
        let filled = meter.endWindow(at: last)
        try await self.consume(consumers)
        state.isRecording.store(true, ordering: .relaxed)
        meter.beginWindow()
        await self.waitForCount(count, meter: meter, state: state)
        var report = meter.endWindow(at: state.counters.map { $0.lastActivity.load(ordering: .relaxed) }.max())
        report.addFilling(filled)
        return report
    }

    /// Waits for the end of the measured part and takes its figures.
    private func measure(_ meter: RunMeter, state: RunState, start: UInt64) async -> LoadReport {
        switch self.plan.length {
        case .count(let count):
            state.isRecording.store(true, ordering: .relaxed)
            meter.beginWindow()
            await self.waitForCount(count, meter: meter, state: state)
            // The clock stops at the last event, not at the poll that noticed it.
            return meter.endWindow(at: state.counters.map { $0.lastActivity.load(ordering: .relaxed) }.max())
        case .time(let warmup, let measured):
            await self.wait(until: start + warmup, meter: meter, state: state, note: "warming up")
            meter.beginWindow()
            state.isRecording.store(true, ordering: .relaxed)
            await self.wait(until: start + warmup + measured, meter: meter, state: state, note: nil)
            return meter.endWindow(at: nil)
        }
    }

    private func wait(until end: UInt64, meter: RunMeter, state: RunState, note: String?) async {
        while state.failure == nil, !self.isInterrupted() {
            let now = PerfClock.now()
            guard now < end else { return }
            meter.tick(now: now, note: note, show: self.show)
            try? await Task.sleep(nanoseconds: min(20_000_000, end - now))
        }
    }

    private func waitForCount(_ count: UInt64, meter: RunMeter, state: RunState) async {
        var progress = Stall(state: state)
        // A slow rate is no stall.
        let patience = max(30, self.plan.rate.map { UInt64(min(3 / $0, 3600)) } ?? 0)
        while state.failure == nil, !self.isInterrupted() {
            let isPublished = state.sum(\.settledPublishers) >= UInt64(self.plan.publishers)
            let lacking = state.sum(\.refused) + state.sum(\.returned)
            let expected = (count - min(count, lacking)) * self.plan.copies
            if isPublished, self.plan.consumers == 0 || state.sum(\.consumed) >= expected { return }
            let now = PerfClock.now()
            meter.tick(now: now, note: nil, show: self.show)
            if progress.seconds(now: now) >= (isPublished ? PerfLimits.stallSeconds : patience) { return }
            try? await Task.sleep(nanoseconds: 5_000_000)
        }
    }

    /// Waits until everything published was confirmed and consumed; false when time ran out while it still went on.
    private func drain(_ state: RunState) async -> Bool {
        let end = PerfClock.now() + PerfLimits.drainSeconds * 1_000_000_000
        var progress = Stall(state: state)
        while state.failure == nil {
            let isSettled = state.sum(\.settledPublishers) >= UInt64(self.plan.publishers)
            let lacking = state.sum(\.refused) + state.sum(\.returned)
            let published = state.sum(\.published)
            let due = (published - min(published, lacking)) * self.plan.copies
            if isSettled, self.plan.consumers == 0 || state.sum(\.consumed) >= due { return true }
            let now = PerfClock.now()
            if isSettled, progress.seconds(now: now) >= PerfLimits.stallSeconds { return true }
            if now > end { return false }
            try? await Task.sleep(nanoseconds: 5_000_000)
        }
        return true
    }

    /// Tells for how long nothing has moved.
    private struct Stall {
        let state: RunState
        private var last: UInt64 = 0
        private var since = PerfClock.now()

        init(state: RunState) { self.state = state }

        mutating func seconds(now: UInt64) -> UInt64 {
            let moved = self.state.sum(\.published) &+ self.state.sum(\.consumed) &+ self.state.sum(\.confirmed)
            if moved != self.last {
                self.last = moved
                self.since = now
            }
            return (now - min(now, self.since)) / 1_000_000_000
        }
    }
}
