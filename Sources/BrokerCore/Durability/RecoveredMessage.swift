/// A message read back from the commit log; copies of it share its octets.
struct RecoveredMessage: Equatable, Sendable {
    /// Names, properties and body, one after the other, as ``MessageRecord`` keeps them.
    let bytes: [UInt8]
    /// Octets of exchange and routing key with their lengths, at least two.
    let namesSize: UInt16
    /// Octets of the properties.
    let propertiesSize: UInt32
    /// What was published: persistent or not.
    let flags: QueueEntry.Flags

    /// Lends the parts.
    func withView<Result>(_ body: (MessageView) -> Result) -> Result {
        self.bytes.withUnsafeBytes { bytes in
            // The lengths of both names come first, so that there is memory.
            guard let base = bytes.baseAddress else { preconditionFailure("a message has names") }
            let properties = base + Int(self.namesSize)
            let start = properties + Int(self.propertiesSize)
            return body(
                MessageView(
                    names: base,
                    namesSize: Int(self.namesSize),
                    properties: properties,
                    propertiesSize: Int(self.propertiesSize),
                    body: start,
                    bodySize: bytes.count - Int(self.namesSize) - Int(self.propertiesSize)
                )
            )
        }
    }
}
