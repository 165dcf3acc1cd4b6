internal import ArgumentParser
internal import BrokerServer
internal import MartletPerf
#if canImport(Glibc)
internal import Glibc
#elseif canImport(Musl)
internal import Musl
#elseif canImport(Darwin)
internal import Darwin
#endif

/// Where the process starts.
@main
struct Main {
    /// Everything happens in a task; the main thread waits.
    ///
    /// An `async` main would turn it into dispatch's signal thread, which valgrind cannot follow, and our count of
    /// instructions per message needs valgrind.
    static func main() {
        Task.detached {
            await self.run()
        }
        while true {
            pause()
        }
    }

    /// A person who makes a mistake reads one line; subcommands have their own exit codes.
    private static func run() async -> Never {
        let arguments = Array(CommandLine.arguments.dropFirst())
        // Not by way of its parent, which would take `--port` and others for its own.
        if arguments.first == PerfCommand.configuration.commandName {
            await self.run(PerfCommand.self, Array(arguments.dropFirst())) { PerfCommand.exit(withError: $0) }
        }
        if arguments.first == CtlCommand.configuration.commandName {
            exit(CtlCommand.run(Array(arguments.dropFirst())))
        }
        await self.run(MartletCommand.self, arguments) { error in
            guard MartletCommand.exitCode(for: error) == .validationFailure else {
                MartletCommand.exit(withError: error)
            }
            StandardStream.writeError("martlet: \(MartletCommand.message(for: error)); see martlet --help\n")
            exit(2)
        }
    }

    private static func run<Command: ParsableCommand>(
        _ type: Command.Type,
        _ arguments: [String],
        whenWrong: (any Error) -> Never
    ) async -> Never {
        do {
            var command = try type.parseAsRoot(arguments)
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let failure as StartFailure {
            StandardStream.writeError("martlet: \(failure)\n")
            exit(failure.isConfiguration ? 2 : 1)
        } catch {
            whenWrong(error)
        }
        // Ends without waiting for threads of libraries.
        exit(0)
    }
}
