import AMQPProtocol

/// What messages of one run may differ in.
struct MessageVariety: Equatable, Sendable {
    var priority: UInt8?
    /// Milliseconds to live.
    var expiration: UInt64?
    /// Milliseconds that the header `x-delay` asks for.
    var delay: UInt64?

    /// The kinds that take turns: as many as the longest list has members, each list going round by itself.
    ///
    /// Lists of unlike length meet in every combination only if their lengths have no common divisor; that is enough to
    /// mix them.
    static func cycle(priorities: Int, expirations: [UInt64], delays: [UInt64]) -> [MessageVariety] {
        let count = max(1, priorities, expirations.count, delays.count)
        return (0..<count).map { index in
            MessageVariety(
                priority: priorities == 0 ? nil : UInt8(truncatingIfNeeded: index % priorities),
                expiration: expirations.isEmpty ? nil : expirations[index % expirations.count],
                delay: delays.isEmpty ? nil : delays[index % delays.count]
            )
        }
    }

    /// The properties of such a message.
    func properties(headers: FieldTable?, isPersistent: Bool) -> BasicProperties {
        var headers = headers
        if let delay {
            headers = FieldTable((headers.map { Array($0) } ?? []) + [("x-delay", .int64(Int64(clamping: delay)))])
        }
        return BasicProperties(
            headers: headers,
            deliveryMode: isPersistent ? 2 : 1,
            priority: self.priority,
            expiration: self.expiration.map { ShortString(truncating: "\($0)") }
        )
    }
}
