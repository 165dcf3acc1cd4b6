internal import AMQPProtocol

/// What a death writes into a message: a new exchange and routing key, the history in `x-death`, no expiration.
///
/// Tables and their order are RabbitMQ's, recorded in Interop/recordings: an entry a queue and reason, the latest first,
/// each with `count`, `reason`, `queue`, `time`, `exchange`, `routing-keys` and, if there was an expiration,
/// `original-expiration`. A repeated death counts its entry up, which keeps what it said the first time. RabbitMQ sorts
/// the headers whenever it adds one, and so do we. `x-last-death-*`, which RabbitMQ writes since 3.13, names the latest
/// death, as `x-first-death-*` names the first.
struct DeathHeaders {
    /// A death of the message.
    struct Event {
        var reason: DeathReason
        var queue: ShortString
        var exchange: ShortString
        var routingKey: ShortString
        var epochSeconds: UInt64
    }

    /// The message's new properties.
    private(set) var properties: [UInt8]
    /// Further routing keys: those of `CC`, when the message keeps its own.
    private(set) var extraKeys: [[UInt8]] = []
    /// The entries of `x-death`, this one included.
    let deaths: [FieldValue]
    /// The entries of ``deaths``, from the first one on, that a client did not bring; nil when it brought none.
    ///
    /// Flags count as far as ``QueueEntry/Flags/maxOwnDeaths``, which a circle of a few queues does not reach: a closed one
    /// adds no entries. Beyond it a header of the message counts.
    private let ownDeathCount: Int?

    private static let deathKey: ShortString = "x-death"
    /// How many entries of `x-death` are ours, in a message whose flags cannot count them any more.
    private static let ownCountKey: ShortString = "x-own-death-count"

    /// Rewrites the properties of a message; nil when they cannot be read, which they could when it came.
    ///
    /// `hasNewKey` when the queue gives its dead letters a routing key, which replaces `CC`, too; `ownDeathCount` as in
    /// ``QueueEntry/Flags/ownDeathCount``.
    init?(_ properties: UnsafeRawBufferPointer, _ event: Event, hasNewKey: Bool, ownDeathCount: Int?) {
        var reader = WireReader(properties)
        guard var decoded = try? BasicProperties(from: &reader) else { return nil }
        var headers: [(key: ShortString, value: FieldValue)] = []
        var old = History.none
        var copies: [FieldValue] = []
        if let table = decoded.headers {
            for (key, value) in table {
                if key == Self.deathKey {
                    // The first of several with one name wins, as everywhere.
                    if case .none = old {
                        if case .array(let array) = value { old = .entries(Array(array)) } else { old = .unreadable }
                    }
                    continue
                }
                if key == "CC", copies.isEmpty, case .array(let array) = value {
                    copies = array.filter { if case .longString = $0 { true } else { false } }
                }
                if key == "CC" && hasNewKey { continue }
                headers.append((key, value))
            }
        }
        var ownDeathCount = ownDeathCount
        if ownDeathCount == QueueEntry.Flags.maxOwnDeaths {
            // Nobody but us has written this: it is put there, whatever was there, when the flags are at their end.
            let exact = headers.first { $0.key == Self.ownCountKey }?.value.integerValue
            ownDeathCount = max(Int(clamping: exact ?? 0), QueueEntry.Flags.maxOwnDeaths)
        }
        let deaths = Self.deaths(after: event, old, copies, decoded.expiration, &ownDeathCount)
        self.deaths = deaths
        self.ownDeathCount = ownDeathCount
        Self.set("x-death", to: .array(FieldArray(deaths)), in: &headers)
        if case .none = old {
            Self.set("x-first-death-reason", to: .longString(event.reason.name.bytes), in: &headers)
            Self.set("x-first-death-queue", to: .longString(event.queue.bytes), in: &headers)
            Self.set("x-first-death-exchange", to: .longString(event.exchange.bytes), in: &headers)
        }
        Self.set("x-last-death-reason", to: .longString(event.reason.name.bytes), in: &headers)
        Self.set("x-last-death-queue", to: .longString(event.queue.bytes), in: &headers)
        Self.set("x-last-death-exchange", to: .longString(event.exchange.bytes), in: &headers)
        if let ownDeathCount, ownDeathCount >= QueueEntry.Flags.maxOwnDeaths {
            Self.set(Self.ownCountKey, to: .int64(Int64(ownDeathCount)), in: &headers)
        }
        Self.sort(&headers)
        decoded.headers = FieldTable(headers.map { ($0.key, $0.value) })
        decoded.expiration = nil
        self.properties = [UInt8](unsafeUninitializedCapacity: decoded.encodedSize) { buffer, count in
            var writer = WireWriter(UnsafeMutableRawBufferPointer(buffer))
            decoded.encode(into: &writer)
            count = writer.offset
        }
        if !hasNewKey {
            for case .longString(let key) in copies {
                self.extraKeys.append(Array(key.prefix(255)))
            }
        }
    }

    /// What the dead letter's queues remember of ``deaths``.
    var flags: QueueEntry.Flags { self.ownDeathCount.map { .ownDeaths($0) } ?? [] }

    /// What stood in `x-death` before.
    private enum History {
        case none
        case entries([FieldValue])
        /// Something of another type, which a client has put there; it is dropped.
        case unreadable
    }

