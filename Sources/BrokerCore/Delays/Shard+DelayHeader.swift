internal import AMQPProtocol

/// Queues with a delay header (`x-delay-header`, policy `delay-header`): a message waits in the queue until the instant
/// that the header of that name says.
///
/// For Celery it is `eta`: tasks for later stay here, and a worker that fetches and holds them need not be changed. The
/// instant is a text as ``DateTimeText`` reads it, or what `x-deliver-at` may be: a timestamp, or milliseconds since 1970.
/// Anything else, and an instant that has passed, is no delay.
///
/// A message waits like one that came back and is not to be delivered at once (``WithheldMessages``): it is neither ready
/// nor counts for a limit, it goes with a purge, and the log knows until when. Its time to live runs meanwhile.
extension Shard {
    /// Has the message of a place, which came just now, wait if its header says so; returns whether it does.
    @inline(never)
    func withholdNew(
        _ queue: UnsafeMutablePointer<QueueState>,
        _ sequence: UInt64,
        _ entry: QueueEntry,
        _ header: ShortString
    ) -> Bool {
        let message = self.store.record(entry.slot).view
        guard let time = Self.instant(in: message, header), time > self.epochMilliseconds(at: self.now),
            let entry = queue.pointee.removeReady(sequence)
        else { return false }
        self.noteReady(queue, entry, -1)
        let due = self.wallClock.instant(epochMilliseconds: min(time, ShardLimits.lastDueMilliseconds))
        self.withhold(queue, ConsumerState.Delivery(sequence: sequence, entry: entry), until: due)
        return true
    }

    /// The instant that a header names, in milliseconds since 1970; nil when it names none.
    static func instant(in message: MessageView, _ header: ShortString) -> UInt64? {
        let properties = UnsafeRawBufferPointer(start: message.properties, count: message.propertiesSize)
        // Checked when the message came.
        guard let range = (try? PropertyScan.scan(properties))?.headers else { return nil }
        let table = UnsafeRawBufferPointer(rebasing: properties[range])
        guard let place = header.bytes.withUnsafeBytes({ HeaderNames.place(of: $0, in: table) }) else { return nil }
        if FieldTag(rawValue: table[place.lowerBound]) == .longString {
            return DateTimeText.milliseconds(table[(place.lowerBound + 5)..<place.upperBound])
        }
        return DelayHeaders.milliseconds(table, place.lowerBound)
    }
}
