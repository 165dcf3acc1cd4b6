internal import AMQPProtocol

/// What the broker runs short of, so that publishers wait.
struct ResourceAlarms: OptionSet {
    var rawValue: UInt8

    /// The messages of all shards together take too much memory.
    static let memory = ResourceAlarms(rawValue: 1)
    /// The file system of the data directory is full, or nearly.
    static let disk = ResourceAlarms(rawValue: 2)

    /// What `connection.blocked` gives for a reason, word for word as RabbitMQ does.
    var reason: ShortString {
        switch self {
        case .memory: "low on memory"
        case .disk: "low on disk"
        default: "low on disk & memory"
        }
    }
}
