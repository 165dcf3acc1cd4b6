import NIOCore

/// A stretch of prebuilt messages, of which each write sends some after patching their stamps.
///
/// The buffer holds copies of the templates, target after target, for at least one round and about one write. A write
/// patches 16 octets per message and hands out a slice: nothing is built and nothing is allocated.
///
/// If the socket still holds an earlier slice, patching makes `ByteBuffer` copy itself; a publisher that waits until its
/// channel is writable does not get there.
struct PublishBatch {
    /// One write: the frames and how many messages they are.
    struct Slice {
        var heads: ByteBuffer
        var count: Int
    }

    /// Numbers to stamp a write with.
    struct Stamp {
        var publisher: Int
        /// The time all messages carry, unless they follow a schedule.
        var now: UInt64
        /// The schedule, and how many messages were built before this write.
        var schedule: RateSchedule?
        var built: UInt64
    }

    private struct Slot {
        var bodyOffset: Int
        var end: Int
        var target: Int
    }

    private var buffer: ByteBuffer
    private let slots: [Slot]
    private var sequences: [UInt64]
    private var next = 0
    private let stampBytes: Int
    /// What follows each head when bodies are large.
    let tail: ByteBuffer?
    /// An error to commit on purpose, to show that the checks see it.
    var plant: PlantedError?

    /// Lays out `templates`: for each kind of message in turn one per target, in turn.
    init(templates: [[MessageTemplate]], bodyBytes: Int, tail: ByteBuffer?) {
        let targets = templates.first?.count ?? 0
        precondition(targets > 0, "a publisher has at least one target")
        let round = templates.joined().reduce(0) { $0 + $1.head.count }
        let messages = targets * templates.count
        let messageBytes = round / messages + (tail?.readableBytes ?? 0)
        let rounds = max(1, PerfLimits.batchBytes / (messageBytes * messages))
        var buffer = ByteBufferAllocator().buffer(capacity: round * rounds)
        var slots: [Slot] = []
        slots.reserveCapacity(messages * rounds)
        for _ in 0..<rounds {
            for kind in templates {
                for (target, template) in kind.enumerated() {
                    let start = buffer.writerIndex
                    buffer.writeBytes(template.head)
                    slots.append(Slot(bodyOffset: start + template.bodyOffset, end: buffer.writerIndex, target: target))
                }
            }
        }
        self.buffer = buffer
        self.slots = slots
        self.sequences = Array(repeating: 0, count: targets)
        self.stampBytes = bodyBytes
        self.tail = tail
    }

    /// Numbers given out so far, over all targets.
    var numbered: UInt64 { self.sequences.reduce(0, +) }

    private func start(of slot: Int) -> Int { slot == 0 ? 0 : self.slots[slot - 1].end }

    /// Stamps up to `limit` messages and hands out their frames.
    ///
    /// Fewer come out where the stretch ends or one write would grow too large; at least one does.
    mutating func take(limit: UInt64, stamp: Stamp) -> Slice {
        let first = self.next
        let start = self.start(of: first)
        let tailBytes = self.tail?.readableBytes ?? 0
        var count = 1
        let most = Int(min(limit, UInt64(self.slots.count - first)))
        if tailBytes == 0, self.slots[first + most - 1].end - start <= PerfLimits.batchBytes {
            count = most
        } else {
            while count < most,
                self.slots[first + count].end - start + (count + 1) * tailBytes <= PerfLimits.batchBytes
            {
                count += 1
            }
        }
        self.patch(first..<first + count, stamp: stamp)
        self.next = first + count == self.slots.count ? 0 : first + count
        let end = self.slots[first + count - 1].end
        guard let heads = self.buffer.getSlice(at: start, length: end - start) else {
            preconditionFailure("slots lie within the buffer they were laid out in")
        }
        return Slice(heads: heads, count: count)
    }

    /// Where each head of a slice ends, for messages that are followed by the tail.
    ///
    /// All messages of one target are equally long, but targets differ in their keys.
    func headLengths(of slice: Slice) -> [Int] {
        let past = self.next == 0 ? self.slots.count : self.next
        return (past - slice.count..<past).map { self.slots[$0].end - self.start(of: $0) }
    }

    private mutating func patch(_ range: Range<Int>, stamp: Stamp) {
        guard self.stampBytes >= BodyStamp.sequenceBytes else { return }
        let withTime = self.stampBytes >= BodyStamp.timeBytes
        let plant = self.plant
        self.buffer.withUnsafeMutableReadableBytes { bytes in
            var built = stamp.built
            for index in range {
                let slot = self.slots[index]
                var sequence = self.sequences[slot.target]
                if let plant {
                    sequence = plant.apply(to: &self.sequences[slot.target], built: built)
                } else {
                    self.sequences[slot.target] = sequence &+ 1
                }
                let word = BodyStamp.word(publisher: stamp.publisher, sequence: sequence)
                bytes.storeBytes(of: word.littleEndian, toByteOffset: slot.bodyOffset, as: UInt64.self)
                if withTime {
                    let time = stamp.schedule?.time(of: built) ?? stamp.now
                    bytes.storeBytes(of: time.littleEndian, toByteOffset: slot.bodyOffset + 8, as: UInt64.self)
                }
                built &+= 1
            }
        }
    }
}

/// An error the load tool commits at its 1001st message, to prove that its own checks would see it.
enum PlantedError: String, CaseIterable, Sendable {
    case lost
    case duplicated
    case reordered

    /// The first message that is wrong, counted from zero.
    static let position: UInt64 = 1000

    /// Returns the number that message `built` carries and advances the target's own count.
    func apply(to sequence: inout UInt64, built: UInt64) -> UInt64 {
        let number = sequence
        sequence += 1
        switch (self, built) {
        case (.lost, Self.position):
            // This number is skipped for good.
            sequence += 1
            return number + 1
        case (.duplicated, Self.position):
            // The number before comes again, and this one in its turn.
            guard number > 0 else { return number }
            sequence = number
            return number - 1
        case (.reordered, Self.position):
            return number + 1
        case (.reordered, Self.position + 1):
            return number > 0 ? number - 1 : number
        default:
            return number
        }
    }
}
