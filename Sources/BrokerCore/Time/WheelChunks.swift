/// The memory of a ``TimerWheel``: elements in rows of chunks.
struct WheelChunks<Element: WheelElement>: ~Copyable {
    /// The head of a chunk; its elements lie behind it.
    struct Chunk {
        var next: UnsafeMutablePointer<Chunk>?
        var count: UInt32
        let capacity: UInt32
    }

    typealias List = UnsafeMutablePointer<Chunk>

    /// Elements of the first chunk of a slot, and of the others.
    private static var firstCapacity: Int { 10 }
    private static var laterCapacity: Int { 170 }
    /// Chunks that are kept to be used again: elements that come nearer leave one for another.
    private static var keptSpares: Int { 8 }

    private var spares: List?
    private var spareCount = 0
    /// Octets of the chunks in use.
    private(set) var heldBytes = 0

    /// Memory without chunks.
    init() {}

    deinit {
        var list = self.spares
        while let chunk = list {
            list = chunk.pointee.next
            UnsafeMutableRawPointer(chunk).deallocate()
        }
    }

    private static func bytes(_ capacity: Int) -> Int {
        MemoryLayout<Chunk>.size + capacity * MemoryLayout<Element>.stride
    }

    /// Where the elements of a chunk lie.
    @inline(__always)
    static func elements(_ chunk: List) -> UnsafeMutablePointer<Element> {
        // Behind the chunk's two words; elements are plain memory that needs no other alignment.
        (UnsafeMutableRawPointer(chunk) + MemoryLayout<Chunk>.size).assumingMemoryBound(to: Element.self)
    }

    /// A chunk without elements, for a slot that has none or for one that has.
    mutating func allocate(isFirst: Bool) -> List {
        let capacity = isFirst ? Self.firstCapacity : Self.laterCapacity
        let new = Chunk(next: nil, count: 0, capacity: UInt32(capacity))
        self.heldBytes += Self.bytes(capacity)
        if !isFirst, let spare = self.spares {
            self.spares = spare.pointee.next
            self.spareCount -= 1
            spare.pointee = new
            return spare
        }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: Self.bytes(capacity), alignment: 16)
        let chunk = memory.bindMemory(to: Chunk.self, capacity: 1)
        chunk.initialize(to: new)
        return chunk
    }

    /// Takes a chunk back.
    mutating func free(_ chunk: List) {
        let capacity = Int(chunk.pointee.capacity)
        self.heldBytes -= Self.bytes(capacity)
        guard capacity == Self.laterCapacity, self.spareCount < Self.keptSpares else {
            UnsafeMutableRawPointer(chunk).deallocate()
            return
        }
        chunk.pointee.next = self.spares
        self.spares = chunk
        self.spareCount += 1
    }
}
