import AMQPProtocol

/// An exchange that a delayed message is published to when its time has come; it need not be there until then.
struct DelayOrigin: Hashable, Sendable {
    /// The virtual host of the exchange.
    let virtualHost: ShortString
    /// The name of the exchange; empty for the default one.
    let exchange: ShortString
}

/// What a publisher's route remembers of the origin of its messages that wait.
struct CachedOrigin {
    /// The number is good as long as this is ``DelayOrigins/generation``.
    var generation = UInt64.max
    var number: UInt32 = 0
    /// The exchange is durable.
    var isDurable = false
}

/// Numbers for the origins of delayed messages, given back when no message has them.
struct DelayOrigins {
    /// Set in an entry's origin when the message is in the commit log.
    static let loggedBit: UInt32 = 1 << 31
    /// Set when the message is as it will be when its time has come, so that nobody need look at it.
    static let readyBit: UInt32 = 1 << 30
    /// Set when such a message is persistent.
    static let persistentBit: UInt32 = 1 << 29
    /// What is the number.
    static let numberMask: UInt32 = 1 << 29 - 1

    private var numbers: [DelayOrigin: UInt32] = [:]
    private var origins: [DelayOrigin] = []
    /// Messages of each but ``last``.
    private var counts: ContiguousArray<Int> = []
    private var free: [UInt32] = []
    /// The origin of the last message, most often that of the next one as well, and its messages.
    private var last = UInt32.max
    private var lastCount = 0
    /// Grows whenever a number may come to stand for another origin.
    private(set) var generation: UInt64 = 0

    /// Makes a table without origins.
    init() {}

    /// The number of an origin, for one more message.
    mutating func retain(_ origin: DelayOrigin, isLogged: Bool) -> UInt32 {
        let bit = isLogged ? Self.loggedBit : 0
        if let number = self.numbers[origin] {
            self.retain(number)
            return number | bit
        }
        let number = self.free.popLast() ?? UInt32(self.origins.count)
        if Int(number) == self.origins.count {
            self.origins.append(origin)
            self.counts.append(0)
        } else {
            self.origins[Int(number)] = origin
        }
        self.numbers[origin] = number
        self.retain(number)
        return number | bit
    }

    /// One more message has an origin's number.
    @inline(__always)
    mutating func retain(_ number: UInt32) {
        if number & Self.numberMask != self.last {
            self.turn(to: number & Self.numberMask)
        }
        self.lastCount &+= 1
    }

    /// One message less has the number.
    ///
    /// Returns whether it was the last one: the number may come to stand for another origin.
    @inline(__always)
    mutating func release(_ number: UInt32) -> Bool {
        if number & Self.numberMask != self.last {
            self.turn(to: number & Self.numberMask)
        }
        self.lastCount &-= 1
        guard self.lastCount == 0 else { return false }
        self.forgetLast()
        return true
    }

    @inline(never)
    private mutating func turn(to number: UInt32) {
        if self.last != .max {
            self.counts[Int(self.last)] = self.lastCount
        }
        self.last = number
        self.lastCount = self.counts[Int(number)]
    }

    @inline(never)
    private mutating func forgetLast() {
        self.counts[Int(self.last)] = 0
        self.numbers[self.origins[Int(self.last)]] = nil
        self.free.append(self.last)
        self.last = .max
        self.generation += 1
    }

    /// The origin of a number.
    subscript(number: UInt32) -> DelayOrigin { self.origins[Int(number & Self.numberMask)] }
}
