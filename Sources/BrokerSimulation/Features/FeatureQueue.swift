internal import AMQPProtocol

/// A queue with features: what governs it now, and what did before.
final class FeatureQueue {
    /// What happens beyond the limits.
    enum Overflow: String {
        case dropHead = "drop-head"
        case rejectPublish = "reject-publish"
        case rejectPublishDeadLetter = "reject-publish-dlx"
    }

    /// How long messages that come back wait; milliseconds.
    struct Retry: Equatable {
        var min: UInt64
        var max: UInt64
    }

    /// What governs a queue.
    struct Settings: Equatable {
        var timeToLive: UInt64?
        var maxLength: Int?
        var maxBytes: Int?
        var overflow = Overflow.dropHead
        /// The queue that dead letters go to.
        var deadLettersTo: Int?
        /// They stay until they have arrived.
        var isAtLeastOnce = false
        var maxPriority: UInt8?
        var deliveryLimit: Int?
        var retry: Retry?
        var hasGroups = false

        /// It has a limit of its length.
        var isLimited: Bool { self.maxLength != nil || self.maxBytes != nil }
        /// It may refuse messages.
        var refuses: Bool { self.isLimited && self.overflow != .dropHead }
        /// It may drop its head.
        var drops: Bool { self.isLimited && self.overflow == .dropHead }
    }

    /// Its number.
    let id: Int
    /// It behaves as a quorum queue.
    let isQuorum: Bool
    /// One consumer at a time gets everything.
    let isSingleActive: Bool
    /// What it was declared with.
    let declared: Settings
    /// What governed it from which time on, by the judge's clock.
    private(set) var history: [(since: Int, settings: Settings)]
    /// Messages sent before this time may have been on their way to a channel that took them without acknowledging, and
    /// has ended.
    var lossClock = -1

    init(id: Int, isQuorum: Bool, isSingleActive: Bool, declared: Settings) {
        self.id = id
        self.isQuorum = isQuorum
        self.isSingleActive = isSingleActive
        self.declared = declared
        self.history = [(0, declared)]
    }

    static func name(_ id: Int) -> String { "f\(id)" }
    var name: String { Self.name(self.id) }

    /// The number in a queue's name.
    static func id(ofName name: [UInt8]) -> Int? {
        guard name.first == UInt8(ascii: "f") else { return nil }
        return Int(String(decoding: name.dropFirst(), as: UTF8.self))
    }

    /// What governs it now.
    var settings: Settings { self.history[self.history.count - 1].settings }

    /// Something else governs it from now on.
    func govern(_ settings: Settings, since clock: Int) {
        if settings != self.settings {
            self.history.append((clock, settings))
        }
    }

    /// What governed it at some time since `clock`.
    func settings(since clock: Int) -> [Settings] {
        let first = self.history.lastIndex { $0.since <= clock } ?? 0
        return self.history[first...].map(\.settings)
    }

    /// The exchange through which its dead letters go; half of them take one with a binding.
    static func deadLetterExchange(to target: Int) -> ShortString {
        target % 2 == 0 ? "" : "dead"
    }

    /// The limit of deliveries that counts.
    func deliveryLimit(_ settings: Settings) -> Int? { settings.deliveryLimit ?? (self.isQuorum ? 20 : nil) }

    /// Deliveries tell how often the message has come back, and did at all times.
    var alwaysShowsCount: Bool {
        self.isQuorum || self.history.allSatisfy { $0.settings.deliveryLimit != nil || $0.settings.retry != nil }
    }

    /// Whether what comes back takes its old place.
    var keepsPlaces: Bool { !self.isQuorum }

    /// The arguments it is declared with.
    var arguments: FieldTable {
        let settings = self.declared
        var pairs: [(ShortString, FieldValue)] = []
        func add(_ key: ShortString, _ value: Int?) {
            if let value { pairs.append((key, .int32(Int32(value)))) }
        }
        add("x-message-ttl", settings.timeToLive.map { Int($0) })
        add("x-max-length", settings.maxLength)
        add("x-max-length-bytes", settings.maxBytes)
        add("x-max-priority", settings.maxPriority.map { Int($0) })
        add("x-delivery-limit", settings.deliveryLimit)
        add("x-delayed-retry-min", settings.retry.map { Int($0.min) })
        add("x-delayed-retry-max", settings.retry.map { Int($0.max) })
        if settings.isLimited {
            pairs.append(("x-overflow", .string(settings.overflow.rawValue)))
        }
        if let target = settings.deadLettersTo {
            pairs.append(("x-dead-letter-exchange", .longString(Self.deadLetterExchange(to: target).bytes)))
            pairs.append(("x-dead-letter-routing-key", .string(Self.name(target))))
        }
        if settings.isAtLeastOnce {
            pairs.append(("x-dead-letter-strategy", .string("at-least-once")))
        }
        if settings.hasGroups {
            pairs.append(("x-group-header", .string("group")))
        }
        if self.isSingleActive {
            pairs.append(("x-single-active-consumer", .boolean(true)))
        }
        if self.isQuorum {
            pairs.append(("x-queue-type", .string("quorum")))
        }
        return FieldTable(pairs)
    }

    /// One line about it.
    var description: String {
        let settings = self.settings
        var words = [self.name]
        if self.isQuorum { words.append("quorum") }
        if self.isSingleActive { words.append("single-active") }
        if let time = settings.timeToLive { words.append("ttl \(time)") }
        if let limit = settings.maxLength { words.append("max-length \(limit)") }
        if let limit = settings.maxBytes { words.append("max-bytes \(limit)") }
        if settings.isLimited { words.append(settings.overflow.rawValue) }
        if let target = settings.deadLettersTo { words.append("dlx \(Self.name(target))") }
        if settings.isAtLeastOnce { words.append("at-least-once") }
        if let highest = settings.maxPriority { words.append("max-priority \(highest)") }
        if let limit = settings.deliveryLimit { words.append("delivery-limit \(limit)") }
        if let retry = settings.retry { words.append("retry \(retry.min)...\(retry.max)") }
        if settings.hasGroups { words.append("groups") }
        return words.joined(separator: " ")
    }
}
