/// Everything that can be configured, by flag, environment variable or configuration file.
///
/// The raw value is the path in the configuration file: `tls.port` is the member `port` of the object `tls`.
enum Setting: String, CaseIterable {
    case listen
    case port
    case tlsPort = "tls.port"
    case tlsCertificate = "tls.cert"
    case tlsKey = "tls.key"
    case tlsAuthority = "tls.ca"
    case tlsVerifyPeer = "tls.verify-peer"
    case shards
    case dataDirectory = "data-dir"
    case ephemeral
    case controlSocket = "ctl-socket"
    case logLevel = "log.level"
    case logFormat = "log.format"
    case memoryLimit = "memory-limit"
    case diskFreeLimit = "disk-free-limit"
    case sync
    case syncInterval = "sync-interval"
    case maxMessageSize = "max-message-size"
    case heartbeat
    case channelMax = "channel-max"
    case consumerMaxPerChannel = "consumer-max-per-channel"
    case defaultQueueType = "default-queue-type"
    case frameMax = "frame-max"
    case relaxedRedeclare = "relaxed-redeclare"
    case setHeaderTimestamp = "set-header-timestamp"
    case setHeaderRoutingNode = "set-header-routing-node"
    case defaultUser = "default-user"
    case defaultPassword = "default-password"

    /// The path in the configuration file.
    var components: [String] { self.rawValue.split(separator: ".").map(String.init) }

    /// The flag: `--tls-port`.
    var flag: String { "--\(self.dashed)" }

    /// The environment variable: `MARTLET_TLS_PORT`.
    var environmentVariable: String {
        "MARTLET_" + self.dashed.uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
    }

    private var dashed: String { self.components.joined(separator: "-") }
}
