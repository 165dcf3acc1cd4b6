internal import AMQPProtocol

/// By what an exchange with `x-message-deduplication` knows a message again.
enum MessageIdentity: Equatable {
    /// A key: the octets of a header's value, its type among them.
    case key([UInt8])
    /// A publisher's own number; the publisher never gives it to another message, nor a lower one to a later message.
    case number(UInt64, of: PublisherTable.Name)
}

extension MessageIdentity {
    private static let publisherKey: ShortString = "x-publisher-id"
    private static let numberKey: ShortString = "x-publisher-seq"
    /// Octets of a publisher's name, as many as a stream of RabbitMQ takes.
    private static let publisherSizes = 1...255

    /// The identity of a message with such headers; nil when it has none.
    ///
    /// Publisher and number count before the key; without both of them they mean nothing.
    init?(_ entries: [(key: ShortString, value: FieldValue)], _ arguments: FieldTable, isPersistent: Bool) {
        if let (publisher, number) = Self.number(entries) {
            self = .number(number, of: PublisherTable.Name(id: publisher, isPersistent: isPersistent))
        } else if let key = DeduplicationArguments.key(entries, arguments) {
            self = .key(key)
        } else {
            return nil
        }
    }

    private static func number(
        _ entries: [(key: ShortString, value: FieldValue)]
    ) -> (publisher: [UInt8], number: UInt64)? {
        guard let number = MessageHeaders.find(self.numberKey, in: entries)?.integerValue, number >= 0,
            let publisher = MessageHeaders.find(self.publisherKey, in: entries)
        else { return nil }
        switch publisher {
        case .longString(let octets), .byteArray(let octets):
            return self.publisherSizes.contains(octets.count) ? (octets, UInt64(number)) : nil
        default:
            return nil
        }
    }
}
