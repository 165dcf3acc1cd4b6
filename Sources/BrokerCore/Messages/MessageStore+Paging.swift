internal import DequeModule

/// Messages that are on disk only: what their slots say, and how they leave and come back.
extension MessageStore {
    /// Octets of a message's record on disk besides the parts, about.
    static let recordOverhead = 48

    @inline(__always)
    func word(_ slot: UInt32) -> UInt { self.slotPages[Int(slot >> 12)][Int(slot & 4095)] }

    /// Whether the message's octets are in memory.
    @inline(__always)
    func isResident(_ slot: UInt32) -> Bool { Int(bitPattern: self.word(slot)) >= 0 }

    /// Where a message is on disk; nil when it is in memory.
    func paged(_ slot: UInt32) -> PagedWord? {
        self.isResident(slot) ? nil : PagedWord(rawValue: self.word(slot))
    }

    func position(_ word: PagedWord) -> UInt64 {
        word.position(near: self.scratch.end)
    }

    /// Octets of names, properties and body of a message on disk.
    func pagedSize(_ slot: UInt32, _ word: PagedWord) -> Int {
        word.size != 0 ? word.size : self.asides[slot]?.size ?? 0
    }

    /// Whether a message was found damaged or gone.
    func isLost(_ slot: UInt32) -> Bool {
        guard let word = self.paged(slot), word.size == 0 else { return false }
        return self.asides[slot]?.isLost ?? false
    }

    mutating func setLoading(_ slot: UInt32, _ isLoading: Bool) {
        guard var word = self.paged(slot) else { return }
        word.isLoading = isLoading
        self.setWord(slot, word.rawValue)
    }

    private mutating func setWord(_ slot: UInt32, _ word: UInt) {
        self.slotPages[Int(slot >> 12)][Int(slot & 4095)] = word
    }

    // MARK: References

    @inline(never)
    mutating func retainPaged(_ slot: UInt32, count: UInt32) {
        let word = PagedWord(rawValue: self.word(slot))
        if word.size == 0 {
            self.asides[slot]?.references += count
            return
        }
        self.asides[slot] = PagedAside(references: 1 + count, size: word.size)
        var rest = PagedWord(position: self.position(word), size: 0)
        rest.isLoading = word.isLoading
        self.setWord(slot, rest.rawValue)
    }

    @inline(never)
    mutating func releasePaged(_ slot: UInt32) {
        let word = PagedWord(rawValue: self.word(slot))
        if word.size == 0, var aside = self.asides[slot] {
            assert(aside.references > 0, "message released too often")
            aside.references -= 1
            guard aside.references == 0 else {
                self.asides[slot] = aside
                return
            }
        }
        self.forgetPlace(slot, word)
        self.asides[slot] = nil
        self.messageCount -= 1
        self.pagedCount -= 1
        self.freeSlot(slot)
    }

    /// A message is not on disk any more, or nobody cares.
    private mutating func forgetPlace(_ slot: UInt32, _ word: PagedWord) {
        if self.isLost(slot) { return }
        self.scratch.release(self.position(word))
    }

    // MARK: Leaving

    /// From now on a message may go to disk: it is in one plain queue, or out at its consumers, and whoever needs its octets
    /// asks first whether they are in memory.
    @inline(never)
    mutating func allowPaging(_ slot: UInt32) {
        let record = self.record(slot)
        record.makePageable()
        guard record.allocatedSize > Self.largeRecordSize else {
            Self.chunk(of: record.base).assumingMemoryBound(to: ChunkHeader.self).pointee.hasPageable = 1
            return
        }
        self.largeSlots.append(slot)
        if self.largeSlots.count > self.largeSlotLimit {
            self.tidyLargeSlots()
        }
    }

    /// A message goes from memory to where it is on disk; its chunk stays until ``finishPaging(_:)``.
    mutating func pageOut(_ record: MessageRecord, position: UInt64) {
        let size = record.allocatedSize
        let parts = record.partsSize
        let isUsual = record.references == 1 && parts < PagedWord.sizeLimit
        if !isUsual {
            self.asides[record.slot] = PagedAside(references: record.references, size: parts)
        }
        self.setWord(record.slot, PagedWord(position: position, size: isUsual ? parts : 0).rawValue)
        record.references = 0
        self.liveBytes -= size
        self.pagedCount += 1
        if size > Self.largeRecordSize {
            record.base.deallocate()
        } else {
            self.liveChunkBytes -= size
            Self.chunk(of: record.base).assumingMemoryBound(to: ChunkHeader.self).pointee.live -= UInt32(size)
        }
    }

    /// Gives a chunk back if nothing lives in it any more.
    mutating func finishPaging(_ chunk: UnsafeMutableRawPointer) {
        let header = chunk.assumingMemoryBound(to: ChunkHeader.self)
        if header.pointee.live == 0 && header.pointee.isPinned == 0 && chunk != self.current {
            self.retire(chunk)
        }
    }

