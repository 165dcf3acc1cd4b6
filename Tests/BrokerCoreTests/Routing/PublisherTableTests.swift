import BrokerSimulation
import Testing

@testable import BrokerCore

/// The publishers that one exchange remembers: how many there can be, who leaves, what the log is told.
@Suite struct PublisherTableTests {
    private static func name(_ number: Int, isPersistent: Bool = true) -> PublisherTable.Name {
        PublisherTable.Name(id: Array("p\(number)".utf8), isPersistent: isPersistent)
    }

    private func publish(
        _ table: inout PublisherTable,
        _ publisher: Int,
        _ number: UInt64,
        deadline: UInt64 = .max,
        now: UInt64 = 0,
        most: Int = ShardLimits.windowBytes
    ) {
        table.change(Self.name(publisher), deadline: deadline, now: now, most: most) {
            $0.arrive(number, isRejected: false)
        }
    }

    private func remembered(_ table: PublisherTable, _ publishers: ClosedRange<Int>, now: UInt64 = 0) -> [Int] {
        publishers.filter { table.entry(of: Self.name($0), now: now) != nil }
    }

    @Test func whoHasBeenSilentLongestLeaves() {
        var table = PublisherTable(limit: 3)
        for (publisher, number) in [(1, 1), (2, 1), (3, 1), (1, 2), (1, 3)] as [(Int, UInt64)] {
            self.publish(&table, publisher, number)
        }
        self.publish(&table, 4, 1)
        #expect(self.remembered(table, 1...4) == [1, 3, 4])
        #expect(table.knowledge(of: 3, from: Self.name(1), now: 0) == .known)
        #expect(table.knowledge(of: 4, from: Self.name(1), now: 0) == .new)
        // Who comes back is new.
        #expect(table.knowledge(of: 1, from: Self.name(2), now: 0) == .new)
        for number in 5...1000 as ClosedRange<UInt64> { self.publish(&table, Int(number % 2) * 3 + 1, number) }
        #expect(self.remembered(table, 1...4) == [1, 3, 4] && table.places <= 2 * 3 + 17)
    }

    @Test func aPublisherIsRememberedForATime() {
        var table = PublisherTable(limit: 9)
        self.publish(&table, 1, 7, deadline: 100)
        self.publish(&table, 2, 7, deadline: 50)
        #expect(table.knowledge(of: 7, from: Self.name(2), now: 49) == .known)
        #expect(table.knowledge(of: 7, from: Self.name(2), now: 50) == .new)
        self.publish(&table, 2, 3, deadline: 150, now: 60)
        #expect(table.knowledge(of: 3, from: Self.name(2), now: 60) == .known)
        #expect(table.knowledge(of: 4, from: Self.name(2), now: 60) == .new, "it begins anew")
        self.publish(&table, 3, 1, deadline: 300, now: 200)
        #expect(table.count == 1, "the others' time has passed")
    }

    @Test func octetsAreBounded() {
        var table = PublisherTable(limit: .max)
        for publisher in 1...1000 { self.publish(&table, publisher, 1, most: 20_000) }
        #expect(table.bytes <= 20_000 && table.bytes > 19_000)
        #expect(self.remembered(table, 1...1000).last == 1000)
        // What is under way and what was refused counts, too.
        let before = table.bytes
        table.change(Self.name(1000), deadline: .max, now: 0) {
            for number in 2...65 as ClosedRange<UInt64> { $0.begin(number, ticket: number) }
            $0.arrive(67, isRejected: true)
        }
        #expect(table.bytes == before + 64 * ShardLimits.publisherOpenBytes + 16)
        for number in 2...65 as ClosedRange<UInt64> {
            let answer1 = table.settle(Self.name(1000), number, ticket: number, isRejected: false)
            #expect(answer1)
        }
        #expect(table.bytes == before + 16)
        let answer2 = table.settle(Self.name(1), 1, ticket: 1, isRejected: false)
        #expect(!answer2, "it has left")
    }

    @Test func aTurnTellsAPublisherOnce() {
        var table = PublisherTable(limit: 2)
        var told: [PublisherTable.Name] = []
        for number in 1...5 as ClosedRange<UInt64> {
            self.publish(&table, 1, number)
            let answer3 = table.noteUntold(Self.name(1))
            #expect(answer3 == (number == 1))
        }
        self.publish(&table, 2, 1)
        let answer4 = table.noteUntold(Self.name(2))
        #expect(!answer4, "somebody knows already that there is something to tell")
        table.tellUntold { name, _ in told.append(name) }
        #expect(told == [Self.name(1), Self.name(2)] && table.untold.isEmpty)
        let answer5 = table.noteUntold(Self.name(3))
        #expect(!answer5, "there is nothing to tell of it")
        // Who has left is not told.
        let answer6 = table.noteUntold(Self.name(1))
        #expect(answer6)
        for publisher in 4...5 { self.publish(&table, publisher, 1) }
        table.tellUntold { _, _ in Issue.record("it has left") }
    }

    /// What a snapshot tells in pieces, while publishers go on, and what is told anyway make the same table.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func aSnapshotWithWhatComesMeanwhileIsWhole(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var table = PublisherTable(limit: 30)
        for number in 1...500 as ClosedRange<UInt64> { self.publish(&table, Int(random.next() % 40), number) }
        table.change(Self.name(1, isPersistent: false), deadline: .max, now: 0) { $0.arrive(1, isRejected: false) }
        var copy = PublisherTable(limit: 30)
        let end = table.nextStamp
        var place: UInt64? = 0
        var pieces = 0
        var number: UInt64 = 500
        while let from = place {
            var budget = 2000
            place = table.forEachPersistent(from: from, to: end, &budget) { name, entry in
                #expect(name.isPersistent)
                copy.restore(name, entry.sequence, deadline: entry.deadline)
            }
            pieces += 1
            for _ in 1...3 {
                number += 1
                let publisher = Int(random.next() % 40)
                self.publish(&table, publisher, number)
                _ = table.noteUntold(Self.name(publisher))
            }
            table.tellUntold { copy.restore($0, $1.sequence, deadline: $1.deadline) }
        }
        #expect(pieces > 3 && pieces < 20)
        for publisher in 0..<40 {
            guard let entry = table.entry(of: Self.name(publisher), now: 0) else { continue }
            #expect(copy.entry(of: Self.name(publisher), now: 0)?.sequence.next == entry.sequence.next, "seed \(seed)")
        }
    }
}
