internal import DequeModule

/// The messages of one shard, in memory.
///
/// Invariants:
/// 1. A message is named by its slot; the slot points to the record, wherever compaction moved it, or says where on disk
///    the message lies (see ``PagedWord``).
/// 2. A record lives while its reference count is above zero: one for each queue entry or delivery that needs it.
/// 3. Small records lie in chunks of ``chunkSize`` octets, aligned to their size, so that a record's chunk is found by
///    masking its address. Large records are allocations of their own.
/// 4. Chunk memory stays below twice the live octets plus a small constant: when dead octets outweigh live ones, the
///    survivors of the emptiest chunks are copied together (``compactIfWorthwhile()``).
///
/// No allocation per message in steady state: chunks and slots are recycled.
struct MessageStore: ~Copyable {
    /// Octets of a chunk, a power of two: chunks are aligned to it.
    ///
    /// So large that the allocator maps each from the system (see `Platform.returnLargeMemory` of the server), which
    /// alone gives memory back when a backlog is gone.
    static let chunkSize = 1 << 20
    /// Records larger than this are allocations of their own.
    static let largeRecordSize = 16 * 1024
    /// Chunks kept for reuse when nothing lives in them.
    static let spareChunks = 4
    /// Octets copied in one turn before the rest is put off.
    private static let compactionStep = 4 << 20
    /// Dead octets tolerated before compaction is thought of.
    static let compactionSlack = 1 << 20
    /// Pages of the slot table kept when no message is left.
    private static let keptSlotPages = 64
    /// Slots of a page of the slot table.
    static let slotsPerPage = 4096

    static let chunkMask = UInt(bitPattern: -1) ^ UInt(chunkSize - 1)

    /// At the start of every chunk.
    struct ChunkHeader {
        /// Octets used from the start, header included; records are appended here.
        var used: UInt32
        /// Octets of records that are still referenced.
        var live: UInt32
        /// Place in ``chunks``.
        var index: UInt32
        /// ``MessageStore/turn`` when it was begun, or when a message in it was released for the last time.
        var lastUse: UInt32
        /// What lies here is being written to a scratch file: nothing moves.
        var isPinned: UInt32 = 0
        var padding: (UInt32, UInt32, UInt32) = (0, 0, 0)
    }

    static let chunkHeaderSize = 32

    /// Pages of slots.
    ///
    /// A used slot holds its record's address; a free one the next free slot and a set lowest bit; one whose message is on
    /// disk a ``PagedWord``, whose highest bit is set.
    var slotPages: UnsafeMutablePointer<UnsafeMutablePointer<UInt>>
    private(set) var slotPageCount = 0
    private var slotPageCapacity = 16
    var firstFreeSlot = UInt32.max

    var chunks: [UnsafeMutableRawPointer] = []
    private var spares: [UnsafeMutableRawPointer] = []
    var current: UnsafeMutableRawPointer

    /// Octets of records that are referenced, large ones included.
    var liveBytes = 0
    /// Octets of small records that are referenced; what compaction compares with the chunks' size.
    var liveChunkBytes = 0
    /// Messages alive, wherever they are.
    var messageCount = 0

    /// Counts turns; what ``ChunkHeader/lastUse`` is compared with.
    var turn: UInt32 = 0
    /// Chunks that are being written to scratch files.
    var pinnedChunks = 0
    /// Messages that are on disk only.
    var pagedCount = 0
    /// Those with more than one reference or of unusual size.
    var asides: [UInt32: PagedAside] = [:]
    /// Of these, those that the disk refuses to read; see ``PagedAside/isUnread``.
    var unreadCount = 0
    /// Octets of messages that the commit log has for durable queues, about.
    var loggedBytes = 0
    /// Large records alive, and their slots in order of age, with some that are not alive any more.
    var largeCount = 0
    var largeSlots: Deque<UInt32> = []
    /// Those that are being written to scratch files.
    var largeWrites: Set<UInt32> = []
    /// Where the log ends, about; what places in it are reckoned from.
    var logEnd: UInt64 = 0
    var scratch = ScratchSpace()

    init() {
        self.slotPages = .allocate(capacity: 16)
        self.current = Self.allocateChunk(index: 0, turn: 0)
        self.chunks.append(self.current)
    }

