import BrokerSimulation
import Testing

@testable import BrokerCore

@Suite struct OrderedEntriesTests {
    private func entry(_ sequence: UInt64) -> QueueEntry {
        QueueEntry(slot: UInt32(truncatingIfNeeded: sequence), flags: [])
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func behavesAsASortedList(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let memory = MemoryCount()
        do {
            var entries = OrderedEntries(counting: memory)
            var model: Set<UInt64> = []
            for _ in 0..<4000 {
                let sequence = UInt64(random.below(3000))
                switch random.below(6) {
                case 0...3:
                    if model.insert(sequence).inserted { entries.insert(sequence, self.entry(sequence)) }
                case 4:
                    let isThere = entries.remove(sequence)?.slot == UInt32(sequence)
                    #expect(isThere == (model.remove(sequence) != nil))
                default:
                    guard let first = model.min() else { continue }
                    model.remove(first)
                    let removed = entries.removeFirst().sequence
                    #expect(removed == first)
                }
            }
            var all: [UInt64] = []
            entries.forEach { all.append($0.sequence) }
            #expect(all == model.sorted())
            let count = entries.count
            #expect(count == model.count)
            #expect(memory.bytes > 0)
        }
        #expect(memory.bytes == 0)
        memory.deallocate()
    }

    @Test func messagesInAnotherOrderAreFoundByTheirPlace() {
        var entries = OrderedEntries()
        for sequence in 0..<1000 as Range<UInt64> {
            entries.insert(sequence, self.entry(sequence), order: sequence % 2 == 0 ? nil : 1 << 63 | (1000 - sequence))
        }
        let found = entries.remove(501)?.slot
        #expect(found == 501)
        let missing = entries.remove(501)?.slot
        #expect(missing == nil)
        let byOrder = entries.remove(order: 1 << 63 | 1)?.slot
        #expect(byOrder == 999)
        var last: UInt64 = 0
        while !entries.isEmpty { last = entries.removeFirst().sequence }
        #expect(last == 1)
    }
}
