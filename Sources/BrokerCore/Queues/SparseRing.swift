internal import DequeModule

/// A ring of values under growing 64-bit keys: deliveries that wait for their acknowledgement.
///
/// Keys are appended in ascending order and nearly always removed from the front, so that the place of a key is its
/// distance from the first one. Keys removed from the middle leave holes; when there are more holes than values the
/// ring is closed up, and a key is then found by binary search. Memory is thus proportional to what is outstanding,
/// even when one delivery stays open while millions pass by.
///
/// A small ring is one block that grows by doubling; a large one is a row of blocks, so that nothing is copied when
/// hundreds of thousands are outstanding, and hardly more is held than is needed.
struct SparseRing<Value>: ~Copyable {
    private struct Element {
        /// The key, doubled, and whether the value is present: 8 octets less than apart.
        var word: UInt64
        var value: Value

        var key: UInt64 { self.word >> 1 }

        var isPresent: Bool { self.word & 1 != 0 }
    }

    /// The one block of a small ring; elements wrap around in it.
    private var storage: UnsafeMutablePointer<Element>?
    private var mask = 0
    /// The blocks of a large ring, in order, ``blockElements`` each; empty while the ring is small.
    private var blocks: Deque<UnsafeMutablePointer<Element>> = []
    /// The first present element: in `storage`, or in the first block.
    private var head = 0
    /// Elements from the first present one on, holes included.
    private var span = 0
    /// Values present.
    private(set) var count = 0
    private let memory: MemoryCount?

    /// Elements of a block, and of the largest ring that is one block.
    private static var blockElements: Int { 1024 }
    /// Holes tolerated before the ring is closed up.
    private static var toleratedHoles: Int { 64 }

    /// A ring whose memory is counted somewhere, or nowhere.
    init(counting memory: MemoryCount? = nil) {
        self.memory = memory
    }

    deinit {
        // Values are plain data: nothing to deinitialise.
        self.storage?.deallocate()
        for block in self.blocks {
            block.deallocate()
        }
        self.memory?.remove(self.allocatedBytes)
    }

    /// Octets of all memory.
    private var allocatedBytes: Int {
        let small = self.storage == nil ? 0 : self.mask + 1
        return (small + self.blocks.count * Self.blockElements) * MemoryLayout<Element>.stride
    }

    @inline(__always)
    var isEmpty: Bool { self.count == 0 }

    /// The smallest key present.
    var firstKey: UInt64? {
        self.count == 0 ? nil : self.element(0).pointee.key
    }

    /// The largest key present or removed since the ring was last empty.
    var lastKey: UInt64? {
        self.span == 0 ? nil : self.element(self.span - 1).pointee.key
    }

    @inline(__always)
    private func element(_ index: Int) -> UnsafeMutablePointer<Element> {
        // Only called with `index` below `span`, so storage or a block exists.
        if let storage = self.storage {
            return storage + ((self.head &+ index) & self.mask)
        }
        return self.blockElement(index)
    }

    @inline(never)
    private func blockElement(_ index: Int) -> UnsafeMutablePointer<Element> {
        let place = self.head + index
        return self.blocks[place / Self.blockElements] + place % Self.blockElements
    }

    /// Appends a value; `key` is larger than all before, and at most 2^63 - 1.
    @inline(__always)
    mutating func append(_ key: UInt64, _ value: Value) {
        if let storage = self.storage, self.span <= self.mask {
            let place = storage + ((self.head &+ self.span) & self.mask)
            place.initialize(to: Element(word: key << 1 | 1, value: value))
            self.span &+= 1
            self.count &+= 1
            return
        }
        self.appendElsewhere(key, value)
    }

    @inline(never)
    private mutating func appendElsewhere(_ key: UInt64, _ value: Value) {
        self.makeRoom()
        self.span &+= 1
        self.count &+= 1
        self.element(self.span &- 1).initialize(to: Element(word: key << 1 | 1, value: value))
    }

    /// The place of `key`, or nil if it is not present.
    @inline(__always)
    private func index(of key: UInt64) -> Int? {
        guard self.span > 0 else { return nil }
        let first = self.element(0).pointee.key
        guard key >= first else { return nil }
        let distance = key &- first
        if distance < UInt64(self.span) {
            let element = self.element(Int(distance))
            if element.pointee.key == key {
                return element.pointee.isPresent ? Int(distance) : nil
            }
        }
        return self.searchIndex(of: key)
    }

    @inline(never)
    private func searchIndex(of key: UInt64) -> Int? {
        let low = self.lowerBound(of: key)
        guard low < self.span else { return nil }
        let element = self.element(low)
        return element.pointee.key == key && element.pointee.isPresent ? low : nil
    }

    /// The value under `key`.
    func value(_ key: UInt64) -> Value? {
        guard let index = self.index(of: key) else { return nil }
        return self.element(index).pointee.value
    }

    /// Replaces the value under `key`, which is present.
    mutating func update(_ key: UInt64, _ value: Value) {
        guard let index = self.index(of: key) else { return }
        self.element(index).pointee.value = value
    }

    /// Removes the value under `key`; nil if it is not present.
    @inline(__always)
    mutating func remove(_ key: UInt64) -> Value? {
        if let storage = self.storage, self.span > 0 {
            let element = storage + self.head
            if element.pointee.word == key << 1 | 1 {
                return self.takeFirst(element)
            }
        }
        return self.removeElsewhere(key)
    }

    /// Removes the first element of a small ring, which is present.
    @inline(__always)
    private mutating func takeFirst(_ element: UnsafeMutablePointer<Element>) -> Value {
        let value = element.pointee.value
        self.count &-= 1
        self.head = (self.head &+ 1) & self.mask
        self.span &-= 1
        if self.span != self.count {
            self.skipHoles()
        }
        return value
    }

