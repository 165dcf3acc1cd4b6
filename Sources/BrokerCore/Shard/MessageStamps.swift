/// What is written into messages that clients publish, before they are routed; nothing unless an operator wants it.
///
/// Names and meaning are those of RabbitMQ's incoming message interceptors.
public struct MessageStamps: Sendable, Equatable {
    /// What becomes of a value that a message brings along.
    public enum Rule: Sendable {
        /// It stays; a message without one gets ours.
        case keep
        /// Ours takes its place.
        case overwrite
    }

    /// The time of arrival: property `timestamp` in seconds, header `timestamp_in_ms` in milliseconds since 1970.
    public var timestamp: Rule?
    /// Where it came in: header `x-routed-by` with the name that the broker announces.
    public var routingNode: Rule?

    /// Writes nothing.
    public init() {}

    /// Whether anything is written.
    var isOn: Bool { self.timestamp != nil || self.routingNode != nil }
}
