import AMQPProtocol

/// The type of exchange that messages go through.
enum ExchangeKind: String, CaseIterable, Sendable {
    /// The default exchange: the routing key is the queue.
    case `default`
    case direct
    case fanout
    case topic
    case headers
}

/// Where the server is and who we are.
struct ServerAddress: Equatable, Sendable {
    var host = "127.0.0.1"
    var port = 5672
    var user = "guest"
    var password = "guest"
    var virtualHost = "/"
}

/// Everything a run needs to know, checked.
struct LoadPlan: Sendable {
    /// What ends the measured part.
    enum Length: Equatable, Sendable {
        /// So many messages in all, counted from the first.
        case count(UInt64)
        /// A stretch of time after a warm-up, both in nanoseconds.
        case time(warmup: UInt64, measured: UInt64)
    }

    var server = ServerAddress()
    var publishers = 1
    var consumers = 1
    var queues = 1
    var threads = 1
    var bodyBytes = 16
    var length = Length.time(warmup: 2_000_000_000, measured: 10_000_000_000)
    /// Messages the server may send a consumer ahead of its acknowledgements; 0 is no limit.
    var prefetch = 0
    /// Messages per acknowledgement; 0 lets the server settle on sending.
    var ackEvery = 0
    /// Unconfirmed messages a publisher may have; `nil` publishes without confirms.
    var confirmWindow: Int?
    var exchange = ExchangeKind.default
    /// Bindings of each queue, of which one matches.
    var bindings = 1
    var isPersistent = false
    var isDurable = false
    /// Queues, and what is in them, stay after a run that went well.
    var keepsQueues = false
    /// Messages per second of each publisher.
    var rate: Double?
    /// Messages published and not yet consumed, in all; `nil` is no limit.
    var maxInflight: UInt64?
    var queueArguments: [Argument] = []
    var consumerArguments: [Argument] = []
    var prefix = "martlet-perf"
    /// What messages differ in, in turn; never empty.
    var varieties = [MessageVariety()]
    /// Consumers begin when everything is published.
    var fillsFirst = false
    var serverPIDs: [Int32] = []
    var plant: PlantedError?

    /// One argument of a declaration or a consumer.
    struct Argument: Equatable, Sendable {
        var key: String
        var value: Value

        /// What the text after the equals sign stands for.
        enum Value: Equatable, Sendable {
            case integer(Int64)
            case boolean(Bool)
            case text(String)
        }
    }
}

extension LoadPlan {
    /// Whether all consumers of a queue get all its messages.
    var isStream: Bool {
        self.queueArguments.contains(Argument(key: "x-queue-type", value: .text("stream")))
    }

    /// How often each published message is to be delivered.
    var copies: UInt64 {
        if self.consumers == 0 { return 1 }
        let queueCopies = self.exchange == .fanout ? self.queues : 1
        return UInt64(self.isStream ? queueCopies * max(1, self.consumers / self.queues) : queueCopies)
    }

    /// Whether the order of one queue may be split over several consumers.
    var sharesQueues: Bool { self.consumers > self.queues && !self.isStream }

    /// Whether the server may deliver messages in another order than they were published.
    var isReordered: Bool { self.varieties.count > 1 }

    func queueName(_ queue: Int) -> ShortString { ShortString(truncating: "\(self.prefix).q\(queue)") }

    /// The exchange published to; empty for the default exchange.
    var exchangeName: ShortString {
        self.exchange == .default ? .empty : ShortString(truncating: "\(self.prefix).\(self.exchange.rawValue)")
    }

    /// The queues a publisher takes turns over; with fanout, one stands for all.
    func targets(ofPublisher publisher: Int) -> [Int] {
        if self.exchange == .fanout { return [0] }
        if self.publishers >= self.queues { return [publisher % self.queues] }
        return Array(stride(from: publisher, to: self.queues, by: self.publishers))
    }

    /// The queues a consumer takes messages from.
    func queues(ofConsumer consumer: Int) -> [Int] {
        Array(stride(from: consumer % self.queues, to: self.queues, by: max(1, self.consumers)))
    }

    /// The event loop of a consumer: all consumers of a queue share one, so that their checks need no lock.
    ///
    /// Counted from the end, so that with two threads and one queue publisher and consumer do not share a thread.
    func loop(ofConsumer consumer: Int) -> Int {
        self.threads - 1 - (consumer % self.queues) % self.threads
    }

    /// The event loop of a publisher.
    func loop(ofPublisher publisher: Int) -> Int { publisher % self.threads }

    /// How many of `count` messages a publisher sends.
    func share(ofPublisher publisher: Int, count: UInt64) -> UInt64 {
        let all = UInt64(self.publishers)
        return count / all + (count % all > UInt64(publisher) ? 1 : 0)
    }

    /// The routing key and headers of messages meant for a queue.
    func address(ofQueue queue: Int) -> (routingKey: ShortString, headers: FieldTable?) {
        switch self.exchange {
        case .default: (self.queueName(queue), nil)
        case .direct: (ShortString(truncating: "k\(queue)"), nil)
        case .fanout: (.empty, nil)
        case .topic: (ShortString(truncating: "perf.\(queue).k"), nil)
        case .headers: (.empty, FieldTable([("queue", .string("\(queue)"))]))
        }
    }

    /// Binding `number` of a queue.
    ///
    /// Number 0 matches what is meant for the queue; the others stand for the size of a real routing table and never
    /// match, except with fanout, which ignores keys.
    func binding(ofQueue queue: Int, number: Int) -> (routingKey: ShortString, arguments: FieldTable) {
        switch self.exchange {
        case .default, .fanout:
            return (number == 0 ? .empty : ShortString(truncating: "n\(number)"), .empty)
        case .direct:
            return (ShortString(truncating: number == 0 ? "k\(queue)" : "k\(queue).n\(number)"), .empty)
        case .topic:
            return (ShortString(truncating: number == 0 ? "perf.\(queue).*" : "perf.\(queue).n\(number).#"), .empty)
        case .headers:
            var pairs: [(ShortString, FieldValue)] = [("x-match", .string("all")), ("queue", .string("\(queue)"))]
            if number > 0 {
                pairs.append(("extra", .string("\(number)")))
            }
            return (.empty, FieldTable(pairs))
        }
    }
}

extension LoadPlan.Argument {
    /// Reads `key=value`; a number becomes an integer, `true` and `false` a boolean, anything else a string.
    init?(_ text: String) {
        guard let equals = text.firstIndex(of: "="), equals != text.startIndex else { return nil }
        let value = text[text.index(after: equals)...]
        self.key = String(text[..<equals])
        if let number = Int64(value) {
            self.value = .integer(number)
        } else if let flag = Bool(String(value)) {
            self.value = .boolean(flag)
        } else {
            self.value = .text(String(value))
        }
    }

    /// The arguments as a field table.
    static func table(_ arguments: [LoadPlan.Argument]) -> FieldTable {
        FieldTable(
            arguments.map { argument in
                let key = ShortString(truncating: argument.key)
                switch argument.value {
                case .integer(let number): return (key, .int64(number))
                case .boolean(let flag): return (key, .boolean(flag))
                case .text(let text): return (key, .string(text))
                }
            }
        )
    }
}
