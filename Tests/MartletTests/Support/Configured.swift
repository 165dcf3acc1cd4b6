import ArgumentParser
import Foundation

@testable import BrokerServer
@testable import martlet

/// The configuration that `martlet` would serve with, without serving.
struct Configured {
    var arguments: [String] = []
    var environment: [String: String] = [:]
    /// The text of the configuration file; nil for none.
    var file: String?
    /// Where durable things go if nothing else is said.
    var defaultDirectory: String? = "/default"

    /// Reads all sources, on a machine with four cores and 8,000,000 octets of memory.
    ///
    /// The file is called `FILE` in what is thrown.
    func read() throws -> (configuration: ServeConfiguration, unknownKeys: [String]) {
        let folder = try TemporaryFolder()
        defer { folder.remove() }
        var path: String?
        if let file { path = try folder.write(file, to: "martlet.json") }
        do {
            guard let command = try MartletCommand.parseAsRoot(self.arguments) as? MartletCommand else {
                throw StartFailure("a subcommand")
            }
            let sources = try ConfigurationSources(
                flags: command.flags,
                environment: self.environment,
                configFile: path
            )
            let configuration = try ServeConfiguration(
                sources,
                cores: 4,
                memoryBytes: 8_000_000,
                defaultDirectory: self.defaultDirectory
            )
            return (configuration, sources.unknownKeys)
        } catch var failure as StartFailure {
            if let path { failure.description = failure.description.replacingOccurrences(of: path, with: "FILE") }
            throw failure
        }
    }
}
