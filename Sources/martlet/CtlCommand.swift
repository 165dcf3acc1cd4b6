internal import ArgumentParser
internal import MartletCtl
#if canImport(FoundationEssentials)
internal import FoundationEssentials
#else
internal import Foundation
#endif
#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// `martlet ctl`: asks a running broker, in the words of rabbitmqctl.
///
/// Here for `martlet --help` only: its command line is rabbitmqctl's, which this parser cannot read.
struct CtlCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ctl",
        abstract: "Asks a running broker: policies, queues, delayed messages. (see martlet ctl help)"
    )

    @Argument(parsing: .captureForPassthrough)
    var arguments: [String] = []

    func run() throws {
        throw ExitCode(Self.run(self.arguments))
    }

    /// Carries out a command line; returns what the process shall say at its end.
    static func run(_ arguments: [String]) -> Int32 {
        let environment = ProcessInfo.processInfo.environment
        let line = ControlCommandLine(
            environment: environment,
            defaultDataDirectory: Machine.defaultDataDirectory(environment, isRoot: geteuid() == 0),
            output: StandardStream.writeOutput,
            error: StandardStream.writeError
        )
        return line.run(arguments)
    }
}
