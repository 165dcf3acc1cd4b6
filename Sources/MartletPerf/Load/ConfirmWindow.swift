/// The unconfirmed messages of one publisher and when they were sent.
///
/// 1. Tags below `firstOpen` are settled; `nextTag` is the tag of the next message, the first being 1.
/// 2. `times` is a ring indexed by tag; 0 means settled. It is twice the window, since a server may settle single tags
///    long before older ones.
struct ConfirmWindow {
    /// How many tags one `basic.ack` or `basic.nack` settled, and whether it was a correct one.
    struct Settlement: Equatable {
        var count: UInt64
        var isValid: Bool
    }

    let size: UInt64
    private(set) var outstanding: UInt64 = 0
    private var nextTag: UInt64 = 1
    private var firstOpen: UInt64 = 1
    private var times: [UInt64]
    private let mask: UInt64

    init(size: Int) {
        self.size = UInt64(size)
        var capacity = 16
        while capacity < 2 * size {
            capacity *= 2
        }
        self.times = Array(repeating: 0, count: capacity)
        self.mask = UInt64(capacity - 1)
    }

    /// How many messages may be sent now.
    var room: UInt64 {
        // Both differences cannot be negative: `send` keeps within what was allowed here.
        min(self.size - self.outstanding, self.mask + 1 - (self.nextTag - self.firstOpen))
    }

    /// Notes that `count` messages went out at `now`.
    mutating func send(count: UInt64, at now: UInt64) {
        assert(count <= self.room, "sent more than the window allows")
        for tag in self.nextTag..<self.nextTag + count {
            self.times[Int(tag & self.mask)] = now
        }
        self.nextTag += count
        self.outstanding += count
    }

    /// Settles the tags of one confirmation and records how long each took.
    mutating func settle(
        tag: UInt64,
        multiple: Bool,
        at now: UInt64,
        latencies: inout LatencyRecorder,
        recording: Bool
    ) -> Settlement {
        // Tag 0 with `multiple` stands for everything sent so far (AMQP 0-9-1 §1.8.3.13).
        let last = multiple && tag == 0 ? self.nextTag - 1 : tag
        guard last >= self.firstOpen, last < self.nextTag else {
            return Settlement(count: 0, isValid: false)
        }
        var count: UInt64 = 0
        for tag in (multiple ? self.firstOpen : last)...last {
            let slot = Int(tag & self.mask)
            let sent = self.times[slot]
            guard sent != 0 else { continue }
            if recording {
                latencies.record(now &- sent)
            }
            self.times[slot] = 0
            count += 1
        }
        self.outstanding -= count
        while self.firstOpen < self.nextTag, self.times[Int(self.firstOpen & self.mask)] == 0 {
            self.firstOpen += 1
        }
        // Settling one tag twice is an error; `multiple` may cover tags settled one by one before.
        return Settlement(count: count, isValid: multiple || count == 1)
    }
}
