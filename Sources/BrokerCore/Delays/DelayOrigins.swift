import AMQPProtocol

/// An exchange that a delayed message is published to when its time has come; it need not be there until then.
struct DelayOrigin: Hashable, Sendable {
    /// The virtual host of the exchange.
    let virtualHost: ShortString
    /// The name of the exchange; empty for the default one.
    let exchange: ShortString
}

/// Numbers for the origins of delayed messages, given back when no message has them.
struct DelayOrigins {
    /// Set in an entry's origin when the message is in the commit log.
    static let loggedBit: UInt32 = 1 << 31

    private var numbers: [DelayOrigin: UInt32] = [:]
    private var origins: [(origin: DelayOrigin, count: Int)] = []
    private var free: [UInt32] = []

    /// Makes a table without origins.
    init() {}

    /// The number of an origin, for one more message.
    mutating func retain(_ origin: DelayOrigin, isLogged: Bool) -> UInt32 {
        let bit = isLogged ? Self.loggedBit : 0
        if let number = self.numbers[origin] {
            self.origins[Int(number)].count += 1
            return number | bit
        }
        let number = self.free.popLast() ?? UInt32(self.origins.count)
        if Int(number) == self.origins.count {
            self.origins.append((origin, 1))
        } else {
            self.origins[Int(number)] = (origin, 1)
        }
        self.numbers[origin] = number
        return number | bit
    }

    /// One message less has the number.
    mutating func release(_ number: UInt32) {
        let index = Int(number & ~Self.loggedBit)
        self.origins[index].count -= 1
        guard self.origins[index].count == 0 else { return }
        self.numbers[self.origins[index].origin] = nil
        self.free.append(UInt32(index))
    }

    /// The origin of a number.
    subscript(number: UInt32) -> DelayOrigin { self.origins[Int(number & ~Self.loggedBit)].origin }
}