    /// Nothing in a chunk moves until it is unpinned.
    mutating func setPinned(_ chunk: UnsafeMutableRawPointer, _ isPinned: Bool) {
        chunk.assumingMemoryBound(to: ChunkHeader.self).pointee.isPinned = isPinned ? 1 : 0
        self.pinnedChunks += isPinned ? 1 : -1
        if !isPinned {
            chunk.assumingMemoryBound(to: ChunkHeader.self).pointee.lastUse = self.turn
        }
    }

    /// Where the records of a chunk begin and end.
    func records(of chunk: UnsafeMutableRawPointer) -> (first: UnsafeMutableRawPointer, end: UnsafeMutableRawPointer) {
        let used = Int(chunk.assumingMemoryBound(to: ChunkHeader.self).pointee.used)
        return (chunk + Self.chunkHeaderSize, chunk + used)
    }

    /// The chunk that nothing was released from, or put into, for the longest time; none of those that are written.
    ///
    /// With nothing else there it is the one that is filled, which then takes no more.
    mutating func coldestChunk() -> UnsafeMutableRawPointer? {
        var coldest: UnsafeMutableRawPointer?
        var age: UInt32 = 0
        for chunk in self.chunks where chunk != self.current {
            let header = chunk.assumingMemoryBound(to: ChunkHeader.self).pointee
            // Turns are counted modulo 2^32.
            let chunkAge = self.turn &- header.lastUse
            if header.isPinned == 0 && header.live > 0 && header.hasPageable != 0 && (coldest == nil || chunkAge > age)
            {
                coldest = chunk
                age = chunkAge
            }
        }
        if let coldest { return coldest }
        let header = self.current.assumingMemoryBound(to: ChunkHeader.self).pointee
        guard self.pinnedChunks == 0, header.live > 0, header.hasPageable != 0 else { return nil }
        let sealed = self.current
        self.startChunk()
        return sealed
    }

    // MARK: Large records

    private mutating func tidyLargeSlots() {
        var seen: Set<UInt32> = []
        var kept: Deque<UInt32> = []
        for slot in self.largeSlots where self.isLargeRecord(slot) && seen.insert(slot).inserted {
            kept.append(slot)
        }
        self.largeSlots = kept
        self.largeSlotLimit = 2 * kept.count + 64
    }

    func isLargeRecord(_ slot: UInt32) -> Bool {
        let value = self.word(slot)
        guard value & 1 == 0, Int(bitPattern: value) > 0 else { return false }
        let record = self.record(slot)
        return record.isPageable && record.allocatedSize > Self.largeRecordSize
    }

    /// The oldest large record, taken off the list.
    mutating func takeOldestLarge() -> MessageRecord? {
        while let slot = self.largeSlots.popFirst() {
            if self.isLargeRecord(slot) { return self.record(slot) }
        }
        return nil
    }

    // MARK: Coming back

    /// Takes a message back into memory.
    mutating func revive(_ slot: UInt32, _ message: MessageView) {
        let position = self.position(PagedWord(rawValue: self.word(slot)))
        let references = self.asides.removeValue(forKey: slot)?.references ?? 1
        let size = MessageRecord.allocatedSize(
            MessageRecord.headerSize + message.namesSize + message.propertiesSize + message.bodySize
        )
        let base = size > Self.largeRecordSize ? self.reserveLarge(size) : self.reserveInChunk(size)
        MessageRecord.writeHeader(
            at: base,
            slot: slot,
            references: references,
            bodySize: message.bodySize,
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize
        )
        let record = MessageRecord(base)
        record.names.copyMemory(from: message.names, byteCount: message.namesSize)
        record.properties.copyMemory(from: message.properties, byteCount: message.propertiesSize)
        record.body.copyMemory(from: message.body, byteCount: message.bodySize)
        self.scratch.release(position)
        self.setWord(slot, UInt(bitPattern: base))
        self.liveBytes += size
        self.pagedCount -= 1
        self.allowPaging(slot)
    }

    /// A message cannot be read any more.
    mutating func lose(_ slot: UInt32) {
        let word = PagedWord(rawValue: self.word(slot))
        let references = self.asides[slot]?.references ?? 1
        self.forgetPlace(slot, word)
        self.asides[slot] = PagedAside(references: references, size: 0, isLost: true)
        self.setWord(slot, PagedWord(position: 0, size: 0).rawValue)
    }

    /// Octets of a message's body; of one on disk those of all its parts.
    func bodyOctets(_ slot: UInt32) -> Int {
        guard let word = self.paged(slot) else { return self.record(slot).bodySize }
        return self.pagedSize(slot, word)
    }
}
