internal import DequeModule

/// Messages that the disk has refused for some seconds are *unread*: everybody goes on without them, and they come back when
/// the disk gives them.
///
/// ```
/// loading ──refused too often──► unread ──its turn comes──► set aside, or put off ──read──► at its old place
///                                     └──────────────read────────────────────────────────┘
/// ```
///
/// 1. They are asked for every half a minute, some at a time; when the disk gives one of these it is asked for more at once.
/// 2. They are live: the log keeps the files that have them, and those behind, until they are read or settled. Telling again
///    what is live says how far the files may go, see ``neededLogPosition``.
/// 3. A queue's limits count them, and drop them first; they leave when their time is over, and with the queue.
/// 4. Dead ones wait beside the line of the dead. Those that wait for their time are due later.
struct UnreadMessages {
    /// Those that are still to be asked for this time, in the order in which queues have them.
    var pass: ArraySlice<MessageStore.Unread> = []
    /// What is asked for now comes first of all.
    var isFirst = false
    /// The last one that was asked for though the first ones were refused; the next time goes on behind it.
    var last: UInt32?
    /// A timer is set, or a read under way.
    var isScheduled = false
    /// Queues that have set some aside.
    var queues: [QueueAddress] = []
    /// Dead messages.
    var deaths: [Death] = []
    /// Whose messages were told of, until all are read or gone.
    var told: Set<String> = []
}

extension Shard {
    /// Messages that the disk refuses to read, and nobody waits for.
    public var unreadCount: Int { self.store.unreadCount }

    // MARK: Going on without them

    /// Messages were refused too often: told once for all of a queue.
    func noteUnread(_ count: Int, _ name: String, _ text: String) {
        if self.paging.unread.told.insert(name).inserted {
            self.log(
                .error,
                "default",
                "\(count) messages of \(name) cannot be read from disk; others go on without them, and they are tried again "
                    + "every \(ShardLimits.unreadMilliseconds / 1000) s: \(text)"
            )
        }
        self.scheduleUnread()
    }

    /// A message whose turn has come, and that has been taken out of the queue for it, is unread.
    ///
    /// It counts for the queue's limits all the same.
    func setAside(_ queue: UnsafeMutablePointer<QueueState>, _ delivery: ConsumerState.Delivery) {
        if queue.pointee.extra.setAside.isEmpty && !self.paging.unread.queues.contains(queue.pointee.address) {
            self.paging.unread.queues.append(queue.pointee.address)
        }
        if self.mustTell(queue, delivery.entry) { self.noteNeeded(delivery.entry.slot) }
        queue.pointee.extra.setAside.insert(delivery.sequence, delivery.entry)
    }

    /// Takes unread messages out of the line of the dead as long as they are first; the others are handed on.
    func setAsideDeaths() {
        while let first = self.deaths.first, self.store.isUnread(first.entry.slot),
            first.orphan != nil || self.queue(first.queue) != nil
        {
            let death = self.deaths.removeFirst()
            if death.orphan != nil {
                self.paging.orphanCount -= 1
            }
            if self.log.snapshot != nil { self.noteNeeded(death.entry.slot) }
            self.paging.unread.deaths.append(death)
        }
    }

    /// Lets go of what a queue that is purged or deleted has set aside; returns how many that were.
    func dropSetAside(_ queue: UnsafeMutablePointer<QueueState>, isLogged: Bool) -> Int {
        var count = 0
        while !queue.pointee.extra.setAside.isEmpty {
            let element = queue.pointee.extra.setAside.removeFirst()
            if isLogged {
                self.logSettled(queue, element.sequence, element.entry.flags)
            }
            queue.pointee.unique?.remove(element.sequence)
            self.store.release(element.entry.slot)
            count += 1
        }
        return count
    }

    /// A queue goes: its dead messages that are unread remember what is needed of it, or go, too.
    func orphanUnreadDeaths(of queue: UnsafeMutablePointer<QueueState>) {
        let address = queue.pointee.address
        guard self.paging.unread.deaths.contains(where: { $0.queue == address && $0.orphan == nil }) else { return }
        let orphan = DeathSource(queue.pointee).map { OrphanSource($0) }
        var kept: [Death] = []
        for var death in self.paging.unread.deaths {
            guard death.queue == address, death.orphan == nil else {
                kept.append(death)
                continue
            }
            let entry = death.sequence.map { queue.pointee.extra.dying.remove($0) } ?? death.entry
            guard let orphan, entry != nil else {
                if entry != nil { self.store.release(death.entry.slot) }
                continue
            }
            death.sequence = nil
            death.orphan = orphan
            kept.append(death)
        }
        self.paging.unread.deaths = kept
    }

    // MARK: Asking again

    private func scheduleUnread() {
        guard !self.paging.unread.isScheduled else { return }
        self.paging.unread.isScheduled = true
        self.timers.schedule(at: self.now.advanced(milliseconds: ShardLimits.unreadMilliseconds), .unread)
    }