    deinit {
        var largeRecords: [UnsafeMutableRawPointer] = []
        for page in 0..<self.slotPageCount {
            for slot in 0..<Self.slotsPerPage {
                let value = self.slotPages[page][slot]
                guard value & 1 == 0, Int(bitPattern: value) > 0,
                    let record = UnsafeMutableRawPointer(bitPattern: value)
                else { continue }
                if MessageRecord(record).allocatedSize > Self.largeRecordSize {
                    largeRecords.append(record)
                }
            }
            self.slotPages[page].deallocate()
        }
        self.slotPages.deallocate()
        for record in largeRecords {
            record.deallocate()
        }
        for chunk in self.chunks + self.spares {
            chunk.deallocate()
        }
    }

    /// Octets of memory that messages hold: chunks, large records and slots.
    ///
    /// Without what is free for the next message, the rest of the current chunk and the few spare ones: who waits for
    /// memory to become free must be able to see it.
    var heldBytes: Int {
        let used = Int(self.current.assumingMemoryBound(to: ChunkHeader.self).pointee.used)
        return (self.chunks.count - 1) * Self.chunkSize + used
            + (self.liveBytes - self.liveChunkBytes)
            + self.slotPageCount * Self.slotsPerPage * 8
    }

    // MARK: Records

    /// The record of `slot`; valid until the next call that adds, releases or compacts.
    @inline(__always)
    func record(_ slot: UInt32) -> MessageRecord {
        let value = self.slotPages[Int(slot >> 12)][Int(slot & 4095)]
        // Our own bug if the slot is free, for entries and deliveries hold references; or if the message is on disk, for
        // whoever needs its octets asks `isResident` first.
        assert(value & 1 == 0, "free message slot used")
        assert(Int(bitPattern: value) >= 0, "a message that is on disk was not loaded")
        return MessageRecord(UnsafeMutableRawPointer(bitPattern: value).unsafelyUnwrapped)
    }

    /// Reserves a record with `references` references; the caller fills names, properties and body.
    ///
    /// Sizes are within ``MessageRecord``'s limits; callers have checked them.
    @inline(__always)
    mutating func add(
        namesSize: Int,
        propertiesSize: Int,
        bodySize: Int,
        references: UInt32,
        hasLocation: Bool = false
    ) -> (slot: UInt32, record: MessageRecord) {
        let size = MessageRecord.allocatedSize(
            MessageRecord.headerSize &+ namesSize &+ propertiesSize &+ bodySize
                &+ (hasLocation ? MessageRecord.locationSize : 0)
        )
        let base = size <= Self.largeRecordSize ? self.reserveInChunk(size) : self.reserveLarge(size)
        let slot = self.takeSlot()
        self.slotPages[Int(slot >> 12)][Int(slot & 4095)] = UInt(bitPattern: base)
        MessageRecord.writeHeader(
            at: base,
            slot: slot,
            references: references,
            bodySize: bodySize,
            namesSize: namesSize,
            propertiesSize: propertiesSize,
            hasLocation: hasLocation
        )
        if size > Self.largeRecordSize {
            self.noteLarge(slot)
        }
        self.liveBytes &+= size
        self.messageCount &+= 1
        return (slot, MessageRecord(base))
    }

    /// Takes over a record that was filled elsewhere, in memory of its own that ``MessageStore`` frees later.
    ///
    /// The record must be larger than ``largeRecordSize``, with room for a place in the log; its header is written here.
    mutating func adoptLarge(
        _ base: UnsafeMutableRawPointer,
        namesSize: Int,
        propertiesSize: Int,
        bodySize: Int,
        references: UInt32,
        hasLocation: Bool = false
    ) -> UInt32 {
        let slot = self.takeSlot()
        self.slotPages[Int(slot >> 12)][Int(slot & 4095)] = UInt(bitPattern: base)
        MessageRecord.writeHeader(
            at: base,
            slot: slot,
            references: references,
            bodySize: bodySize,
            namesSize: namesSize,
            propertiesSize: propertiesSize,
            hasLocation: hasLocation
        )
        self.noteLarge(slot)
        assert(MessageRecord(base).allocatedSize > Self.largeRecordSize, "small record adopted as large")
        self.liveBytes &+= MessageRecord(base).allocatedSize
        self.messageCount &+= 1
        return slot
    }

