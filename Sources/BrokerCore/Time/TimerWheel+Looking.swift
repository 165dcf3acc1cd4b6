/// Going through elements that stay where they are.
extension TimerWheel {
    /// Hands over what comes next until `time`, perhaps a little more, until `body` says that it is enough.
    ///
    /// In order, but for those that come in the same 256 ms later than the next 256 ms; nothing of what lies further away.
    func forEachNear(to time: UInt64, _ body: (Element) -> Bool) {
        guard self.forEach(in: self.dueFirst, from: self.dueIndex, body) else { return }
        for level in 0..<2 {
            guard let slots = self.levels[level] else { continue }
            for slot in 0..<Self.slotCount where slots[slot].first != nil {
                guard self.start(level: level, slot: slot) <= time, self.forEach(in: slots[slot].first, from: 0, body)
                else { return }
            }
        }
    }

    /// When the slot begins that comes behind what ``forEachNear(to:_:)`` looks at, if there is one until `time`.
    func nextFarSlot(to time: UInt64) -> UInt64? {
        self.farSlot.flatMap { place in
            let start = self.start(level: place.level, slot: place.slot)
            return start <= time ? start : nil
        }
    }

    /// The elements of that slot with deadlines until `time`, in order; looks at all of them.
    func elementsOfFarSlot(to time: UInt64) -> [Element] {
        guard let place = self.farSlot, let slots = self.levels[place.level] else { return [] }
        var elements: [Element] = []
        self.forEach(in: slots[place.slot].first, from: 0) { element in
            if element.deadline <= time { elements.append(element) }
            return true
        }
        elements.sort { $0.precedes($1) }
        return elements
    }

    private var farSlot: (level: Int, slot: Int)? {
        for level in 2..<Self.levelCount {
            guard let slots = self.levels[level] else { continue }
            for slot in 0..<Self.slotCount where slots[slot].first != nil { return (level, slot) }
        }
        return nil
    }

    /// Hands over elements in order until `body` says that it is enough.
    func forEachInOrder(_ body: (Element) -> Bool) {
        guard self.forEach(in: self.dueFirst, from: self.dueIndex, body) else { return }
        for level in 0..<Self.levelCount {
            guard let slots = self.levels[level] else { continue }
            for slot in 0..<Self.slotCount where slots[slot].first != nil {
                var heap: [Element] = []
                self.forEach(in: slots[slot].first, from: 0) { element in
                    heap.append(element)
                    return true
                }
                // A heap: sorting all would be much for those who want the first few.
                for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { heap.sink(index) }
                while let first = heap.first {
                    guard body(first) else { return }
                    heap[0] = heap[heap.count - 1]
                    heap.removeLast()
                    heap.sink(0)
                }
            }
        }
    }
}
