/// Messages leave memory when they take more than half of the shard's share of it.
///
/// The coldest chunks go first: those that nothing was taken from or put into for the longest time. They are written to a
/// scratch file, and stay until that is done. Only transient messages of plain queues leave: see
/// ``MessageStore/allowPaging(_:)``.
///
/// ```
/// resident ──pageOut──► resident, its chunk pinned ──pageWritten──► paged
/// paged ──load, pageLoaded──► resident
/// paged ──load, damaged──► lost: never delivered
/// ```
extension Shard {
    /// Octets of messages that may stay in memory.
    private var residentLimit: Int {
        Int(clamping: (self.settings.residentLimitBytes ?? self.settings.memoryLimitBytes / 2) / UInt64(self.count))
    }

    /// Takes what the disk should do.
    public func takePageRequests() -> [PageRequest] {
        for file in self.store.scratch.releasedFiles {
            self.paging.requests.append(.removeScratchFile(file))
        }
        self.store.scratch.releasedFiles.removeAll(keepingCapacity: true)
        guard !self.paging.requests.isEmpty else { return [] }
        let requests = self.paging.requests
        self.paging.requests = []
        return requests
    }

    /// Sends cold messages to disk if too many are in memory.
    @inline(__always)
    func pageOutIfNeeded() {
        if self.settings.pagesMessages && self.store.heldBytes > self.residentLimit {
            self.pageOut()
        }
    }

    @inline(never)
    private func pageOut() {
        var over = self.store.heldBytes - self.paging.writingBytes - self.residentLimit
        // A few at a time, but not after every small message: looking for the coldest chunk costs, too.
        guard over > min(4 << 20, self.residentLimit / 8), self.now >= self.paging.scratchPause else { return }
        var budget = ShardLimits.pageOutBytes
        while over > 0 && budget > 0 && self.paging.writingBytes < ShardLimits.pageWriteBytes {
            let before = self.store.heldBytes - self.paging.writingBytes
            let largeBytes = self.store.liveBytes - self.store.liveChunkBytes
            if largeBytes > self.store.liveChunkBytes, let record = self.store.takeOldestLarge() {
                budget -= record.allocatedSize
                self.pageOut(large: record)
            } else if let chunk = self.store.coldestChunk() {
                budget -= MessageStore.chunkSize
                self.pageOut(chunk: chunk)
            } else {
                return
            }
            over -= before - (self.store.heldBytes - self.paging.writingBytes)
        }
    }

    private func pageOut(chunk: UnsafeMutableRawPointer) {
        let (first, end) = self.store.records(of: chunk)
        var write: PageWrite?
        var next = first
        while next < end {
            let record = MessageRecord(next)
            next += record.allocatedSize
            guard record.references > 0, record.isPageable else { continue }
            let target = write ?? PageWrite(chunk: chunk, capacity: MessageStore.chunkSize * 5 / 4)
            write = target
            self.add(record, to: target)
        }
        if let write {
            self.store.setPinned(chunk, true)
            self.paging.writingBytes += MessageStore.chunkSize
            self.submit(write)
        } else {
            // All of it is gone by now.
            chunk.assumingMemoryBound(to: MessageStore.ChunkHeader.self).pointee.hasPageable = 0
        }
    }

    private func pageOut(large record: MessageRecord) {
        let write = PageWrite(chunk: nil, capacity: record.allocatedSize + 64)
        self.add(record, to: write)
        // Its memory must not go to another message meanwhile.
        record.references += 1
        self.paging.writingBytes += record.allocatedSize
        self.submit(write)
    }

    private func add(_ record: MessageRecord, to write: PageWrite) {
        let view = record.view
        write.entries.append(
            PageWrite.Entry(slot: record.slot, offset: UInt32(write.records.count), base: record.base)
        )
        PagedRecord.write(view, at: write.records.append(.publish, size: PagedRecord.size(view)))
    }

    private func submit(_ write: PageWrite) {
        write.position = self.store.scratch.beginWrite(write.records.count)
        self.paging.requests.append(.write(write))
    }

    /// A write to a scratch file is done, or has failed and may be tried again later.
    public func pageWritten(_ write: PageWrite, error: String?, now: BrokerInstant) {
        self.now = now
        var count = 0
        for entry in write.entries {
            let isThere = self.store.word(entry.slot) == UInt(bitPattern: entry.base)
            let record = MessageRecord(entry.base)
            if write.chunk == nil {
                // Ours was one of its references, so it is there still.
                self.paging.writingBytes -= record.allocatedSize
                if record.references == 1 || error != nil {
                    self.store.largeSlots.append(entry.slot)
                    self.store.release(entry.slot)
                    continue
                }
                record.references -= 1
            }
            if isThere && error == nil {
                self.store.pageOut(record, position: write.position + UInt64(entry.offset))
                count += 1
            }
        }
        self.store.scratch.endWrite(write.position, messages: count)
        if let chunk = write.chunk {
            self.paging.writingBytes -= MessageStore.chunkSize
            self.store.setPinned(chunk, false)
            self.store.finishPaging(chunk)
        }
        if let error {
            if self.paging.scratchPause <= now {
                self.log(.warning, "default", "messages stay in memory, a scratch file cannot be written: \(error)")
            }
            self.paging.scratchPause = now.advanced(milliseconds: ShardLimits.scratchPauseMilliseconds)
        }
    }
}
