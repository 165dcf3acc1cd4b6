/// What becomes of a publish, and why: every exchange it visits, every binding there, every queue it comes to.
///
/// A plain value, the same for the same broker and question; making it changes nothing.
public struct RouteExplanation: Sendable, Equatable {
    /// What is checked before anything is routed, in that order; the first that refuses ends it.
    public var access: [AccessVerdict] = []
    /// The exchanges in the order in which they are come to, each once, so that circles end.
    public var exchanges: [ExchangeVisit] = []
    /// The queues in the order in which they are found, each once.
    public var queues: [QueueVerdict] = []
    /// How it ends for the publisher.
    public var outcome = PublishVerdict.unroutable(isReturned: false)
    /// False when there were more bindings than are looked at for one question; what is said of those seen is right.
    public var isComplete = true
}

/// One check of a publish.
public struct AccessVerdict: Sendable, Equatable {
    /// What is checked.
    public enum Check: String, Sendable, Equatable {
        /// That the exchange is there.
        case exchange
        /// That clients may publish to the exchange.
        case internalExchange = "internal"
        /// The permission to write to the exchange.
        case write
        /// The permission for the routing key at a topic exchange.
        case topicWrite = "topic write"
        /// That `user-id`, if it is there, names the publisher.
        case userID = "user-id"
        /// That `expiration`, `CC` and `BCC` make sense.
        case properties
    }

    /// What is checked.
    public var check: Check
    /// Whether the publish may go on.
    public var isAllowed: Bool
    /// Why, in words; of a refusal those that the client is sent.
    public var reason: String
}

/// An exchange that a publish visits.
public struct ExchangeVisit: Sendable, Equatable {
    /// How a publish has come to an exchange.
    public enum Origin: Sendable, Equatable {
        /// It was published there.
        case publish
        /// By a binding of another exchange.
        case binding(of: String)
        /// Another exchange found no binding, and has this one for its alternate.
        case alternate(of: String)
    }

    /// The name; empty for the default exchange.
    public var name: String
    /// The type, as it was declared.
    public var type: String
    /// How the publish has come here.
    public var origin: Origin
    /// Whether it comes here at all events, and not by the chance of an exchange that draws.
    public var isCertain: Bool
    /// What the exchange does with the message besides routing it.
    public var stations: [StationVerdict] = []
    /// The bindings: those that match first, then others, as many as are told.
    public var bindings: [BindingVerdict] = []
    /// Bindings that do not match, and are not told.
    public var untoldBindings = 0
    /// The alternate exchange, if there is one.
    public var alternate: AlternateVerdict?
}

/// What becomes of the alternate exchange of one that was visited.
public enum AlternateVerdict: Sendable, Equatable {
    /// A binding has matched: it is not needed.
    case unused(String)
    /// The publish goes on there.
    case taken(String)
    /// It has been there before.
    case visitedBefore(String)
    /// There is no exchange of that name, so that nothing comes of it.
    case missing(String)
}

/// What an exchange does with a message besides routing it.
public enum StationVerdict: Sendable, Equatable {
    /// Lets it wait for so many milliseconds, and routes it then.
    case delays(milliseconds: UInt64)
    /// Keeps a copy for queues that are bound later.
    case remembers
    /// Stops it if its key is known; nil when another shard would know.
    case deduplicates(isKnown: Bool?)
}

/// A binding of an exchange that was visited.
public struct BindingVerdict: Sendable, Equatable {
    /// Whether messages go where it leads.
    public enum Match: String, Sendable, Equatable {
        /// They do.
        case yes
        /// They do not.
        case no
        /// It is drawn at random.
        case maybe
    }

    /// What it leads to.
    public var destination: String
    /// Whether that is a queue, and not an exchange.
    public var isQueue: Bool
    /// The binding key.
    public var routingKey: String
    /// Whether it matches.
    public var match: Match
    /// Why.
    public var reason: BindingReason
    /// Whether the exchange it leads to was visited before: a circle, or two ways to one place.
    public var leadsBack = false
}

