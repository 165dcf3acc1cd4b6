internal import AMQPProtocol

/// A message of a feature run.
final class FeatureMessage {
    /// What its publisher was told.
    enum Verdict {
        /// Nothing yet.
        case open
        /// `basic.ack`.
        case accepted
        /// `basic.nack`.
        case refused
        /// Nothing, and nothing will come: the channel has ended, or does not confirm.
        case unknown
    }

    /// By what an exchange knows it again.
    enum Identity: Hashable {
        case key(Int)
        case number(Int, of: Int)
    }

    /// Its number; its body begins with it.
    let id: Int
    let publisher: FeatureChannel
    let exchange: ShortString
    let key: ShortString
    /// Queues it is routed to.
    let route: [Int]
    var isPersistent = true
    var priority: UInt8?
    /// Milliseconds of its own.
    var expiration: UInt64?
    /// Milliseconds that it waits before it is routed.
    var delay: UInt64?
    /// Of messages with the same one only the first goes through.
    var uniqueKey: Int?
    /// A publisher that outlives its channels has given it this number; of messages with both the same only one goes
    /// through.
    var publisherNumber: (publisher: Int, number: Int)?
    var group: Int?
    var bodySize = 0

    var verdict = Verdict.open
    /// When it was sent, in milliseconds and by the judge's clock.
    var sentAt: UInt64 = 0
    var sentClock = 0
    /// When the broker has certainly been done with it.
    var handledBy: UInt64?
    var handledClock = Int.max
    /// Crashes since it was sent.
    var crashes = 0
    /// The log has that it waits no more.
    var hasWaited = false
    /// A crash may have come between the end of its wait and the log.
    var mayComeTwice = false
    /// Channels that ended, with what they had open, and crashes since it was sent; and when last, in milliseconds.
    var disturbances = 0
    var disturbedAt: UInt64 = 0
    /// Its copies, by the queues they came through.
    var copies: [[Int]: FeatureCopy] = [:]

    init(id: Int, publisher: FeatureChannel, exchange: ShortString, key: ShortString, route: [Int]) {
        self.id = id
        self.publisher = publisher
        self.exchange = exchange
        self.key = key
        self.route = route
    }

    /// By what an exchange knows it again, if it does.
    var identity: Identity? {
        self.publisherNumber.map { .number($0.number, of: $0.publisher) } ?? self.uniqueKey.map { .key($0) }
    }

    /// Its copies in a fixed order.
    var orderedCopies: [FeatureCopy] {
        self.copies.values.sorted { $0.path.lexicographicallyPrecedes($1.path) }
    }

    /// Its body.
    var body: [UInt8] {
        var bytes = Array("\(self.id):".utf8)
        while bytes.count < self.bodySize {
            bytes.append(UInt8(truncatingIfNeeded: bytes.count &* 7 ^ self.id))
        }
        return bytes
    }

    /// Octets of its body.
    var size: Int { max(self.bodySize, "\(self.id):".utf8.count) }

    /// Its properties as they are sent.
    var properties: BasicProperties {
        var headers: [(ShortString, FieldValue)] = []
        if let delay { headers.append(("x-delay", .int32(Int32(delay)))) }
        if let key = self.uniqueKey { headers.append(("x-deduplication-header", .string("k\(key)"))) }
        if let (publisher, number) = self.publisherNumber {
            headers.append(("x-publisher-id", .string("p\(publisher)")))
            headers.append(("x-publisher-seq", .int64(Int64(number))))
        }
        if let group { headers.append(("group", .int32(Int32(group)))) }
        return BasicProperties(
            headers: headers.isEmpty ? nil : FieldTable(headers),
            deliveryMode: self.isPersistent ? 2 : 1,
            priority: self.priority,
            correlationID: ShortString(truncating: "m\(self.id)"),
            expiration: self.expiration.map { ShortString(truncating: "\($0)") }
        )
    }

    /// One line about it.
    var description: String {
        var words = ["m\(self.id)", "to", "'\(self.exchange)'", "\(self.key)"]
        if !self.isPersistent { words.append("transient") }
        if let priority { words.append("priority \(priority)") }
        if let expiration { words.append("expiration \(expiration)") }
        if let delay { words.append("delay \(delay)") }
        if let uniqueKey { words.append("unique k\(uniqueKey)") }
        if let (publisher, number) = self.publisherNumber { words.append("number \(number) of p\(publisher)") }
        if let group { words.append("group \(group)") }
        words.append("\(self.size) octets")
        return words.joined(separator: " ")
    }
}

