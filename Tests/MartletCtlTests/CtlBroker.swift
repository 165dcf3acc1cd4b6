import BrokerServer
import Foundation
import Logging
import MartletCtl

/// A broker with a socket, and command lines that ask it.
struct CtlBroker {
    /// What a command line has said.
    struct Answer {
        var exit: Int32
        var output: String
        var error: String
    }

    /// Its data directory.
    let directory: String

    /// Starts a broker in a directory of its own, ends it after `body`.
    static func run(shards: Int = 1, _ body: (CtlBroker) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "martlet-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await self.run(in: directory, shards: shards, body)
    }

    /// Starts a broker in a directory, ends it after `body`.
    static func run(in directory: String, shards: Int = 1, _ body: (CtlBroker) async throws -> Void) async throws {
        var options = ServerOptions()
        options.listen = [ListenAddress(host: "127.0.0.1")]
        options.port = 0
        options.shards = shards
        options.dataDirectory = directory
        options.controlSocket = ControlCommandLine.socket(in: directory)
        let service = BrokerService(options: options, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await service.start()
        do {
            try await body(CtlBroker(directory: directory))
        } catch {
            await service.stop()
            throw error
        }
        await service.stop()
    }

    /// Carries out a command line on a thread of its own: it waits for the broker.
    func ctl(_ arguments: [String]) async -> Answer {
        await Self.ctl(arguments, ["MARTLET_DATA_DIR": self.directory])
    }

    /// Carries out a command line with this environment.
    static func ctl(_ arguments: [String], _ environment: [String: String]) async -> Answer {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                var answer = Answer(exit: 0, output: "", error: "")
                let line = ControlCommandLine(
                    environment: environment,
                    defaultDataDirectory: nil,
                    output: { answer.output += $0 },
                    error: { answer.error += $0 }
                )
                answer.exit = line.run(arguments)
                continuation.resume(returning: answer)
            }
        }
    }
}
