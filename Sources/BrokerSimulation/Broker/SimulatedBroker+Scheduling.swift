internal import BrokerCore

/// What can happen next, and what a driver does after it.
extension SimulatedBroker {
    /// Something that can happen next.
    enum Event {
        case read(Socket)
        case batch(from: Int, to: Int)
        /// The log's writer does what it would do next.
        case commit
        /// A shard is told of the oldest batch that is committed and of which it has not been told.
        case committed(shard: Int)
        /// The next step of a trim of the log.
        case trim
        /// The disk has done what a shard asked for first.
        case page
        /// A shard goes on with what it does in pieces.
        case work(shard: Int)
    }

    /// What can happen next, in a fixed order.
    var possibleEvents: [Event] {
        var events: [Event] = []
        for shard in self.sockets {
            for id in shard.keys.sorted(by: { $0.rawValue < $1.rawValue }) {
                if let socket = shard[id], !socket.inbound.isEmpty, socket.isReading, !socket.isClosed {
                    events.append(.read(socket))
                }
            }
        }
        for from in self.batches.indices {
            for to in self.batches[from].indices where !self.batches[from][to].isEmpty {
                events.append(.batch(from: from, to: to))
            }
        }
        self.addLogEvents(&events)
        for shard in self.shards.indices where self.shards[shard].hasPendingWork {
            events.append(.work(shard: shard))
        }
        if self.pager.hasRequests {
            events.append(.page)
        }
        return events
    }

    /// Whether anything can happen without time passing.
    var hasEvents: Bool { !self.possibleEvents.isEmpty }

    /// Carries one event out; a read takes at most `maxBytes` octets.
    func carryOut(_ event: Event, maxBytes: Int = .max, endsTurn: Bool = true) {
        switch event {
        case .read(let socket):
            let piece = Array(socket.inbound.prefix(maxBytes))
            socket.inbound.removeFirst(piece.count)
            piece.withUnsafeBytes { self.shards[socket.shard].receive($0, on: socket.id, now: self.now) }
            self.endTurn(of: socket.shard, endsTurn)
        case .batch(let from, let to):
            let isAlone = self.batches[from][to].prefix(2).contains { $0.changesTopology }
            let isEarly = self.batches[from][to].count > 1 && !isAlone && self.liar.lies(.swapsBatches, oneIn: 10)
            let batch = self.batches[from][to].remove(at: isEarly ? 1 : 0)
            if !batch.changesTopology, self.liar.lies(.losesBatches, oneIn: 100) { return }
            self.shards[to].apply(batch, now: self.now)
            self.endTurn(of: to, endsTurn)
        case .commit:
            self.log?.step()
        case .committed(let shard):
            self.tellCommitted(shard)
            self.endTurn(of: shard, endsTurn)
        case .trim:
            self.stepTrim()
        case .page:
            if let shard = self.pager.carryOutNext(self) {
                self.endTurn(of: shard, endsTurn)
            }
        case .work(let shard):
            self.shards[shard].continueWork(now: self.now)
            self.endTurn(of: shard, endsTurn)
        }
    }

    /// Has the broker read everything that a socket has brought, as far as it wants to.
    public func readAll(_ socket: Socket) {
        while !socket.inbound.isEmpty && socket.isReading && !socket.isClosed && !socket.isLost {
            self.carryOut(.read(socket))
        }
    }

    /// Runs until nothing can happen without time passing.
    public func run() {
        while let event = self.possibleEvents.first {
            self.carryOut(event)
        }
    }

    /// Ends every shard's turn, then runs: for tests that call into a shard.
    public func settle() {
        for shard in self.shards.indices {
            self.drain(shard)
        }
        self.run()
    }

    /// Runs until nothing can happen and no shard has anything left to write.
    func runToRest() {
        repeat {
            self.run()
        } while self.endOpenTurns()
    }

    /// Ends a shard's turn, or lets it go on with the shard's next event.
    func endTurn(of shard: Int, _ isEnding: Bool) {
        self.hasOpenTurn[shard] = !isEnding
        if isEnding {
            self.drain(shard)
        }
    }

