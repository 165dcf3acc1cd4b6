internal import AMQPProtocol

/// Messages that wait in queues, as an operator sees and changes them: for a delay header, or before they are tried again.
///
/// A message is named by its queue and its place there, which it keeps over restarts.
extension Shard {
    /// Messages that wait in queues of a virtual host that live here: at least the `limit` whose time comes first.
    ///
    /// The names of those on disk are empty; for these the second part says where the message is stored.
    func withheldMessages(
        virtualHost: String,
        limit: Int
    ) -> [(info: DelayedMessageInfo, onDisk: UInt32?)] {
        let limit = min(limit, ShardLimits.listedDelays)
        guard limit > 0, let host = self.topology.virtualHost(named: ShortString(truncating: virtualHost)) else {
            return []
        }
        var found: [(info: DelayedMessageInfo, onDisk: UInt32?)] = []
        for case let queue? in self.queues {
            guard let withheld = queue.pointee.withheld, queue.pointee.info.virtualHostName == host.name else {
                continue
            }
            let name = "\(queue.pointee.info.name)"
            var count = 0
            withheld.pointee.forEachInOrder { element in
                found.append(self.describe(element, of: queue, name))
                count += 1
                return count < limit
            }
            if found.count > 4 * limit {
                // Of many queues no more than are wanted.
                found.sort { $0.info.isBefore($1.info) }
                found.removeLast(found.count - limit)
            }
        }
        return found
    }

    private func describe(
        _ element: WithheldMessages.Element,
        of queue: UnsafeMutablePointer<QueueState>,
        _ name: String
    ) -> (info: DelayedMessageInfo, onDisk: UInt32?) {
        let slot = element.entry.slot
        let isHere = self.store.isResident(slot)
        func text(_ part: KeyPath<MessageView, UnsafeRawBufferPointer>) -> String {
            isHere ? String(decoding: self.store.record(slot).view[keyPath: part], as: UTF8.self) : ""
        }
        let info = DelayedMessageInfo(
            id: element.sequence,
            exchange: text(\.exchange),
            routingKey: text(\.routingKey),
            dueEpochMilliseconds: self.epochMilliseconds(at: element.due),
            isPersistent: self.isDurable(queue, element.entry.flags),
            bodyBytes: self.store.bodySize(slot),
            queue: name
        )
        return (info, isHere ? nil : slot)
    }

    /// Drops a message that waits; returns whether the log must know, or nil when there is none.
    func cancelWithheld(_ queue: UnsafeMutablePointer<QueueState>, _ sequence: UInt64) -> Bool? {
        guard let element = queue.pointee.withheld?.pointee.remove(sequence) else { return nil }
        self.logSettled(queue, sequence, element.entry.flags)
        queue.pointee.unique?.remove(sequence)
        self.store.release(element.entry.slot)
        if queue.pointee.groups != nil {
            // Others of its group waited for it.
            queue.pointee.groups?.pointee.forgetWaiting(sequence)
            if queue.pointee.hasReady && !queue.pointee.rotation.isEmpty {
                self.touch(queue)
            }
        }
        return self.isDurable(queue, element.entry.flags)
    }

    /// Gives a message that waits another time; returns whether the log must know, or nil when there is none.
    func rescheduleWithheld(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ epochMilliseconds: UInt64
    ) -> Bool? {
        guard let withheld = queue.pointee.withheld, var element = withheld.pointee.remove(sequence) else { return nil }
        let time = min(epochMilliseconds, ShardLimits.lastDueMilliseconds)
        element.due = max(self.wallClock.instant(epochMilliseconds: time), self.now)
        withheld.pointee.insert(element)
        self.scheduleRetries(queue, withheld)
        guard self.isDurable(queue, element.entry.flags) else { return false }
        self.logRetry(queue, sequence, at: self.epochMilliseconds(at: element.due))
        return true
    }
}
