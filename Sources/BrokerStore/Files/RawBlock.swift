/// Memory that grows by doubling and is used again: where records are put together.
struct RawBlock: ~Copyable {
    private(set) var base: UnsafeMutableRawPointer
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(64, capacity)
        self.base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    /// Takes over memory that somebody has allocated and filled.
    init(adopting base: UnsafeMutableRawPointer, count: Int, capacity: Int) {
        self.base = base
        self.count = count
        self.capacity = capacity
    }

    deinit {
        self.base.deallocate()
    }

    /// What was put in.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: self.base, count: self.count) }

    /// Room for so many more octets, not yet set; valid until the next call.
    mutating func extend(by octets: Int) -> UnsafeMutableRawPointer {
        precondition(octets >= 0)
        let newCount = self.count + octets
        if newCount > self.capacity { self.grow(to: newCount) }
        defer { self.count = newCount }
        return self.base + self.count
    }

    /// Forgets the content.
    ///
    /// A block that grew beyond `keeping` octets gives its memory back.
    mutating func reset(keeping: Int = .max) {
        self.count = 0
        guard self.capacity > keeping else { return }
        self.base.deallocate()
        self.capacity = max(64, keeping)
        self.base = .allocate(byteCount: self.capacity, alignment: 16)
    }

    private mutating func grow(to octets: Int) {
        let newCapacity = max(octets, self.capacity * 2)
        let newBase = UnsafeMutableRawPointer.allocate(byteCount: newCapacity, alignment: 16)
        newBase.copyMemory(from: self.base, byteCount: self.count)
        self.base.deallocate()
        self.base = newBase
        self.capacity = newCapacity
    }
}