    /// Adds `count` references.
    @inline(__always)
    mutating func retain(_ slot: UInt32, count: UInt32 = 1) {
        guard self.isResident(slot) else {
            self.retainPaged(slot, count: count)
            return
        }
        let record = self.record(slot)
        record.references &+= count
    }

    /// Drops one reference; the last one frees the record.
    @inline(__always)
    mutating func release(_ slot: UInt32) {
        guard self.isResident(slot) else {
            self.releasePaged(slot)
            return
        }
        let record = self.record(slot)
        let references = record.references
        assert(references > 0, "message released too often")
        if references > 1 {
            record.references = references &- 1
            return
        }
        record.references = 0
        let size = record.allocatedSize
        assert(record.spoil(), "who reads on sees nonsense, in debug builds")
        self.liveBytes &-= size
        self.messageCount &-= 1
        if record.isLogged {
            self.loggedBytes &-= record.bodySize &+ Self.logOverhead
        }
        self.freeSlot(slot)
        if size > Self.largeRecordSize {
            self.largeCount &-= 1
            record.base.deallocate()
            return
        }
        self.liveChunkBytes &-= size
        let chunk = Self.chunk(of: record.base)
        let header = chunk.assumingMemoryBound(to: ChunkHeader.self)
        header.pointee.live &-= UInt32(truncatingIfNeeded: size)
        header.pointee.lastUse = self.turn
        if header.pointee.live == 0 && header.pointee.isPinned == 0 {
            if chunk == self.current {
                // Nothing lives here: start over, which keeps the working set in the cache.
                header.pointee.used = UInt32(Self.chunkHeaderSize)
            } else {
                self.retire(chunk)
            }
        }
    }

    // MARK: Chunks

    @inline(__always)
    static func chunk(of record: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        // A record's address masked is its chunk's address, which is not nil: chunks are aligned to their size.
        UnsafeMutableRawPointer(bitPattern: UInt(bitPattern: record) & Self.chunkMask).unsafelyUnwrapped
    }

    private static func allocateChunk(index: Int, turn: UInt32) -> UnsafeMutableRawPointer {
        let chunk = UnsafeMutableRawPointer.allocate(byteCount: Self.chunkSize, alignment: Self.chunkSize)
        let header = chunk.bindMemory(to: ChunkHeader.self, capacity: 1)
        header.initialize(
            to: ChunkHeader(used: UInt32(Self.chunkHeaderSize), live: 0, index: UInt32(index), lastUse: turn)
        )
        return chunk
    }

    @inline(__always)
    mutating func reserveInChunk(_ size: Int) -> UnsafeMutableRawPointer {
        var header = self.current.assumingMemoryBound(to: ChunkHeader.self)
        if Int(header.pointee.used) &+ size > Self.chunkSize {
            self.startChunk()
            header = self.current.assumingMemoryBound(to: ChunkHeader.self)
        }
        let base = self.current + Int(header.pointee.used)
        header.pointee.used &+= UInt32(truncatingIfNeeded: size)
        header.pointee.live &+= UInt32(truncatingIfNeeded: size)
        self.liveChunkBytes &+= size
        return base
    }

    @inline(never)
    mutating func reserveLarge(_ size: Int) -> UnsafeMutableRawPointer {
        UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
    }

    @inline(never)
    mutating func startChunk() {
        if let spare = self.spares.popLast() {
            spare.assumingMemoryBound(to: ChunkHeader.self).pointee = ChunkHeader(
                used: UInt32(Self.chunkHeaderSize),
                live: 0,
                index: UInt32(self.chunks.count),
                lastUse: self.turn
            )
            self.current = spare
        } else {
            self.current = Self.allocateChunk(index: self.chunks.count, turn: self.turn)
        }
        self.chunks.append(self.current)
    }

    mutating func retire(_ chunk: UnsafeMutableRawPointer) {
        let index = Int(chunk.assumingMemoryBound(to: ChunkHeader.self).pointee.index)
        let last = self.chunks.removeLast()
        if last != chunk {
            self.chunks[index] = last
            last.assumingMemoryBound(to: ChunkHeader.self).pointee.index = UInt32(index)
        }
        if self.spares.count < Self.spareChunks {
            self.spares.append(chunk)
        } else {
            chunk.deallocate()
        }
    }

