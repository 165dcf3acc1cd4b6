import BrokerSimulation
import Testing

@testable import BrokerCore

@Suite struct MessageStoreTests {
    /// `#expect` cannot look into a value that cannot be copied.
    private func expect(_ condition: Bool, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(condition, sourceLocation: sourceLocation)
    }

    /// Adds a message whose bytes follow from its number.
    private func add(_ store: inout MessageStore, number: Int, bodySize: Int) -> UInt32 {
        let (slot, record) = store.add(namesSize: 6, propertiesSize: 2, bodySize: bodySize, references: 1)
        for offset in 0..<8 + bodySize {
            record.names.storeBytes(
                of: UInt8(truncatingIfNeeded: number + offset),
                toByteOffset: offset,
                as: UInt8.self
            )
        }
        return slot
    }

    private func isIntact(_ store: borrowing MessageStore, _ slot: UInt32, number: Int, bodySize: Int) -> Bool {
        let record = store.record(slot)
        guard record.namesSize == 6, record.propertiesSize == 2, record.bodySize == bodySize else { return false }
        return (0..<8 + bodySize).allSatisfy { offset in
            record.names.load(fromByteOffset: offset, as: UInt8.self) == UInt8(truncatingIfNeeded: number + offset)
        }
    }

    @Test func keepsBytesThroughCompactionInAnyOrderOfRelease() {
        let random = SeededRandom(seed: 7)
        var store = MessageStore()
        var live: [(slot: UInt32, number: Int, bodySize: Int)] = []
        var peak = 0
        for number in 0..<40_000 {
            let bodySize = random.oneIn(200) ? 20_000 + random.below(100_000) : random.below(600)
            live.append((self.add(&store, number: number, bodySize: bodySize), number, bodySize))
            // Most die young, some stay: chunks end up sparse.
            while live.count > 2_000 || (live.count > 500 && random.oneIn(2)) {
                let index = random.oneIn(20) ? random.below(live.count) : live.count - 1 - random.below(50)
                let message = live.remove(at: index)
                if !self.isIntact(store, message.slot, number: message.number, bodySize: message.bodySize) {
                    Issue.record("message \(message.number) damaged")
                    return
                }
                store.release(message.slot)
            }
            store.compactIfWorthwhile()
            peak = max(peak, store.heldBytes - 2 * store.liveBytes)
        }
        self.expect(store.messageCount == live.count)
        // Never more than twice the live octets plus a constant: slack, spare chunks, slots.
        #expect(peak < 9 << 20)
        for message in live {
            let isIntact = self.isIntact(store, message.slot, number: message.number, bodySize: message.bodySize)
            #expect(isIntact)
            store.release(message.slot)
        }
        self.expect(store.liveBytes == 0)
        self.expect(store.messageCount == 0)
    }

    @Test func sharedMessagesLiveUntilTheLastReference() {
        var store = MessageStore()
        let slot = self.add(&store, number: 1, bodySize: 100)
        store.retain(slot, count: 2)
        store.release(slot)
        store.release(slot)
        self.expect(store.messageCount == 1)
        let isIntact = self.isIntact(store, slot, number: 1, bodySize: 100)
        #expect(isIntact)
        store.release(slot)
        self.expect(store.messageCount == 0)
    }

    @Test func slotsAreReused() {
        var store = MessageStore()
        for number in 0..<100_000 {
            store.release(self.add(&store, number: number, bodySize: 16))
        }
        self.expect(store.heldBytes < 4 << 20)
    }

    @Test func givesTheMemoryOfABacklogBack() {
        var store = MessageStore()
        let empty = store.heldBytes
        for _ in 0..<2 {
            let slots = (0..<400_000).map { self.add(&store, number: $0, bodySize: 16) }
            self.expect(store.heldBytes > 16 << 20)
            for slot in slots { store.release(slot) }
            store.compactIfWorthwhile()
            self.expect(store.heldBytes <= empty + MessageStore.spareChunks * MessageStore.chunkSize)
        }
        let slot = self.add(&store, number: 1, bodySize: 3)
        let isIntact = self.isIntact(store, slot, number: 1, bodySize: 3)
        #expect(isIntact)
        store.release(slot)
    }
}
