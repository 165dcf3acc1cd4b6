/// Very many things with deadlines, the next ones first: a wheel of wheels.
///
/// A deadline is a number of eight digits of 256. With respect to ``base``, a time that never is beyond the present, an
/// element lies on the level of the highest digit in which its deadline differs, in the slot of that digit:
///
/// ```
/// level 0: 256 slots of a millisecond          level 1: 256 slots of 256 ms          level 2: of 65 s …
/// ```
///
/// When a slot's time comes its elements go to lower levels, from level 0 to ``dueFirst``. So putting one in costs an append
/// at the end of a list, and getting it out as many moves as its deadline was levels away; nothing is searched or sorted
/// but what is due in one millisecond. Lists are chunks of elements: memory is that of the elements and little more.
///
/// Invariants:
/// 1. Of an element on level n, the digits above n are those of ``base``, and digit n is above that of ``base``; on level 0
///    it may be equal. Elements whose deadline was before ``base`` when they came lie where ``base`` itself would.
/// 2. A slot's bit in ``occupied`` is set exactly while it holds elements; so is a level's in ``occupiedLevels``.
/// 3. Telling goes from the highest level to the lowest, in a level from the last slot to the first, and ends with what is
///    due. Elements only move the same way, so that none is missed; only ``update(_:deadline:)`` moves them otherwise.
struct TimerWheel<Element: WheelElement>: ~Copyable {
    typealias Chunk = WheelChunks<Element>.Chunk
    typealias List = WheelChunks<Element>.List

    struct Slot {
        var first: List?
        var last: List?
    }

    /// Where an element is; valid until the wheel changes.
    struct Place {
        /// ``TimerWheel/levelCount`` for what is due.
        fileprivate let level: Int
        fileprivate let slot: Int
        fileprivate let chunk: UnsafeMutableRawPointer
        fileprivate let index: Int
    }

    private static var digitBits: Int { 8 }
    static var slotCount: Int { 1 << self.digitBits }
    static var levelCount: Int { 64 / self.digitBits }
    private static var wordsOfLevel: Int { self.slotCount / 64 }

    /// A time that all deadlines are reckoned from.
    private var base: UInt64 = 0
    /// The number of elements.
    private(set) var count = 0
    /// Slots of each level, made with its first element.
    private(set) var levels: UnsafeMutablePointer<UnsafeMutablePointer<Slot>?>
    private var occupied: UnsafeMutablePointer<UInt64>
    private var occupiedLevels: UInt = 0
    /// Elements of the millisecond that is due, in order.
    private(set) var dueFirst: List?
    /// The first of them, in the first chunk.
    private(set) var dueIndex = 0
    private var chunks = WheelChunks<Element>()
    private var slotBytes = 0

    /// Elements are being told.
    private(set) var isTelling = false
    private var tellLevel = 0
    private var tellSlot = 0
    private var tellChunk: List?
    private var tellIndex = 0
    private var displaced: [Element] = []

    /// Makes an empty wheel.
    init() {
        self.levels = .allocate(capacity: Self.levelCount)
        self.levels.initialize(repeating: nil, count: Self.levelCount)
        self.occupied = .allocate(capacity: Self.levelCount * Self.wordsOfLevel)
        self.occupied.initialize(repeating: 0, count: Self.levelCount * Self.wordsOfLevel)
    }

    deinit {
        func free(_ list: List?) {
            var list = list
            while let chunk = list {
                list = chunk.pointee.next
                UnsafeMutableRawPointer(chunk).deallocate()
            }
        }
        free(self.dueFirst)
        for level in 0..<Self.levelCount {
            guard let slots = self.levels[level] else { continue }
            for slot in 0..<Self.slotCount { free(slots[slot].first) }
            slots.deallocate()
        }
        self.levels.deallocate()
        self.occupied.deallocate()
    }

    /// Octets of all chunks and slots.
    var heldBytes: Int { self.chunks.heldBytes + self.slotBytes }

    // MARK: In and out

    /// Adds an element.
    mutating func insert(_ element: Element) {
        self.count += 1
        self.put(element)
    }

    /// When ``due(at:)`` has something, at the soonest; it may have nothing then but must be asked.
    var nextDeadline: UInt64? {
        if let due = self.dueFirst { return WheelChunks.elements(due)[self.dueIndex].deadline }
        return self.lowest.map { self.start(level: $0.level, slot: $0.slot) }
    }