    /// Asks once more for everything that is unread.
    func retryUnread() {
        let unread = self.store.unreadMessages()
        var order: [UInt32: Int] = [:]
        for address in self.paging.unread.queues {
            self.queue(address)?.pointee.extra.setAside.forEach { element in
                if order[element.entry.slot] == nil { order[element.entry.slot] = order.count }
            }
        }
        // What a consumer waits for comes to it in order.
        let ordered = unread.enumerated().sorted {
            (order[$0.element.slot] ?? .max, $0.offset) < (order[$1.element.slot] ?? .max, $1.offset)
        }
        self.paging.unread.pass = ordered.map(\.element)[...]
        self.paging.unread.isFirst = true
        self.askForNextUnread()
    }

    /// The disk has answered: when it has given something it is asked for more.
    ///
    /// When it has not, it is asked for others once, so that a bad region does not keep what is elsewhere.
    func askForUnread(after read: PageRead) {
        if read.wanted.allSatisfy({ $0.payload == nil }) {
            if self.paging.unread.isFirst {
                let last = self.paging.unread.last
                if let index = self.paging.unread.pass.firstIndex(where: { $0.slot == last }) {
                    self.paging.unread.pass = self.paging.unread.pass[(index + 1)...]
                }
            } else {
                self.paging.unread.pass = []
            }
            self.paging.unread.isFirst = false
        }
        self.askForNextUnread()
    }

    private func askForNextUnread() {
        let read = PageRead(for: .unread)
        while read.octets < ShardLimits.pageReadBytes, read.wanted.count < ShardLimits.pageReadMessages,
            let next = self.paging.unread.pass.popFirst()
        {
            guard self.store.isUnread(next.slot), let place = self.glance(next.slot, isDelayed: next.isDelayed) else {
                continue
            }
            self.store.setLoading(next.slot, true)
            read.wanted.append(place)
            read.octets += place.size
        }
        if let last = read.wanted.last {
            if !self.paging.unread.isFirst { self.paging.unread.last = last.slot }
            self.paging.requests.append(.read(read))
            return
        }
        self.paging.unread.isScheduled = false
        if self.store.unreadCount > 0 {
            self.scheduleUnread()
        } else {
            self.forgetUnread()
        }
    }

    private func forgetUnread() {
        if !self.paging.unread.told.isEmpty {
            self.log(.info, "default", "no messages are left that cannot be read from disk")
        }
        self.paging.unread = UnreadMessages()
    }

    // MARK: Coming back

    /// Messages were unread and are not any more: they go where they belong.
    func returnReadable() {
        let queues = self.paging.unread.queues
        self.paging.unread.queues = []
        for address in queues {
            guard let queue = self.queue(address) else { continue }
            self.returnReadable(queue)
            if !queue.pointee.extra.setAside.isEmpty {
                self.paging.unread.queues.append(address)
            }
        }
        guard !self.paging.unread.deaths.isEmpty else { return }
        let deaths = self.paging.unread.deaths
        self.paging.unread.deaths = deaths.filter { self.store.isUnread($0.entry.slot) }
        for death in deaths.reversed() where !self.store.isUnread(death.entry.slot) {
            if death.orphan != nil {
                self.paging.orphanCount += 1
            }
            // They died before those that are in line now.
            self.deaths.prepend(death)
        }
    }

    private func returnReadable(_ queue: UnsafeMutablePointer<QueueState>) {
        var readable: [ConsumerState.Delivery] = []
        queue.pointee.extra.setAside.forEach { element in
            guard !self.store.isUnread(element.entry.slot) else { return }
            readable.append(ConsumerState.Delivery(sequence: element.sequence, entry: element.entry))
        }
        if !readable.isEmpty {
            // What is newer and held back of their groups stands behind them.
            self.releaseHeld(queue)
        }
        for delivery in readable {
            _ = queue.pointee.extra.setAside.remove(delivery.sequence)
            if self.store.isLost(delivery.entry.slot) {
                self.noteReady(queue, delivery.entry, -1)
                self.drop(queue, delivery)
                continue
            }
            if self.log.snapshot != nil {
                self.tellMoving(queue, delivery.sequence, delivery.entry)
            }
            queue.pointee.returnToPlace(delivery.sequence, delivery.entry)
        }
        if !readable.isEmpty && !queue.pointee.rotation.isEmpty {
            self.touch(queue)
        }
    }

    // MARK: The log

    /// A message that must be told again to the log cannot be: the files stay that have it.
    func noteNeeded(_ slot: UInt32) {
        guard let word = self.store.paged(slot) else { return }
        // Of one in a scratch file nobody knows where the log has it.
        let position = word.isScratch ? 0 : self.store.position(word)
        self.log.needed = min(self.log.needed ?? .max, position)
    }

    /// Where the log has the first message that could not be told again since ``beginSnapshot(upTo:tellsMessages:)``, because
    /// the disk refuses to read it; nil when there was none.
    ///
    /// Files from there on stay, whatever was to go.
    public var neededLogPosition: UInt64? { self.log.needed }
}
