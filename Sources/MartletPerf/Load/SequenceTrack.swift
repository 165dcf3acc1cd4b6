/// Which messages of one publisher arrived at one queue.
///
/// A publisher numbers its messages from zero for each queue it feeds. Arrival in order costs one comparison; a bitmap
/// exists only while numbers are missing.
///
/// 1. Every number below `base` arrived, and the bitmap speaks of `base` and above; without a bitmap there is no gap.
/// 2. `next` is one past the highest number that arrived.
/// 3. `distinct` counts the numbers that arrived, so `next - distinct` are missing.
struct SequenceTrack {
    /// What one arrival says about the server.
    enum Arrival: Equatable {
        case inOrder
        /// It had been skipped before: something later overtook it.
        case late
        case duplicate
        /// No publisher of this run can have sent it.
        case foreign
    }

    private(set) var next: UInt64 = 0
    private(set) var distinct: UInt64 = 0
    private(set) var duplicated: UInt64 = 0
    private(set) var late: UInt64 = 0
    private(set) var foreign: UInt64 = 0
    private var base: UInt64 = 0
    private var bits: [UInt64] = []

    /// Numbers that were skipped and have not arrived since.
    var missing: UInt64 { self.next - self.distinct }

    /// Notes the arrival of `sequence`.
    @inline(__always)
    @discardableResult
    mutating func receive(_ sequence: UInt64) -> Arrival {
        guard sequence == self.next, self.bits.isEmpty else {
            return self.receiveWithGap(sequence)
        }
        self.next &+= 1
        self.distinct &+= 1
        return .inOrder
    }

    @inline(never)
    private mutating func receiveWithGap(_ sequence: UInt64) -> Arrival {
        if sequence > self.next, sequence - self.next > PerfLimits.sequenceJump {
            self.foreign += 1
            return .foreign
        }
        if self.bits.isEmpty {
            if sequence < self.next {
                self.duplicated += 1
                return .duplicate
            }
            self.openBitmap()
        }
        guard sequence >= self.base else {
            self.duplicated += 1
            return .duplicate
        }
        self.makeRoom(for: sequence)
        let word = Int((sequence - self.base) / 64)
        let bit: UInt64 = 1 << (sequence % 64)
        guard self.bits[word] & bit == 0 else {
            self.duplicated += 1
            return .duplicate
        }
        self.bits[word] |= bit
        self.distinct += 1
        let overtaken = sequence < self.next
        if overtaken {
            self.late += 1
        } else {
            self.next = sequence + 1
        }
        if self.distinct == self.next {
            // The last gap closed: back to the cheap path.
            self.bits.removeAll(keepingCapacity: true)
        }
        return overtaken ? .late : .inOrder
    }

    /// Starts a bitmap in which everything below `next` is marked.
    private mutating func openBitmap() {
        self.base = self.next - self.next % 64
        self.bits.append((1 << (self.next % 64)) - 1)
    }

    private mutating func makeRoom(for sequence: UInt64) {
        var needed = Int((sequence - self.base) / 64) + 1
        guard needed > self.bits.count else { return }
        if self.bits.count == self.bits.capacity {
            // Before growing, forget what is complete.
            let complete = self.bits.prefix { $0 == .max }.count
            self.bits.removeFirst(complete)
            self.base += UInt64(complete) * 64
            needed -= complete
        }
        while self.bits.count < needed {
            self.bits.append(0)
        }
    }
}