    /// The next elements whose time has come, as they lie in memory: none only if there is none, and rarely all of them.
    ///
    /// Valid until the wheel changes in another way than by ``insert(_:)``.
    mutating func due(at now: UInt64) -> UnsafeBufferPointer<Element> {
        if self.dueFirst == nil { self.turn(to: now) }
        guard let chunk = self.dueFirst else { return UnsafeBufferPointer(start: nil, count: 0) }
        return UnsafeBufferPointer(
            start: WheelChunks.elements(chunk) + self.dueIndex,
            count: Int(chunk.pointee.count) - self.dueIndex
        )
    }

    /// Removes as many of ``due(at:)``.
    mutating func dropDue(_ count: Int) {
        guard let chunk = self.dueFirst, count > 0 else { return }
        self.dueIndex += count
        self.count -= count
        self.leaveUsedUp(chunk)
    }

    /// The first chunk of what is due goes when all of it has been taken.
    private mutating func leaveUsedUp(_ chunk: List) {
        guard self.dueIndex == Int(chunk.pointee.count) else { return }
        if self.tellChunk == chunk {
            self.tellChunk = chunk.pointee.next
            self.tellIndex = 0
        }
        self.dueFirst = chunk.pointee.next
        self.dueIndex = 0
        self.chunks.free(chunk)
    }

    /// Moves what has come nearer, until something is due or nothing more can be.
    private mutating func turn(to now: UInt64) {
        while let (level, slot) = self.lowest {
            let start = self.start(level: level, slot: slot)
            guard start <= now else { break }
            self.base = max(self.base, start)
            guard let first = self.takeList(level, slot) else { preconditionFailure("an occupied slot has elements") }
            if level == 0 {
                self.dueFirst = first
                self.dueIndex = 0
                self.sortDue()
                return
            }
            self.putAll(first)
        }
        // Nothing lies between: digits that change now have no element.
        self.base = max(self.base, now)
    }

    /// The clock was set back: what comes is reckoned from then on, not due before its time has come again.
    ///
    /// Looks at every element.
    mutating func rewind(to now: UInt64) {
        guard now < self.base else { return }
        var lists: [List] = []
        while let (level, slot) = self.lowest, let list = self.takeList(level, slot) { lists.append(list) }
        self.base = now
        for list in lists { self.putAll(list) }
        if self.isTelling {
            self.beginTelling()
        }
    }

    /// Gives each element of a list its slot anew.
    private mutating func putAll(_ first: List) {
        var list: List? = first
        while let chunk = list {
            let elements = WheelChunks.elements(chunk)
            for index in 0..<Int(chunk.pointee.count) { self.put(elements[index]) }
            list = chunk.pointee.next
            self.chunks.free(chunk)
        }
    }

    @inline(__always)
    private mutating func put(_ element: Element) {
        let deadline = max(element.deadline, self.base)
        // The highest digit that differs; the lowest one when none does.
        let bit = 63 &- ((deadline ^ self.base) | 1).leadingZeroBitCount
        let level = Int(truncatingIfNeeded: UInt(truncatingIfNeeded: bit) / UInt(Self.digitBits))
        let slot = Int(truncatingIfNeeded: deadline &>> UInt64(truncatingIfNeeded: level &* Self.digitBits))
        let chunk = self.room(level, slot & (Self.slotCount &- 1))
        WheelChunks.elements(chunk)[Int(chunk.pointee.count)] = element
        chunk.pointee.count &+= 1
    }

    /// A slot's last chunk, with room for one more.
    @inline(__always)
    private mutating func room(_ level: Int, _ slot: Int) -> List {
        if let slots = self.levels[level], let last = slots[slot].last, last.pointee.count != last.pointee.capacity {
            return last
        }
        return self.makeRoom(level, slot)
    }

    @inline(never)
    private mutating func makeRoom(_ level: Int, _ slot: Int) -> List {
        let place = self.slots(of: level) + slot
        let new = self.chunks.allocate(isFirst: place.pointee.last == nil)
        if let last = place.pointee.last {
            last.pointee.next = new
        } else {
            place.pointee.first = new
            self.occupied[level * Self.wordsOfLevel + slot >> 6] |= 1 << UInt64(slot & 63)
            self.occupiedLevels |= 1 << UInt(level)
        }
        place.pointee.last = new
        return new
    }

