public import ArgumentParser

/// `martlet perf`: puts a load on an AMQP 0-9-1 server, checks every message and says how fast it was.
///
/// Exit codes: 0 when all went well, 2 when the server failed, 3 when messages were lost, duplicated or reordered, and
/// 64 when the options make no sense.
public struct PerfCommand: AsyncParsableCommand {
    /// Name and help.
    public static let configuration = CommandConfiguration(
        commandName: "perf",
        _superCommandName: "martlet",
        abstract: "Measure a broker: messages per second, latency, CPU per message.",
        discussion: """
            Publishes through real connections, consumes what comes back and checks that nothing is lost, \
            duplicated or out of order. Works with any AMQP 0-9-1 server. Queues are declared for the run and \
            deleted after it. Ctrl-C ends the run early and still shows the result.

            EXAMPLES
              As fast as it goes: one publisher, one queue, one consumer
                martlet perf
              With care: confirms, persistent messages, acks in batches
                martlet perf --durable --persistent --confirm 1000 --prefetch 200 \\
                    --ack 50
              Latency at a steady rate. A message's time counts from when it was due,
              not from when it got out, so a server that stalls cannot hide it
                martlet perf --rate 5000
              Each message to ten queues, and what it costs the server process
                martlet perf --exchange fanout --queues 10 --consumers 10 --server-pid PID
              Fifty of each, at most 20,000 messages under way
                martlet perf --publishers 50 --queues 50 --consumers 50 \\
                    --max-inflight 20000
              Memory per idle connection
                martlet perf --idle 2000 --hold 5 --server-pid PID
              Memory per idle queue, and seconds until all are declared and bound
                martlet perf --idle-queues --queues 10000 --exchange direct --durable \\
                    --server-pid PID
              A million messages that stay, to see how long the next start takes
                martlet perf --durable --persistent --confirm 1000 --consumers 0 \\
                    --count 1000000 --keep

            EXIT CODES
              0  all went well
              2  the server closed a connection, or there is none
              3  messages were lost, duplicated or out of order
              64 the options make no sense
            """
    )

    @OptionGroup(title: "Server")
    var connection: PerfConnectionOptions

    @OptionGroup(title: "Topology")
    var topology: PerfTopologyOptions

    @OptionGroup(title: "Messages")
    var message: PerfMessageOptions

    @OptionGroup(title: "Load")
    var load: PerfLoadOptions

    @OptionGroup(title: "Report")
    var report: PerfReportOptions

    /// For the parser.
    public init() {}

    /// Refuses options that make no sense, before anything is connected.
    public func validate() throws {
        _ = try self.makePlan(processID: 0)
    }

    /// Runs the load and prints the result.
    public func run() async throws {
        let plan = try self.makePlan(processID: ProcessSampler.ownID)
        let interrupt = InterruptWatch()
        defer { interrupt.stop() }
        let isQuiet = self.report.quiet
        let show: @Sendable (String) -> Void = { line in
            if !isQuiet {
                StandardOutput.writeError(line)
            }
        }
        let isInterrupted: @Sendable () -> Bool = { [flag = interrupt.flag] in flag.isSet }
        let outcome: (text: String, code: Int32)
        do throws(PerfFailure) {
            try OpenFiles.allow(plan.publishers + plan.consumers + (self.load.idle ?? 0))
            if let held = self.load.idle.map(IdleRunner.Held.connections) ?? (self.load.idleQueues ? .queues : nil) {
                outcome = try await self.runIdle(held, plan: plan, show: show, isInterrupted: isInterrupted)
            } else {
                outcome = try await self.runLoad(plan, show: show, isInterrupted: isInterrupted)
            }
        } catch {
            if self.report.json {
                var json = JSONText()
                json.add("ok", false)
                json.add("error", error.description)
                json.add("reply_code", Int(error.replyCode ?? 0))
                StandardOutput.write(json.text)
            }
            StandardOutput.writeError("martlet perf: \(error)")
            throw ExitCode(2)
        }
        StandardOutput.write(outcome.text)
        if outcome.code != 0 {
            throw ExitCode(outcome.code)
        }
    }

    private func runLoad(
        _ plan: LoadPlan,
        show: @escaping @Sendable (String) -> Void,
        isInterrupted: @escaping @Sendable () -> Bool
    ) async throws(PerfFailure) -> (text: String, code: Int32) {
        let report = try await LoadRunner(plan: plan, show: show, isInterrupted: isInterrupted).run()
        if let failure = report.failure {
            StandardOutput.writeError("martlet perf: \(failure)")
        }
        return (self.report.json ? report.json : report.table, report.exitCode)
    }

    private func runIdle(
        _ held: IdleRunner.Held,
        plan: LoadPlan,
        show: @escaping @Sendable (String) -> Void,
        isInterrupted: @escaping @Sendable () -> Bool
    ) async throws(PerfFailure) -> (text: String, code: Int32) {
        let report = try await IdleRunner(
            plan: plan,
            held: held,
            holdNanoseconds: UInt64((self.load.hold ?? 5) * 1e9),
            show: show,
            isInterrupted: isInterrupted
        ).run()
        return (self.report.json ? report.json : report.table, report.lost > 0 ? 2 : 0)
    }
}