/// Why a binding matches or does not.
public enum BindingReason: Sendable, Equatable {
    /// The exchange looks at nothing.
    case everything
    /// The default exchange has the key for a queue's name.
    case queueName
    /// The keys are the same.
    case sameKey(String)
    /// The keys are not the same.
    case otherKey(String)
    /// The pattern matches a routing key.
    case pattern(String)
    /// The pattern ends before the routing key: its word of that number, from 1 on, is one too many.
    case tooManyWords(word: Int, String)
    /// The routing key ends before the pattern, which asks for a further word: one of these.
    case tooFewWords(wanted: [String])
    /// A word of the routing key, counted from 1, is none of those that the pattern has there.
    case otherWord(word: Int, String, wanted: [String])
    /// All headers that are asked for are there.
    case allHeaders(count: Int)
    /// This header is there, which is enough for `any`.
    case oneHeader(String)
    /// A header that `all` asks for is not there.
    case missingHeader(String, wanted: String)
    /// A header that `all` asks for has another value.
    case otherHeader(String, wanted: String, found: String)
    /// None of the headers that `any` asks for is there with that value.
    case noHeader([String])
    /// The hash of the message leads to this one of so many, counted from 0.
    case hash(bucket: Int, of: Int)
    /// The hash leads to another one.
    case otherHash(bucket: Int, chosen: Int, of: Int)
    /// It is drawn from so many.
    case chance(of: Int)

    /// The reason in words.
    public var text: String {
        switch self {
        case .everything: "takes every message"
        case .queueName: "the routing key is the queue's name"
        case .sameKey(let key): "the binding key is '\(key)'"
        case .otherKey(let key): "the routing key is '\(key)'"
        case .pattern(let key): "the pattern matches '\(key)'"
        case .tooManyWords(let word, let found): "the pattern ends before word \(word), '\(found)'"
        case .tooFewWords(let wanted): "the routing key ends where \(Self.list(wanted)) is wanted"
        case .otherWord(let word, let found, let wanted):
            "word \(word) is '\(found)' where \(Self.list(wanted)) is wanted"
        case .allHeaders(let count): count == 0 ? "asks for no header" : "all \(count) headers are there"
        case .oneHeader(let name): "header '\(name)' is there"
        case .missingHeader(let name, let wanted): "header '\(name)' is missing, \(wanted) is wanted"
        case .otherHeader(let name, let wanted, let found): "header '\(name)' is \(found), \(wanted) is wanted"
        case .noHeader(let names):
            names.isEmpty ? "any of no headers is nothing" : "none of \(Self.list(names)) is there as wanted"
        case .hash(let bucket, let count): "the hash chooses \(bucket) of \(count)"
        case .otherHash(let bucket, let chosen, let count): "the hash chooses \(chosen) of \(count), not \(bucket)"
        case .chance(let count): "one of \(count) is drawn"
        }
    }

    private static func list(_ words: [String]) -> String { words.map { "'\($0)'" }.joined(separator: " or ") }
}

/// A queue that a publish comes to.
public struct QueueVerdict: Sendable, Equatable {
    /// The name.
    public var name: String
    /// Whether the message comes here at all events, and not by the chance of an exchange that draws.
    public var isCertain: Bool
    /// The shard it lives on.
    public var shard: Int
    /// How it is; nil when the shard that was asked is not the queue's.
    public var state: State?

    /// A queue as it is, and what it would do with the message.
    public struct State: Sendable, Equatable {
        /// Messages that can be delivered.
        public var ready: Int
        /// Messages that are delivered and not acknowledged.
        public var unacknowledged: Int
        /// Consumers.
        public var consumers: Int
        /// Whether a consumer would get the message at once.
        public var deliversAtOnce: Bool
        /// What there is to say besides.
        public var notes: [QueueNote]
    }

    /// Whether the queue would take the message; nil when it is not known.
    public var accepts: Bool? { self.state.map { state in !state.notes.contains { $0.isRefusal } } }
}

