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
    private var last: UInt32 = 0

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

    /// ``retain(_:isLogged:)`` without making an origin, which is most often the one of the last message.
    mutating func retain(
        virtualHost: ShortString,
        exchange: UnsafeRawBufferPointer,
        isLogged: Bool
    ) -> UInt32 {
        let last = Int(self.last)
        if last < self.origins.count, self.origins[last].count > 0,
            self.origins[last].origin.virtualHost == virtualHost,
            exchange.elementsEqual(self.origins[last].origin.exchange.bytes)
        {
            self.origins[last].count += 1
            return self.last | (isLogged ? Self.loggedBit : 0)
        }
        let name = ShortString(Array(exchange)) ?? ""
        let number = self.retain(DelayOrigin(virtualHost: virtualHost, exchange: name), isLogged: isLogged)
        self.last = number & ~Self.loggedBit
        return number
    }

    /// One message less has the number.
    ///
    /// Returns whether it was the last one: the number may come to stand for another origin.
    mutating func release(_ number: UInt32) -> Bool {
        let index = Int(number & ~Self.loggedBit)
        self.origins[index].count -= 1
        guard self.origins[index].count == 0 else { return false }
        self.numbers[self.origins[index].origin] = nil
        self.free.append(UInt32(index))
        return true
    }

    /// The origin of a number.
    subscript(number: UInt32) -> DelayOrigin { self.origins[Int(number & ~Self.loggedBit)].origin }
}
