public import ArgumentParser

// Options are public only because `PerfCommand` is: the parser sets them, nobody else needs them.

/// Where the server is and how to log in.
public struct PerfConnectionOptions: ParsableArguments {
    @Option(help: "Server name or address.")
    var host = "127.0.0.1"

    @Option(name: [.long, .customShort("p")], help: "Server port.")
    var port = 5672

    @Option(help: "User name.")
    var user = "guest"

    @Option(help: "Password.")
    var password = "guest"

    @Option(help: "Virtual host.")
    var vhost = "/"

    /// For the parser.
    public init() {}
}

/// Who publishes and consumes, and through what.
public struct PerfTopologyOptions: ParsableArguments {
    @Option(help: "Connections that publish.")
    var publishers = 1

    @Option(help: "Connections that consume; 0 only fills the queues.")
    var consumers = 1

    @Option(help: "Queues; publishers and consumers spread over them.")
    var queues = 1

    @Option(help: "Exchange to publish to: default, direct, fanout, topic or headers.")
    var exchange = ExchangeKind.default

    @Option(help: "Bindings of each queue; one matches, the rest only make the table longer.")
    var bindings = 1

    @Flag(help: "Declare durable queues.")
    var durable = false

    @Option(help: ArgumentHelp("Argument of the queues; repeatable.", valueName: "key=value"))
    var queueArg: [String] = []

    @Option(help: ArgumentHelp("Argument of the consumers; repeatable.", valueName: "key=value"))
    var consumerArg: [String] = []

    @Flag(help: "Leave the queues, and what is in them, when the run has gone well.")
    var keep = false

    @Option(help: ArgumentHelp("Start of all names. (default: martlet-perf. and the process id)", valueName: "name"))
    var prefix: String?

    /// For the parser.
    public init() {}
}

/// What a message is and how it is settled.
public struct PerfMessageOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Bytes of each body.", valueName: "bytes"))
    var size = 16

    @Flag(help: "Mark messages as persistent.")
    var persistent = false

    @Option(help: "Acknowledge: 0 automatically, 1 each message, N every N messages at once.")
    var ack = 0

    @Option(help: "Messages sent ahead of acknowledgements; 0 is no limit.")
    var prefetch = 0

    @Option(help: ArgumentHelp("Use confirms, with at most so many messages unconfirmed.", valueName: "window"))
    var confirm: Int?

    @Option(help: "Spread messages over so many priorities, 0 first.")
    var priorities = 0

    @Option(help: ArgumentHelp("Expirations that messages take in turn, in ms.", valueName: "ms,ms,..."))
    var expirations: String?

    @Option(help: ArgumentHelp("Delays (header x-delay) that messages take in turn, in ms.", valueName: "ms,ms,..."))
    var delays: String?

    /// For the parser.
    public init() {}
}

/// How much, how fast and for how long.
public struct PerfLoadOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Seconds to measure. (default: 10)", valueName: "seconds"))
    var duration: Double?

    @Option(help: ArgumentHelp("Seconds to run before measuring. (default: 2)", valueName: "seconds"))
    var warmup: Double?

    @Option(help: "Messages to publish in all, instead of a duration.")
    var count: UInt64?

    @Option(help: ArgumentHelp("Messages per second of each publisher; fractions are fine.", valueName: "per-second"))
    var rate: Double?

    @Option(help: ArgumentHelp("Most messages published and not yet consumed.", valueName: "messages"))
    var maxInflight: UInt64?

    @Flag(help: "Consume only when all is published; needs --count.")
    var backlog = false

    @Option(help: "Event loop threads of this tool.")
    var threads = 1

    @Option(help: ArgumentHelp("Only open so many connections and hold them.", valueName: "connections"))
    var idle: Int?

    @Flag(help: "Only declare the queues, with their bindings, and hold them.")
    var idleQueues = false

    @Option(help: ArgumentHelp("Seconds to hold what is idle. (default: 5)", valueName: "seconds"))
    var hold: Double?

    @Option(help: ArgumentHelp("Commit an error, to see the checks find it.", visibility: .hidden))
    var plant: PlantedError?

    /// For the parser.
    public init() {}
}

/// What is shown.
public struct PerfReportOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Server process to watch: CPU and memory; repeatable.", valueName: "pid"))
    var serverPid: [Int32] = []

    @Flag(help: "Print the result as one line of JSON.")
    var json = false

    @Flag(name: [.long, .customShort("q")], help: "No progress line each second.")
    var quiet = false

    /// For the parser.
    public init() {}
}

extension ExchangeKind: ExpressibleByArgument {}

extension PlantedError: ExpressibleByArgument {}
