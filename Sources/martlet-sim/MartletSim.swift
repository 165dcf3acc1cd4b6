import ArgumentParser
import BrokerSimulation

/// Runs seeds of the simulation and names those that contradict the model.
@main struct MartletSim: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet-sim",
        abstract: "Run the broker against its model, one simulation a seed."
    )

    /// What is simulated.
    enum Kind: String, ExpressibleByArgument, CaseIterable {
        case plain
        case features
        case both
    }

    @Option(help: "Number of seeds.")
    var seeds: UInt64 = 100

    @Option(help: "The first seed.")
    var first: UInt64 = 1

    @Option(help: "Steps of a run.")
    var steps: Int = SimulationRun.usualSteps

    @Option(help: "What is simulated: plain queues, queues with features, or both.")
    var kind = Kind.both

    @Option(help: "What is not as it should be around the broker: the judge must find it.")
    var lie: Lie?

    @Option(help: "Lines of the trace of a failing seed.")
    var tail: Int = 30

    @Flag(help: "Print whole traces, of every seed.")
    var verbose = false

    func validate() throws {
        guard self.steps > 0, self.tail >= 0 else {
            throw ValidationError("steps must be positive, tail must not be negative")
        }
        guard self.seeds > 0, !self.first.addingReportingOverflow(self.seeds - 1).overflow else {
            throw ValidationError("there are no such seeds")
        }
    }

    func run() throws {
        var failures = 0
        var messages = 0
        var faults: [Fault: Int] = [:]
        for (seed, kind) in self.runs {
            let report = self.run(seed, kind)
            messages += report.messages
            faults.merge(report.faults) { $0 + $1 }
            if self.verbose {
                print(report.trace.joined(separator: "\n"))
            }
            guard let failure = report.failure else { continue }
            failures += 1
            print("seed \(seed) \(kind) step \(report.steps): \(failure)")
            print("  again: martlet-sim --first \(seed) --seeds 1 --kind \(kind) --steps \(self.steps) --verbose")
            if !self.verbose {
                for line in report.trace.suffix(self.tail) {
                    print("  \(line)")
                }
            }
        }
        print(Fault.allCases.map { "\($0.rawValue): \(faults[$0, default: 0])" }.joined(separator: ", "))
        print("\(self.seeds) seeds from \(self.first), \(messages) messages, \(failures) failed")
        if failures > 0 {
            throw ExitCode.failure
        }
    }

    /// What is run, seed after seed.
    private var runs: some Sequence<(UInt64, Kind)> {
        let kinds = self.kind == .both ? [Kind.plain, .features] : [self.kind]
        return (self.first...(self.first + (self.seeds - 1))).lazy.flatMap { seed in kinds.map { (seed, $0) } }
    }

    private func run(_ seed: UInt64, _ kind: Kind) -> SimulationReport {
        kind == .features
            ? FeatureRun(seed: seed, steps: self.steps, lie: self.lie).run()
            : SimulationRun(seed: seed, steps: self.steps, lie: self.lie).run()
    }
}

extension Lie: ExpressibleByArgument {}
