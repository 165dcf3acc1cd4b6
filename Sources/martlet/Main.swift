internal import ArgumentParser
internal import BrokerServer
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
        do {
            var command = try MartletCommand.parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            // Ends without waiting for threads of libraries.
            exit(0)
        } catch let failure as StartFailure {
            StandardStream.writeError("martlet: \(failure)\n")
            exit(failure.isConfiguration ? 2 : 1)
        } catch {
            let isSubcommand = CommandLine.arguments.dropFirst().first == "perf"
            guard !isSubcommand, MartletCommand.exitCode(for: error) == .validationFailure else {
                MartletCommand.exit(withError: error)
            }
            StandardStream.writeError("martlet: \(MartletCommand.message(for: error)); see martlet --help\n")
            exit(2)
        }
    }
}
