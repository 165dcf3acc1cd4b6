/// What was read comes back into memory, is asked for again, or is given up.
///
/// ```
/// loading ──read───────────────────────────────► in memory
/// loading ──refused──► waiting ──retryReads────► loading
/// loading ──refused too often──────────────────► unread: see Shard+Unread
/// loading ──damaged────────────────────────────► lost until the next start, in a scratch file for ever
/// ```
///
/// While a message waits its queue does, for order's sake, and nobody else.
extension Shard {
    /// What is given up of one read.
    private struct Losses {
        /// In the log, where the next start looks again.
        var logged = 0
        /// In scratch files.
        var scratch = 0
        /// Of the first one, in words.
        var text: String?
    }

    /// Whether something that the disk has refused to read is tried again later.
    public var hasRefusedReads: Bool { !self.paging.retries.isEmpty || self.store.unreadCount > 0 }

    /// Puts what was read back into memory; returns whether nothing of it is to be tried again.
    func takeBack(_ read: PageRead) -> Bool {
        if read.refusals > 0 {
            for wanted in read.wanted { self.paging.refused.remove(wanted.slot) }
        }
        let again = PageRead(for: read.reason, refusals: read.refusals + 1)
        var losses = Losses()
        var refusal: String?
        var unread: (count: Int, text: String)?
        var isReadable = false
        for wanted in read.wanted {
            // Released meanwhile? References change a word, too; its place does not.
            guard let word = self.store.paged(wanted.slot), word.isLoading, !self.store.isLost(wanted.slot),
                word.isScratch == wanted.isScratch, self.store.position(word) == wanted.position
            else { continue }
            if let payload = wanted.payload, let view = Self.message(in: payload, wanted),
                view.bodySize == self.store.bodySize(wanted.slot, word)
            {
                isReadable = isReadable || self.store.isUnread(wanted.slot)
                self.store.setLoading(wanted.slot, false)
                self.store.revive(wanted.slot, view)
            } else if wanted.payload == nil, let miss = wanted.miss, self.mayTryAgain(read, miss) {
                again.wanted.append(
                    PageRead.Wanted(
                        isScratch: wanted.isScratch,
                        position: wanted.position,
                        size: wanted.size,
                        slot: wanted.slot,
                        isDelayed: wanted.isDelayed
                    )
                )
                again.octets += wanted.size
                refusal = refusal ?? miss.text
            } else if wanted.payload == nil, let miss = wanted.miss, miss.reason != .damaged {
                self.store.setLoading(wanted.slot, false)
                self.store.setUnread(wanted.slot, isDelayed: wanted.isDelayed)
                unread = ((unread?.count ?? 0) + 1, unread?.text ?? miss.text)
            } else {
                isReadable = isReadable || self.store.isUnread(wanted.slot)
                self.store.setLoading(wanted.slot, false)
                self.store.lose(wanted.slot)
                losses.logged += wanted.isScratch ? 0 : 1
                losses.scratch += wanted.isScratch ? 1 : 0
                losses.text = losses.text ?? wanted.miss?.text
            }
        }
        if losses.logged + losses.scratch > 0 { self.tell(losses, of: read) }
        if let unread, !read.isForUnread { self.noteUnread(unread.count, self.name(of: read), unread.text) }
        if isReadable { self.returnReadable() }
        guard let refusal else { return true }
        self.tryLater(again, refusal)
        return false
    }

    private func mayTryAgain(_ read: PageRead, _ miss: PageMiss) -> Bool {
        // Not before their next turn.
        if read.isForUnread { return false }
        return switch miss.reason {
        case .damaged: false
        case .refused: read.refusals < ShardLimits.pageReadRetries
        // The disk was not asked: nothing says that they are not there.
        case .shortage: true
        }
    }

    private func tryLater(_ read: PageRead, _ refusal: String) {
        if self.paging.retries.isEmpty && read.refusals == 1 && !self.paging.unread.told.contains(self.name(of: read)) {
            self.log(
                .warning,
                "default",
                "messages of \(self.name(of: read)) wait, they cannot be read from disk now: \(refusal)"
            )
        }
        for wanted in read.wanted { self.paging.refused.insert(wanted.slot) }
        let doublings = min(read.refusals, ShardLimits.pageReadRetries) - 1
        let due = self.now.advanced(milliseconds: ShardLimits.pageReadRetryMilliseconds << UInt64(doublings))
        self.paging.retries.append((due, read))
        self.timers.schedule(at: due, .pageIn)
    }

    /// Asks again for what the disk has refused long enough ago.
    func retryReads() {
        let now = self.now
        self.paging.requests += self.paging.retries.filter { $0.due <= now }.map { .read($0.read) }
        self.paging.retries.removeAll { $0.due <= now }
    }

    private func tell(_ losses: Losses, of read: PageRead) {
        let end =
            if losses.scratch == 0 {
                "not delivered before the next start"
            } else if losses.logged == 0 {
                "lost"
            } else {
                "not delivered before the next start, \(losses.scratch) transient ones never"
            }
        self.log(
            .error,
            "default",
            "\(losses.logged + losses.scratch) messages of \(self.name(of: read)) are damaged on disk and \(end): "
                + (losses.text ?? "not there")
        )
    }

    private func name(of read: PageRead) -> String {
        if case .delays = read.reason { return "those that wait for their time" }
        guard case .queue(let address) = read.reason, let queue = self.queue(address) else { return "a queue" }
        return "queue '\(queue.pointee.info.name)'"
    }
}
