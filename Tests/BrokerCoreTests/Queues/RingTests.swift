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

    @Test func largeEntryRingKeepsOrderAndGivesItsMemoryBack() {
        let random = SeededRandom(seed: 6)
        let memory = MemoryCount()
        do {
            var ring = EntryRing(counting: memory)
            var first = 0
            var next = 0
            for _ in 0..<40 {
                for _ in 0..<random.below(9_000) {
                    ring.append(QueueEntry(slot: UInt32(next), flags: []))
                    next += 1
                }
                for _ in 0..<min(random.below(8_000), next - first) {
                    self.expect(ring.removeFirst().slot, UInt32(first))
                    first += 1
                }
                self.expect(ring.count, next - first)
                for offset in [0, ring.count / 2, ring.count - 1] where offset >= 0 && offset < ring.count {
                    self.expect(ring.entry(at: offset).slot, UInt32(first + offset))
                }
                // Two blocks are begun at most.
                #expect(memory.bytes <= 8 * (ring.count + 2 * EntryRing.blockEntries))
            }
            while !ring.isEmpty { _ = ring.removeFirst() }
            #expect(memory.bytes <= 8 * 1024)
        }
        #expect(memory.bytes == 0)
        memory.deallocate()
    }

    @Test func largeSparseRingAgreesWithADictionaryAndIsPacked() {
        let random = SeededRandom(seed: 8)
        let memory = MemoryCount()
        do {
            var ring = SparseRing<ConsumerState.Delivery>(counting: memory)
            var model: [UInt64: UInt64] = [:]
            var next: UInt64 = 1
            for round in 0..<6 {
                for _ in 0..<20_000 {
                    let entry = QueueEntry(slot: UInt32(next), flags: [])
                    ring.append(next, ConsumerState.Delivery(sequence: next * 3, entry: entry))
                    model[next] = next * 3
                    next += random.oneIn(50) ? 3 : 1
                }
                // Three octets of eight: key, place, entry.
                if round == 0 { #expect(memory.bytes <= 24 * (20_000 + 2 * 1024)) }
                for _ in 0..<15_000 {
                    let key = random.oneIn(3) ? ring.firstKey ?? 0 : 1 + UInt64(random.below(Int(next)))
                    self.expect(ring.remove(key)?.sequence, model.removeValue(forKey: key))
                }
                self.expect(ring.count, model.count)
                self.expect(ring.firstKey, model.keys.min())
            }
            while let first = ring.removeFirst() {
                self.expect(first.value.sequence, model.removeValue(forKey: first.key))
            }
            #expect(model.isEmpty)
            #expect(memory.bytes == 0)
            // Small again.
            ring.append(next, ConsumerState.Delivery(sequence: 1, entry: QueueEntry(slot: 1, flags: [])))
            self.expect(ring.value(next)?.sequence, 1)
            #expect(memory.bytes < 1000)
        }
        #expect(memory.bytes == 0)
        memory.deallocate()
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
        var heap = OrderedEntries()
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
