import BrokerSimulation
import Testing

@testable import BrokerCore

/// The order of what waits, against a sorted array, and what a snapshot must not miss.
@Suite struct DelayHeapTests {
    private static func entry(_ deadline: UInt64, _ id: UInt64) -> DelayHeap.Entry {
        DelayHeap.Entry(deadline: deadline, id: id, slot: UInt32(id), origin: 0)
    }

    @Test func entriesAreSmall() {
        #expect(MemoryLayout<DelayHeap.Entry>.stride == 24)
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func agreesWithASortedArray(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var heap = DelayHeap()
        var model: [(deadline: UInt64, id: UInt64)] = []
        func sort() { model.sort { ($0.deadline, $0.id) < ($1.deadline, $1.id) } }
        for id in 1...6000 as ClosedRange<UInt64> {
            let deadline = UInt64(random.below(id < 3000 ? 50 : 100_000))
            heap.insert(Self.entry(deadline, id))
            model.append((deadline, id))
            guard random.oneIn(3), let victim = model.randomElementIndex(random) else { continue }
            let id = model[victim].id
            guard let index = heap.index(of: id) else {
                Issue.record("entry \(id) is lost, seed \(seed)")
                return
            }
            switch random.below(3) {
            case 0:
                #expect(heap.remove(at: index).id == id)
                model.remove(at: victim)
            case 1:
                let deadline = UInt64(random.below(100_000))
                heap.move(at: index, to: deadline)
                model[victim].deadline = deadline
            default:
                sort()
                #expect(heap.remove(at: 0).id == model.removeFirst().id)
            }
        }
        sort()
        var listed: [UInt64] = []
        heap.forEachInOrder { entry in
            listed.append(entry.id)
            return listed.count < 100
        }
        #expect(listed == model.prefix(100).map(\.id))
        #expect(heap.count == model.count)
        for expected in model {
            let removed = heap.remove(at: 0)
            guard removed.id == expected.id, removed.deadline == expected.deadline else {
                Issue.record("\(removed) instead of \(expected), seed \(seed)")
                return
            }
        }
        #expect(heap.first == nil)
        #expect(heap.heldBytes <= 2 * 4096 * 24)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func nothingIsMissedWhileTelling(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var heap = DelayHeap()
        for id in 1...500 as ClosedRange<UInt64> { heap.insert(Self.entry(UInt64(random.below(1000)), id)) }
        heap.beginTelling()
        var told: Set<UInt64> = []
        var gone: Set<UInt64> = []
        var nextID: UInt64 = 501
        while let entry = heap.nextToTell() {
            told.insert(entry.id)
            for _ in 0..<random.below(4) {
                switch random.below(3) {
                case 0 where heap.count > 0:
                    gone.insert(heap.remove(at: random.below(heap.count)).id)
                case 1 where heap.count > 0:
                    heap.move(at: random.below(heap.count), to: UInt64(random.below(1000)))
                default:
                    // New ones are told when they come.
                    told.insert(nextID)
                    heap.insert(Self.entry(UInt64(random.below(1000)), nextID))
                    nextID += 1
                }
                for entry in heap.takeDisplaced() { told.insert(entry.id) }
            }
        }
        let missed = (1..<nextID).filter { !gone.contains($0) && !told.contains($0) }
        #expect(missed == [], "seed \(seed)")
    }
}

extension Array {
    fileprivate func randomElementIndex(_ random: SeededRandom) -> Int? {
        self.isEmpty ? nil : random.below(self.count)
    }
}
