internal import BrokerServer
internal import Configuration
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals
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

/// Serving: from the configuration to the last goodbye.
enum Serve {
    /// Runs the broker until a signal ends it.
    static func run(flags: [Setting: ConfigValue], configFile: String?) async throws {
        let environment = ProcessInfo.processInfo.environment
        let sources = try ConfigurationSources(
            flags: flags,
            environment: environment,
            configFile: configFile ?? environment["MARTLET_CONFIG"]
        )
        let configuration = try ServeConfiguration(
            sources,
            cores: ServerOptions.availableCores,
            memoryBytes: Machine.memoryBytes,
            defaultDirectory: Machine.defaultDataDirectory(environment, isRoot: geteuid() == 0)
        )
        let logger = self.makeLogger(configuration)
        for key in sources.unknownKeys {
            logger.warning("unknown setting \(key) in the configuration file")
        }
        try self.prepareStorage(configuration, logger)
        // Before the service starts, so that a signal during the start is not lost.
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let service = BrokerService(options: configuration.server, logger: logger) { listeners in
            for line in self.readyLines(listeners) { StandardStream.writeOutput(line) }
            let shards = configuration.server.shards
            logger.info("Server startup complete; \(shards) shard\(shards == 1 ? "" : "s")")
        }
        var quiet = logger
        quiet.logLevel = .error
        let group = ServiceGroup(configuration: .init(services: [.init(service: service)], logger: quiet))
        let watcher = Task {
            var isStopping = false
            for await signal in signals {
                guard !isStopping else {
                    logger.warning("\(signal) again: stopping at once")
                    exit(128 + signal.number)
                }
                isStopping = true
                logger.info("\(signal): stopping")
                await group.triggerGracefulShutdown()
            }
        }
        defer { watcher.cancel() }
        try await group.run()
        logger.info("stopped")
    }

    private static func makeLogger(_ configuration: ServeConfiguration) -> Logger {
        let level = configuration.logThreshold.level
        let format = configuration.logFormat
        return Logger(label: "martlet") { _ in
            LineLogHandler(level: level, format: format)
        }
    }

    private static func prepareStorage(_ configuration: ServeConfiguration, _ logger: Logger) throws(StartFailure) {
        if let directory = configuration.dataDirectory, let reason = Machine.whyUnusable(directory: directory) {
            throw StartFailure("cannot use data directory \(directory): \(reason)")
        }
        if let directory = configuration.server.dataDirectory {
            logger.info("durable queues and persistent messages are kept in \(directory)")
        }
    }

    /// The lines scripts wait for: one for each kind of listener.
    static func readyLines(_ listeners: [BoundListener]) -> [String] {
        [false, true].compactMap { isTLS in
            listeners.first { $0.isTLS == isTLS }.map { "martlet ready on \($0.url)\n" }
        }
    }
}

extension UnixSignal {
    /// The number a shell adds to 128 when this signal ended a program.
    var number: CInt { self == .sigint ? SIGINT : SIGTERM }
}