    /// Runs in an order drawn from `random`, reads cut at random places, turns of one or more inputs.
    public func run(_ random: SeededRandom, maxEvents: Int = .max) {
        var remaining = maxEvents
        while remaining > 0 {
            let events = self.possibleEvents
            guard !events.isEmpty else {
                guard self.endOpenTurns() else { return }
                continue
            }
            guard let event = self.pick(events, random, mustPick: maxEvents == .max) else { break }
            let maxBytes = random.oneIn(4) ? 1 + random.below(40) : 1 + random.below(4000)
            self.carryOut(event, maxBytes: maxBytes, endsTurn: !random.oneIn(4))
            remaining -= 1
        }
        _ = self.endOpenTurns()
    }

    /// Draws an event, seldom one of the slow link.
    private func pick(_ events: [Event], _ random: SeededRandom, mustPick: Bool) -> Event? {
        let event = events[random.below(events.count)]
        if case .commit = event, self.commitPatience > 1, !mustPick || events.count > 1,
            !random.oneIn(self.commitPatience)
        {
            let others = events.filter { if case .commit = $0 { false } else { true } }
            return others.isEmpty ? nil : others[random.below(others.count)]
        }
        guard let link = self.slowLink, case .batch(link.from, link.to) = event, !random.oneIn(20) else { return event }
        let others = events.filter { if case .batch(link.from, link.to) = $0 { false } else { true } }
        guard others.isEmpty else { return others[random.below(others.count)] }
        return mustPick ? event : nil
    }

    /// Ends the turns that are open; returns whether there were any.
    private func endOpenTurns() -> Bool {
        var isAny = false
        for shard in self.shards.indices where self.hasOpenTurn[shard] {
            self.endTurn(of: shard, true)
            isAny = true
        }
        return isAny
    }

    /// Does what a driver does after a turn.
    func drain(_ index: Int) {
        let shard = self.shards[index]
        shard.endTurn(now: self.now)
        self.takeLogRecords(of: index)
        var isBusy = true
        while isBusy {
            isBusy = false
            while let id = shard.takeDirtyConnection() {
                isBusy = true
                let socket = self.sockets[index][id]
                shard.takeOutput(of: id) { block in
                    socket?.outbound.append(
                        contentsOf: UnsafeRawBufferPointer(start: block.base, count: block.count)
                    )
                    self.memories[index].giveBack(block)
                }
                if let socket, socket.outbound.count > socket.capacity, socket.isWritable {
                    socket.isWritable = false
                    shard.setWritable(id, false, now: self.now)
                }
            }
            shard.takeEffects { effect in
                isBusy = true
                self.carryOut(effect, of: index)
            }
            shard.endTurn(now: self.now)
            self.takeLogRecords(of: index)
            self.pager.take(from: index, shard)
            isBusy = isBusy || shard.hasDirtyConnections
        }
        for receiver in self.shards.indices where receiver != index {
            if let batch = shard.takeOutbox(to: receiver) {
                self.batches[index][receiver].append(batch)
            }
        }
        self.closeDueSockets()
    }

    private func carryOut(_ effect: ShardEffect, of shard: Int) {
        switch effect {
        case .close(let id, let delay):
            if let socket = self.sockets[shard][id] {
                self.closings.append((self.now.advanced(milliseconds: delay), socket))
            }
        case .setReading(let id, let isReading):
            self.sockets[shard][id]?.isReading = isReading
        case .log(_, _, let line):
            self.logLines.append(line)
        case .answer(let ticket, let answer):
            self.answers[ticket] = answer
        }
    }

    /// A socket is closed when everything is sent, however slow its client reads.
    private func takeRest(_ socket: Socket) {
        let shard = self.shards[socket.shard]
        shard.setWritable(socket.id, true, now: self.now)
        shard.takeOutput(of: socket.id) { block in
            socket.outbound.append(contentsOf: UnsafeRawBufferPointer(start: block.base, count: block.count))
            self.memories[socket.shard].giveBack(block)
        }
    }

    func closeDueSockets() {
        guard !self.isClosing else { return }
        self.isClosing = true
        while let index = self.closings.firstIndex(where: { $0.due <= self.now }) {
            let socket = self.closings.remove(at: index).socket
            self.takeRest(socket)
            socket.isClosed = true
            self.disconnect(socket)
        }
        self.isClosing = false
    }
}
