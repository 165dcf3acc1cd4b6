import BrokerSimulation
import Testing

@testable import BrokerCore

@Suite struct RingTests {
    /// `#expect` cannot look into a value that cannot be copied.
    private func expect<Value: Equatable>(
        _ value: Value,
        _ expected: Value,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(value == expected, sourceLocation: sourceLocation)
    }

    @Test func entryRingIsFirstInFirstOut() {
        let random = SeededRandom(seed: 3)
        var ring = EntryRing()
        var model: [UInt32] = []
        for number in 0..<20_000 {
            if random.below(5) < 3 {
                ring.append(QueueEntry(slot: UInt32(number), flags: []))
                model.append(UInt32(number))
            } else if !model.isEmpty {
                self.expect(ring.removeFirst().slot, model.removeFirst())
            }
            self.expect(ring.count, model.count)
        }
    }

    @Test func sparseRingAgreesWithADictionary() {
        let random = SeededRandom(seed: 4)
        var ring = SparseRing<Int>()
        var model: [UInt64: Int] = [:]
        var next: UInt64 = 1
        for step in 0..<50_000 {
            switch random.below(6) {
            case 0, 1, 2:
                ring.append(next, step)
                model[next] = step
                next += random.oneIn(50) ? 3 : 1
            case 3:
                // From the front, as acknowledgements come.
                let first = ring.removeFirst()
                let expected = model.keys.min()
                #expect(first?.key == expected)
                if let expected { model[expected] = nil }
            default:
                let key = next > 40 ? next - UInt64(random.below(40)) : next
                self.expect(ring.value(key), model[key])
                self.expect(ring.remove(key), model.removeValue(forKey: key))
            }
            self.expect(ring.count, model.count)
        }
        self.expect(ring.firstKey, model.keys.min())
    }

    @Test func sparseRingStaysSmallBehindAStraggler() {
        var ring = SparseRing<Int>()
        ring.append(1, 0)
        for key in 2..<200_000 as Range<UInt64> {
            ring.append(key, 1)
            self.expect(ring.remove(key), 1)
        }
        self.expect(ring.count, 1)
        self.expect(ring.firstKey, 1)
        self.expect(ring.lastKey.map { $0 > 199_000 }, true)
        self.expect(ring.remove(1), 0)
        self.expect(ring.isEmpty, true)
    }

    @Test func requeuedMessagesComeOutOldestFirst() {
        let random = SeededRandom(seed: 5)
        var heap = RequeueHeap()
        var sequences = (0..<1000).map { UInt64($0) }
        var source = random
        sequences.shuffle(using: &source)
        for sequence in sequences {
            heap.insert(sequence, QueueEntry(slot: UInt32(sequence), flags: []))
        }
        for expected in 0..<1000 as Range<UInt64> {
            self.expect(heap.removeFirst().sequence, expected)
        }
        self.expect(heap.isEmpty, true)
    }
}