    @inline(never)
    private mutating func removeElsewhere(_ key: UInt64) -> Value? {
        guard let index = self.index(of: key) else { return nil }
        let element = self.element(index)
        element.pointee.word &= ~1
        let value = element.pointee.value
        self.count &-= 1
        if index == 0 {
            self.skipHoles()
        } else if self.span &- self.count > self.count &+ Self.toleratedHoles {
            self.closeUp()
        }
        return value
    }

    /// The first value and its key; nil when there is none.
    @inline(__always)
    var first: (key: UInt64, value: Value)? {
        guard self.count > 0 else { return nil }
        let element = self.element(0)
        return (element.pointee.key, element.pointee.value)
    }

    /// Removes and returns the first value.
    @inline(__always)
    mutating func removeFirst() -> (key: UInt64, value: Value)? {
        guard self.count > 0 else { return nil }
        if let storage = self.storage {
            let element = storage + self.head
            return (element.pointee.key, self.takeFirst(element))
        }
        return self.removeFirstElsewhere()
    }

    @inline(never)
    private mutating func removeFirstElsewhere() -> (key: UInt64, value: Value)? {
        let element = self.element(0)
        element.pointee.word &= ~1
        let result = (element.pointee.key, element.pointee.value)
        self.count &-= 1
        self.skipHoles()
        return result
    }

    /// Calls `body` for the values from a key on in ascending order, until it has enough.
    ///
    /// Returns the first key that it did not want, to go on with; nil when it has had all.
    func forEach(from key: UInt64, _ body: (UInt64, Value) -> Bool) -> UInt64? {
        for index in self.lowerBound(of: key)..<self.span {
            let element = self.element(index)
            if element.pointee.isPresent, !body(element.pointee.key, element.pointee.value) {
                return element.pointee.key
            }
        }
        return nil
    }

    /// Where the first element stands whose key is not below another.
    private func lowerBound(of key: UInt64) -> Int {
        var low = 0
        var high = self.span
        while low < high {
            let middle = (low + high) / 2
            if self.element(middle).pointee.key < key {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low
    }

    /// Calls `body` for each value in ascending order of keys.
    func forEach(_ body: (UInt64, Value) -> Void) {
        for index in 0..<self.span {
            let element = self.element(index)
            if element.pointee.isPresent {
                body(element.pointee.key, element.pointee.value)
            }
        }
    }

    private mutating func skipHoles() {
        while self.span > 0 && !self.element(0).pointee.isPresent {
            // Of a large ring the mask is all ones.
            self.head = (self.head &+ 1) & self.mask
            self.span &-= 1
        }
        if self.storage == nil {
            self.leaveBlocks()
        }
    }

    /// Gives back blocks that are used up; an empty ring keeps none.
    @inline(never)
    private mutating func leaveBlocks() {
        while self.head >= Self.blockElements || (self.span == 0 && !self.blocks.isEmpty) {
            self.free(self.blocks.removeFirst())
            self.head = max(0, self.head - Self.blockElements)
        }
        if self.span == 0 {
            // Small again.
            self.head = 0
            self.mask = 0
        }
    }

    @inline(never)
    private mutating func closeUp() {
        var target = 0
        for index in 0..<self.span {
            let element = self.element(index)
            guard element.pointee.isPresent else { continue }
            if index != target {
                self.element(target).pointee = element.pointee
            }
            target += 1
        }
        self.span = target
        guard self.storage == nil else { return }
        let needed = (self.head + self.span + Self.blockElements - 1) / Self.blockElements
        while self.blocks.count > needed {
            self.free(self.blocks.removeLast())
        }
    }

    /// There is no place behind the last element, or the ring is large and may have one.
    @inline(never)
    private mutating func makeRoom() {
        if self.storage == nil && (self.mask != 0 || !self.blocks.isEmpty) {
            if self.head + self.span == self.blocks.count * Self.blockElements {
                self.blocks.append(self.allocate(Self.blockElements))
            }
            return
        }
        let capacity = self.storage == nil ? 8 : (self.mask + 1) * 2
        let larger = self.allocate(min(capacity, Self.blockElements))
        guard let storage = self.storage else {
            self.storage = larger
            self.mask = capacity - 1
            return
        }
        if capacity > Self.blockElements {
            // From here on in blocks: the one there is becomes the first, in order from its start.
            larger.moveInitialize(from: storage + self.head, count: self.mask + 1 - self.head)
            (larger + (self.mask + 1 - self.head)).moveInitialize(from: storage, count: self.head)
            self.free(storage)
            self.storage = nil
            self.mask = -1
            self.head = 0
            self.blocks = [larger, self.allocate(Self.blockElements)]
            return
        }
        larger.moveInitialize(from: storage + self.head, count: self.mask + 1 - self.head)
        (larger + (self.mask + 1 - self.head)).moveInitialize(from: storage, count: self.head)
        self.memory?.remove((self.mask + 1) * MemoryLayout<Element>.stride)
        storage.deallocate()
        self.storage = larger
        self.mask = capacity - 1
        self.head = 0
    }

    private func allocate(_ elements: Int) -> UnsafeMutablePointer<Element> {
        self.memory?.add(elements * MemoryLayout<Element>.stride)
        return .allocate(capacity: elements)
    }

    /// Gives a block of ``blockElements`` back.
    private func free(_ block: UnsafeMutablePointer<Element>) {
        self.memory?.remove(Self.blockElements * MemoryLayout<Element>.stride)
        block.deallocate()
    }
}
