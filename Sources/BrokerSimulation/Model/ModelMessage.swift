/// A message that a client has published.
package final class ModelMessage {
    /// Whether the broker has, or will have, the message.
    package enum Certainty {
        /// Not published: it belongs to a transaction that has not been, or was not, committed.
        case never
        /// Asked for, not known.
        case possible
        /// Published.
        case certain
    }

    /// Where a copy is.
    package enum Place {
        /// On its queue, or on its way to a client.
        case queue
        /// Seen by a client that has not settled it.
        case out(ModelChannel, tag: UInt64)
        /// Settled by an operation of a channel; final once the operation is known to have been carried out.
        case settled(ModelChannel, operation: Int)
        /// Taken by a client that does not acknowledge.
        case consumed
        /// Settled or not: the channel ended before anybody could know.
        case doubtful
        /// Purged while nothing else went on.
        case purged
        /// Gone with a broker that ended: it was not persistent, or its queue was not durable.
        case ended
    }

    /// One copy on one queue.
    package struct Copy {
        /// Where it is.
        package var place = Place.queue
        /// A client has seen it and had to acknowledge it: from then on it is marked as redelivered.
        package var wasSeen = false
        /// It may have been purged, or been lost on its way to a consumer that does not acknowledge.
        package var mayBeLost = false
        /// When a client saw it first and had to acknowledge it, by the judge's clock.
        package var seenAt = 0
        /// When somebody took it without acknowledgement.
        package var takenAt = 0
        /// A broker that ended may have handed it out without having noted that for good.
        package var mayBeMarked = false
        /// The log has it.
        package var isLogged = false
        /// The log has what settled it.
        package var isFinal = false
        /// It was to be on the queue before a crash, which may have taken it.
        package var wasExpected = false

        /// A copy that has just been routed.
        package init() {}

        /// On its queue, as far as anybody knows, and nobody has had it.
        var isUntouched: Bool {
            guard case .queue = self.place else { return false }
            return !self.wasSeen && !self.mayBeLost && !self.mayBeMarked
        }
    }

    /// Its number, in the order of publishing over all clients; the body begins with it.
    package let id: Int
    /// Who published it.
    package let publisher: ModelChannel
    /// The exchange; nil is the one without a name.
    package let exchange: Int?
    /// The routing key.
    package let key: String
    /// Routing keys in the header CC.
    package var copiedTo: [String] = []
    /// Routing keys in the header BCC.
    package var secretlyCopiedTo: [String] = []
    /// Headers besides CC and BCC.
    package var headers: [String: Int] = [:]
    /// It comes back when there is no route.
    package var isMandatory = false
    /// Octets of its body.
    package var bodySize = 0
    /// When it was sent, by the judge's clock.
    package var sentAt = 0

    /// The life of the broker it was sent to.
    package var era = 0
    /// The operation that publishes it: its own, or the commit of its transaction.
    package var operation = 0
    /// When its publisher was told that it is on its queues.
    package var confirmedAt: Int?
    /// Queues it must go to.
    package var must: Set<Int> = []
    /// Queues it may go to.
    package var may: Set<Int> = []
    /// Whether the broker has it.
    package var certainty = Certainty.possible
    /// It was published in a transaction.
    package var isTransactional = false
    /// The broker has given it back.
    package var isReturned = false
    /// Copies about which something is known, by queue.
    package var copies: [Int: Copy] = [:]

    /// Makes a message.
    package init(id: Int, publisher: ModelChannel, exchange: Int?, key: String) {
        self.id = id
        self.publisher = publisher
        self.exchange = exchange
        self.key = key
    }

    /// It survives the broker, on a durable queue.
    package var isPersistent: Bool { self.id % 3 != 0 }

    /// All its routing keys.
    package var keys: [String] { [self.key] + self.copiedTo + self.secretlyCopiedTo }

    /// Its body: the number, a colon, and filling that depends on the number.
    ///
    /// The filling repeats after a prime number of octets, so that pieces in the wrong place show.
    package var body: [UInt8] {
        var bytes = Array("\(self.id):".utf8)
        let filling = (0..<251).map { UInt8(truncatingIfNeeded: ($0 &* $0) ^ (self.id &* 37)) }
        while bytes.count < self.bodySize {
            bytes.append(contentsOf: filling.prefix(self.bodySize - bytes.count))
        }
        return bytes
    }

    /// The number at the start of a body.
    package static func id(inBody body: [UInt8]) -> Int? {
        guard let end = body.prefix(20).firstIndex(of: UInt8(ascii: ":")) else { return nil }
        return Int(String(decoding: body[..<end], as: UTF8.self))
    }
}