    /// The history with one more death.
    private static func deaths(
        after event: Event,
        _ old: History,
        _ copies: [FieldValue],
        _ expiration: ShortString?,
        _ ownDeathCount: inout Int?
    ) -> [FieldValue] {
        guard case .entries(let old) = old else {
            // All that was there is ours now.
            ownDeathCount = nil
            return [.table(FieldTable(Self.pairs(event, copies, expiration)))]
        }
        var entries = Self.regrouped(old, ownDeathCount)
        let match = entries.firstIndex { Self.pair(of: $0) == Self.pair(of: event) }
        if let count = ownDeathCount, match ?? .max >= count {
            ownDeathCount = count + 1
        }
        let newest: FieldTable
        if let match, case .table(let table) = entries[match] {
            entries.remove(at: match)
            newest = Self.counted(table)
        } else {
            newest = FieldTable(Self.pairs(event, copies, expiration))
        }
        // Only the entry that meets others is sorted, as in RabbitMQ.
        entries.insert(.table(FieldTable(newest.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })), at: 0)
        return entries
    }

    /// What a death writes the first time.
    private static func pairs(
        _ event: Event,
        _ copies: [FieldValue],
        _ expiration: ShortString?
    ) -> [(ShortString, FieldValue)] {
        var pairs: [(ShortString, FieldValue)] = [
            ("count", .int64(1)),
            ("reason", .longString(event.reason.name.bytes)),
            ("queue", .longString(event.queue.bytes)),
            ("time", .timestamp(event.epochSeconds)),
            ("exchange", .longString(event.exchange.bytes)),
            ("routing-keys", .array(FieldArray([.longString(event.routingKey.bytes)] + copies))),
        ]
        if let expiration {
            pairs.append(("original-expiration", .longString(expiration.bytes)))
        }
        return pairs
    }

    /// What names an entry; nil for what is none.
    private struct Pair: Hashable {
        var queue: [UInt8]
        var reason: [UInt8]
    }

    private static func pair(of event: Event) -> Pair? {
        Pair(queue: event.queue.bytes, reason: event.reason.name.bytes)
    }

    private static func pair(of entry: FieldValue) -> Pair? {
        guard case .table(let table) = entry else { return nil }
        return Pair(queue: table["queue"]?.stringValue ?? [], reason: table["reason"]?.stringValue ?? [])
    }

    /// The entries as RabbitMQ regroups them before it adds one: each pair once, counted, and the order turned round.
    ///
    /// With a client's entries behind ours only those are turned round, so that ours stay in front.
    private static func regrouped(_ entries: [FieldValue], _ ownDeathCount: Int?) -> [FieldValue] {
        guard entries.count > 1 else { return entries }
        let own = min(ownDeathCount ?? 0, entries.count)
        // Linear: a client may have put thousands of entries there.
        let pairs = entries.map { Self.pair(of: $0) }
        var counts: [Pair: Int] = [:]
        for case .some(let pair) in pairs { counts[pair, default: 0] += 1 }
        var seen: Set<Pair> = []
        var kept: [FieldValue] = []
        var turned: [FieldValue] = []
        for (index, entry) in entries.enumerated() {
            guard let pair = pairs[index], case .table(let table) = entry else {
                turned.append(entry)
                continue
            }
            guard seen.insert(pair).inserted else { continue }
            var grouped = entry
            if table["count"] == nil {
                let count = Int64(counts[pair] ?? 1)
                grouped = .table(FieldTable([("count", .int64(count))] + table.map { ($0.key, $0.value) }))
            }
            if index < own {
                kept.append(grouped)
            } else {
                turned.append(grouped)
            }
        }
        return kept + turned.reversed()
    }

    /// An entry that has happened once more.
    private static func counted(_ table: FieldTable) -> FieldTable {
        guard table["count"] != nil else {
            return FieldTable([("count", .int64(1))] + table.map { ($0.key, $0.value) })
        }
        return FieldTable(
            table.map { key, value in
                guard key == "count" else { return (key, value) }
                return (key, .int64((value.integerValue ?? 0) &+ 1))
            }
        )
    }

    private static func set(
        _ key: ShortString,
        to value: FieldValue,
        in headers: inout [(key: ShortString, value: FieldValue)]
    ) {
        if let index = headers.firstIndex(where: { $0.key == key }) {
            headers[index].value = value
        } else {
            headers.append((key, value))
        }
    }

    private static func sort(_ headers: inout [(key: ShortString, value: FieldValue)]) {
        // The standard library's sort is stable in fact, but does not promise it.
        let ordered = headers.enumerated().sorted { left, right in
            left.element.key == right.element.key
                ? left.offset < right.offset : left.element.key < right.element.key
        }
        headers = ordered.map(\.element)
    }

    /// Whether a queue would get a message again without a consumer's doing.
    ///
    /// That is so when it died there before and neither that death nor a later one was a rejection. Deaths that a client
    /// has published do not count: a task that is delayed again goes the same way as the first time.
    func isCycle(_ queue: ShortString) -> Bool {
        for entry in self.deaths.prefix(self.ownDeathCount ?? .max) {
            // What is no table was put there by a client.
            guard case .table(let table) = entry else { return false }
            if table["reason"]?.stringValue == DeathReason.rejected.name.bytes { return false }
            if table["queue"]?.stringValue == queue.bytes { return true }
        }
        return false
    }
}
