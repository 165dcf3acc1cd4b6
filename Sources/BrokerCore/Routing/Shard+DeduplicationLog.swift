internal import AMQPProtocol

/// Telling the log what windows know, and going on with what it has.
extension Shard {
    /// Tells that a key is known, behind the message it stands for.
    func logKey(_ key: [UInt8], _ deadline: UInt64, _ host: ShortString, _ exchange: ShortString) {
        let base = self.appendLog(.window, size: WindowRecord.size(key, host, exchange))
        WindowRecord.write(key, host, exchange, deadline: deadline, at: base)
    }

    private func logPublisher(
        _ name: PublisherTable.Name,
        _ entry: PublisherTable.Entry,
        _ host: ShortString,
        _ exchange: ShortString
    ) {
        let told = entry.sequence.told
        let size = PublisherRecord.size(name.id, holes: told.holes.count, host, exchange)
        let base = self.appendLog(.publisher, size: size)
        PublisherRecord.write(name.id, told, host, exchange, deadline: entry.deadline, at: base)
    }

    /// Tells how far publishers have come in the turn: one record for each, however many messages it had.
    func flushPublishers() {
        guard !self.windows.untoldPublishers.isEmpty else { return }
        let numbers = self.windows.untoldPublishers
        self.windows.untoldPublishers.removeAll(keepingCapacity: true)
        for number in numbers {
            guard let (host, exchange) = self.topology.exchange(at: Station(number: number)) else { continue }
            self.windows.change(number, exchange.definition.arguments) { window in
                window.publishers.tellUntold { self.logPublisher($0, $1, host.name, exchange.name) }
            }
        }
    }

    // MARK: Snapshots

    /// Begins to tell the log again what is known.
    func beginTellingWindows() {
        self.windows.untold = self.windows.byStation.sorted { $0.key < $1.key }.map { number, window in
            DeduplicationWindows.Telling(number: number, publishersEnd: window.publishers.nextStamp)
        }
    }

    /// Tells what comes next, as long as there is budget; returns whether there is more.
    func continueTellingWindows(_ budget: inout Int) -> Bool {
        while budget > 0, var telling = self.windows.untold.last {
            if self.tell(&telling, &budget) {
                self.windows.untold.removeLast()
            } else {
                self.windows.untold[self.windows.untold.count - 1] = telling
            }
        }
        return !self.windows.untold.isEmpty
    }

    /// Goes on with one window; returns whether all of it is told.
    private func tell(_ telling: inout DeduplicationWindows.Telling, _ budget: inout Int) -> Bool {
        guard let window = self.windows.byStation[telling.number],
            let (host, exchange) = self.topology.exchange(at: Station(number: telling.number))
        else { return true }
        if !telling.hasToldKeys {
            let place = window.forEachLogged(from: telling.place, &budget) { key, deadline in
                self.logKey(key, deadline, host.name, exchange.name)
            }
            telling.place = place ?? 0
            telling.hasToldKeys = place == nil
            guard telling.hasToldKeys else { return false }
        }
        guard exchange.definition.isDurable else { return true }
        let place = window.publishers.forEachPersistent(
            from: telling.place,
            to: telling.publishersEnd,
            &budget,
            { name, entry in self.logPublisher(name, entry, host.name, exchange.name) }
        )
        telling.place = place ?? 0
        return place == nil
    }

    // MARK: A start

    /// Goes on with the windows that the log has, where their exchanges have their home.
    func restore(_ windows: [RecoveredWindow]) {
        for recovered in windows {
            guard
                let exchange = self.topology.virtualHost(named: recovered.virtualHost)?
                    .exchange(named: recovered.exchange),
                let station = exchange.station, station.home(of: self.count) == self.index
            else { continue }
            self.windows.restore(recovered.window, station.number)
        }
    }
}
