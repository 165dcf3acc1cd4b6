internal import ArgumentParser
internal import BrokerServer
internal import Configuration
internal import MartletPerf

/// `martlet`: serves; with a subcommand it does something else.
struct MartletCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "martlet",
        abstract: "A message broker for AMQP 0-9-1 clients.",
        usage: """
            martlet [options]
            martlet ctl <command> [options]
            martlet perf [options]
            """,
        discussion: """
            Started without options it serves the loopback interface on port 5672, where clients written for RabbitMQ \
            find it; user and password are guest. Durable queues and persistent messages are kept on disk and survive \
            a restart. It prints one line when it is ready and stops on Ctrl-C.

            EXAMPLES
              Try it out, without a trace on the disk:
                martlet --ephemeral
              Beside another broker, on a port the system chooses and prints:
                martlet --port 0
              For the whole network, so with a user of its own (guest may log in from this machine only):
                MARTLET_DEFAULT_PASSWORD=... martlet --listen 0.0.0.0 --listen :: --default-user app
              With TLS beside the plain port:
                martlet --tls-port 5671 --tls-cert server.pem --tls-key server.key

            CONFIGURATION
              Flags win over the environment, the environment over the file, the file over defaults.
              --tls-port is MARTLET_TLS_PORT in the environment and {"tls": {"port": 5671}} in the file.

            EXIT CODES
              0  stopped when asked to
              1  could not start: a port is taken, a directory cannot be written to
              2  the configuration makes no sense
            """,
        version: "martlet \(ServerOptions.version)",
        subcommands: [CtlCommand.self, PerfCommand.self]
    )

    @OptionGroup(title: "Where to listen")
    var listening: ListenOptions

    @OptionGroup(title: "TLS")
    var tls: SecurityOptions

    @OptionGroup(title: "Storage and resources")
    var resources: ResourceOptions

    @OptionGroup(title: "Protocol")
    var proto: ProtocolOptions

    @OptionGroup(title: "Log and configuration")
    var general: GeneralOptions

    /// What was given on the command line; what was not is left to weaker sources.
    var flags: [Setting: ConfigValue] {
        var flags: [Setting: ConfigValue] = [:]
        self.listening.collect(into: &flags)
        self.tls.collect(into: &flags)
        self.resources.collect(into: &flags)
        self.proto.collect(into: &flags)
        self.general.collect(into: &flags)
        return flags
    }

    func run() async throws {
        try await Serve.run(flags: self.flags, configFile: self.general.config)
    }
}

/// Addresses, ports and the first user.
struct ListenOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Address, or ADDRESS:PORT; may be repeated. (default: 127.0.0.1 and ::1)",
            valueName: "address"
        )
    )
    var listen: [String] = []

    @Option(help: "Port for AMQP; 0 lets the system choose. (default: 5672)")
    var port: Int?

    @Option(help: ArgumentHelp("User that exists from the start. (default: guest)", valueName: "name"))
    var defaultUser: String?

    @Option(
        help: ArgumentHelp(
            "Its password; better set as MARTLET_DEFAULT_PASSWORD. (default: guest)",
            valueName: "password"
        )
    )
    var defaultPassword: String?

    func collect(into flags: inout [Setting: ConfigValue]) {
        if !self.listen.isEmpty { flags[.listen] = ConfigValue(.stringArray(self.listen), isSecret: false) }
        flags.set(.port, self.port)
        flags.set(.defaultUser, self.defaultUser)
        flags.set(.defaultPassword, self.defaultPassword, isSecret: true)
    }
}

/// AMQP over TLS.
struct SecurityOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Port for AMQP over TLS 1.2 and 1.3; 0 lets the system choose. (default with a certificate: 5671)",
            valueName: "port"
        )
    )
    var tlsPort: Int?

    @Option(help: ArgumentHelp("Certificate of the server and its chain, PEM.", valueName: "file"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("Private key of the certificate, PEM without password.", valueName: "file"))
    var tlsKey: String?

    @Option(help: ArgumentHelp("Authorities that client certificates are checked against, PEM.", valueName: "file"))
    var tlsCa: String?

    @Flag(help: "Refuse clients without a certificate of these authorities.")
    var tlsVerifyPeer = false

    func collect(into flags: inout [Setting: ConfigValue]) {
        flags.set(.tlsPort, self.tlsPort)
        flags.set(.tlsCertificate, self.tlsCert)
        flags.set(.tlsKey, self.tlsKey)
        flags.set(.tlsAuthority, self.tlsCa)
        flags.set(.tlsVerifyPeer, self.tlsVerifyPeer)
    }
}

