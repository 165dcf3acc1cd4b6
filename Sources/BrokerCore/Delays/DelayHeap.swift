/// Messages that wait for their time, the next one first: a heap in pages.
///
/// Twenty-four octets a message, never copied as a whole; adding messages in the order of their deadlines costs one
/// comparison each. Telling the log again what waits goes from the end to the start while the heap changes: an entry that
/// moves behind ``untold`` without having been told is put into ``displaced``.
struct DelayHeap: ~Copyable {
    /// A message that waits.
    struct Entry {
        /// Milliseconds since 1970.
        var deadline: UInt64
        /// Unique for ever; of equal deadlines the lower one comes first.
        let id: UInt64
        /// The message, with one reference.
        let slot: UInt32
        /// Where it is published when its time has come; see ``DelayOrigins``.
        let origin: UInt32

        /// Whether its time comes before that of another one.
        @inline(__always)
        func precedes(_ other: Entry) -> Bool {
            self.deadline == other.deadline ? self.id < other.id : self.deadline < other.deadline
        }
    }

    private static let pageShift = 12
    private static let pageMask = 1 << pageShift - 1
    private static let children = 4

    private var pages: [UnsafeMutablePointer<Entry>] = []
    /// The number of entries.
    private(set) var count = 0
    /// Entries from here on have been told since ``beginTelling()``; 0 when nothing is being told.
    private(set) var untold = 0
    /// Entries that have moved behind ``untold``; whoever changes the heap tells them at once.
    private(set) var displaced: [Entry] = []

    /// Makes an empty heap.
    init() {}

    deinit {
        for page in self.pages { page.deallocate() }
    }

    /// The entry whose time comes first.
    var first: Entry? { self.count > 0 ? self[0] : nil }

    /// Octets of memory.
    var heldBytes: Int { self.pages.count * (MemoryLayout<Entry>.stride << Self.pageShift) }

    /// The entry at an index below ``count``; 0 is the first, the others are in no order of use to others.
    private(set) subscript(index: Int) -> Entry {
        get { self.pages[index >> Self.pageShift][index & Self.pageMask] }
        set { self.pages[index >> Self.pageShift][index & Self.pageMask] = newValue }
    }

    // MARK: Changing

    /// Adds an entry.
    mutating func insert(_ entry: Entry) {
        if self.count >> Self.pageShift == self.pages.count {
            self.pages.append(.allocate(capacity: 1 << Self.pageShift))
        }
        self.count += 1
        // Entries are plain memory: nothing has to be initialised before it is overwritten.
        self.moveUp(entry, from: self.count - 1)
    }

    /// Removes the entry at an index.
    @discardableResult
    mutating func remove(at index: Int) -> Entry {
        let removed = self[index]
        let last = self[self.count - 1]
        self.count -= 1
        self.untold = min(self.untold, self.count)
        if index < self.count {
            self.place(last, at: index)
        }
        // One page stays, so that a heap at its edge does not allocate for every entry.
        if self.pages.count > self.count >> Self.pageShift + 2 {
            self.pages.removeLast().deallocate()
        }
        return removed
    }

    /// Gives the entry at an index another deadline.
    mutating func move(at index: Int, to deadline: UInt64) {
        var entry = self[index]
        entry.deadline = deadline
        self.place(entry, at: index)
    }

    /// The index of an entry; looks through all of them.
    func index(of id: UInt64) -> Int? {
        var start = 0
        for page in self.pages {
            for offset in 0..<min(self.count - start, 1 << Self.pageShift) where page[offset].id == id {
                return start + offset
            }
            start += 1 << Self.pageShift
            guard start < self.count else { break }
        }
        return nil
    }

    /// Hands over entries in the order of their times until `body` says that it is enough.
    func forEachInOrder(_ body: (Entry) -> Bool) {
        guard self.count > 0 else { return }
        var frontier = [0]
        while !frontier.isEmpty {
            let index = frontier.removeLast()
            guard body(self[index]) else { return }
            for child in self.children(of: index) {
                // Few are in it: as many as were handed over, times three.
                var low = 0
                var high = frontier.count
                while low < high {
                    let middle = (low + high) / 2
                    if self[child].precedes(self[frontier[middle]]) { low = middle + 1 } else { high = middle }
                }
                frontier.insert(child, at: low)
            }
        }
    }

    private func children(of index: Int) -> Range<Int> {
        let first = min(index * Self.children + 1, self.count)
        return first..<min(first + Self.children, self.count)
    }

    private mutating func place(_ entry: Entry, at index: Int) {
        if index > 0, entry.precedes(self[(index - 1) / Self.children]) {
            self.moveUp(entry, from: index)
        } else {
            self.moveDown(entry, from: index)
        }
    }

    private mutating func moveUp(_ entry: Entry, from start: Int) {
        var index = start
        while index > 0 {
            let parent = (index - 1) / Self.children
            guard entry.precedes(self[parent]) else { break }
            if parent < self.untold && index >= self.untold {
                self.displaced.append(self[parent])
            }
            self[index] = self[parent]
            index = parent
        }
        self[index] = entry
    }

    private mutating func moveDown(_ entry: Entry, from start: Int) {
        var index = start
        while true {
            var smallest = index
            var best = entry
            for child in self.children(of: index) where self[child].precedes(best) {
                smallest = child
                best = self[child]
            }
            guard smallest != index else { break }
            self[index] = best
            index = smallest
        }
        self[index] = entry
        if start < self.untold && index >= self.untold {
            self.displaced.append(entry)
        }
    }

    // MARK: Telling

    /// Begins to tell all entries.
    mutating func beginTelling() {
        self.untold = self.count
        self.displaced.removeAll()
    }

    /// The next entry to be told; nil when all have been.
    mutating func nextToTell() -> Entry? {
        guard self.untold > 0 else { return nil }
        self.untold -= 1
        return self[self.untold]
    }

    /// The entries that were displaced since the last time.
    mutating func takeDisplaced() -> [Entry] {
        guard !self.displaced.isEmpty else { return [] }
        defer { self.displaced.removeAll(keepingCapacity: true) }
        return self.displaced
    }
}
