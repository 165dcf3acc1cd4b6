/// What an operator can set about the core; the same value for every shard.
public struct BrokerSettings: Sendable {
    /// Announced in `connection.start` as `version`.
    public var version: String = "0.1.0"
    /// Announced in `connection.start` as `cluster_name`.
    public var clusterName: String = "martlet@localhost"
    /// Largest frame offered in `connection.tune`, in octets, frame overhead included.
    public var frameMaxBytes: UInt32 = 131_072
    /// Number of channels offered in `connection.tune`.
    public var channelMax: UInt16 = 2047
    /// Consumers that a channel may have; nil is any number.
    public var consumerMaxPerChannel: Int?
    /// The type of queues whose declaration names none.
    public var defaultQueueType = DefaultQueueType.classic
    /// Durable things go to a commit log, which the driver takes records for and confirms.
    public var isDurable = false
    /// Heartbeat interval offered in `connection.tune`; 0 offers none.
    public var heartbeatSeconds: UInt16 = 60
    /// Time from accept to `connection.open` after which a socket is closed.
    public var handshakeTimeoutMilliseconds: UInt64 = 10_000
    /// How long a socket stays open after a refused login or a broken handshake, which slows password guessing.
    public var refusalDelayMilliseconds: UInt64 = 3_000
    /// Largest message body; a larger one closes its channel with 406.
    public var maxMessageBytes: UInt64 = 134_217_728
    /// Queues and exchanges that are declared otherwise than they are stay as they are, and no channel is closed for it.
    public var isRedeclareRelaxed = false
    /// What is written into messages that come in.
    public var stamps = MessageStamps()
    /// Users that may only log in from the loopback interface.
    public var loopbackUsers: [String] = ["guest"]
    /// Message memory of all shards together above which publishers are blocked.
    public var memoryLimitBytes: UInt64 = 1 << 32
    /// Transient messages go to disk when too many are in memory; the driver carries out ``PageRequest``s.
    public var pagesMessages = false
    /// Octets of messages of all shards together that may be in memory before some go to disk; nil is half of
    /// ``memoryLimitBytes``.
    public var residentLimitBytes: UInt64?

    /// The defaults of a broker that starts without configuration.
    public init() {}
}

/// The type that a queue gets whose declaration names none.
public enum DefaultQueueType: Sendable {
    case classic
    /// Of those that a quorum queue can be: durable, with a name of the client's, neither exclusive nor auto-delete.
    case quorum
}

/// Who is at the other end of an accepted socket.
public struct PeerInfo: Sendable {
    /// Numeric address of the peer.
    public var peerHost: String
    /// Port of the peer.
    public var peerPort: Int
    /// Numeric address the peer connected to.
    public var localHost: String
    /// Port the peer connected to.
    public var localPort: Int
    /// Whether the peer is on the loopback interface (IPv4-mapped IPv6 included).
    public var isLoopback: Bool

    /// Makes the description of a peer.
    public init(peerHost: String, peerPort: Int, localHost: String, localPort: Int, isLoopback: Bool) {
        self.peerHost = peerHost
        self.peerPort = peerPort
        self.localHost = localHost
        self.localPort = localPort
        self.isLoopback = isLoopback
    }

    /// The connection's name as RabbitMQ writes it: `PEER:PORT -> LOCAL:PORT`.
    public var connectionName: String {
        "\(self.peerHost):\(self.peerPort) -> \(self.localHost):\(self.localPort)"
    }
}

/// Decides whether a user name and password belong together.
///
/// Called once per login, on the shard's event loop; must not block.
public protocol Authenticator: Sendable {
    /// Whether `password` is the password of `user`; spends the same time for unknown users.
    func authenticate(user: [UInt8], password: [UInt8]) -> Bool
}

/// Source of unguessable numbers for server-made names; seeded in the simulation.
public protocol RandomSource: AnyObject {
    /// The next 64 random bits.
    func next() -> UInt64
}