/// What the broker may use.
struct ResourceOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            """
            Directory for what survives a restart; created if missing. (default: /var/lib/martlet for root, else \
            ~/.local/share/martlet)
            """,
            valueName: "directory"
        )
    )
    var dataDir: String?

    @Flag(help: "Keep everything in memory, on purpose; touches no disk.")
    var ephemeral = false

    @Option(
        help: ArgumentHelp(
            """
            UNIX socket for martlet ctl, which only this user and root can open; none for no socket. (default: ctl.sock in \
            the data directory; with --ephemeral none)
            """,
            valueName: "path"
        )
    )
    var ctlSocket: String?

    @Option(
        help: ArgumentHelp(
            """
            When what is confirmed is on the disk: always (before it is confirmed; survives a loss of power), interval \
            (--sync-interval later at most) or never (when the system likes; survives the end of the process). \
            (default: always)
            """,
            valueName: "when"
        )
    )
    var sync: String?

    @Option(
        help: ArgumentHelp(
            "With --sync interval: what a loss of power may cost. (default: 1000)",
            valueName: "milliseconds"
        )
    )
    var syncInterval: Int?

    @Option(
        help: ArgumentHelp(
            "Free disk space below which publishers are blocked: 1GB, or 20% of the memory. (default: 50MB)",
            valueName: "size"
        )
    )
    var diskFreeLimit: String?

    @Option(
        help: ArgumentHelp("Event loops, each with its share of the work. (default: one a core)", valueName: "count")
    )
    var shards: Int?

    @Option(
        help: ArgumentHelp(
            "Memory for messages before publishers are blocked: 512MiB, 2GB, 40%. (default: 40%)",
            valueName: "size"
        )
    )
    var memoryLimit: String?

    func collect(into flags: inout [Setting: ConfigValue]) {
        flags.set(.dataDirectory, self.dataDir)
        flags.set(.ephemeral, self.ephemeral)
        flags.set(.controlSocket, self.ctlSocket)
        flags.set(.shards, self.shards)
        flags.set(.memoryLimit, self.memoryLimit)
        flags.set(.diskFreeLimit, self.diskFreeLimit)
        flags.set(.sync, self.sync)
        flags.set(.syncInterval, self.syncInterval)
    }
}

/// What clients are offered.
struct ProtocolOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Largest message body. (default: 128MiB)", valueName: "size"))
    var maxMessageSize: String?

    @Option(
        help: ArgumentHelp("Heartbeat interval offered to clients; 0 for none. (default: 60)", valueName: "seconds")
    )
    var heartbeat: Int?

    @Option(help: ArgumentHelp("Channels offered per connection. (default: 2047)", valueName: "count"))
    var channelMax: Int?

    @Option(help: ArgumentHelp("Consumers a channel may have. (default: any number)", valueName: "count"))
    var consumerMaxPerChannel: Int?

    @Option(
        help: ArgumentHelp(
            "Type of queues declared without one: classic or quorum. (default: classic)",
            valueName: "type"
        )
    )
    var defaultQueueType: String?

    @Option(help: ArgumentHelp("Largest frame offered to clients, in octets. (default: 131072)", valueName: "octets"))
    var frameMax: Int?

    @Flag(
        help: """
            Leave a queue or exchange as it is when it is declared with other properties or arguments, and say so in the \
            log, instead of closing the channel with 406.
            """
    )
    var relaxedRedeclare = false

    @Option(
        help: ArgumentHelp(
            "Give incoming messages the property timestamp and the header timestamp_in_ms: keep (those that they bring) "
                + "or overwrite. (default: neither)",
            valueName: "rule"
        )
    )
    var setHeaderTimestamp: String?

    @Option(
        help: ArgumentHelp(
            "Give incoming messages the header x-routed-by with the broker's name: keep or overwrite. (default: neither)",
            valueName: "rule"
        )
    )
    var setHeaderRoutingNode: String?

    func collect(into flags: inout [Setting: ConfigValue]) {
        flags.set(.maxMessageSize, self.maxMessageSize)
        flags.set(.heartbeat, self.heartbeat)
        flags.set(.channelMax, self.channelMax)
        flags.set(.consumerMaxPerChannel, self.consumerMaxPerChannel)
        flags.set(.defaultQueueType, self.defaultQueueType)
        flags.set(.frameMax, self.frameMax)
        flags.set(.relaxedRedeclare, self.relaxedRedeclare)
        flags.set(.setHeaderTimestamp, self.setHeaderTimestamp)
        flags.set(.setHeaderRoutingNode, self.setHeaderRoutingNode)
    }
}

/// Log and configuration file.
struct GeneralOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Configuration file, a JSON object.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("debug, info, warning or error. (default: info)", valueName: "level"))
    var logLevel: String?

    @Option(help: ArgumentHelp("text or json; the log goes to standard error. (default: text)", valueName: "format"))
    var logFormat: String?

    func collect(into flags: inout [Setting: ConfigValue]) {
        flags.set(.logLevel, self.logLevel)
        flags.set(.logFormat, self.logFormat)
    }
}

extension [Setting: ConfigValue] {
    /// Sets a number if it was given.
    mutating func set(_ setting: Setting, _ value: Int?) {
        if let value { self[setting] = ConfigValue(.int(value), isSecret: false) }
    }

    /// Sets a text if it was given.
    mutating func set(_ setting: Setting, _ value: String?, isSecret: Bool = false) {
        if let value { self[setting] = ConfigValue(.string(value), isSecret: isSecret) }
    }

    /// Sets a switch if it was given; a switch that was not leaves the word to the weaker sources.
    mutating func set(_ setting: Setting, _ isOn: Bool) {
        if isOn { self[setting] = ConfigValue(.bool(true), isSecret: false) }
    }
}