/// A message on a queue, told apart by the queues in which it died before.
final class FeatureCopy {
    /// What a client has done with a delivery.
    enum Outcome {
        case acknowledge
        /// Without requeue.
        case reject
        case requeue
    }

    /// Where it is, as far as clients can know.
    enum Place {
        /// In its queue, on its way to a client, or gone for a reason nobody has seen.
        case queue
        /// With a client.
        case out(FeatureChannel, tag: UInt64)
        /// Settled by a client whose channel is still there.
        case settled(FeatureChannel, Outcome)
        /// Taken without acknowledgement.
        case consumed
        /// Rejected, and the broker knows.
        case dying
        /// Its dead letter has been seen.
        case dead
        /// Perhaps in its queue, perhaps settled: whoever had it is gone.
        case doubtful
        /// It was looked for and not found, with a good reason.
        case gone(String)
    }

    let message: FeatureMessage
    /// The queues it came through, the one it is in last.
    let path: [Int]
    var place = Place.queue
    /// The broker has it, and if it is persistent the log has.
    var isCertain = false
    /// A crash may have taken it.
    var mayBeLost = false
    /// A crash may have found its dead letter where that goes, and it in its queue.
    var mayComeBackFromDeath = false
    /// Somebody has acknowledged, or rejected, it; perhaps in vain.
    var wasAcknowledged = false
    var wasRejected = false
    /// Deliveries that clients have seen.
    var seenCount = 0
    /// It must be marked as redelivered; and what of that the log has.
    var isMarked = false
    var isMarkLogged = false
    /// How often it has come back at least; and what of that the log has.
    var returns = 0
    var loggedReturns = 0
    /// When it last came back, as far as it is known, in milliseconds.
    var returnedAt: UInt64 = 0
    /// It must not be delivered before that, in milliseconds.
    var waitsUntil: UInt64 = 0
    /// What of that the log has.
    var loggedWait: UInt64 = 0
    /// When it certainly was in the queue.
    var arrivedBy: UInt64?
    /// When it was found to be gone, by the judge's clock.
    var goneClock = Int.max

    init(_ message: FeatureMessage, _ path: [Int]) {
        self.message = message
        self.path = path
    }

    /// The queue it is in.
    var queue: Int { self.path[self.path.count - 1] }
    /// It came from a publisher, not from another queue.
    var isRoot: Bool { self.path.count == 1 }
    var isGone: Bool {
        if case .gone = self.place { true } else { false }
    }
}

/// One life of a channel of a feature run, as its client sees it.
final class FeatureChannel {
    /// A delivery that has not been settled.
    struct Delivery {
        let tag: UInt64
        let copy: FeatureCopy
    }

    let name: String
    /// Its publishes are confirmed.
    let isConfirming: Bool
    var isEnded = false
    var nextPublish: UInt64 = 1
    var unconfirmed: [UInt64: FeatureMessage] = [:]
    /// Messages about which nobody will tell it anything.
    var unanswered: [FeatureMessage] = []
    var unacknowledged: [Delivery] = []
    /// Consumers by tag.
    var consumers: [String: (queue: Int, noAck: Bool)] = [:]
    /// `basic.get` without an answer.
    var gets: [(queue: Int, noAck: Bool)] = []
    /// Queues from which it takes without acknowledging.
    var automaticQueues: Set<Int> = []
    /// The last message that came without a mark, by what has an order.
    var lastDelivered: [Order: Int] = [:]
    /// Its socket was empty then, in milliseconds: whatever came later was sent later.
    var emptyAt: UInt64 = 0

    /// What comes in the order of publishing.
    struct Order: Hashable {
        let queue: Int
        let publisher: ObjectIdentifier
        let priority: UInt8
        let group: Int?
    }

    init(name: String, isConfirming: Bool) {
        self.name = name
        self.isConfirming = isConfirming
    }
}

extension FeatureChannel: Equatable {
    static func == (left: FeatureChannel, right: FeatureChannel) -> Bool { left === right }
}
