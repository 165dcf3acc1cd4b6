internal import BrokerCore
internal import NIOCore

/// What an operator can set about the server.
public struct ServerOptions: Sendable {
    /// Addresses for both kinds of listeners.
    public var listen: [ListenAddress] = ServerOptions.loopback
    /// Port for AMQP; 0 lets the system choose one, the same for all addresses.
    public var port: UInt16 = 5672
    /// Port, certificate and key for AMQP over TLS; nil for none.
    public var tls: TLSOptions?
    /// Number of event loops, each with its share of connections and queues.
    public var shards: Int = 1
    /// Where durable things are kept; nil keeps everything in memory.
    public var dataDirectory: String?
    /// Path of the UNIX socket for `martlet ctl`; nil for none.
    public var controlSocket: String?
    /// Free octets of the data directory's file system below which publishers are blocked.
    public var diskFreeLimitBytes: UInt64 = 50_000_000
    /// When what was confirmed is on the disk.
    public var sync = SyncMode.always
    /// Settings of the core, as far as they have no property of their own below.
    var broker = BrokerSettings()
    /// The user that exists from the start.
    public var defaultUser = "guest"
    /// The password of that user.
    public var defaultPassword = "guest"

    /// The defaults: AMQP on the loopback interface, one shard.
    public init() {}

    /// The version clients and `--version` are told.
    public static var version: String { BrokerSettings().version }

    /// Message memory of all shards together above which publishers are blocked.
    public var memoryLimitBytes: UInt64 {
        get { self.broker.memoryLimitBytes }
        set { self.broker.memoryLimitBytes = newValue }
    }

    /// Largest message body; a larger one closes its channel.
    public var maxMessageBytes: UInt64 {
        get { self.broker.maxMessageBytes }
        set { self.broker.maxMessageBytes = newValue }
    }

    /// Heartbeat interval offered to clients; 0 for none.
    public var heartbeatSeconds: UInt16 {
        get { self.broker.heartbeatSeconds }
        set { self.broker.heartbeatSeconds = newValue }
    }

    /// Number of channels offered per connection.
    public var channelMax: UInt16 {
        get { self.broker.channelMax }
        set { self.broker.channelMax = newValue }
    }

    /// Consumers that a channel may have; nil is any number.
    public var consumerMaxPerChannel: Int? {
        get { self.broker.consumerMaxPerChannel }
        set { self.broker.consumerMaxPerChannel = newValue }
    }

    /// Whether queues whose declaration names no type are quorum queues, where they can be.
    public var defaultsToQuorumQueues: Bool {
        get { self.broker.defaultQueueType == .quorum }
        set { self.broker.defaultQueueType = newValue ? .quorum : .classic }
    }

    /// Largest frame offered to clients, in octets.
    public var frameMaxBytes: UInt32 {
        get { self.broker.frameMaxBytes }
        set { self.broker.frameMaxBytes = newValue }
    }

    /// Whether what is declared otherwise than it is stays as it is, instead of closing the channel with 406.
    public var isRedeclareRelaxed: Bool {
        get { self.broker.isRedeclareRelaxed }
        set { self.broker.isRedeclareRelaxed = newValue }
    }

    /// Whether incoming messages get the time of their arrival, in the property `timestamp` and the header
    /// `timestamp_in_ms`; nil is no.
    public var headerTimestamp: StampRule? {
        get { self.broker.stamps.timestamp.map(StampRule.init) }
        set { self.broker.stamps.timestamp = newValue?.rule }
    }

    /// Whether incoming messages get the broker's name in the header `x-routed-by`; nil is no.
    public var headerRoutingNode: StampRule? {
        get { self.broker.stamps.routingNode.map(StampRule.init) }
        set { self.broker.stamps.routingNode = newValue?.rule }
    }

    /// Processor cores this process may use.
    public static var availableCores: Int { System.coreCount }

    /// The loopback interface; its IPv6 address only where the machine has one.
    public static let loopback = [
        ListenAddress(host: "127.0.0.1"),
        ListenAddress(host: "::1", isRequired: false),
    ]
}

/// What becomes of a value that an incoming message brings along, where the broker has one for it.
public enum StampRule: Sendable {
    /// It stays.
    case keep
    /// The broker's takes its place.
    case overwrite

    fileprivate init(_ rule: MessageStamps.Rule) {
        self =
            switch rule {
            case .keep: .keep
            case .overwrite: .overwrite
            }
    }

    fileprivate var rule: MessageStamps.Rule {
        switch self {
        case .keep: .keep
        case .overwrite: .overwrite
        }
    }
}

/// When the commit log is synced, and so what a confirm promises.
public enum SyncMode: Sendable, Equatable {
    /// Before anything is confirmed: what was confirmed survives a loss of power.
    case always
    /// So long after a write at the latest: a loss of power costs at most what was confirmed in that time.
    case interval(milliseconds: Int)
    /// When the system likes: what was confirmed survives the end of the process, not a loss of power.
    case never
}

/// How to serve AMQP over TLS.
public struct TLSOptions: Sendable, Equatable {
    /// Port; 0 lets the system choose one.
    public var port: UInt16
    /// PEM file with the server's certificate and its chain.
    public var certificateFile: String
    /// PEM file with the private key of the certificate.
    public var keyFile: String
    /// PEM file with the authorities that client certificates are checked against.
    public var authorityFile: String?
    /// Whether a client must show a certificate.
    public var verifiesPeer: Bool

    /// Makes the options.
    public init(
        port: UInt16,
        certificateFile: String,
        keyFile: String,
        authorityFile: String? = nil,
        verifiesPeer: Bool = false
    ) {
        self.port = port
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.authorityFile = authorityFile
        self.verifiesPeer = verifiesPeer
    }
}

/// Why the server did not start: one line for a person.
public struct StartFailure: Error, Equatable, CustomStringConvertible {
    /// Whether the options are at fault, and not the state of the machine.
    public var isConfiguration: Bool
    /// The line.
    public var description: String

    /// Makes a failure.
    public init(_ description: String, isConfiguration: Bool = false) {
        self.description = description
        self.isConfiguration = isConfiguration
    }
}
