internal import AMQPProtocol
internal import DequeModule

/// The last messages of one `x-recent-history` exchange, oldest first.
struct RecentHistory {
    /// A message that is kept, with one reference for the history.
    struct Entry {
        let slot: UInt32
        let flags: QueueEntry.Flags
        let bytes: Int
    }

    /// The most messages that are kept.
    let limit: Int
    private(set) var entries: Deque<Entry> = []
    private(set) var bytes = 0

    /// Reads the limit from the exchange's arguments.
    init(_ arguments: FieldTable) {
        let length = arguments[ExchangeArguments.historyLength]?.integerValue ?? 20
        self.limit = max(1, Int(clamping: length))
    }

    /// Adds a message; gives back those that are not kept any longer.
    mutating func append(_ entry: Entry) -> [Entry] {
        self.entries.append(entry)
        self.bytes += entry.bytes
        var dropped: [Entry] = []
        while self.entries.count > self.limit || self.bytes > ShardLimits.historyBytes,
            let oldest = self.entries.popFirst()
        {
            self.bytes -= oldest.bytes
            dropped.append(oldest)
        }
        return dropped
    }
}

/// What `x-recent-history` exchanges keep, by the number of their station; in memory only, as by RabbitMQ.
struct RecentHistories {
    /// The histories of exchanges that have had a message.
    var byStation: [UInt32: RecentHistory] = [:]
}

/// Messages at stations.
extension Shard {
    /// A message has come to a station; its reference, the only one, is the station's.
    ///
    /// It stays in memory whatever happens: only queues look whether their messages do.
    /// Returns whether the log has to have it.
    @inline(never)
    func arrive(_ slot: UInt32, _ flags: QueueEntry.Flags, at station: Station, _ task: Station.Duty) -> Bool {
        if task == .delayAnywhere, let host = self.topology.virtualHostName(station.number) {
            let exchange = ShortString(Array(self.store.record(slot).exchange)) ?? ""
            return self.delayByHeaders(slot, flags, DelayOrigin(virtualHost: host, exchange: exchange))
        }
        guard let (host, exchange) = self.topology.exchange(at: station) else {
            // Deleted meanwhile, and with it what it was to do.
            self.store.release(slot)
            return false
        }
        switch task {
        case .deduplicate:
            assertionFailure("windows have an outcome of their own")
            self.store.release(slot)
            return false
        case .delay, .delayAnywhere:
            return self.delayByHeaders(slot, flags, DelayOrigin(virtualHost: host.name, exchange: exchange.name))
        case .remember:
            // Taken out while it changes, so that it is not copied.
            var kept =
                self.histories.byStation.removeValue(forKey: station.number)
                ?? RecentHistory(exchange.definition.arguments)
            self.store.record(slot).isKept = true
            let bytes = self.store.record(slot).allocatedSize
            for entry in kept.append(RecentHistory.Entry(slot: slot, flags: flags, bytes: bytes)) {
                self.store.release(entry.slot)
            }
            self.histories.byStation[station.number] = kept
            return false
        }
    }

    /// An exchange that goes takes along what its station keeps.
    func forgetStation(removedBy change: TopologyChange) {
        guard case .removeExchange(let host, let name) = change,
            let station = self.topology.virtualHost(named: host)?.exchange(named: name)?.station
        else { return }
        self.windows.remove(station.number)
        guard let history = self.histories.byStation.removeValue(forKey: station.number) else { return }
        for entry in history.entries {
            self.store.release(entry.slot)
        }
    }

    /// A new binding of an `x-recent-history` exchange gets what the exchange keeps, oldest first.
    ///
    /// RabbitMQ gives it to exchanges newest first, and dies of exchanges that lead nowhere.
    func replayHistory(to change: TopologyChange) {
        guard self.index == 0, !self.histories.byStation.isEmpty, case .addBinding(let name, let definition) = change,
            let host = self.topology.virtualHost(named: name),
            let station = host.exchange(named: definition.source)?.station,
            let history = self.histories.byStation[station.number],
            let destination = host.destination(of: definition)
        else { return }
        // A message may come back to the history on its way, which then forgets others, or this very one.
        for entry in history.entries {
            self.store.retain(entry.slot)
        }
        defer {
            for entry in history.entries {
                self.store.release(entry.slot)
            }
        }
        for entry in history.entries {
            let targets: [QueueAddress]
            switch destination {
            case .queue(let queue):
                targets = [queue.address]
            case .exchange(let exchange):
                self.routeStored(entry.slot, from: exchange, in: host)
                targets = self.routeTargets.queues
            }
            _ = self.publishInternally(self.store.record(entry.slot).view, entry.flags, to: targets, then: .nothing)
        }
    }

    /// Finds the queues of a stored message from an exchange on; they are in ``routeTargets``.
    func routeStored(_ slot: UInt32, from exchange: Exchange, in host: VirtualHost) {
        let record = self.store.record(slot)
        let properties = UnsafeRawBufferPointer(start: record.properties, count: record.propertiesSize)
        let scan = try? PropertyScan.scan(properties)
        host.route(
            from: exchange,
            routingKey: record.routingKey,
            headers: (scan?.headers).map { UnsafeRawBufferPointer(rebasing: properties[$0]) },
            properties: properties,
            into: &self.routeTargets
        )
    }
}
