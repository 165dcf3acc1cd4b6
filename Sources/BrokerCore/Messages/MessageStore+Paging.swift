internal import DequeModule

/// Messages that are on disk only: what their slots say, and how they leave and come back.
extension MessageStore {
    /// Octets of a message's record on disk besides the body, about.
    static let logOverhead = 64

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
        word.position(near: word.isScratch ? self.scratch.end : self.logEnd)
    }

    /// Octets of the body of a message on disk.
    func bodySize(_ slot: UInt32, _ word: PagedWord) -> Int {
        word.bodySize ?? self.asides[slot]?.bodySize ?? 0
    }

    /// Octets of a message's body, wherever it is.
    func bodySize(_ slot: UInt32) -> Int {
        guard let word = self.paged(slot) else { return self.record(slot).bodySize }
        return self.bodySize(slot, word)
    }

    /// Whether a message was found damaged or gone.
    func isLost(_ slot: UInt32) -> Bool {
        guard let word = self.paged(slot), word.bodySize == nil else { return false }
        return self.asides[slot]?.isLost ?? false
    }

    /// Whether the log has a message on disk for more than one queue.
    func isShared(_ slot: UInt32, _ word: PagedWord) -> Bool {
        word.bodySize == nil && self.asides[slot]?.isShared ?? false
    }

    /// Octets of memory that an unread message takes, about.
    static let unreadBytes = 64

    /// Whether the disk refuses to read a message, so that nobody waits for it.
    func isUnread(_ slot: UInt32) -> Bool {
        guard self.unreadCount > 0, let word = self.paged(slot), word.bodySize == nil else { return false }
        return self.asides[slot]?.isUnread ?? false
    }

    /// The disk has refused to read a message for long; until it is read nobody waits for it.
    mutating func setUnread(_ slot: UInt32, isDelayed: Bool) {
        guard let word = self.paged(slot), !self.isUnread(slot) else { return }
        if let bodySize = word.bodySize {
            self.putAside(slot, word, PagedAside(references: 1, bodySize: bodySize))
        }
        self.asides[slot]?.isUnread = true
        self.asides[slot]?.isDelayed = isDelayed
        self.unreadCount += 1
    }

    /// An unread message.
    struct Unread {
        let slot: UInt32
        /// Where it is; those in scratch files come last.
        let place: UInt64
        let isDelayed: Bool
    }

    /// All unread messages, by their places.
    func unreadMessages() -> [Unread] {
        let all = self.asides.compactMap { slot, aside -> Unread? in
            guard aside.isUnread, let word = self.paged(slot) else { return nil }
            let place = self.position(word) | (word.isScratch ? 1 << 63 : 0)
            return Unread(slot: slot, place: place, isDelayed: aside.isDelayed)
        }
        return all.sorted { $0.place < $1.place }
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
        guard let bodySize = word.bodySize else {
            self.asides[slot]?.references += count
            return
        }
        self.putAside(slot, word, PagedAside(references: 1 + count, bodySize: bodySize))
    }

    /// Keeps what does not fit into a slot elsewhere.
    private mutating func putAside(_ slot: UInt32, _ word: PagedWord, _ aside: PagedAside) {
        self.asides[slot] = aside
        var rest = PagedWord(
            position: self.position(word),
            isScratch: word.isScratch,
            isLogged: word.isLogged,
            bodySize: nil
        )
        rest.isLoading = word.isLoading
        self.setWord(slot, rest.rawValue)
    }

    @inline(never)
    mutating func releasePaged(_ slot: UInt32) {
        let word = PagedWord(rawValue: self.word(slot))
        if word.bodySize == nil, var aside = self.asides[slot] {
            assert(aside.references > 0, "message released too often")
            aside.references -= 1
            guard aside.references == 0 else {
                self.asides[slot] = aside
                return
            }
        }
        self.forgetPlace(slot, word)
        if self.asides.removeValue(forKey: slot)?.isUnread ?? false { self.unreadCount -= 1 }
        self.messageCount -= 1
        self.pagedCount -= 1
        self.freeSlot(slot)
    }

    /// A message is not on disk any more, or nobody cares.
    private mutating func forgetPlace(_ slot: UInt32, _ word: PagedWord) {
        if self.isLost(slot) { return }
        if word.isScratch {
            self.scratch.release(self.position(word))
        }
        if word.isLogged {
            self.loggedBytes -= self.bodySize(slot, word) + Self.logOverhead
        }
    }

    // MARK: Leaving

    /// A message goes from memory to where it is on disk; its chunk stays until ``finishPaging(_:)``.
    mutating func pageOut(_ record: MessageRecord, isScratch: Bool, position: UInt64) {
        let size = record.allocatedSize
        self.setPlace(
            record.slot,
            isScratch: isScratch,
            isLogged: record.isLogged,
            position: position,
            PagedAside(
                references: record.references,
                bodySize: record.bodySize,
                isShared: record.isLogged && record.location.isShared
            )
        )
        record.references = 0
        self.liveBytes -= size
        self.pagedCount += 1
        if size > Self.largeRecordSize {
            self.largeCount -= 1
            record.base.deallocate()
        } else {
            self.liveChunkBytes -= size
            Self.chunk(of: record.base).assumingMemoryBound(to: ChunkHeader.self).pointee.live -= UInt32(size)
        }
    }

    private mutating func setPlace(
        _ slot: UInt32,
        isScratch: Bool,
        isLogged: Bool,
        position: UInt64,
        _ aside: PagedAside
    ) {
        let isUsual = aside.references == 1 && aside.bodySize < PagedWord.bodyLimit && !aside.isShared
        if !isUsual {
            self.asides[slot] = aside
        }
        let bodySize = isUsual ? aside.bodySize : nil
        let word = PagedWord(position: position, isScratch: isScratch, isLogged: isLogged, bodySize: bodySize)
        self.setWord(slot, word.rawValue)
    }

    /// The log has a message, or will have it.
    @inline(__always)
    mutating func noteLogged(_ record: MessageRecord, at location: LogLocation) {
        guard record.isLogged else {
            self.loggedBytes &+= record.bodySize &+ Self.logOverhead
            record.setLocation(location)
            return
        }
        // Of a message of several queues one queue's place was told: no record has all of them any more.
        record.setLocation(record.location.isShared ? .unknown(isShared: true) : location)
    }

    /// What the log has of a message is not what it is now.
    mutating func forgetLogged(_ record: MessageRecord) {
        guard record.isLogged else { return }
        self.loggedBytes -= record.bodySize + Self.logOverhead
        record.clearLocation()
    }

    /// Whether what lies around a message is being written as it is now; then it must not change.
    func isPinned(_ record: MessageRecord) -> Bool {
        record.allocatedSize <= Self.largeRecordSize
            && Self.chunk(of: record.base).assumingMemoryBound(to: ChunkHeader.self).pointee.isPinned != 0
    }

    /// A message that is in the log and was never in memory.
    mutating func addLogged(position: UInt64, bodySize: Int, isShared: Bool) -> UInt32 {
        let slot = self.takeSlot()
        let aside = PagedAside(references: 1, bodySize: bodySize, isShared: isShared)
        self.setPlace(slot, isScratch: false, isLogged: true, position: position, aside)
        self.messageCount += 1
        self.pagedCount += 1
        self.loggedBytes += bodySize + Self.logOverhead
        return slot
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
    /// With nothing else there it is the one that is filled, which then takes no more, if `canSeal` says that it is worth it.
    mutating func coldestChunk(canSeal: (MessageRecord) -> Bool) -> UnsafeMutableRawPointer? {
        var coldest: UnsafeMutableRawPointer?
        var age: UInt32 = 0
        for chunk in self.chunks where chunk != self.current {
            let header = chunk.assumingMemoryBound(to: ChunkHeader.self).pointee
            // Turns are counted modulo 2^32.
            let chunkAge = self.turn &- header.lastUse
            if header.isPinned == 0 && header.live > 0 && (coldest == nil || chunkAge > age) {
                coldest = chunk
                age = chunkAge
            }
        }
        if let coldest { return coldest }
        guard self.pinnedChunks == 0, let oldest = self.firstRecord(of: self.current), canSeal(oldest) else {
            return nil
        }
        let sealed = self.current
        self.startChunk()
        return sealed
    }

    /// The first record of a chunk that is alive and may leave.
    private func firstRecord(of chunk: UnsafeMutableRawPointer) -> MessageRecord? {
        let (first, end) = self.records(of: chunk)
        var next = first
        while next < end {
            let record = MessageRecord(next)
            if record.references > 0 && !record.isKept { return record }
            next += record.allocatedSize
        }
        return nil
    }

    // MARK: Large records

    @inline(never)
    mutating func noteLarge(_ slot: UInt32) {
        self.largeCount += 1
        self.largeSlots.append(slot)
        guard self.largeSlots.count > 2 * self.largeCount + 64 else { return }
        var seen: Set<UInt32> = []
        var kept: Deque<UInt32> = []
        for slot in self.largeSlots where self.isLargeRecord(slot) && seen.insert(slot).inserted {
            kept.append(slot)
        }
        self.largeSlots = kept
    }

    func isLargeRecord(_ slot: UInt32) -> Bool {
        let value = self.word(slot)
        guard value & 1 == 0, Int(bitPattern: value) > 0 else { return false }
        return self.record(slot).allocatedSize > Self.largeRecordSize
    }

    /// The oldest large record that is not being written, taken off the list.
    mutating func takeOldestLarge() -> MessageRecord? {
        while let slot = self.largeSlots.popFirst() {
            // A slot may be there twice: one that is written comes back to the list if it stays.
            if self.isLargeRecord(slot) && !self.largeWrites.contains(slot) { return self.record(slot) }
        }
        return nil
    }

    // MARK: Coming back

    /// Takes a message back into memory.
    mutating func revive(_ slot: UInt32, _ message: MessageView) {
        let word = PagedWord(rawValue: self.word(slot))
        let position = self.position(word)
        let aside = self.asides.removeValue(forKey: slot)
        let references = aside?.references ?? 1
        let isShared = aside?.isShared ?? false
        if aside?.isUnread ?? false { self.unreadCount -= 1 }
        let size = MessageRecord.allocatedSize(
            MessageRecord.headerSize + message.namesSize + message.propertiesSize + message.bodySize
                + (word.isLogged ? MessageRecord.locationSize : 0)
        )
        let isLarge = size > Self.largeRecordSize
        let base = isLarge ? self.reserveLarge(size) : self.reserveInChunk(size)
        MessageRecord.writeHeader(
            at: base,
            slot: slot,
            references: references,
            bodySize: message.bodySize,
            namesSize: message.namesSize,
            propertiesSize: message.propertiesSize,
            hasLocation: word.isLogged
        )
        let record = MessageRecord(base)
        record.names.copyMemory(from: message.names, byteCount: message.namesSize)
        record.properties.copyMemory(from: message.properties, byteCount: message.propertiesSize)
        record.body.copyMemory(from: message.body, byteCount: message.bodySize)
        if word.isScratch {
            self.scratch.release(position)
            if word.isLogged {
                record.setLocation(.unknown(isShared: isShared))
            }
        } else {
            // It is there still, and need not be written if it has to leave again.
            record.setLocation(LogLocation(position: position, isShared: isShared))
        }
        self.setWord(slot, UInt(bitPattern: base))
        self.liveBytes += size
        self.pagedCount -= 1
        if isLarge {
            self.noteLarge(slot)
        }
    }

    /// A message cannot be read any more.
    mutating func lose(_ slot: UInt32) {
        let word = PagedWord(rawValue: self.word(slot))
        let references = self.asides[slot]?.references ?? 1
        self.forgetPlace(slot, word)
        if self.isUnread(slot) { self.unreadCount -= 1 }
        self.asides[slot] = PagedAside(references: references, bodySize: 0, isLost: true)
        self.setWord(slot, PagedWord(position: 0, isScratch: true, isLogged: false, bodySize: nil).rawValue)
    }
}
