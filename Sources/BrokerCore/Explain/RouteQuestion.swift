public import AMQPProtocol

/// A publish that has not happened, or has: what ``Shard/explain(_:)`` is asked about.
public struct RouteQuestion: Sendable, Equatable {
    /// The virtual host of the publisher's connection.
    public var virtualHost: String
    /// The exchange; empty for the default one.
    public var exchange: String
    /// The routing key.
    public var routingKey: String
    /// Properties and headers.
    public var properties: BasicProperties
    /// Octets of the body.
    public var bodyBytes: Int
    /// The publisher; nil leaves out what depends on it.
    public var user: String?
    /// Whether it is to come back when no queue gets it.
    public var isMandatory: Bool

    /// Asks about a publish.
    public init(
        virtualHost: String = "/",
        exchange: String,
        routingKey: String,
        properties: BasicProperties = BasicProperties(),
        bodyBytes: Int = 0,
        user: String? = nil,
        isMandatory: Bool = false
    ) {
        self.virtualHost = virtualHost
        self.exchange = exchange
        self.routingKey = routingKey
        self.properties = properties
        self.bodyBytes = bodyBytes
        self.user = user
        self.isMandatory = isMandatory
    }
}