/// Something that a queue would do with a message, or that is remarkable about it.
public enum QueueNote: Sendable, Equatable {
    /// It is full and refuses: a negative acknowledgement for who asked for confirms.
    case refuses(limit: String, of: UInt64, now: UInt64)
    /// The same, and the message becomes a dead letter.
    case refusesToDeadLetter(limit: String, of: UInt64, now: UInt64, exchange: String)
    /// It is full: its oldest messages go, until there is room; to that exchange, if there is one.
    case dropsOldest(limit: String, of: UInt64, now: UInt64, deadLetterExchange: String?)
    /// The message alone is over the limit: it goes at once.
    case tooLarge(limit: UInt64)
    /// Unless a consumer gets it at once it expires, as its time to live is 0.
    case expiresAtOnce(deadLetterExchange: String?)
    /// It expires after so many milliseconds in the queue.
    case expires(milliseconds: UInt64)
    /// A message with its id is there: it is acknowledged and ignored.
    case duplicate
    /// Its header says that it has to wait so many milliseconds in the queue.
    case waits(milliseconds: UInt64, header: String)
    /// Nobody consumes.
    case noConsumer
    /// A persistent message in a queue that does not outlive the broker.
    case notDurable
    /// The priority counts as this one, the queue's highest.
    case priorityLowered(to: UInt8)

    /// Whether the message does not come into the queue.
    var isRefusal: Bool {
        switch self {
        case .refuses, .refusesToDeadLetter: true
        case .dropsOldest, .tooLarge, .expiresAtOnce, .expires, .noConsumer, .notDurable, .priorityLowered: false
        // It is there already.
        case .duplicate, .waits: false
        }
    }

    /// The note in words.
    public var text: String {
        switch self {
        case .refuses(let limit, let most, let now): "refuses: \(limit) is \(most), it has \(now)"
        case .refusesToDeadLetter(let limit, let most, let now, let exchange):
            "refuses: \(limit) is \(most), it has \(now); dead letters go to exchange '\(exchange)'"
        case .dropsOldest(let limit, let most, let now, let exchange):
            "drops its oldest: \(limit) is \(most), it has \(now)\(Self.deadLetters(exchange))"
        case .tooLarge(let limit): "drops it: max-length-bytes is \(limit)"
        case .expiresAtOnce(let exchange): "expires at once, its time to live is 0\(Self.deadLetters(exchange))"
        case .expires(let milliseconds): "expires after \(milliseconds) ms"
        case .duplicate: "ignores it: a message with its x-deduplication-header is there; a confirm is positive"
        case .waits(let milliseconds, let header): "keeps it for \(milliseconds) ms, until the instant in '\(header)'"
        case .noConsumer: "has no consumers"
        case .notDurable: "is not durable, the message does not survive a restart"
        case .priorityLowered(let highest): "priority counts as \(highest)"
        }
    }

    private static func deadLetters(_ exchange: String?) -> String {
        exchange.map { "; dead letters go to exchange '\($0)'" } ?? ""
    }
}

/// How a publish ends for the publisher.
public enum PublishVerdict: Sendable, Equatable {
    /// Its channel is closed with this code and text.
    case refused(code: UInt16, text: String)
    /// At least one queue gets it; `isRejected` when one of them refuses, which a confirm tells.
    case routed(isRejected: Bool)
    /// An exchange draws, and whether a queue gets it depends on that.
    case dependsOnChance
    /// No queue gets it: it comes back if it is mandatory, else it is dropped.
    case unroutable(isReturned: Bool)
    /// It is acknowledged and dropped: its deduplication key is known.
    case duplicate
    /// It is routed when its time has come, by the bindings of then; `isReturned` as it has no route now.
    case waits(milliseconds: UInt64, isReturned: Bool)
    /// It goes to whoever asked with `amq.rabbitmq.reply-to`, if they are still there.
    case directReply

    /// The outcome in words.
    public var text: String {
        switch self {
        case .refused(let code, let text): "the channel is closed: \(code) \(text)"
        case .routed(let isRejected): isRejected ? "routed; a queue refuses it, a confirm is negative" : "routed"
        case .dependsOnChance: "routed or not, as it is drawn"
        case .unroutable(let isReturned): isReturned ? "unroutable: returned with NO_ROUTE" : "unroutable: dropped"
        case .duplicate: "a duplicate: dropped, and acknowledged"
        case .waits(let milliseconds, let isReturned):
            "waits for \(milliseconds) ms\(isReturned ? "; returned with NO_ROUTE as well, it has no route now" : "")"
        case .directReply: "a direct reply, which visits no queue"
        }
    }
}