    /// Whether the dead outweigh the living.
    var wantsCompaction: Bool {
        let held = (self.chunks.count - self.pinnedChunks) * Self.chunkSize
        return held - self.liveChunkBytes > self.liveChunkBytes + Self.compactionSlack
    }

    /// Copies the survivors of mostly dead chunks together when the dead outweigh the living, a few chunks at a time.
    ///
    /// Call between turns: records move. The work is proportional to what died since the last time.
    mutating func compactIfWorthwhile() {
        if self.messageCount == 0 && self.slotPageCount > Self.keptSlotPages {
            self.dropSlots()
        }
        guard self.wantsCompaction else { return }
        var budget = Self.compactionStep
        var victims: [UnsafeMutableRawPointer] = []
        for chunk in self.chunks where chunk != self.current && budget > 0 {
            let header = chunk.assumingMemoryBound(to: ChunkHeader.self).pointee
            let live = Int(header.live)
            guard live < Self.chunkSize / 2, header.isPinned == 0 else { continue }
            victims.append(chunk)
            // A chunk costs a walk over its dead, too.
            budget -= max(live, Self.chunkSize / 4)
        }
        for chunk in victims {
            self.evacuate(chunk)
        }
    }

    private mutating func evacuate(_ chunk: UnsafeMutableRawPointer) {
        let header = chunk.assumingMemoryBound(to: ChunkHeader.self)
        let end = chunk + Int(header.pointee.used)
        var next = chunk + Self.chunkHeaderSize
        while next < end {
            let record = MessageRecord(next)
            let size = record.allocatedSize
            next += size
            guard record.references > 0 else { continue }
            let target = self.reserveInChunk(size)
            target.copyMemory(from: record.base, byteCount: size)
            self.liveChunkBytes &-= size
            let slot = record.slot
            self.slotPages[Int(slot >> 12)][Int(slot & 4095)] = UInt(bitPattern: target)
        }
        self.retire(chunk)
    }

    // MARK: Slots

    @inline(__always)
    mutating func takeSlot() -> UInt32 {
        if self.firstFreeSlot == UInt32.max {
            self.addSlotPage()
        }
        let slot = self.firstFreeSlot
        let next = self.slotPages[Int(slot >> 12)][Int(slot & 4095)] >> 1
        self.firstFreeSlot = UInt32(truncatingIfNeeded: next)
        return slot
    }

    @inline(__always)
    mutating func freeSlot(_ slot: UInt32) {
        self.slotPages[Int(slot >> 12)][Int(slot & 4095)] = UInt(self.firstFreeSlot) << 1 | 1
        self.firstFreeSlot = slot
    }

    /// Forgets all slots, none of which is in use.
    private mutating func dropSlots() {
        for page in 0..<self.slotPageCount {
            self.slotPages[page].deallocate()
        }
        self.slotPageCount = 0
        self.firstFreeSlot = UInt32.max
    }

    @inline(never)
    private mutating func addSlotPage() {
        precondition(self.slotPageCount < 1 << 19, "more than two thousand million messages on one shard")
        if self.slotPageCount == self.slotPageCapacity {
            let larger = UnsafeMutablePointer<UnsafeMutablePointer<UInt>>.allocate(capacity: self.slotPageCapacity * 2)
            larger.moveInitialize(from: self.slotPages, count: self.slotPageCount)
            self.slotPages.deallocate()
            self.slotPages = larger
            self.slotPageCapacity *= 2
        }
        let page = UnsafeMutablePointer<UInt>.allocate(capacity: Self.slotsPerPage)
        let first = self.slotPageCount * Self.slotsPerPage
        for index in 0..<Self.slotsPerPage {
            let next = index + 1 < Self.slotsPerPage ? UInt32(first + index + 1) : UInt32.max
            page[index] = UInt(next) << 1 | 1
        }
        (self.slotPages + self.slotPageCount).initialize(to: page)
        self.slotPageCount += 1
        self.firstFreeSlot = UInt32(first)
    }
}
