/// A message's place in a durable queue, for ever.
struct DurablePlace: Equatable {
    /// The queue's number.
    var queue: UInt64
    /// The place in the queue's order of publishing.
    var sequence: UInt64
    /// When the message must leave the queue, in milliseconds since 1970; 0 is never.
    var deadline: UInt64 = 0
}
