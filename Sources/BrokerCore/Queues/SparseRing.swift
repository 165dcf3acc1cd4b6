/// A ring of values under growing 64-bit keys: deliveries that wait for their acknowledgement.
///
/// Keys are appended in ascending order and nearly always removed from the front, so that the place of a key is its
/// distance from the first one. Keys removed from the middle leave holes; when there are more holes than values the
/// ring is closed up, and a key is then found by binary search. Memory is thus proportional to what is outstanding,
/// even when one delivery stays open while millions pass by.
struct SparseRing<Value>: ~Copyable {
    private struct Element {
        var key: UInt64
        var isPresent: Bool
        var value: Value
    }

    private var storage: UnsafeMutablePointer<Element>?
    private var mask = 0
    private var head = 0
    /// Elements from the first present one on, holes included.
    private var span = 0
    /// Values present.
    private(set) var count = 0

    /// Holes tolerated before the ring is closed up.
    private static var toleratedHoles: Int { 64 }
    /// Elements kept allocated when the ring runs empty.
    private static var keptCapacity: Int { 1024 }

    init() {}

    deinit {
        // Values are plain data: nothing to deinitialise.
        self.storage?.deallocate()
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
        // Only called with `index` below `span`, so storage exists.
        self.storage.unsafelyUnwrapped + ((self.head &+ index) & self.mask)
    }

    /// Appends a value; `key` is larger than all before.
    @inline(__always)
    mutating func append(_ key: UInt64, _ value: Value) {
        if self.storage == nil || self.span > self.mask {
            self.grow()
        }
        (self.storage.unsafelyUnwrapped + ((self.head &+ self.span) & self.mask)).initialize(
            to: Element(key: key, isPresent: true, value: value)
        )
        self.span &+= 1
        self.count &+= 1
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
        guard let index = self.index(of: key) else { return nil }
        let element = self.element(index)
        element.pointee.isPresent = false
        let value = element.pointee.value
        self.count &-= 1
        if index == 0 {
            self.skipHoles()
        } else if self.span &- self.count > self.count &+ Self.toleratedHoles {
            self.closeUp()
        }
        return value
    }

    /// Removes and returns the first value.
    @inline(__always)
    mutating func removeFirst() -> (key: UInt64, value: Value)? {
        guard self.count > 0 else { return nil }
        let element = self.element(0)
        element.pointee.isPresent = false
        let result = (element.pointee.key, element.pointee.value)
        self.count &-= 1
        self.skipHoles()
        return result
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

    @inline(__always)
    private mutating func skipHoles() {
        while self.span > 0 && !self.element(0).pointee.isPresent {
            self.head = (self.head &+ 1) & self.mask
            self.span &-= 1
        }
        if self.span == 0 && self.mask >= Self.keptCapacity {
            self.storage?.deallocate()
            self.storage = nil
            self.mask = 0
            self.head = 0
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
    }

    @inline(never)
    private mutating func grow() {
        let capacity = self.storage == nil ? 8 : (self.mask + 1) * 2
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity)
        if let storage = self.storage {
            let firstPart = min(self.span, self.mask + 1 - self.head)
            larger.moveInitialize(from: storage + self.head, count: firstPart)
            (larger + firstPart).moveInitialize(from: storage, count: self.span - firstPart)
            storage.deallocate()
        }
        self.storage = larger
        self.mask = capacity - 1
        self.head = 0
    }
}
