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
        /// It behaves as a quorum queue.
        var isQuorum = false

        /// It has a limit of its length.
        var isLimited: Bool { self.maxLength != nil || self.maxBytes != nil }
        /// It may refuse messages.
        var refuses: Bool { self.isLimited && self.overflow != .dropHead }
        /// It may drop its head.
        var drops: Bool { self.isLimited && self.overflow == .dropHead }
    }

    /// What a policy says of a queue.
    struct Policy: Equatable {
        var timeToLive: UInt64?
        var maxLength: Int?
        var maxBytes: Int?
        var deadLettersTo: Int?
    }

    /// What governed a queue for a while.
    private struct Rule {
        let settings: Settings
        /// From when on it may have, by the judge's clock, and from when on nothing else can have; the last one until now.
        let since: Int
        var certainSince: Int
    }

    /// Its number.
    let id: Int
    /// One consumer at a time gets everything.
    let isSingleActive: Bool
    /// What its arguments say, as it was declared or altered since.
    private(set) var declared: Settings
    private(set) var policy = Policy()
    /// It was declared with what is done beyond limits.
    private let hasOverflow: Bool
    private var history: [Rule]
    /// Messages sent before this time may have been on their way to a channel that took them without acknowledging, and
    /// has ended.
    var lossClock = -1

    init(id: Int, isQuorum: Bool, isSingleActive: Bool, declared: Settings) {
        var declared = declared
        declared.isQuorum = isQuorum
        self.id = id
        self.isSingleActive = isSingleActive
        self.declared = declared
        self.hasOverflow = declared.isLimited
        self.history = [Rule(settings: declared, since: 0, certainSince: 0)]
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

    /// It has another policy from now on; nothing moves.
    func govern(_ policy: Policy, since clock: Int) {
        self.policy = policy
        self.govern(since: clock, isCertain: true)
    }

    /// Somebody has asked for other arguments.
    func alter(_ declared: Settings, since clock: Int) {
        self.declared = declared
        self.govern(since: clock, isCertain: false)
    }

    /// Of what is declared and what a policy says the lower limits count, and what is declared otherwise.
    private func govern(since clock: Int, isCertain: Bool) {
        func lower<Value: Comparable>(_ left: Value?, _ right: Value?) -> Value? {
            [left, right].compactMap { $0 }.min()
        }
        var settings = self.declared
        settings.timeToLive = lower(settings.timeToLive, self.policy.timeToLive)
        settings.maxLength = lower(settings.maxLength, self.policy.maxLength)
        settings.maxBytes = lower(settings.maxBytes, self.policy.maxBytes)
        settings.deadLettersTo = settings.deadLettersTo ?? self.policy.deadLettersTo
        guard settings != self.settings else { return }
        self.history.append(Rule(settings: settings, since: clock, certainSince: isCertain ? clock : .max))
    }

    /// What was asked for has been done; nothing moves.
    func settle(at clock: Int) {
        for index in self.history.indices where self.history[index].certainSince == .max {
            self.history[index].certainSince = clock
        }
    }

    /// Something else may not govern it yet.
    var isChanging: Bool { self.history[self.history.count - 1].certainSince == .max }

    /// What governed it at some time since `clock`.
    func settings(since clock: Int) -> [Settings] {
        let first = self.history.lastIndex { $0.certainSince <= clock } ?? 0
        return self.history[first...].map(\.settings)
    }

    /// The exchange through which its dead letters go; half of them take one with a binding.
    static func deadLetterExchange(to target: Int) -> ShortString {
        target % 2 == 0 ? "" : "dead"
    }

    /// The limit of deliveries that counts.
    func deliveryLimit(_ settings: Settings) -> Int? { settings.deliveryLimit ?? (settings.isQuorum ? 20 : nil) }

    /// Deliveries tell how often the message has come back, and did at all times.
    var alwaysShowsCount: Bool {
        self.history.map(\.settings).allSatisfy { $0.isQuorum || $0.deliveryLimit != nil || $0.retry != nil }
    }

    /// Whether what comes back takes its old place, and did at all times.
    var keepsPlaces: Bool { !self.history.contains { $0.settings.isQuorum } }

    /// Whether priorities are what they were at all times.
    var keepsPriorities: Bool { self.history.allSatisfy { $0.settings.maxPriority == self.settings.maxPriority } }

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
        if self.hasOverflow {
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
        if settings.isQuorum {
            pairs.append(("x-queue-type", .string("quorum")))
        }
        return FieldTable(pairs)
    }

    /// One line about it.
    var description: String {
        let settings = self.settings
        var words = [self.name]
        if settings.isQuorum { words.append("quorum") }
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
