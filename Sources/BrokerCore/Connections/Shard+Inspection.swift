internal import AMQPProtocol

/// What looking at a message's properties has brought besides refusals.
struct PublishRewrite {
    /// Routing keys of CC and BCC.
    var extraKeys: [[UInt8]] = []
    /// The properties to store instead of the ones that came.
    var properties: [UInt8]?
    /// The headers have deaths in them.
    var hasDeaths = false
    /// The message waits before it is routed; BCC stays in it until then.
    var isDelayed = false
}

/// The properties a broker looks at: expiration, user-id, CC and BCC, reply-to.
extension Shard {
    /// Checks the special properties of a message and collects what they change.
    func inspect(
        _ properties: UnsafeRawBufferPointer,
        _ scan: PropertyScan,
        _ channel: UnsafeMutablePointer<ChannelState>,
        _ rewrite: inout PublishRewrite
    ) -> Violation? {
        func refused(_ text: ReplyText) -> Violation {
            .channel(.preconditionFailed, text: text, method: BasicPublish.id)
        }
        var decoded: BasicProperties?
        func decode() -> BasicProperties? {
            var reader = WireReader(properties)
            return try? BasicProperties(from: &reader)
        }
        if let range = scan.expiration {
            let text = String(decoding: properties[range], as: UTF8.self)
            if let reason = Self.whyInvalid(expiration: Array(properties[range])) {
                return refused("invalid expiration '\(text)': \(reason)")
            }
        }
        if scan.isOfUnknownMode {
            return refused("invalid message: {delivery_mode_unknown,\(scan.deliveryMode)}")
        }
        if let range = scan.headers {
            let table = UnsafeRawBufferPointer(rebasing: properties[range])
            let delay = DelayHeaders(in: table)
            let names = delay.names
            if names.contains(.delay) {
                rewrite.isDelayed = delay.deadline(table, self.epochMilliseconds(at: self.now)) != nil
            }
            if !names.isDisjoint(with: [.copies, .deaths]) {
                decoded = decode()
                guard let headers = decoded?.headers else { return refused("malformed headers") }
                rewrite.hasDeaths = headers["x-death"] != nil
                for name: ShortString in ["CC", "BCC"] {
                    guard let value = headers[name] else { continue }
                    guard let keys = Self.routingKeys(value) else {
                        return refused("invalid message: \(Self.describeCopies(name, value))")
                    }
                    rewrite.extraKeys.append(contentsOf: keys)
                }
                if rewrite.extraKeys.count > ShardLimits.extraRoutingKeys {
                    return refused("more than \(ShardLimits.extraRoutingKeys) routing keys in CC and BCC")
                }
                if headers["BCC"] != nil, !rewrite.isDelayed {
                    decoded?.headers = FieldTable(headers.filter { $0.key != "BCC" }.map { ($0.key, $0.value) })
                    rewrite.properties = decoded?.encoded
                }
            }
        }
        if let range = scan.userID {
            let user = channel.pointee.connection.pointee.user
            let claimed = properties[range]
            if !claimed.elementsEqual(user.bytes) {
                let text = String(decoding: claimed, as: UTF8.self)
                return refused("user_id property set to '\(text)' but authenticated user was '\(user)'")
            }
        }
        if let range = scan.replyTo, properties[range].elementsEqual(ReplyAddress.pseudoQueue.bytes) {
            guard channel.pointee.replyConsumerTag != nil else {
                return refused("fast reply consumer does not exist")
            }
            if decoded == nil {
                decoded = decode()
            }
            decoded?.replyTo =
                ReplyAddress(
                    channel: self.address(of: channel),
                    secret: channel.pointee.replySecret
                ).name
            rewrite.properties = decoded?.encoded
        }
        return nil
    }

    /// Why an `expiration` is refused, in RabbitMQ's words; nil if it is fine.
    static func whyInvalid(expiration: [UInt8]) -> String? {
        let digits =
            expiration.first == UInt8(ascii: "-") || expiration.first == UInt8(ascii: "+")
            ? Array(expiration.dropFirst()) : expiration
        let number = digits.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
        guard !number.isEmpty else {
            return "no_integer"
        }
        guard number.count == digits.count else {
            let rest = ErlangTerm.list(digits.dropFirst(number.count))
            return self.describe("leftover_string", rest, of: expiration)
        }
        let value = number.drop { $0 == UInt8(ascii: "0") }
        let text = String(decoding: value, as: UTF8.self)
        if expiration.first == UInt8(ascii: "-") && !value.isEmpty {
            return self.describe("value_negative", "-\(text)", of: expiration)
        }
        let isHuge = value.count > 12 || (UInt64(text) ?? 0) > 315_360_000_000
        return isHuge ? self.describe("value_too_large", text, of: expiration) : nil
    }

    /// A pair of Erlang as it is printed where an expiration is refused: broken where it would go beyond the 79th column.
    private static func describe(_ name: String, _ value: String, of expiration: [UInt8]) -> String {
        let column = "invalid expiration '': ".utf8.count + expiration.count
        let isLong = column + name.utf8.count + value.utf8.count + 3 >= 79
        return "{\(name),\(isLong ? "\n" + String(repeating: " ", count: column + 1) : "")\(value)}"
    }

    /// The routing keys in `CC` or `BCC`; nil when it is no array.
    static func routingKeys(_ value: FieldValue) -> [[UInt8]]? {
        guard case .array(let array) = value else { return nil }
        var keys: [[UInt8]] = []
        for element in array {
            // RabbitMQ passes over what is no string.
            guard case .longString(let key) = element else { continue }
            // A key that no binding can have still counts as one: it just matches little.
            keys.append(Array(key.prefix(255)))
        }
        return keys
    }

    /// What is wrong with `CC` or `BCC`, in the words of RabbitMQ.
    static func describeCopies(_ name: ShortString, _ value: FieldValue) -> String {
        "{unacceptable_type_in_header,\"\(name)\",\(value.rabbitTypeName)}"
    }
}