    /// In order of deadlines, which differ if some had passed, and of what is unique; nearly always they are.
    private mutating func sortDue() {
        guard let first = self.dueFirst else { return }
        var last = WheelChunks.elements(first)[0]
        let isSorted = self.forEach(in: first, from: 0) { element in
            defer { last = element }
            return !element.precedes(last)
        }
        guard !isSorted else { return }
        var all: [Element] = []
        self.forEach(in: first, from: 0) { element in
            all.append(element)
            return true
        }
        all.sort { $0.precedes($1) }
        var rest = all[...]
        var list: List? = first
        while let chunk = list {
            let place = UnsafeMutableBufferPointer(start: WheelChunks.elements(chunk), count: Int(chunk.pointee.count))
            rest = rest.dropFirst(place.update(fromContentsOf: rest.prefix(place.count)))
            list = chunk.pointee.next
        }
    }

    // MARK: Looking for some

    /// Where the first element is that fits; looks at all of them, in no order.
    func firstPlace(where fits: (Element) -> Bool) -> Place? {
        if let found = Self.find(in: self.dueFirst, from: self.dueIndex, fits) {
            return Place(level: Self.levelCount, slot: 0, chunk: found.chunk, index: found.index)
        }
        for level in 0..<Self.levelCount {
            guard let slots = self.levels[level] else { continue }
            for slot in 0..<Self.slotCount {
                if let found = Self.find(in: slots[slot].first, from: 0, fits) {
                    return Place(level: level, slot: slot, chunk: found.chunk, index: found.index)
                }
            }
        }
        return nil
    }

    private static func find(
        in list: List?,
        from start: Int,
        _ fits: (Element) -> Bool
    ) -> (chunk: UnsafeMutableRawPointer, index: Int)? {
        var list = list
        var start = start
        while let chunk = list {
            let elements = WheelChunks.elements(chunk)
            for index in start..<Int(chunk.pointee.count) where fits(elements[index]) {
                return (UnsafeMutableRawPointer(chunk), index)
            }
            start = 0
            list = chunk.pointee.next
        }
        return nil
    }

    /// The element at a place.
    subscript(place: Place) -> Element {
        WheelChunks.elements(place.chunk.assumingMemoryBound(to: Chunk.self))[place.index]
    }

    /// Removes the element at a place.
    @discardableResult
    mutating func remove(_ place: Place) -> Element {
        let chunk = place.chunk.assumingMemoryBound(to: Chunk.self)
        let elements = WheelChunks.elements(chunk)
        let element = elements[place.index]
        for index in place.index..<Int(chunk.pointee.count) - 1 { elements[index] = elements[index + 1] }
        chunk.pointee.count -= 1
        self.count -= 1
        if place.level == Self.levelCount {
            self.removeFromDue(chunk)
        } else {
            self.tidy(place.level, place.slot, chunk)
        }
        return element
    }

    private mutating func removeFromDue(_ chunk: List) {
        // What has been told of it may be told again; nothing is missed.
        if self.tellChunk == chunk { self.tellIndex = 0 }
        guard chunk != self.dueFirst else {
            self.leaveUsedUp(chunk)
            return
        }
        guard chunk.pointee.count == 0 else { return }
        if self.tellChunk == chunk { self.tellChunk = chunk.pointee.next }
        var before = self.dueFirst
        while let list = before, list.pointee.next != chunk { before = list.pointee.next }
        before?.pointee.next = chunk.pointee.next
        self.chunks.free(chunk)
    }

    /// An element has left a chunk of a slot.
    private mutating func tidy(_ level: Int, _ slot: Int, _ chunk: List) {
        if self.isTelling && self.tellLevel == level && self.tellSlot == slot {
            // From the slot's start again.
            self.tellChunk = self.slots(of: level)[slot].first
            self.tellIndex = 0
        }
        guard chunk.pointee.count == 0 else { return }
        let place = self.slots(of: level) + slot
        var before: List?
        if chunk == place.pointee.first {
            place.pointee.first = chunk.pointee.next
        } else {
            before = place.pointee.first
            while let list = before, list.pointee.next != chunk { before = list.pointee.next }
            before?.pointee.next = chunk.pointee.next
        }
        if chunk == place.pointee.last {
            place.pointee.last = before
        }
        if self.tellChunk == chunk { self.tellChunk = place.pointee.first }
        self.chunks.free(chunk)
        if place.pointee.first == nil { self.noteEmpty(level, slot) }
    }

