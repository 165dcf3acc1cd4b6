/// A message read back from the commit log; copies of it share its octets, or say where in the log they are.
struct RecoveredMessage: Equatable, Sendable {
    private final class Octets: Sendable {
        let bytes: [UInt8]
        let namesSize: Int
        let propertiesSize: Int

        init(bytes: [UInt8], namesSize: Int, propertiesSize: Int) {
            self.bytes = bytes
            self.namesSize = namesSize
            self.propertiesSize = propertiesSize
        }
    }

    /// Nil when they stay in the log.
    private let octets: Octets?
    /// The record's position, a multiple of 8, and in the lowest bit whether more than one queue has got the message.
    private let place: UInt64
    /// Octets of the body.
    let bodySize: UInt32
    /// What was published: persistent or not, and its priority.
    let flags: QueueEntry.Flags

    /// A message with its octets: names, properties and body, one after the other, as ``MessageRecord`` keeps them.
    init(bytes: [UInt8], namesSize: Int, propertiesSize: Int, flags: QueueEntry.Flags) {
        self.octets = Octets(bytes: bytes, namesSize: namesSize, propertiesSize: propertiesSize)
        self.place = 0
        self.bodySize = UInt32(truncatingIfNeeded: bytes.count - namesSize - propertiesSize)
        self.flags = flags
    }

    /// A message that stays in the log.
    init(position: UInt64, isShared: Bool, bodySize: Int, flags: QueueEntry.Flags) {
        self.octets = nil
        self.place = position | (isShared ? 1 : 0)
        self.bodySize = UInt32(truncatingIfNeeded: bodySize)
        self.flags = flags
    }

    /// Where its record begins in the log; nil when its octets are here.
    var position: UInt64? { self.octets == nil ? self.place & ~1 : nil }

    /// Whether more than one queue has got it.
    var isShared: Bool { self.place & 1 != 0 }

    /// Its octets; none when they stay in the log.
    var bytes: [UInt8] { self.octets?.bytes ?? [] }

    /// Lends the parts of a message whose octets are here.
    func withView<Result>(_ body: (MessageView) -> Result) -> Result {
        guard let octets = self.octets else { preconditionFailure("its octets are in the log") }
        return octets.bytes.withUnsafeBytes { bytes in
            // The lengths of both names come first, so that there is memory.
            guard let base = bytes.baseAddress else { preconditionFailure("a message has names") }
            let properties = base + octets.namesSize
            let start = properties + octets.propertiesSize
            return body(
                MessageView(
                    names: base,
                    namesSize: octets.namesSize,
                    properties: properties,
                    propertiesSize: octets.propertiesSize,
                    body: start,
                    bodySize: bytes.count - octets.namesSize - octets.propertiesSize
                )
            )
        }
    }

    static func == (left: RecoveredMessage, right: RecoveredMessage) -> Bool {
        (left.place, left.bodySize, left.flags) == (right.place, right.bodySize, right.flags)
            && left.bytes == right.bytes
            && left.octets?.namesSize == right.octets?.namesSize
            && left.octets?.propertiesSize == right.octets?.propertiesSize
    }
}
