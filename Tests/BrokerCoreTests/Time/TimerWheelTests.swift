import BrokerSimulation
import Testing

@testable import BrokerCore

/// The order of what has deadlines, against a sorted array, and what telling must not miss.
@Suite struct TimerWheelTests {
    private static func entry(_ deadline: UInt64, _ id: UInt64) -> DelayedEntry {
        DelayedEntry(deadline: deadline, id: id, slot: UInt32(id), origin: 0)
    }

    /// Deadlines of all sizes: most near, some far, a few beyond everything.
    private static func deadline(_ random: SeededRandom, after now: UInt64) -> UInt64 {
        switch random.below(10) {
        case 0...5: now + UInt64(random.below(300))
        case 6, 7: now + UInt64(random.below(100_000))
        case 8: now + UInt64(random.below(1 << 40))
        default: random.oneIn(4) ? .max : now &- UInt64(random.below(50))
        }
    }

    @Test func entriesAreSmall() {
        #expect(MemoryLayout<DelayedEntry>.stride == 24)
    }

    /// Against an array: what is due comes by deadline and id, but for what came when its time had passed.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func agreesWithASortedArray(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var wheel = TimerWheel<DelayedEntry>()
        var model: [UInt64: UInt64] = [:]
        var now: UInt64 = random.oneIn(2) ? 0 : 1_764_000_000_000 + UInt64(random.below(1 << 20))
        for id in 1...6000 as ClosedRange<UInt64> {
            let deadline = max(Self.deadline(random, after: now), now)
            wheel.insert(Self.entry(deadline, id))
            model[id] = deadline
            if random.oneIn(8) {
                now += UInt64(random.below(random.oneIn(20) ? 200_000 : 200))
                guard Self.isRight(&wheel, &model, now, seed: seed) else { return }
            }
            guard random.oneIn(5), let victim = model.keys.sorted().randomElement(random) else { continue }
            guard let place = wheel.firstPlace(where: { $0.id == victim }) else {
                Issue.record("entry \(victim) is lost, seed \(seed)")
                return
            }
            #expect(wheel[place].deadline == model[victim])
            if random.oneIn(2) {
                #expect(wheel.remove(place).id == victim)
                model[victim] = nil
            } else {
                let deadline = now + UInt64(random.below(100_000))
                wheel.update(place, deadline: deadline)
                model[victim] = deadline
            }
        }
        var listed: [UInt64] = []
        wheel.forEachInOrder { entry in
            listed.append(entry.id)
            return listed.count < 1000
        }
        let sorted = model.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
        #expect(listed == sorted.prefix(1000).map(\.key))
        #expect(wheel.count == model.count)
        guard Self.isRight(&wheel, &model, .max, seed: seed) else { return }
        #expect(wheel.nextDeadline == nil)
        #expect(wheel.heldBytes <= 8 * 4096)
    }

    /// Takes out everything that is due; says whether that was what the model has.
    private static func isRight(
        _ wheel: inout TimerWheel<DelayedEntry>,
        _ model: inout [UInt64: UInt64],
        _ now: UInt64,
        seed: UInt64
    ) -> Bool {
        let due = model.filter { $0.value <= now }.sorted { ($0.value, $0.key) < ($1.value, $1.key) }
        if let soonest = model.values.min(), let next = wheel.nextDeadline, next > soonest {
            Issue.record("told to come at \(next) for \(soonest), seed \(seed)")
            return false
        }
        for expected in due {
            let entry = wheel.popDue(at: now)
            guard entry?.id == expected.key, entry?.deadline == expected.value else {
                Issue.record("\(String(describing: entry)) instead of \(expected), seed \(seed)")
                return false
            }
            model[expected.key] = nil
        }
        guard let surplus = wheel.popDue(at: now) else { return true }
        Issue.record("\(surplus) is not due at \(now), seed \(seed)")
        return false
    }

    /// What has a deadline that has passed comes at once, and in order if it is with others.
    @Test func whatIsLateComesAtOnce() {
        var wheel = TimerWheel<DelayedEntry>()
        #expect(wheel.popDue(at: 5000) == nil)
        for (id, deadline) in [(1, 4000), (2, 5000), (3, 3000), (4, 0), (5, 3000)] as [(UInt64, UInt64)] {
            wheel.insert(Self.entry(deadline, id))
        }
        #expect(wheel.nextDeadline == 5000)
        var ids: [UInt64] = []
        while let entry = wheel.popDue(at: 5000) { ids.append(entry.id) }
        #expect(ids == [4, 3, 5, 1, 2])
    }

    /// A clock that is set back does not keep new entries until its old time has come again.
    @Test func followsAClockThatIsSetBack() {
        var wheel = TimerWheel<DelayedEntry>()
        #expect(wheel.popDue(at: 1_000_000) == nil)
        wheel.insert(Self.entry(1_000_500, 1))
        wheel.rewind(to: 400_000)
        wheel.insert(Self.entry(400_010, 2))
        #expect(wheel.popDue(at: 400_009) == nil)
        #expect(wheel.popDue(at: 400_010)?.id == 2)
        #expect(wheel.popDue(at: 1_000_499) == nil)
        #expect(wheel.popDue(at: 1_000_500)?.id == 1)
    }

    /// Memory is that of what waits: 24 octets each, and a bounded rest.
    @Test func memoryIsFlat() {
        var wheel = TimerWheel<DelayedEntry>()
        _ = wheel.popDue(at: 1_764_000_000_000)
        for id in 1...100_000 as ClosedRange<UInt64> {
            wheel.insert(Self.entry(1_764_000_000_000 + id % 4096 * 16, id))
        }
        #expect(wheel.heldBytes < 100_000 * 24 + (2 << 20))
        var count = 0
        while wheel.popDue(at: 1_764_000_100_000) != nil { count += 1 }
        #expect(count == 100_000)
        #expect(wheel.heldBytes < 64 << 10)
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func nothingIsMissedWhileTelling(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var wheel = TimerWheel<DelayedEntry>()
        var now: UInt64 = 1_000_000 + UInt64(random.below(100_000))
        _ = wheel.popDue(at: now)
        for id in 1...500 as ClosedRange<UInt64> { wheel.insert(Self.entry(Self.deadline(random, after: now), id)) }
        wheel.beginTelling()
        var told: Set<UInt64> = []
        var gone: Set<UInt64> = []
        var nextID: UInt64 = 501
        while let entry = wheel.nextToTell() {
            told.insert(entry.id)
            for _ in 0..<random.below(4) {
                let victim = UInt64(1 + random.below(Int(nextID)))
                let place = wheel.firstPlace { $0.id == victim }
                switch random.below(5) {
                case 0:
                    if let place { gone.insert(wheel.remove(place).id) }
                case 1:
                    if let place { wheel.update(place, deadline: Self.deadline(random, after: now)) }
                case 2:
                    now += UInt64(random.below(random.oneIn(10) ? 3000 : 30))
                    for _ in 0..<random.below(5) {
                        if let entry = wheel.popDue(at: now) { gone.insert(entry.id) }
                    }
                default:
                    // New ones are told when they come.
                    guard nextID < 3000 else { break }
                    told.insert(nextID)
                    wheel.insert(Self.entry(Self.deadline(random, after: now), nextID))
                    nextID += 1
                }
                for entry in wheel.takeDisplaced() { told.insert(entry.id) }
            }
        }
        let missed = (1..<nextID).filter { !gone.contains($0) && !told.contains($0) }
        #expect(missed == [], "seed \(seed)")
        #expect(wheel.count == Int(nextID) - 1 - gone.count)
    }
}

extension Array {
    fileprivate func randomElement(_ random: SeededRandom) -> Element? {
        self.isEmpty ? nil : self[random.below(self.count)]
    }
}

extension TimerWheel {
    /// Removes the next element whose time has come.
    fileprivate mutating func popDue(at now: UInt64) -> Element? {
        guard let element = self.due(at: now).first else { return nil }
        self.dropDue(1)
        return element
    }
}