    /// Gives the element at a place another deadline.
    mutating func update(_ place: Place, deadline: UInt64) {
        var element = self.remove(place)
        element.deadline = deadline
        self.insert(element)
        if self.isTelling {
            self.displaced.append(element)
        }
    }

    @discardableResult
    func forEach(in list: List?, from start: Int, _ body: (Element) -> Bool) -> Bool {
        var list = list
        var start = start
        while let chunk = list {
            let elements = WheelChunks.elements(chunk)
            for index in start..<Int(chunk.pointee.count) {
                guard body(elements[index]) else { return false }
            }
            start = 0
            list = chunk.pointee.next
        }
        return true
    }

    // MARK: Telling

    /// Begins to tell all elements while the wheel goes on.
    mutating func beginTelling() {
        self.isTelling = true
        self.tellLevel = Self.levelCount - 1
        self.tellSlot = Self.slotCount
        self.tellChunk = nil
        self.displaced.removeAll()
    }

    /// The next element to be told, perhaps once more; nil when all have been.
    mutating func nextToTell() -> Element? {
        while self.isTelling {
            if let chunk = self.tellChunk {
                if self.tellLevel < 0 && chunk == self.dueFirst { self.tellIndex = max(self.tellIndex, self.dueIndex) }
                if self.tellIndex < Int(chunk.pointee.count) {
                    self.tellIndex += 1
                    return WheelChunks.elements(chunk)[self.tellIndex - 1]
                }
                self.tellChunk = chunk.pointee.next
                self.tellIndex = 0
                continue
            }
            self.tellIndex = 0
            if self.tellLevel < 0 {
                self.isTelling = false
            } else if self.tellSlot > 0, let slots = self.levels[self.tellLevel] {
                self.tellSlot -= 1
                self.tellChunk = slots[self.tellSlot].first
            } else {
                self.tellLevel -= 1
                self.tellSlot = Self.slotCount
                if self.tellLevel < 0 { self.tellChunk = self.dueFirst }
            }
        }
        return nil
    }

    /// Elements that must be told at once, because they have moved where telling has been.
    mutating func takeDisplaced() -> [Element] {
        defer { self.displaced = [] }
        return self.displaced
    }

    // MARK: Slots and chunks

    /// The slot that comes first.
    private var lowest: (level: Int, slot: Int)? {
        guard self.occupiedLevels != 0 else { return nil }
        let level = self.occupiedLevels.trailingZeroBitCount
        for word in 0..<Self.wordsOfLevel {
            let bits = self.occupied[level * Self.wordsOfLevel + word]
            if bits != 0 { return (level, word * 64 + bits.trailingZeroBitCount) }
        }
        preconditionFailure("an occupied level has a slot")
    }

    /// The first millisecond of a slot.
    func start(level: Int, slot: Int) -> UInt64 {
        let shift = UInt64(level * Self.digitBits)
        // The digits above; a shift by 64 is 0.
        let above = shift + UInt64(Self.digitBits)
        return (self.base >> above) << above | UInt64(slot) << shift
    }

    private mutating func slots(of level: Int) -> UnsafeMutablePointer<Slot> {
        if let slots = self.levels[level] { return slots }
        let slots = UnsafeMutablePointer<Slot>.allocate(capacity: Self.slotCount)
        slots.initialize(repeating: Slot(), count: Self.slotCount)
        self.levels[level] = slots
        self.slotBytes += Self.slotCount * MemoryLayout<Slot>.stride
        return slots
    }

    private mutating func takeList(_ level: Int, _ slot: Int) -> List? {
        let place = self.slots(of: level) + slot
        let first = place.pointee.first
        place.pointee = Slot()
        self.noteEmpty(level, slot)
        if self.isTelling && self.tellLevel == level && self.tellSlot == slot {
            // They are told where they are now.
            self.tellChunk = nil
        }
        return first
    }

    private mutating func noteEmpty(_ level: Int, _ slot: Int) {
        let words = self.occupied + level * Self.wordsOfLevel
        words[slot >> 6] &= ~(1 << UInt64(slot & 63))
        for word in 0..<Self.wordsOfLevel where words[word] != 0 { return }
        self.occupiedLevels &= ~(1 << UInt(level))
    }
}
